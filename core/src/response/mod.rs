//! The outcome of a request, and pure functions that say what it means.
//!
//! A transport reports an [`Outcome`] and decides nothing. [`classify`] says whether the same
//! bytes are worth sending again, what the attempt tells the circuit breaker, and under which
//! [`DropReason`] the spans are counted if they are given up. The body of a success may still say
//! that some spans were rejected ([`Response::success_body`]); the body of a refusal may say why
//! ([`Response::status_body`]).
//!
//! Bodies and header values are not trusted. Reading them takes time proportional to their length,
//! never recurses, and never changes the verdict: with a body that makes no sense, a success is
//! still a success and a refusal still a refusal.
//!
//! ```
//! use spandrel_core::breaker::Verdict;
//! use spandrel_core::response::{Outcome, Response, classify};
//!
//! let response = Response {
//!     content_type: Some("application/x-protobuf"),
//!     body: Some(b"\x0a\x0b\x08\x05\x12\x07too old"),
//!     ..Response::new(200)
//! };
//! let class = classify(&Outcome::Response(response));
//! assert_eq!((class.retry, class.verdict, class.loss), (false, Verdict::Success, None));
//!
//! let body = response.success_body();
//! assert_eq!(body.rejected(512), (5, false));
//! assert_eq!(body.error_message, "too old");
//! ```

use core::fmt;
use core::time::Duration;

use crate::time::UnixNanos;

mod classify;
mod decode;
mod drop_reason;
mod json;
mod message;
mod retry_after;

pub use crate::backoff::RETRY_AFTER_CAP;
pub use classify::{Classification, classify};
pub use decode::{StatusBody, SuccessBody, decode_status, decode_success};
pub use drop_reason::DropReason;
pub use message::MessageText;
pub use retry_after::retry_after;

/// The largest response body that a transport may read: 4 MiB after any decoding. A larger one is
/// reported as [`Outcome::ResponseTooLarge`].
pub const MAX_RESPONSE_BYTES: usize = 4 << 20;

/// A complete HTTP response, borrowed from the transport's buffers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Response<'a> {
    /// The status code of the final response.
    pub status: u16,
    /// The `Retry-After` header.
    pub retry_after: Option<&'a str>,
    /// The `Date` header.
    pub date: Option<&'a str>,
    /// The `Content-Type` header.
    pub content_type: Option<&'a str>,
    /// The whole body, at most [`MAX_RESPONSE_BYTES`]. `None` if it could not be read to its end, or
    /// has a coding that was not asked for: the status holds all the same.
    pub body: Option<&'a [u8]>,
}

impl<'a> Response<'a> {
    /// A response without headers and with an empty body.
    #[must_use]
    pub const fn new(status: u16) -> Self {
        Self {
            status,
            retry_after: None,
            date: None,
            content_type: None,
            body: Some(&[]),
        }
    }

    /// Reads the body of a 2xx with [`decode_success`]. One that could not be received is not valid.
    #[must_use]
    pub fn success_body(&self) -> SuccessBody<'a> {
        let decode = |body| decode_success(self.content_type, body);
        self.body.map_or(SuccessBody::INVALID, decode)
    }

    /// Reads the body of a 4xx or 5xx with [`decode_status`]. One that could not be received is not
    /// valid.
    #[must_use]
    pub fn status_body(&self) -> StatusBody<'a> {
        let decode = |body| decode_status(self.content_type, body);
        self.body.map_or(StatusBody::INVALID, decode)
    }

    /// Returns the pause that the server asks for. Only a status that is worth a retry can ask for
    /// one. See [`retry_after`] for the rules; `wall_now` is the local wall clock, if known.
    #[must_use]
    pub fn pause(&self, wall_now: Option<UnixNanos>) -> Option<Duration> {
        let value = self.retry_after?;
        if !classify(&Outcome::Response(*self)).retry {
            return None;
        }
        retry_after(value, self.date, wall_now)
    }
}

/// Shows the status and the size only: a body may quote what was sent.
impl fmt::Debug for Response<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("body_bytes", &self.body.map(<[u8]>::len))
            .finish_non_exhaustive()
    }
}

/// The same as `Debug`.
#[cfg(feature = "defmt")]
impl defmt::Format for Response<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "Response {{ status: {=u16}, body_bytes: {}, .. }}",
            self.status,
            self.body.map(<[u8]>::len),
        );
    }
}

