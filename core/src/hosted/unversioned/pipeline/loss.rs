//! Losses for lack of room: when one begins, when it is over, and what helps.
//!
//! Spans are lost in two places, the shards and the exporter's buffer, and each place only counts.
//! The pipeline looks at the sum of both counts at each step, and reports a loss twice: when it begins
//! and when it is over.

use core::fmt;
use core::time::Duration;

use super::Pipeline;
use crate::exporter::Event;
use crate::hosted::diagnostics::INTERVAL_SECS;
use crate::time::Instant;

/// How long no span may be lost before a loss is over. Reports of one kind are shown this far apart,
/// so a loss that flickers is one loss, and the report of its end is not held back.
const QUIET: Duration = Duration::from_secs(INTERVAL_SECS as u64);

/// Watches a count of lost spans.
#[derive(Debug, Default)]
pub(super) struct LossWatch {
    /// The count at the last look.
    seen: u64,
    current: Option<Loss>,
}

#[derive(Debug)]
struct Loss {
    dropped: u64,
    /// When it is over, unless another span is lost.
    over_at: Instant,
}

impl LossWatch {
    /// Compares `total`, the spans lost so far, with the last look. `is_full`: another span might
    /// still be lost.
    pub(super) fn look(&mut self, now: Instant, total: u64, is_full: bool) -> Option<Event> {
        let lost = total.saturating_sub(self.seen);
        self.seen = total;
        let over_at = now.saturating_add(QUIET);
        match &mut self.current {
            None if lost == 0 => None,
            None => {
                self.current = Some(Loss {
                    dropped: lost,
                    over_at,
                });
                Some(Event::LossStarted)
            }
            Some(loss) if lost > 0 || (is_full && now >= loss.over_at) => {
                loss.dropped = loss.dropped.saturating_add(lost);
                loss.over_at = over_at;
                None
            }
            Some(loss) if now >= loss.over_at => {
                let dropped = loss.dropped;
                self.current = None;
                Some(Event::LossEnded { dropped })
            }
            Some(_) => None,
        }
    }

    /// When to look again; [`Instant::MAX`] if no loss is under way.
    pub(super) fn look_at(&self) -> Instant {
        self.current
            .as_ref()
            .map_or(Instant::MAX, |loss| loss.over_at)
    }

    /// The spans lost in the loss under way.
    pub(super) fn dropped(&self) -> u64 {
        self.current.as_ref().map_or(0, |loss| loss.dropped)
    }
}

impl Pipeline {
    /// Returns true if all threads that record can go on for a while: none has used half of its memory.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.hub.has_room()
    }
}

/// Why there was no room, with what helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossCause {
    /// Spans end faster than they are sent.
    Burst {
        /// The setting's value.
        shard_bytes: usize,
    },
    /// Nothing can be sent now: the circuit is not closed.
    Outage {
        /// The setting's value.
        max_queue_size: u32,
        /// The setting's value.
        buffer_bytes: usize,
    },
}

impl fmt::Display for LossCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Burst { shard_bytes } => write!(
                f,
                "spans end faster than they are sent: wait for room (`when_full`, or `room()` in async \
                 code), raise `shard_bytes` ({shard_bytes}), or lower `sample_rate`"
            ),
            Self::Outage {
                max_queue_size,
                buffer_bytes,
            } => write!(
                f,
                "the collector takes nothing: raise `max_queue_size` ({max_queue_size}) and \
                 `buffer_bytes` ({buffer_bytes}) for a longer outage"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTED: Option<Event> = Some(Event::LossStarted);

    const fn ended(dropped: u64) -> Option<Event> {
        Some(Event::LossEnded { dropped })
    }

    fn at(secs: u64) -> Instant {
        Instant::from_secs(secs)
    }

    #[test]
    fn a_loss_that_flickers_is_one_loss() {
        let mut watch = LossWatch::default();
        assert_eq!(watch.look(at(0), 0, false), None);
        assert_eq!(watch.look_at(), Instant::MAX);
        assert_eq!(watch.look(at(1), 3, true), STARTED);
        assert_eq!(watch.look(at(9), 3, false), None);
        assert_eq!(watch.look(at(10), 5, true), None);
        assert_eq!((watch.look_at(), watch.dropped()), (at(20), 5));
        assert_eq!(watch.look(at(19), 5, false), None);
        assert_eq!(watch.look(at(20), 5, false), ended(5));
        assert_eq!(watch.look(at(40), 5, false), None);
        assert_eq!(watch.look(at(41), 6, false), STARTED);
        assert_eq!(watch.look(at(60), 6, false), ended(1));
    }

    #[test]
    fn while_there_is_no_room_a_loss_is_not_over() {
        let mut watch = LossWatch::default();
        assert_eq!(watch.look(at(0), 1, true), STARTED);
        assert_eq!(watch.look(at(10), 1, true), None);
        assert_eq!(watch.look_at(), at(20));
        assert_eq!(watch.look(at(15), 1, false), None);
        assert_eq!(watch.look(at(20), 1, false), ended(1));
    }
}
