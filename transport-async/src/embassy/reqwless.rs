//! One POST through a client of reqwless (feature `reqwless`), for firmware that carries it anyway,
//! and for its TLS.
//!
//! ```text
//!  connect, TLS ─▶ head + body, in pieces ─▶ head of the answer ─▶ its body ─▶ close
//! ```

use core::cell::Cell;
use core::fmt;

use ::reqwless::Error;
use ::reqwless::client::{HttpClient, HttpConnection};
use ::reqwless::request::{Method, RequestBody, RequestBuilder};
use embedded_io_async::Write;
use embedded_nal_async::{Dns, TcpConnect};
use spandrel_core::response::{Outcome, Response, TransportError};

use super::collector::{CollectorError, USER_AGENT, bad_header, is_word};
use super::post::packed_limit;
use crate::embassy::encoding::sealed::EncodeBody;
use crate::embassy::encoding::{Encoding, GZIP, Identity, pack};
use crate::{Body, Post};

/// The least memory of a [`ReqwlessPost`]: half of it takes answers, the rest carries requests.
pub const MIN_REQWLESS_MEMORY_BYTES: usize = 1024;

/// The most headers that a user can add.
const MAX_HEADERS: usize = 12;
/// Headers that are ours.
const OWN_HEADERS: usize = 4;

/// Posts to one URL through a client of reqwless. It needs Rust 1.91, and 29 KB more flash than
/// [`HttpPost`](super::HttpPost).
///
/// ```no_run
/// use embedded_nal_async::{Dns, TcpConnect};
/// use reqwless::client::HttpClient;
/// use spandrel_transport_async::embassy::{Gzip, ReqwlessPost};
///
/// # fn example(stack: &impl TcpConnect, dns: &impl Dns) -> Result<(), Box<dyn std::error::Error>> {
/// let mut client = HttpClient::new(stack, dns); // or `new_with_tls`
/// let (mut memory, mut window, mut table) = ([0; 2048], [0; 1024], [0; 512]);
/// let url = "http://collector.example:4318/v1/traces";
/// let gzip = Gzip::new(&mut window, &mut table)?;
/// let post = ReqwlessPost::with_encoding(&mut client, url, &[], &mut memory, gzip)?;
/// # let _ = post;
/// # Ok(())
/// # }
/// ```
///
/// A connection of reqwless borrows the client, so that it cannot be kept from one request to the
/// next: each request makes its own. Choose a `scheduled_delay` to match.
///
/// # What reqwless does otherwise
///
/// It takes an interim answer (a status below 200) for the answer, which is a failure here. Of an
/// answer with a length and chunks it believes the length, where ours is a failure. An answer that
/// is larger than half of the memory keeps its status and loses its body.
///
/// # TLS
///
/// Comes with reqwless' own feature `embedded-tls`, to be turned on in the firmware's manifest:
///
/// ```toml
/// reqwless = { version = "0.14", default-features = false, features = ["embedded-tls"] }
/// # embedded-tls 0.18 needs this feature and does not ask for it.
/// der = { version = "0.8", default-features = false, features = ["heapless"] }
/// ```
///
/// and `HttpClient::new_with_tls`. `tests/tests/async/reqwless.rs` does it, with an authority that it
/// makes. An `https` URL is never served in plain text, also where reqwless would. Before you choose it:
///
/// - On a Cortex-M3 it took 275 KB of flash, 33 KB of static memory and 46 KB of stack, and 40 million
///   instructions for a handshake, which is one for each request.
/// - TLS 1.3, keys on the curve P-256; the host's name is compared with the certificate's common name
///   alone, and without a clock no certificate is too old.
/// - Its random numbers come from one 64-bit seed, which is used again for each connection of a
///   client: draw it from a real source of randomness, and make a new client now and then.
pub struct ReqwlessPost<'a, 'c, T, D, E = Identity>
where
    T: TcpConnect + 'c,
    D: Dns + 'c,
    E: Encoding,
{
    client: &'a mut HttpClient<'c, T, D>,
    url: &'a str,
    host: &'a str,
    is_encrypted: bool,
    headers: &'a [(&'a str, &'a str)],
    encoding: E,
    memory: &'a mut [u8],
    body_sent: Cell<bool>,
    retry_after: Text,
    date: Text,
    content_type: Text,
}

impl<'a, 'c, T, D> ReqwlessPost<'a, 'c, T, D>
where
    T: TcpConnect + 'c,
    D: Dns + 'c,
{
    /// A sender to `url` with further headers, of bodies as they are.
    ///
    /// # Errors
    ///
    /// See [`with_encoding`](Self::with_encoding).
    pub fn new(
        client: &'a mut HttpClient<'c, T, D>,
        url: &'a str,
        headers: &'a [(&'a str, &'a str)],
        memory: &'a mut [u8],
    ) -> Result<Self, CollectorError> {
        Self::with_encoding(client, url, headers, memory, Identity)
    }
}

