//! What the bridges to the versions of the crate `opentelemetry` share.
//!
//! The versions differ in names only as far as a bridge is concerned, so one macro, [`bridge!`], is
//! all of them. What needs no type of theirs is here.

mod carriers;
mod provider;
mod stack;
mod times;

pub(super) use carriers::carriers;
pub(super) use provider::provider;
pub(super) use stack::stack;
pub(super) use times::Times;

/// The whole bridge to the crate `$api`, which is the `$number`th.
macro_rules! bridge {
    ($api:ident, $number:literal $(, status in $status:ident)?) => {
        $crate::hosted::opentelemetry::provider!($api, $number $(, status in $status)?);
        $crate::hosted::opentelemetry::stack!($api);
        $crate::hosted::opentelemetry::carriers!($api);
    };
}
pub(super) use bridge;
