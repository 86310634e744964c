//! One POST and its answer, over reqwest.

use core::convert::Infallible;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::format;
use std::string::ToString;
use std::sync::Arc;
use std::vec::Vec;

use ::reqwest::Response as Answer;
use ::reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use spandrel_core::hosted::clock::Clock;
use spandrel_core::hosted::diagnostics::RedactedUrl;
use spandrel_core::hosted::unversioned::events::LastError;
use spandrel_core::response::{MAX_RESPONSE_BYTES, Outcome, Response, TransportError};

use super::client::{Connected, Connection};
use super::encode::Encoder;
use super::failure;
use crate::{Body, Post};

/// Capacity that is kept for the next answer.
const KEPT_CAPACITY: usize = 64 * 1024;

pub(super) struct HttpSender {
    connected: Connected,
    encoder: Encoder,
    clock: Clock,
    /// The head and the body of the last answer.
    head: HeaderMap,
    body: Vec<u8>,
    pub(super) last_error: LastError,
}

impl HttpSender {
    pub(super) fn new(connected: Connected, encoder: Encoder) -> Self {
        Self {
            connected,
            encoder,
            clock: Clock::new(),
            head: HeaderMap::new(),
            body: Vec::new(),
            last_error: LastError::default(),
        }
    }

    fn request(&self, body: Bytes) -> ::reqwest::RequestBuilder {
        let Connected {
            client,
            url,
            headers,
            connection,
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

    /// Reads to the end, so that the connection can be used again, or past the limit, so that it is
    /// closed: whether the answer is whole, or its status when it is too large.
    async fn read(&mut self, mut answer: Answer) -> Result<bool, u16> {
        self.body.clear();
        self.body.shrink_to(KEPT_CAPACITY);
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => {
                    if self.body.len().saturating_add(chunk.len()) > MAX_RESPONSE_BYTES {
                        self.body.clear();
                        return Err(answer.status().as_u16());
                    }
                    self.body.extend_from_slice(&chunk);
                }
                Ok(None) => return Ok(true),
                Err(_) => return Ok(false),
            }
        }
    }
}

impl Post for HttpSender {
    async fn post<B: Body>(&mut self, body: &mut B) -> Outcome<'_> {
        // True if this future is dropped at its deadline, and replaced otherwise.
        let late = Outcome::Failed(TransportError::Timeout { body_sent: false });
        self.last_error.set("timeout: the whole exchange", &late);
        let bytes = match self.encoder.encode(body) {
            Ok(bytes) => bytes,
            Err(error) => {
                let failed = Outcome::Failed(TransportError::Other);
                self.last_error.set(error.to_string(), &failed);
                return failed;
            }
        };
        self.connected.connection.begin();
        let mut answer = match self.request(bytes).send().await {
            Ok(answer) => answer,
            Err(error) => {
                let (class, text) = failure::translate(&error, &self.connected.connection);
                let failed = Outcome::Failed(class);
                self.last_error.set(text, &failed);
                return failed;
            }
        };
        let status = answer.status().as_u16();
        self.head = core::mem::take(answer.headers_mut());
        // The head is what counts: a body that dribbles in until the deadline must not make a
        // failure of it, so it gets a little less time than the driver gives.
        let left = body.deadline().saturating_since(self.clock.now());
        let limit = left.saturating_sub(left / 50);
        let is_whole = match tokio::time::timeout(limit, self.read(answer)).await {
            Ok(Ok(is_whole)) => is_whole,
            Ok(Err(status)) => {
                let text = format!(
                    "the answer (status {status}) is larger than {MAX_RESPONSE_BYTES} bytes"
                );
                let outcome = Outcome::ResponseTooLarge { status };
                self.last_error.set(text, &outcome);
                return outcome;
            }
            Err(_) => false,
        };
        let location = text(&self.head, &header::LOCATION).map(RedactedUrl);
        self.last_error.note_answer(status, location);
        // No coding was asked for, so one that is there cannot be undone (checklist A-017).
        let is_plain = self
            .head
            .get(header::CONTENT_ENCODING)
            .is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"));
        Outcome::Response(Response {
            status,
            retry_after: text(&self.head, &header::RETRY_AFTER),
            date: text(&self.head, &header::DATE),
            content_type: text(&self.head, &header::CONTENT_TYPE),
            body: (is_whole && is_plain).then_some(self.body.as_slice()),
        })
    }

    fn body_sent(&self, _: bool) -> bool {
        self.connected.connection.body_sent()
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
