//! The clock of embassy-time on Cortex-M: the board's, whose every tick looks for timers that are
//! due.

use core::cell::RefCell;
use core::task::Waker;

use critical_section::Mutex;
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

use crate::board;

struct SysTick {
    queue: Mutex<RefCell<Queue>>,
}

embassy_time_driver::time_driver_impl!(static CLOCK: SysTick = SysTick {
    queue: Mutex::new(RefCell::new(Queue::new())),
});

impl Driver for SysTick {
    fn now(&self) -> u64 {
        board::micros()
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
    board::clock_tick();
    let now = board::micros();
    critical_section::with(|cs| {
        if let Ok(mut queue) = CLOCK.queue.borrow(cs).try_borrow_mut() {
            let _ = queue.next_expiration(now);
        }
    });
}
