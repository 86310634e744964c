//! The clock of embassy-time: the CLINT's counter, and its interrupt when something is due.

use core::cell::RefCell;
use core::task::Waker;

use critical_section::Mutex;
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

use crate::board;

struct Clint {
    queue: Mutex<RefCell<Queue>>,
}

embassy_time_driver::time_driver_impl!(static CLOCK: Clint = Clint {
    queue: Mutex::new(RefCell::new(Queue::new())),
});

impl Driver for Clint {
    fn now(&self) -> u64 {
        board::micros()
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|cs| {
            if let Ok(mut queue) = self.queue.borrow(cs).try_borrow_mut()
                && queue.schedule_wake(at, waker)
            {
                // What is due by now interrupts at once.
                board::alarm_at(queue.next_expiration(board::micros()));
            }
        });
    }
}

/// Called when something is due.
pub fn on_tick() {
    critical_section::with(|cs| {
        if let Ok(mut queue) = CLOCK.queue.borrow(cs).try_borrow_mut() {
            board::alarm_at(queue.next_expiration(board::micros()));
        }
    });
}
