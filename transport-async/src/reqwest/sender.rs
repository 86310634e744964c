//! One POST and its answer, over reqwest.

use core::convert::Infallible;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::format;
use std::string::ToString;
use std::sync::Arc;
use std::vec::Vec;

use ::reqwest::Response as Answer;
use ::reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use spandrel_core::env::Protocol;
use spandrel_core::hosted::clock::Clock;
use spandrel_core::hosted::config::HttpSettings;
use spandrel_core::hosted::diagnostics::RedactedUrl;
use spandrel_core::hosted::unversioned::client::BuildError;
use spandrel_core::hosted::unversioned::coding::CodingTrial;
use spandrel_core::hosted::unversioned::encode::{Coding, EncodeError};
use spandrel_core::hosted::unversioned::events::LastError;
use spandrel_core::response::{Outcome, Response, TransportError};
use tokio::time::timeout;

use super::client::{Blueprint, Connected, Connection};
use super::encode::LendingEncoder;
use super::failure;
use crate::{Body, Post};

/// Capacity that is kept for the next answer.
const KEPT_CAPACITY: usize = 64 * 1024;

/// Sends requests to one collector, one at a time, over a connection that is kept open. It neither
/// retries nor queues: that is the part of a [`Driver`](crate::Driver), for which it is a [`Post`].
///
/// Connections live on the tokio runtime that polls [`send`](Self::send), which needs its time and
/// I/O drivers.
///
/// ```no_run
/// use spandrel_core::response::Outcome;
/// use spandrel_transport_async::{HttpSender, HttpSettings, spandrel_core};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let settings = HttpSettings::new("http://localhost:4318/v1/traces");
/// let mut sender = HttpSender::new(&settings)?;
/// // A request without spans; an exporter's come from `read_body`.
/// sender.encode(|_| 0)?;
/// match sender.send(Duration::from_secs(10)).await {
///     Outcome::Response(response) => println!("{} {:?}", response.status, response.retry_after),
///     _ => println!("{}", sender.last_error().text()),
/// }
/// # Ok(())
/// # }
/// ```
pub struct HttpSender {
    connected: Connected,
    encoder: LendingEncoder,
    /// The encoded request, or why there is none.
    request: Result<Bytes, TransportError>,
    clock: Clock,
    /// The head and the body of the last answer.
    head: HeaderMap,
    answer: Vec<u8>,
    last_error: LastError,
    coding: CodingTrial,
}

impl HttpSender {
    /// Checks all settings and reads the files they name. Nothing is connected or resolved: a
    /// collector that is down is no error at the start. Requests are protobuf in gzip; see
    /// [`with_encoding`](Self::with_encoding).
    ///
    /// # Errors
    ///
    /// What is wrong with the settings, never showing a header's value.
    pub fn new(settings: &HttpSettings) -> Result<Self, BuildError> {
        let connected = Blueprint::new(settings)?.build()?;
        Ok(Self::over(connected, Protocol::HttpProtobuf, Coding::Gzip))
    }

    pub(super) fn over(connected: Connected, protocol: Protocol, coding: Coding) -> Self {
        Self {
            last_error: LastError::new(connected.secrets.clone()),
            coding: connected.coding.clone(),
            connected,
            encoder: LendingEncoder::new(protocol, coding),
            request: Err(TransportError::Other),
            clock: Clock::new(),
            head: HeaderMap::new(),
            answer: Vec::new(),
        }
    }

    /// The same sender, for requests of `protocol` in `coding`.
    #[must_use]
    pub fn with_encoding(mut self, protocol: Protocol, coding: Coding) -> Self {
        self.encoder = LendingEncoder::new(protocol, coding);
        self.request = Err(TransportError::Other);
        self
    }

    /// Pulls the protobuf body of the next request and encodes it. `source` writes to the front of
    /// the slice that it is given and returns how much it wrote, 0 at the end.
    ///
    /// # Errors
    ///
    /// Why the body cannot be sent; [`send`](Self::send) fails then, too.
    pub fn encode(&mut self, source: impl FnMut(&mut [u8]) -> usize) -> Result<(), EncodeError> {
        // Nothing of this request has left yet.
        self.connected.connection.begin();
        // Its memory is used again.
        self.request = Err(TransportError::Other);
        self.encoder.set_plain(self.coding.is_plain());
        match self.encoder.encode(source) {
            Ok(bytes) => {
                self.request = Ok(bytes);
                Ok(())
            }
            Err(error) => {
                let class = error.class();
                self.request = Err(class);
                self.last_error
                    .set(error.to_string(), &Outcome::Failed(class));
                Err(error)
            }
        }
    }

