//! Where recording and sending meet: the shards of a provider, and the [`Hub`] around them.
//!
//! ```text
//!  thread ─ push ─▶ shard ─┐
//!  thread ─ push ─▶ shard ─┼─ drain ─▶ pipeline
//!  thread ─ push ─▶ shard ─┘
//! ```
//!
//! The recording side ([`trace`](super::trace)) claims a shard for each thread and pushes finished
//! spans into it. The sending side ([`pipeline`](super::unversioned::pipeline)) drains all shards.
//! Neither knows anything else of the other.

mod atomic;
mod backpressure;
mod drain;
mod hub;
#[cfg(all(test, spandrel_loom))]
mod interleavings;
mod room;
mod set;
mod shard;
mod spsc;
mod words;

pub(crate) use drain::{Drain, DrainLimit, DrainOutcome, Lost};
pub(super) use hub::HubCounts;
pub(crate) use hub::{Hub, Memory, MissingMemory, memory};
pub(super) use shard::Shard;
