//! A real collector, Rotel, as the peer of the test tools and of the blocking transport. Without
//! its program, that is said and the tests are skipped.

mod harness;
#[path = "../harness/support.rs"]
mod support;
mod transport;
