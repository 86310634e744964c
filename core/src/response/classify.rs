//! One pure function: from an outcome to retry, breaker effect and reason of loss.
//!
//! Wrong settings and a broken backend count as failures although nothing is retried: after five
//! of them the circuit opens and the queue is *kept*. So a rotated token costs five batches and
//! one for each open period, not all spans.

use super::{DropReason, Outcome, TransportError};
use crate::breaker::Verdict;

/// The meaning of an outcome for the batch and for its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Classification {
    /// The same bytes may be sent again later.
    pub retry: bool,
    /// They may be sent again at once, without a delay and without counting as a retry, but only
    /// once for each attempt; after that, `retry` applies.
    pub at_once: bool,
    /// The circuit breaker's report.
    pub verdict: Verdict,
    /// The reason of loss if the spans are not sent again; `None` when they were delivered.
    pub loss: Option<DropReason>,
}

impl Classification {
    const fn of(retry: bool, verdict: Verdict, loss: DropReason) -> Self {
        Self {
            retry,
            at_once: false,
            verdict,
            loss: Some(loss),
        }
    }

    const DELIVERED: Self = Self {
        retry: false,
        at_once: false,
        verdict: Verdict::Success,
        loss: None,
    };
}

/// Returns what `outcome` means. Which statuses are worth a retry, and which not, is a rule of the
/// [specification](https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes).
///
/// | outcome | retry | breaker | reason when given up |
/// |---|---|---|---|
/// | 2xx | no | success | none: exported |
/// | any status, body over the limit | no | as the status | `response_too_large` |
/// | 429 | yes | success: alive | `throttled` |
/// | 503 | yes | failure | `unavailable` |
/// | 502, 504, no connection, reset, timeout, DNS, TLS, not HTTP | yes | failure | `unreachable` |
/// | reused connection died, nothing came back | at once, uncounted | none | `unreachable` |
/// | refused because it was compressed | at once, uncounted | none | `rejected_4xx` |
/// | 413 | no | success: alive | `too_large` |
/// | 401, 403, 407 | no | failure | `auth` |
/// | 404, certificate refused, no final HTTP status | no | failure | `endpoint` |
/// | 3xx | no | failure | `redirect` |
/// | other 4xx | no | success: alive | `rejected_4xx` |
/// | 500 and other 5xx | no | failure | `rejected_5xx` |
/// | refused without an HTTP status | no | success: alive | `rejected_4xx` |
/// | cancelled | no | none | `shutdown` |
/// | no memory for the request | no | none | `out_of_memory` |
///
/// ```
/// use spandrel_core::breaker::Verdict;
/// use spandrel_core::response::{DropReason, Outcome, Response, classify};
///
/// let unavailable = classify(&Outcome::Response(Response::new(503)));
/// assert!(unavailable.retry);
/// assert_eq!(unavailable.verdict, Verdict::Failure);
///
/// // 500 is not to be retried, but a backend that gives nothing else is not healthy.
/// let broken = classify(&Outcome::Response(Response::new(500)));
/// assert!(!broken.retry);
/// assert_eq!(broken.loss, Some(DropReason::Rejected5xx));
/// ```
#[must_use]
pub const fn classify(outcome: &Outcome<'_>) -> Classification {
    match outcome {
        Outcome::Response(response) => status(response.status),
        // No retry, whatever the status: spec A-022.
        Outcome::ResponseTooLarge { status: code } => {
            Classification::of(false, status(*code).verdict, DropReason::ResponseTooLarge)
        }
        Outcome::Failed(error) => failed(*error),
    }
}

const fn status(code: u16) -> Classification {
    use Verdict::{Failure, Success};
    match code {
        200..=299 => Classification::DELIVERED,
        300..=399 => Classification::of(false, Failure, DropReason::Redirect),
        401 | 403 | 407 => Classification::of(false, Failure, DropReason::Auth),
        404 => Classification::of(false, Failure, DropReason::Endpoint),
        413 => Classification::of(false, Success, DropReason::TooLarge),
        429 => Classification::of(true, Success, DropReason::Throttled),
        400..=499 => Classification::of(false, Success, DropReason::Rejected4xx),
        502 | 504 => Classification::of(true, Failure, DropReason::Unreachable),
        503 => Classification::of(true, Failure, DropReason::Unavailable),
        500..=599 => Classification::of(false, Failure, DropReason::Rejected5xx),
        // An interim answer taken for the final one, or no HTTP status at all.
        _ => Classification::of(false, Failure, DropReason::Endpoint),
    }
}

