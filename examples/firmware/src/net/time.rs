//! The clock of embassy-time: a millisecond from SysTick's interrupt, the microseconds from its
//! counter.

use core::cell::{Cell, RefCell};
use core::task::Waker;

use critical_section::Mutex;
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

use crate::board;

struct SysTick {
    millis: Mutex<Cell<u64>>,
    queue: Mutex<RefCell<Queue>>,
}

embassy_time_driver::time_driver_impl!(static CLOCK: SysTick = SysTick {
    millis: Mutex::new(Cell::new(0)),
    queue: Mutex::new(RefCell::new(Queue::new())),
});

impl Driver for SysTick {
    fn now(&self) -> u64 {
        critical_section::with(|cs| {
            let millis = self.millis.borrow(cs);
            let micros = board::micros_of_tick();
            // While interrupts are off the counter may begin anew before its tick was counted.
            if board::take_pending_tick() {
                millis.set(millis.get() + 1);
                return millis.get() * 1_000 + u64::from(board::micros_of_tick());
            }
            millis.get() * 1_000 + u64::from(micros)
        })
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|cs| {
            if let Ok(mut queue) = self.queue.borrow(cs).try_borrow_mut() {
                // The next tick looks at the queue in any case.
                let _ = queue.schedule_wake(at, waker);
            }
        });
    }
}

/// Called a thousand times a second.
pub fn on_tick() {
    critical_section::with(|cs| {
        let millis = CLOCK.millis.borrow(cs);
        millis.set(millis.get() + 1);
    });
    let now = CLOCK.now();
    critical_section::with(|cs| {
        if let Ok(mut queue) = CLOCK.queue.borrow(cs).try_borrow_mut() {
            let _ = queue.next_expiration(now);
        }
    });
}
