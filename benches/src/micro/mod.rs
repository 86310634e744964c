//! The cost of one operation on the recording thread.

mod context;
mod spans;
mod threads;

use crate::harness::Case;

/// Spans of a round. All queues hold 2,048 by default, so nothing needs to be lost.
const ROUND: u32 = 1000;

/// Every case, by name, made when its turn comes: providers of other cases must not be around.
#[must_use]
pub fn cases() -> Vec<fn() -> Case> {
    vec![
        spans::disabled,
        spans::unsampled,
        spans::ratio,
        spans::start_end,
        spans::four_attributes,
        spans::ten_attributes,
        spans::event,
        spans::nested,
        threads::one,
        threads::two,
        threads::four,
        threads::eight,
        context::attach,
        context::extract,
        context::inject,
    ]
}
