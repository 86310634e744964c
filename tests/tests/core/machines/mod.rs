//! The pure delivery machines, backoff and circuit breaker: the guide's scenarios, the invariants
//! by their numbers, and both machines against their models. Virtual time only.

#![allow(
    clippy::expect_used,
    reason = "helpers of tests may fail like the tests themselves"
)]

mod backoff;
mod breaker;
mod guide;
