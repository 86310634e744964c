//! Faults that need a network or a process of their own.
//!
//! Each test starts a service as a child process, once on the blocking transport and once on tokio,
//! and steers it line by line. Faults of a network get one: two network namespaces joined by a pair
//! of virtual devices, the service in one and the collector in the other. Where the machine does not
//! allow that, the test says which command failed and counts as passed.
//!
//! Namespaces live no longer than the processes in them, and those end with their standard input, so
//! a test that is killed leaves nothing behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic; the lint exempts only functions marked as tests"
)]

mod child;
mod collector;
mod dns;
mod dns_faults;
mod fd_limit;
mod memory;
mod network;
mod panics;
mod remote;
mod sender;
mod service;
mod terminate;
mod world;
