//! Draining: what takes finished spans, how much of them, and what came of it.

use crate::buffer::{Fill, Record, Run};
use crate::time::Instant;

/// Takes finished spans out of shards.
pub(crate) trait Drain {
    /// Takes a run that `fill` writes; `None` if there is no room for one.
    fn take_run(&mut self, fill: &mut Fill<'_>) -> Option<Run>;

    /// Takes a single record; `false` if there is no room.
    fn take(&mut self, record: &Record<'_>) -> bool;
}

/// How much a drain takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DrainLimit {
    /// Everything.
    All,
    /// One batch: nothing until the shards together hold `spans` or `bytes`, then at most `spans`.
    /// Shards that run full are always drained whole.
    Batch {
        /// The spans that complete the batch.
        spans: usize,
        /// The bytes that complete it.
        bytes: usize,
    },
}

/// The result of a drain.
#[derive(Debug, Default)]
pub(crate) struct DrainOutcome {
    /// The number of spans taken.
    pub(crate) taken: usize,
    /// Nothing was left for lack of room: all spans that had ended before the drain, or as many as
    /// the limit allows, have been taken.
    pub(crate) is_complete: bool,
    /// Spans left that a flush waits for.
    pub(crate) awaited: usize,
    /// When the oldest span taken had ended.
    pub(crate) oldest: Option<Instant>,
    /// The spans that the shards have lost so far.
    pub(crate) lost: Lost,
}

/// Counts of spans that found no place in a shard. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    /// The shard was full.
    pub(crate) full: u64,
    /// The span was larger than the shard.
    pub(crate) too_large: u64,
}