    /// Sends what was encoded last and waits for the whole answer, `limit` at most for everything.
    /// May be dropped at any await.
    ///
    /// [`TransportError::Stale`] means that the server had closed the kept connection meanwhile: the
    /// next call makes a new one, so send again at once. [`TransportError::Compressed`] means that the
    /// server took nothing of a compressed request: encode the same spans again, which leaves them
    /// uncompressed, and send them.
    ///
    /// An answer of any status is a response: redirects are not followed. For other outcomes,
    /// [`last_error`](Self::last_error) has the reason in words.
    pub async fn send(&mut self, limit: Duration) -> Outcome<'_> {
        let request = match &self.request {
            Ok(request) => request.clone(),
            Err(class) => return Outcome::Failed(*class),
        };
        self.connected.connection.begin();
        // Stays if this future is dropped at a deadline.
        let late = Outcome::Failed(TransportError::Timeout { body_sent: false });
        self.last_error.set("timeout: the whole exchange", &late);
        if limit.is_zero() {
            return late;
        }
        let started = self.clock.now();
        let answer = match timeout(limit, self.request(request).send()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                let failure = failure::translate(&error, &self.connected.connection);
                let error = failure.error;
                self.last_error.set_failure(failure);
                return Outcome::Failed(error);
            }
            Err(_) => {
                let body_sent = self.connected.connection.body_sent();
                return Outcome::Failed(TransportError::Timeout { body_sent });
            }
        };
        // The head is what counts: a body that dribbles in until the deadline must not make a
        // failure of it, so it gets a little less time than there is.
        let left = limit.saturating_sub(self.clock.now().saturating_since(started));
        self.answered(answer, left.saturating_sub(left / 50)).await
    }

    /// Returns true if the whole request of the last call of [`send`](Self::send) had left: the
    /// collector may have accepted it, whatever the outcome.
    #[must_use]
    pub fn body_sent(&self) -> bool {
        self.connected.connection.body_sent()
    }

    /// The last failure in words: redacted, short, and without a line of an answer.
    #[must_use]
    pub const fn last_error(&self) -> &LastError {
        &self.last_error
    }

    fn request(&self, body: Bytes) -> ::reqwest::RequestBuilder {
        let Connected {
            client,
            url,
            headers,
            connection,
            ..
        } = &self.connected;
        let mut headers = headers.clone();
        let content_type = HeaderValue::from_static(self.encoder.content_type());
        headers.insert(header::CONTENT_TYPE, content_type);
        if self.encoder.is_gzip() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        client
            .post(url.clone())
            .headers(headers)
            .body(::reqwest::Body::wrap(Tracked {
                left: Some(body),
                connection: Arc::clone(connection),
            }))
    }

    async fn answered(&mut self, mut answer: Answer, limit: Duration) -> Outcome<'_> {
        let status = answer.status().as_u16();
        self.head = core::mem::take(answer.headers_mut());
        let is_whole = match timeout(limit, self.read(answer)).await {
            Ok(Ok(is_whole)) => is_whole,
            Ok(Err(TooLarge)) => {
                let limit = self.connected.max_response_bytes;
                let text = format!("the answer (status {status}) is larger than {limit} bytes");
                let outcome = Outcome::ResponseTooLarge { status };
                self.last_error.set(text, &outcome);
                return outcome;
            }
            Err(_) => false,
        };
        // No coding was asked for, so one that is there cannot be undone.
        let is_plain = self
            .head
            .get(header::CONTENT_ENCODING)
            .is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"));
        let response = Response {
            status,
            retry_after: text(&self.head, &header::RETRY_AFTER),
            date: text(&self.head, &header::DATE),
            content_type: text(&self.head, &header::CONTENT_TYPE),
            body: (is_whole && is_plain).then_some(self.answer.as_slice()),
        };
        let location = text(&self.head, &header::LOCATION).map(RedactedUrl);
        self.last_error.note_answer(&response, location);
        let is_gzip = self.encoder.is_gzip();
        let said = self.last_error.said();
        if self.coding.is_refused(is_gzip, status, said) {
            return Outcome::Failed(TransportError::Compressed);
        }
        self.last_error.set_hint(self.coding.hint(is_gzip, status));
        Outcome::Response(response)
    }

    /// Reads to the end, so that the connection can be used again, or past the limit, so that it is
    /// closed. Returns true if the answer is whole.
    async fn read(&mut self, mut answer: Answer) -> Result<bool, TooLarge> {
        self.answer.clear();
        self.answer.shrink_to(KEPT_CAPACITY);
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => {
                    let len = self.answer.len().saturating_add(chunk.len());
                    if len > self.connected.max_response_bytes {
                        self.answer.clear();
                        return Err(TooLarge);
                    }
                    self.answer.extend_from_slice(&chunk);
                }
                Ok(None) => return Ok(true),
                Err(_) => return Ok(false),
            }
        }
    }
}

/// The body of an answer is over the limit.
struct TooLarge;

impl Post for HttpSender {
    async fn post<B: Body>(&mut self, body: &mut B) -> Outcome<'_> {
        let left = body.deadline().saturating_since(self.clock.now());
        // What cannot be encoded fails in `send`.
        let _ = self.encode(|chunk| body.read(chunk));
        self.send(left).await
    }

    fn body_sent(&self, _: bool) -> bool {
        Self::body_sent(self)
    }
}

impl fmt::Debug for HttpSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Connected { url, headers, .. } = &self.connected;
        let names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        f.debug_struct("HttpSender")
            .field("url", &RedactedUrl(url.as_str()))
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// A body of one piece that notes when the client takes it.
struct Tracked {
    left: Option<Bytes>,
    connection: Arc<Connection>,
}

impl http_body::Body for Tracked {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = self.left.take().map(|bytes| Ok(Frame::data(bytes)));
        self.connection.set_body_sent();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