const fn failed(error: TransportError) -> Classification {
    match error {
        TransportError::Certificate => {
            Classification::of(false, Verdict::Failure, DropReason::Endpoint)
        }
        TransportError::Refused => {
            Classification::of(false, Verdict::Success, DropReason::Rejected4xx)
        }
        TransportError::Cancelled => {
            Classification::of(false, Verdict::Cancelled, DropReason::Shutdown)
        }
        TransportError::OutOfMemory => {
            Classification::of(false, Verdict::Cancelled, DropReason::OutOfMemory)
        }
        TransportError::Stale => Classification {
            at_once: true,
            ..Classification::of(true, Verdict::Cancelled, DropReason::Unreachable)
        },
        TransportError::Compressed => Classification {
            at_once: true,
            ..Classification::of(true, Verdict::Cancelled, DropReason::Rejected4xx)
        },
        TransportError::Connect
        | TransportError::Dns
        | TransportError::Tls
        | TransportError::Timeout { .. }
        | TransportError::Reset { .. }
        | TransportError::Protocol
        | TransportError::Other => {
            Classification::of(true, Verdict::Failure, DropReason::Unreachable)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::Response;

    fn of(code: u16) -> Classification {
        classify(&Outcome::Response(Response::new(code)))
    }

    fn row(class: Classification) -> (bool, Verdict, Option<DropReason>) {
        (class.retry, class.verdict, class.loss)
    }

    // spec A-039, spec A-040
    #[test]
    fn exactly_four_statuses_are_retried() {
        let retried = (0..=u16::MAX).filter(|&code| of(code).retry);
        assert!(retried.eq([429, 502, 503, 504]));
    }

    // spec A-036, invariant I38
    #[test]
    fn exactly_the_2xx_are_deliveries() {
        let delivered = (0..=u16::MAX).filter(|&code| of(code).loss.is_none());
        assert!(delivered.eq(200..=299));
    }

    #[test]
    fn every_status_has_the_row_of_the_table() {
        use Verdict::{Failure, Success};
        for code in 100..=599 {
            let expected = match code {
                100..=199 => (false, Failure, Some(DropReason::Endpoint)),
                200..=299 => (false, Success, None),
                300..=399 => (false, Failure, Some(DropReason::Redirect)),
                401 | 403 | 407 => (false, Failure, Some(DropReason::Auth)),
                404 => (false, Failure, Some(DropReason::Endpoint)),
                413 => (false, Success, Some(DropReason::TooLarge)),
                429 => (true, Success, Some(DropReason::Throttled)),
                502 | 504 => (true, Failure, Some(DropReason::Unreachable)),
                503 => (true, Failure, Some(DropReason::Unavailable)),
                400..=499 => (false, Success, Some(DropReason::Rejected4xx)),
                _ => (false, Failure, Some(DropReason::Rejected5xx)),
            };
            assert_eq!(row(of(code)), expected, "{code}");
            assert!(!of(code).at_once);
        }
    }

    #[test]
    fn refusals_of_the_content_count_as_alive_and_failures_of_the_backend_do_not() {
        for code in [400, 405, 406, 408, 411, 415, 422, 425, 431] {
            assert_eq!(
                of(code).loss,
                Some(DropReason::Rejected4xx),
                "fault S6, fault S10"
            );
            assert_eq!(of(code).verdict, Verdict::Success);
        }
        for code in [500, 501, 505, 599] {
            assert_eq!(of(code).loss, Some(DropReason::Rejected5xx), "fault S5");
            assert_eq!(of(code).verdict, Verdict::Failure);
        }
        for code in [0, 99, 101, 600, 999, u16::MAX] {
            assert_eq!(of(code).loss, Some(DropReason::Endpoint));
        }
    }

    // spec A-022
    #[test]
    fn a_response_over_the_limit_is_never_retried_but_its_status_still_counts() {
        for code in 100..=599 {
            let class = classify(&Outcome::ResponseTooLarge { status: code });
            let expected = (false, of(code).verdict, Some(DropReason::ResponseTooLarge));
            assert_eq!(row(class), expected, "{code}");
        }
    }

    #[test]
    fn every_transport_error_has_the_row_of_the_table() {
        use TransportError as E;
        let class = |error| classify(&Outcome::Failed(error));
        let unreachable = (true, Verdict::Failure, Some(DropReason::Unreachable));
        for error in [
            E::Connect,
            E::Dns,
            E::Tls,
            E::Timeout { body_sent: false },
            E::Timeout { body_sent: true },
            E::Reset { body_sent: false },
            E::Reset { body_sent: true },
            E::Protocol,
            E::Other,
        ] {
            assert_eq!(row(class(error)), unreachable, "{error}");
            assert!(!class(error).at_once);
        }
        assert_eq!(
            row(class(E::Certificate)),
            (false, Verdict::Failure, Some(DropReason::Endpoint))
        );
        assert_eq!(
            row(class(E::Cancelled)),
            (false, Verdict::Cancelled, Some(DropReason::Shutdown))
        );
        assert_eq!(
            row(class(E::OutOfMemory)),
            (false, Verdict::Cancelled, Some(DropReason::OutOfMemory))
        );
        assert_eq!(
            row(class(E::Stale)),
            (true, Verdict::Cancelled, Some(DropReason::Unreachable))
        );
        assert!(class(E::Stale).at_once);
        assert_eq!(
            row(class(E::Compressed)),
            (true, Verdict::Cancelled, Some(DropReason::Rejected4xx))
        );
        assert!(class(E::Compressed).at_once);
    }
}
