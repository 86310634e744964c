//! The closed set of reasons under which the ledger counts lost spans.

use core::fmt;

/// The reason why a span was dropped. Every lost span has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
#[repr(u8)]
pub enum DropReason {
    /// The buffer had no room for it, or made room by evicting it.
    QueueFull,
    /// It alone is over the buffer's or the request's limit, or the server answered 413.
    TooLarge,
    /// All retries of its batch failed while others could be delivered.
    RetryExhausted,
    /// It waited longer than the maximum age of a batch.
    Expired,
    /// Its batch failed again and again while other batches went through.
    Poison,
    /// The server refused the batch for its content (4xx).
    Rejected4xx,
    /// The server failed on the batch for good (500 and other 5xx that forbid a retry).
    Rejected5xx,
    /// The server asked for credentials, or refused them (401, 403, 407).
    Auth,
    /// There is no OTLP receiver behind the endpoint (404, a refused certificate, no HTTP status).
    Endpoint,
    /// The server answered with a redirect, which is never followed.
    Redirect,
    /// The server asked for fewer requests (429). [`classify`](super::classify) gives this reason
    /// for one attempt; a batch that is given up after retries counts as [`Self::RetryExhausted`].
    Throttled,
    /// The server was unavailable (503); for one attempt, as above.
    Unavailable,
    /// The server could not be reached, or a gateway in front of it failed; for one attempt, as
    /// above.
    Unreachable,
    /// The server accepted the batch without this span (partial success).
    PartialRejected,
    /// The response was over its size limit, so its content is unknown.
    ResponseTooLarge,
    /// The pipeline was shut down before the span could be delivered.
    Shutdown,
    /// The sender could not allocate.
    OutOfMemory,
    /// A span processor of the program dropped it.
    Filtered,
    /// Its trace was finished and not worth keeping: [`Keep`](https://docs.rs/spandrel-core) in the
    /// configuration of a host, a choice as well.
    TailDropped,
}

impl DropReason {
    /// Every reason, in the order of [`index`](Self::index).
    pub const ALL: [Self; 19] = [
        Self::QueueFull,
        Self::TooLarge,
        Self::RetryExhausted,
        Self::Expired,
        Self::Poison,
        Self::Rejected4xx,
        Self::Rejected5xx,
        Self::Auth,
        Self::Endpoint,
        Self::Redirect,
        Self::Throttled,
        Self::Unavailable,
        Self::Unreachable,
        Self::PartialRejected,
        Self::ResponseTooLarge,
        Self::Shutdown,
        Self::OutOfMemory,
        Self::Filtered,
        Self::TailDropped,
    ];

    /// The number of reasons: the size of an array of counters.
    pub const COUNT: usize = Self::ALL.len();

    /// The place of this reason in an array of [`COUNT`](Self::COUNT) counters.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Returns true if the program itself chose to drop the span, so that it is no loss.
    #[must_use]
    pub const fn is_intended(self) -> bool {
        matches!(self, Self::Filtered | Self::TailDropped)
    }

    /// The name in statistics and logs, in snake case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::TooLarge => "too_large",
            Self::RetryExhausted => "retry_exhausted",
            Self::Expired => "expired",
            Self::Poison => "poison",
            Self::Rejected4xx => "rejected_4xx",
            Self::Rejected5xx => "rejected_5xx",
            Self::Auth => "auth",
            Self::Endpoint => "endpoint",
            Self::Redirect => "redirect",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Unreachable => "unreachable",
            Self::PartialRejected => "partial_rejected",
            Self::ResponseTooLarge => "response_too_large",
            Self::Shutdown => "shutdown",
            Self::OutOfMemory => "out_of_memory",
            Self::Filtered => "filtered",
            Self::TailDropped => "tail_dropped",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_place_and_name() {
        for (place, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), place);
            let same_name = |other: &&DropReason| other.as_str() == reason.as_str();
            assert_eq!(DropReason::ALL.iter().filter(same_name).count(), 1);
        }
    }
}