impl<'a, 'c, T, D, E> ReqwlessPost<'a, 'c, T, D, E>
where
    T: TcpConnect + 'c,
    D: Dns + 'c,
    E: Encoding,
{
    /// A sender to `url`, path included (`/v1/traces`), with up to 12 further headers.
    ///
    /// # Errors
    ///
    /// When the URL has no host or no path, a header cannot be sent, or the memory is below
    /// [`MIN_REQWLESS_MEMORY_BYTES`].
    pub fn with_encoding(
        client: &'a mut HttpClient<'c, T, D>,
        url: &'a str,
        headers: &'a [(&'a str, &'a str)],
        memory: &'a mut [u8],
        encoding: E,
    ) -> Result<Self, CollectorError> {
        let (scheme, rest) = url.split_once("://").ok_or(CollectorError::Host)?;
        let (host, path) = rest.split_once('/').ok_or(CollectorError::Path)?;
        if !is_word(host) || host.contains(['@', '?', '#']) {
            return Err(CollectorError::Host);
        }
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(CollectorError::Path);
        }
        let bad = bad_header(headers).or((headers.len() > MAX_HEADERS).then_some(MAX_HEADERS));
        if let Some(at) = bad {
            return Err(CollectorError::Header { at });
        }
        if memory.len() < MIN_REQWLESS_MEMORY_BYTES {
            return Err(CollectorError::Memory);
        }
        Ok(Self {
            client,
            url,
            host,
            is_encrypted: scheme.eq_ignore_ascii_case("https"),
            headers,
            encoding,
            memory,
            body_sent: Cell::new(false),
            retry_after: Text::EMPTY,
            date: Text::EMPTY,
            content_type: Text::EMPTY,
        })
    }
}

impl<'c, T, D, E> Post for ReqwlessPost<'_, 'c, T, D, E>
where
    T: TcpConnect + 'c,
    D: Dns + 'c,
    E: Encoding,
{
    async fn post<B: Body>(&mut self, body: &mut B) -> Outcome<'_> {
        self.body_sent.set(false);
        let (answer, memory) = self.memory.split_at_mut(self.memory.len() / 2);
        let (buffered, piece) = memory.split_at_mut(memory.len() / 2);
        let mut headers = [("", ""); OWN_HEADERS + MAX_HEADERS];

        let request = match self.client.request(Method::POST, self.url).await {
            Ok(request) => request,
            Err(error) => return Outcome::Failed(no_connection(&error)),
        };
        // With its TLS built in, but a client that was given none, reqwless speaks plain text to an
        // `https` URL.
        if self.is_encrypted && !matches!(request.conn, HttpConnection::Tls(_)) {
            return Outcome::Failed(TransportError::Tls);
        }
        let plain = body.content_length();
        let mut packed = None;
        if let Some(encoder) = self.encoding.encoder() {
            packed = pack(encoder, body, piece, 0, packed_limit(plain)).await;
            if packed.is_some_and(|packed| !packed.is_whole) {
                return Outcome::Failed(TransportError::Cancelled);
            }
        }
        let length = packed.map_or(plain, |packed| packed.len);
        let ready = packed
            .filter(|packed| packed.at.is_some())
            .map_or(0, |packed| packed.len);
        if ready == 0 {
            body.rewind();
        }
        let own = [
            Some(("User-Agent", USER_AGENT)),
            Some(("Content-Type", "application/x-protobuf")),
            Some(("Connection", "close")),
            packed.map(|_| ("Content-Encoding", GZIP)),
        ];
        let all = own
            .into_iter()
            .flatten()
            .chain(self.headers.iter().copied());
        let count = headers
            .iter_mut()
            .zip(all)
            .map(|(to, from)| *to = from)
            .count();
        let source = Source {
            body,
            encoder: packed
                .filter(|_| ready == 0)
                .and_then(|_| self.encoding.encoder()),
            piece,
            ready,
        };
        let mut request = request
            .into_buffered(buffered)
            .host(self.host)
            .headers(headers.get(..count).unwrap_or_default())
            .body(Pull {
                source: Cell::new(Some(source)),
                length,
                is_sent: &self.body_sent,
            });
        let response = match request.send(answer).await {
            Ok(response) => response,
            Err(error) => return Outcome::Failed(no_answer(&error, self.body_sent.get())),
        };

        let status = response.status.0;
        if (100..200).contains(&status) {
            return Outcome::Failed(TransportError::Protocol);
        }
        let mut is_coded = false;
        (self.retry_after, self.date, self.content_type) = (Text::EMPTY, Text::EMPTY, Text::EMPTY);
        for (name, value) in response.headers() {
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            if is("retry-after") {
                self.retry_after.keep_first(value);
            } else if is("date") {
                self.date.keep_first(value);
            } else if is("content-type") {
                self.content_type.keep_first(value);
            } else if is("content-encoding") {
                is_coded = !value.trim_ascii().eq_ignore_ascii_case(b"identity");
            }
        }
        let body = response.body().read_to_end().await;
        Outcome::Response(Response {
            status,
            retry_after: self.retry_after.get(),
            date: self.date.get(),
            content_type: self.content_type.get(),
            body: match body {
                Ok(body) if !is_coded => Some(body),
                _ => None,
            },
        })
    }

    fn body_sent(&self, _: bool) -> bool {
        self.body_sent.get()
    }
}

