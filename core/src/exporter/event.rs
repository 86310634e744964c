//! A small queue of [`Event`]s, for diagnostics.

use core::time::Duration;

use heapless::Deque;

use crate::breaker::Transition;
use crate::response::{DropReason, Outcome, TransportError};
use crate::time::Instant;

/// Why an attempt did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Cause {
    /// The destination answered with this status.
    Status(u16),
    /// The answer with this status was over its size limit.
    ResponseTooLarge(u16),
    /// There was no answer.
    Transport(TransportError),
}

impl Cause {
    pub(crate) const fn of(outcome: &Outcome<'_>) -> Self {
        match outcome {
            Outcome::Response(response) => Self::Status(response.status),
            Outcome::ResponseTooLarge { status } => Self::ResponseTooLarge(*status),
            Outcome::Failed(error) => Self::Transport(*error),
        }
    }
}

impl core::fmt::Display for Cause {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "the collector answered with status {status}"),
            Self::ResponseTooLarge(status) => {
                write!(f, "the answer of status {status} was over the size limit")
            }
            Self::Transport(error) => error.fmt(f),
        }
    }
}

/// Something worth a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Event {
    /// A batch was accepted.
    Exported {
        /// Spans accepted.
        spans: u64,
        /// Attempts it took.
        attempts: u32,
        /// Milliseconds from the start of the first attempt to the end of the last one.
        took_millis: u32,
    },
    /// An attempt failed and will be repeated. A batch that is given up is reported as `Dropped`
    /// instead.
    AttemptFailed {
        /// Which attempt of the batch this was, from 1.
        attempt: u32,
        /// Why.
        cause: Cause,
        /// The earliest time of the next attempt.
        retry_at: Instant,
    },
    /// The destination asked for a pause.
    Paused {
        /// Its length as it is obeyed, jitter included.
        pause: Duration,
    },
    /// Spans were given up.
    Dropped {
        /// Spans dropped.
        spans: u64,
        /// Why.
        reason: DropReason,
        /// Attempts made for them.
        attempts: u32,
        /// The failure of the last attempt, if that made the decision.
        cause: Option<Cause>,
        /// Milliseconds from the start of the first attempt; 0 if there was none.
        took_millis: u32,
    },
    /// The circuit breaker changed its state.
    Circuit(Transition),
    /// The collector accepted a batch except for some spans, or with a warning. Its text is
    /// [`server_message`](super::Exporter::server_message).
    PartialSuccess {
        /// Spans rejected; 0 for a warning.
        rejected: u64,
    },
    /// The body of a success could not be understood; it counts as full success.
    ResponseInvalid,
    /// Spans began to be lost for lack of room.
    LossStarted,
    /// Spans fit again.
    LossEnded {
        /// Spans lost in between.
        dropped: u64,
    },
}

/// One line for a log, without a destination: `exported 12 spans in 1 attempt`.
impl core::fmt::Display for Event {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Exported {
                spans, attempts, ..
            } => write!(
                f,
                "exported {} in {}",
                Count(*spans, "span"),
                Count((*attempts).into(), "attempt")
            ),
            Self::AttemptFailed { attempt, cause, .. } => {
                write!(f, "attempt {attempt} failed: {cause}")
            }
            Self::Paused { pause } => write!(f, "the collector asked for a pause of {pause:.1?}"),
            Self::Dropped {
                spans,
                reason,
                attempts,
                ..
            } => write!(
                f,
                "dropped {} as {reason} after {}",
                Count(*spans, "span"),
                Count((*attempts).into(), "attempt")
            ),
            Self::Circuit(transition) => transition.fmt(f),
            Self::PartialSuccess { rejected: 0 } => f.write_str("accepted with a warning"),
            Self::PartialSuccess { rejected } => {
                write!(f, "the collector rejected {}", Count(*rejected, "span"))
            }
            Self::ResponseInvalid => f.write_str("accepted with an answer that is not OTLP"),
            Self::LossStarted => {
                f.write_str("the span buffer is full: new spans are dropped and counted")
            }
            Self::LossEnded { dropped } => {
                write!(
                    f,
                    "spans fit into the buffer again; {} dropped meanwhile",
                    Count(*dropped, "span")
                )
            }
        }
    }
}

/// A number and its noun, which is in the plural unless the number is 1.
pub(crate) struct Count(pub(crate) u64, pub(crate) &'static str);

impl core::fmt::Display for Count {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "{} {}{plural}", self.0, self.1)
    }
}

/// The newest events: a full queue loses its oldest.
#[derive(Clone, Debug)]
pub(super) struct Events {
    queue: Deque<Event, 16>,
    lost: u64,
}

impl Events {
    pub(super) const fn new() -> Self {
        Self {
            queue: Deque::new(),
            lost: 0,
        }
    }

    #[cfg_attr(target_os = "none", inline(never))]
    pub(super) fn push(&mut self, event: Event) {
        if self.queue.is_full() {
            self.queue.pop_front();
            self.lost = self.lost.saturating_add(1);
        }
        // Cannot fail: there is room now.
        let _ = self.queue.push_back(event);
    }

    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        self.queue.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn events_read_as_sentences() {
        let cause = Cause::Status(503);
        let dropped = Event::Dropped {
            spans: 1,
            reason: DropReason::Expired,
            attempts: 6,
            cause: Some(cause),
            took_millis: 7,
        };
        let failed = Event::AttemptFailed {
            attempt: 2,
            cause,
            retry_at: Instant::ZERO,
        };
        for (event, line) in [
            (
                Event::Exported {
                    spans: 12,
                    attempts: 1,
                    took_millis: 7,
                },
                "exported 12 spans in 1 attempt",
            ),
            (dropped, "dropped 1 span as expired after 6 attempts"),
            (
                failed,
                "attempt 2 failed: the collector answered with status 503",
            ),
        ] {
            assert_eq!(event.to_string(), line);
        }
    }
}
