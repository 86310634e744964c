//! What happened, for diagnostics: a small queue of [`Event`]s.

use core::time::Duration;

use heapless::Deque;

use crate::breaker::Transition;
use crate::response::{DropReason, Outcome, TransportError};
use crate::time::Instant;

/// Why an attempt did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The destination answered with this status.
    Status(u16),
    /// The answer, of this status, was over its size limit.
    ResponseTooLarge(u16),
    /// There was no answer.
    Transport(TransportError),
}

impl Cause {
    pub(super) const fn of(outcome: &Outcome<'_>) -> Self {
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

/// Something that a person who watches the pipeline may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A batch was accepted.
    Exported {
        /// Spans accepted.
        spans: u64,
        /// Attempts it took.
        attempts: u32,
    },
    /// An attempt failed and will be repeated, unless the batch is dropped (an event of its own).
    AttemptFailed {
        /// Which attempt of the batch this was, from 1.
        attempt: u32,
        /// Why.
        cause: Cause,
        /// The earliest time of the next one.
        retry_at: Instant,
    },
    /// The destination asked for a pause.
    Paused {
        /// How long, as it was honoured.
        pause: Duration,
    },
    /// Spans were given up.
    Dropped {
        /// How many.
        spans: u64,
        /// Why.
        reason: DropReason,
        /// Attempts made for them.
        attempts: u32,
        /// What the last attempt ended in, when there was one.
        cause: Option<Cause>,
    },
    /// The circuit breaker changed its state.
    Circuit(Transition),
    /// The collector accepted a batch but for some spans, or had something to say; the text is
    /// [`server_message`](super::Exporter::server_message).
    PartialSuccess {
        /// Spans that it did not accept; 0 for a mere warning.
        rejected: u64,
    },
    /// A success whose body could not be understood; it counts as full success.
    ResponseInvalid,
    /// Spans began to be lost for lack of room.
    LossStarted,
    /// Spans fit again.
    LossEnded {
        /// How many were lost in between.
        dropped: u64,
    },
}

/// The newest events; the oldest go first when nobody fetches them.
#[derive(Clone, Debug)]
pub(super) struct Events {
    queue: Deque<Event, 16>,
    pub(super) lost: u64,
}

impl Events {
    pub(super) const fn new() -> Self {
        Self {
            queue: Deque::new(),
            lost: 0,
        }
    }

    pub(super) fn push(&mut self, event: Event) {
        if self.queue.is_full() {
            self.queue.pop_front();
            self.lost = self.lost.saturating_add(1);
        }
        // There is room: one was removed if there was none.
        let _ = self.queue.push_back(event);
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        self.queue.pop_front()
    }
}