impl<'c, T, D, E> fmt::Debug for ReqwlessPost<'_, 'c, T, D, E>
where
    T: TcpConnect + 'c,
    D: Dns + 'c,
    E: Encoding,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwlessPost")
            .field("host", &self.host)
            .field("headers", &self.headers.len())
            .finish_non_exhaustive()
    }
}

/// Why the client has no connection. What is neither the network nor the URL is TLS, whose errors
/// reqwless has only with one of its features.
fn no_connection(error: &Error) -> TransportError {
    match error {
        Error::Dns => TransportError::Dns,
        Error::Network(_) | Error::ConnectionAborted => TransportError::Connect,
        Error::InvalidUrl(_) | Error::Codec => TransportError::Other,
        _ => TransportError::Tls,
    }
}

/// Why there is no answer although there was a connection.
fn no_answer(error: &Error, body_sent: bool) -> TransportError {
    match error {
        Error::Network(_) | Error::ConnectionAborted => TransportError::Reset { body_sent },
        Error::Codec | Error::BufferTooSmall => TransportError::Protocol,
        // The body came to an end too soon: its request is no longer wanted.
        Error::IncorrectBodyWritten => TransportError::Cancelled,
        _ => TransportError::Other,
    }
}

/// Where the bytes of a request's body come from.
struct Source<'a, B, C> {
    body: &'a mut B,
    encoder: Option<C>,
    piece: &'a mut [u8],
    /// Bytes of the piece that are to be sent before others are made.
    ready: usize,
}

impl<B: Body, C: EncodeBody> Source<'_, B, C> {
    /// The next bytes; none at the end.
    fn next(&mut self) -> &[u8] {
        let len = match (core::mem::take(&mut self.ready), &mut self.encoder) {
            (0, Some(encoder)) => encoder.read(self.piece, |target| self.body.read(target)),
            (0, None) => self.body.read(self.piece),
            (ready, _) => ready,
        };
        self.piece.get(..len).unwrap_or_default()
    }
}

/// The body as reqwless wants it.
struct Pull<'a, B, C> {
    /// Taken when it is written, which reqwless does once.
    source: Cell<Option<Source<'a, B, C>>>,
    length: usize,
    is_sent: &'a Cell<bool>,
}

impl<B: Body, C: EncodeBody> RequestBody for Pull<'_, B, C> {
    fn len(&self) -> Option<usize> {
        Some(self.length)
    }

    async fn write<W: Write>(&self, writer: &mut W) -> Result<(), W::Error> {
        let Some(mut source) = self.source.take() else {
            return Ok(());
        };
        loop {
            let piece = source.next();
            if piece.is_empty() {
                break;
            }
            writer.write_all(piece).await?;
        }
        self.is_sent.set(true);
        Ok(())
    }
}

/// The value of a header, kept while its place in the memory is used for the body.
#[derive(Clone, Copy)]
struct Text {
    bytes: [u8; 48],
    len: usize,
}

impl Text {
    const EMPTY: Self = Self {
        bytes: [0; 48],
        len: 0,
    };

    /// Keeps a value, unless it is too long or one is there.
    fn keep_first(&mut self, value: &[u8]) {
        let value = value.trim_ascii();
        if self.len > 0 {
            return;
        }
        if let Some(target) = self.bytes.get_mut(..value.len()) {
            target.copy_from_slice(value);
            self.len = value.len();
        }
    }

    fn get(&self) -> Option<&str> {
        let text = self.bytes.get(..self.len).filter(|text| !text.is_empty())?;
        core::str::from_utf8(text).ok()
    }
}
