//! Programs that use the macros of `tracing`, and what arrives of them at a collector.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail at once, with the reason"
)]

mod context;
mod events;
mod fields;
mod lifecycle;
mod parents;
mod places;
pub(crate) mod rig;
mod texts;
mod travel;
mod values;
