//! The entry of the processes that the tests start.

use crate::remote::ROLE;
use crate::{collector, service};

/// Not a check of its own: without a role, which only a child has, it does nothing.
#[test]
fn child() {
    match std::env::var(ROLE).as_deref() {
        Err(_) => {}
        Ok("collector") => collector::run(),
        Ok(sender) => service::run(sender),
    }
}
