//! Where recording and sending meet: the shards of a provider.

mod set;
mod shard;
mod spsc;
mod words;

pub(super) use set::Shards;
pub(crate) use set::{Drain, Drained, Wanted};
pub(super) use shard::Shard;