/// How one attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Outcome<'a> {
    /// With an answer.
    Response(Response<'a>),
    /// With an answer whose body is over the limit; reading stopped there.
    ResponseTooLarge {
        /// The status code of that answer.
        status: u16,
    },
    /// Without an answer.
    Failed(TransportError),
}

/// Why there is no answer.
///
/// `body_sent` says whether the whole request had been written: the server may then hold the
/// spans, and a resend may duplicate them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum TransportError {
    /// No connection: refused, unreachable, or not made in time.
    Connect,
    /// The host name did not resolve.
    Dns,
    /// The TLS handshake broke off.
    Tls,
    /// The server's certificate was refused: expired, for another host, from an unknown issuer.
    Certificate,
    /// The deadline of the request passed.
    Timeout {
        /// The whole request had been written.
        body_sent: bool,
    },
    /// The connection was lost or closed.
    Reset {
        /// The whole request had been written.
        body_sent: bool,
    },
    /// A connection kept from an earlier request died before the first byte of an answer: the
    /// server had closed it while it was idle.
    Stale,
    /// The answer is not HTTP/1.1: from a gRPC port, or a broken proxy.
    Protocol,
    /// The server took nothing of the request because it was compressed; the transport sends it
    /// uncompressed from now on.
    Compressed,
    /// The destination refused the batch for its content, in another way than by an HTTP status: an
    /// exporter of the program did.
    Refused,
    /// The driver gave the attempt up. Its spans count as possible duplicates if the body had been
    /// read to its end.
    Cancelled,
    /// The request could not be made, because there was no memory for it.
    OutOfMemory,
    /// Anything else.
    Other,
}

impl TransportError {
    /// Returns true if the server may have taken the spans all the same.
    #[must_use]
    pub const fn possible_duplicate(self) -> bool {
        match self {
            Self::Timeout { body_sent } | Self::Reset { body_sent } => body_sent,
            Self::Protocol => true,
            _ => false,
        }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "could not connect",
            Self::Dns => "the host name did not resolve",
            Self::Tls => "the TLS handshake failed",
            Self::Certificate => "the server's certificate was refused",
            Self::Timeout { .. } => "the request timed out",
            Self::Reset { .. } => "the connection was lost",
            Self::Stale => "the reused connection was closed by the server",
            Self::Protocol => "the answer is not HTTP/1.1 (is this a gRPC port?)",
            Self::Compressed => "the server refused the request because it was compressed",
            Self::Refused => "the batch was refused",
            Self::Cancelled => "the request was cancelled",
            Self::OutOfMemory => "there was no memory for the request",
            Self::Other => "the request failed",
        })
    }
}

impl core::error::Error for TransportError {}

#[cfg(test)]
mod tests {
    use super::*;

    // fault G4
    #[test]
    fn debug_output_shows_neither_body_nor_headers() {
        let response = Response {
            body: Some(b"secret"),
            retry_after: Some("hidden"),
            ..Response::new(503)
        };
        assert_eq!(
            std::format!("{response:?}"),
            "Response { status: 503, body_bytes: Some(6), .. }"
        );
    }

    // spec A-046, spec A-050
    #[test]
    fn a_pause_is_honoured_on_every_retryable_status_and_on_no_other() {
        for status in 100..=599 {
            let response = Response {
                retry_after: Some("3"),
                ..Response::new(status)
            };
            let expected = matches!(status, 429 | 502 | 503 | 504);
            assert_eq!(response.pause(None).is_some(), expected, "{status}");
        }
    }

    #[test]
    fn a_body_that_could_not_be_read_is_not_an_empty_one() {
        let empty = Response::new(200);
        assert!(empty.success_body().valid && empty.status_body().valid);
        let unreadable = Response {
            body: None,
            ..empty
        };
        assert!(!unreadable.success_body().valid && !unreadable.status_body().valid);
    }

    // invariant I5, spec A-054
    #[test]
    fn a_duplicate_is_possible_only_when_the_body_was_sent() {
        assert!(TransportError::Reset { body_sent: true }.possible_duplicate());
        assert!(TransportError::Timeout { body_sent: true }.possible_duplicate());
        assert!(!TransportError::Timeout { body_sent: false }.possible_duplicate());
        assert!(!TransportError::Connect.possible_duplicate());
    }
}
