//! The other side: what becomes of each request.

use core::ops::Range;
use core::time::Duration;

use spandrel_core::response::{Outcome, Response, TransportError};
use spandrel_core::time::Instant;

/// How a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// With this status and no body.
    Status(u16),
    /// With this status and this `Retry-After`.
    RetryAfter(u16, &'static str),
    /// With 200 and a partial success that rejects so many spans.
    Partial(i64),
    /// With 200 and a page for people.
    Page,
    /// With this status and a body over the limit.
    Oversized(u16),
    /// Without an answer.
    Fail(TransportError),
    /// Never; the driver reports a time-out at the request's deadline.
    Hang,
    /// Never, and the driver forgets the request.
    Lost,
    /// With this status, a second after the exporter has given the request up.
    TooLate(u16),
    /// The driver gives the request back.
    Cancel,
    /// The driver lost the request and says so.
    CancelInFlight,
}

impl Reply {
    /// The server accepts everything.
    pub const OK: Self = Self::Status(200);
    /// Nothing listens.
    pub const REFUSED: Self = Self::Fail(TransportError::Connect);

    /// What the driver reports, with `body` as the place of a response's body.
    #[must_use]
    pub fn outcome(self, body: &mut Vec<u8>) -> Outcome<'_> {
        body.clear();
        match self {
            Self::Status(status) | Self::TooLate(status) => {
                Outcome::Response(Response::new(status))
            }
            Self::RetryAfter(status, after) => Outcome::Response(Response {
                retry_after: Some(after),
                ..Response::new(status)
            }),
            Self::Partial(rejected) => {
                let mut count = vec![0x08];
                put_varint(&mut count, rejected.cast_unsigned());
                body.extend([0x0a, count.len() as u8]);
                body.extend(count);
                Outcome::Response(Response {
                    content_type: Some("application/x-protobuf"),
                    body: Some(body),
                    ..Response::new(200)
                })
            }
            Self::Page => {
                body.extend(b"<html>welcome</html>");
                Outcome::Response(Response {
                    content_type: Some("text/html"),
                    body: Some(body),
                    ..Response::new(200)
                })
            }
            Self::Oversized(status) => Outcome::ResponseTooLarge { status },
            Self::Fail(error) => Outcome::Failed(error),
            Self::Hang | Self::Lost => Outcome::Failed(TransportError::Timeout { body_sent: true }),
            Self::Cancel | Self::CancelInFlight => Outcome::Failed(TransportError::Cancelled),
        }
    }
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// A reply, and how long it takes.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// What.
    pub reply: Reply,
    /// After what time; without meaning for replies that have a time of their own.
    pub after: Duration,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self {
            reply,
            after: Duration::ZERO,
        }
    }
}

/// A request as the collector sees it.
#[derive(Debug)]
pub struct Request<'a> {
    /// When it arrives.
    pub at: Instant,
    /// The spans in it.
    pub ids: &'a [u64],
    /// Its size before compression.
    pub bytes: usize,
}

/// Whatever answers requests.
pub trait Collector {
    /// What becomes of this request.
    fn answer(&mut self, request: &Request<'_>) -> Answer;
}

impl<F, A> Collector for F
where
    F: FnMut(&Request<'_>) -> A,
    A: Into<Answer>,
{
    fn answer(&mut self, request: &Request<'_>) -> Answer {
        self(request).into()
    }
}

/// Answers with these, one after the other, and then always with `then`.
pub fn script(
    replies: impl IntoIterator<Item = Reply>,
    then: Reply,
) -> impl FnMut(&Request<'_>) -> Reply {
    let replies: Vec<Reply> = replies.into_iter().collect();
    let mut replies = replies.into_iter();
    move |_| replies.next().unwrap_or(then)
}

/// Refuses connections during these times and accepts everything else.
pub fn outages(times: Vec<Range<Instant>>) -> impl FnMut(&Request<'_>) -> Reply {
    move |request| {
        if times.iter().any(|time| time.contains(&request.at)) {
            Reply::REFUSED
        } else {
            Reply::OK
        }
    }
}
