//! What each reply must do to its batch: the classification table once more, by hand.

use core::time::Duration;

use spandrel_core::response::{DropReason, TransportError};

use crate::sim::Reply;

/// What must become of a request with this reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Exported {
        rejected: u64,
    },
    Dropped(DropReason),
    Kept,
    /// Nothing at all.
    Untouched,
}

/// The pause that a reply asks for, if it can.
pub(super) fn pause(reply: Reply) -> Option<Duration> {
    match reply {
        Reply::RetryAfter(429 | 502 | 503 | 504, text) => {
            text.parse().ok().map(Duration::from_secs)
        }
        _ => None,
    }
}

/// Returns true if the request died on a connection kept from an earlier one.
pub(super) const fn is_stale(reply: Reply) -> bool {
    matches!(reply, Reply::Fail(TransportError::Stale))
}

/// The table of outcomes once more, by hand; `None` = kept or given up.
pub(super) fn expected_fate(reply: Reply, window: usize, split: bool) -> Option<Fate> {
    use DropReason as D;
    let sent = window as u64;
    Some(match reply {
        Reply::Status(200) | Reply::RetryAfter(200, _) | Reply::Page => {
            Fate::Exported { rejected: 0 }
        }
        Reply::Partial(n) => Fate::Exported {
            rejected: u64::try_from(n).unwrap_or(0).min(sent),
        },
        Reply::Cancel | Reply::CancelInFlight => Fate::Untouched,
        Reply::Oversized(_) => Fate::Dropped(D::ResponseTooLarge),
        Reply::Status(413) if split => Fate::Untouched,
        Reply::Status(413) => Fate::Dropped(D::TooLarge),
        Reply::Status(401 | 403) => Fate::Dropped(D::Auth),
        Reply::Status(404) | Reply::Fail(TransportError::Certificate) => Fate::Dropped(D::Endpoint),
        Reply::Status(302 | 307) => Fate::Dropped(D::Redirect),
        Reply::Status(400 | 422) => Fate::Dropped(D::Rejected4xx),
        Reply::Status(500 | 501) => Fate::Dropped(D::Rejected5xx),
        _ => return None,
    })
}
