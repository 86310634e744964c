//! One POST and its answer, over ureq.
//!
//! ```text
//!  Payload ──► attempt ──► answer ───────────────► RawResponse
//!                │
//!                ├─ reused connection, 0 bytes back, first time ──► attempt (new connection)
//!                └─ anything else ─────────────────────────────────► SendError
//! ```
//!
//! The sender owns no policy. It follows no redirect (fault catalogue S11), asks for no coding
//! (S15), reads no more than the limit (S14), and every wait has a deadline (N2-N5): a client
//! with a default setting does the opposite of each.
//!
//! ```no_run
//! use std::time::Duration;
//! use spandrel_transport_std::{ContentType, HttpSender, Payload, SenderConfig};
//!
//! let mut sender = HttpSender::new(SenderConfig::new("http://localhost:4318/v1/traces"))?;
//! let payload = Payload { body: b"..", content_type: ContentType::Protobuf, gzip: false };
//! match sender.send(payload, Duration::from_secs(10)) {
//!     Ok(response) => println!("{} {:?}", response.status(), response.retry_after()),
//!     Err(error) => println!("{:?}: {error}", error.class()),
//! }
//! # Ok::<(), spandrel_transport_std::BuildError>(())
//! ```

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{fmt, io};

use spandrel_core::hosted::diagnostics::RedactedUrl;
use ureq::config::{AutoHeaderValue, Config};
use ureq::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ureq::http::{Method, Request, Uri};
use ureq::tls::TlsConfig;
use ureq::unversioned::transport::{Connector, DefaultConnector};
use ureq::{Agent, SendBody};

use crate::config::{Endpoint, Proxy, SenderConfig};
use crate::connection::{CachedResolver, Connection, Watch};
use crate::error::{BuildError, ErrorClass, SendError, is_disconnect};
use crate::headers;
use crate::tls;

/// Our own product in `User-Agent` (checklist A-026).
const USER_AGENT: &str = concat!("Spandrel-OTLP-Exporter-Rust/", env!("CARGO_PKG_VERSION"));
/// The most bytes of an answer's head (fault catalogue S16).
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Longer deadlines are taken as this one, so that no clock arithmetic overflows.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);
/// Capacity that is kept for the next answer.
const KEPT_CAPACITY: usize = 64 * 1024;

/// What the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContentType {
    /// `application/x-protobuf` (checklist A-014).
    Protobuf,
    /// `application/json` (checklist A-015).
    Json,
}

/// One request body.
#[derive(Clone, Copy)]
pub struct Payload<'a> {
    /// The bytes, as they go out.
    pub body: &'a [u8],
    /// What they are.
    pub content_type: ContentType,
    /// Whether they are gzipped (checklist A-016).
    pub gzip: bool,
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload")
            .field("bytes", &self.body.len())
            .field("content_type", &self.content_type)
            .field("gzip", &self.gzip)
            .finish()
    }
}

/// Sends requests to one endpoint, one at a time, over a connection that is kept open.
pub struct HttpSender {
    agent: Agent,
    connection: Arc<Connection>,
    cancelled: Arc<AtomicBool>,
    uri: Uri,
    headers: HeaderMap,
    connect_timeout: Duration,
    max_response_bytes: usize,
    /// The body of the last answer; its capacity is reused.
    answer: Vec<u8>,
    stale_retries: u64,
}

impl HttpSender {
    /// Checks all settings and reads the files they name. Nothing is connected or resolved: a
    /// collector that is away is no error of the start (fault catalogue N14).
    ///
    /// # Errors
    ///
    /// What is wrong with the settings, never showing a header's value.
    pub fn new(config: SenderConfig) -> Result<Self, BuildError> {
        let endpoint = Endpoint::parse(&config.endpoint)?;
        let headers = headers::validated(&config.headers)?;
        let in_the_clear = !endpoint.is_https && !endpoint.is_loopback();
        if in_the_clear && !config.allow_plaintext_credentials {
            let userinfo = endpoint.has_userinfo.then_some("userinfo");
            if let Some(name) = headers::credential(&headers).or(userinfo) {
                let name = name.to_owned();
                return Err(BuildError::PlaintextCredentials { name });
            }
        }
        let tls = if endpoint.is_https {
            tls::config(&config.tls)?
        } else {
            TlsConfig::default()
        };
        let connection = Arc::new(Connection::default());
        let resolver = CachedResolver::new(Arc::clone(&connection), config.max_idle_age);
        let connector = DefaultConnector::new().chain(Watch(Arc::clone(&connection)));
        let user_agent = user_agent(&config)?;
        Ok(Self {
            headers: with_fixed(headers, &endpoint.uri, &user_agent),
            agent: Agent::with_parts(
                client_config(&config, tls, user_agent)?,
                connector,
                resolver,
            ),
            connection,
            cancelled: Arc::new(AtomicBool::new(false)),
            uri: endpoint.uri,
            connect_timeout: config.connect_timeout,
            max_response_bytes: config.max_response_bytes,
            answer: Vec::new(),
            stale_retries: 0,
        })
    }

    /// Sends `payload` and waits for the whole answer, `timeout` at most for everything.
    ///
    /// A request that went out over a reused connection which the server had closed meanwhile
    /// is sent once more, within the same deadline (fault catalogue N8).
    ///
    /// # Errors
    ///
    /// Why there is no answer. An answer of any status is not an error (checklist A-057).
    pub fn send(
        &mut self,
        payload: Payload<'_>,
        timeout: Duration,
    ) -> Result<RawResponse<'_>, SendError> {
        let started = Instant::now();
        let timeout = timeout.min(LONGEST_TIMEOUT);
        let mut outcome = self.attempt(payload, timeout);
        let mut resent = false;
        if matches!(&outcome, Err(error) if self.is_stale(error)) {
            self.stale_retries += 1;
            resent = self.connection.body_sent();
            outcome = self.attempt(payload, timeout.saturating_sub(started.elapsed()));
        }
        match outcome {
            Ok(head) => self.read_answer(head, resent),
            Err(error) => Err(self.failure(&error).resent(resent)),
        }
    }

    /// A handle that ends a call of [`HttpSender::send`] from another thread, for a shutdown with
    /// a deadline.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        Canceller {
            agent: self.agent.clone(),
            cancelled: Arc::clone(&self.cancelled),
        }
    }

    /// How often a request was sent again because its reused connection had died.
    #[must_use]
    pub fn stale_retries(&self) -> u64 {
        self.stale_retries
    }

    /// One exchange, up to the head of the answer.
    fn attempt(&self, payload: Payload<'_>, timeout: Duration) -> Result<Answer, ureq::Error> {
        self.connection.begin();
        if timeout.is_zero() {
            return Err(ureq::Error::Timeout(ureq::Timeout::Global));
        }
        let mut reader = Tracked {
            left: payload.body,
            connection: &self.connection,
        };
        let mut request = Request::new(SendBody::from_reader(&mut reader));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.request_headers(payload);
        let connect = self.connect_timeout.min(timeout);
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(Some(timeout))
            .timeout_resolve(Some(connect))
            .timeout_connect(Some(connect))
            .build();
        self.agent.run(request)
    }

    fn request_headers(&self, payload: Payload<'_>) -> HeaderMap {
        let mut headers = self.headers.clone();
        let content_type = match payload.content_type {
            ContentType::Protobuf => "application/x-protobuf",
            ContentType::Json => "application/json",
        };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CONTENT_LENGTH, payload.body.len().into());
        if payload.gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        headers
    }

    fn is_stale(&self, error: &ureq::Error) -> bool {
        matches!(error, ureq::Error::Io(e) if is_disconnect(e))
            && self.connection.reused_and_silent()
            && !self.cancelled.load(Ordering::Acquire)
    }

    /// Reads to the end, so that the connection can be used again, or to one byte past the
    /// limit, so that it is closed.
    fn read_answer(&mut self, answer: Answer, resent: bool) -> Result<RawResponse<'_>, SendError> {
        let (head, mut body) = answer.into_parts();
        let status = head.status.as_u16();
        self.answer.clear();
        self.answer.shrink_to(KEPT_CAPACITY);
        let limit = self.max_response_bytes as u64;
        // The limit of the reader itself is off; this one counts what a decoder would give.
        let reader = body.with_config().limit(u64::MAX).reader();
        let read = reader
            .take(limit.saturating_add(1))
            .read_to_end(&mut self.answer);
        drop(body);
        if self.answer.len() > self.max_response_bytes {
            self.answer.clear();
            let text = format!("the answer (status {status}) is larger than {limit} bytes");
            let class = ErrorClass::ResponseTooLarge { status };
            return Err(SendError::new(class, true, text).resent(resent));
        }
        // No coding was asked for, so one that is there cannot be undone (checklist A-017).
        let is_plain = head
            .headers
            .get(header::CONTENT_ENCODING)
            .is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"));
        let is_whole = read.is_ok() && is_plain;
        Ok(RawResponse {
            status,
            headers: head.headers,
            body: is_whole.then_some(self.answer.as_slice()),
            resent,
        })
    }

    fn failure(&self, error: &ureq::Error) -> SendError {
        self.connection.forget_addresses();
        let body_sent = self.connection.body_sent();
        let failure = SendError::from_client(error, body_sent);
        if self.cancelled.load(Ordering::Acquire) {
            SendError::new(ErrorClass::Cancelled, body_sent, "cancelled")
        } else if self.connection.unresolved() {
            SendError::new(ErrorClass::Dns, body_sent, failure.to_string())
        } else {
            failure
        }
    }
}

impl fmt::Debug for HttpSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.keys().map(HeaderName::as_str).collect();
        f.debug_struct("HttpSender")
            .field("endpoint", &RedactedUrl(&self.uri.to_string()))
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

type Answer = ureq::http::Response<ureq::Body>;

/// Ends what an [`HttpSender`] is doing, for good: the sender sends nothing any more.
///
/// A name look-up under way cannot be interrupted; it ends with the connect timeout.
#[derive(Clone)]
pub struct Canceller {
    agent: Agent,
    cancelled: Arc<AtomicBool>,
}

impl Canceller {
    /// Closes the connection. The call in progress, if any, returns
    /// [`ErrorClass::Cancelled`], as does every later one. May be called twice.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.agent.clone().shutdown();
    }
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canceller").finish_non_exhaustive()
    }
}

/// The collector's answer. Its body is in a buffer of the sender, which is used again.
pub struct RawResponse<'s> {
    status: u16,
    headers: HeaderMap,
    body: Option<&'s [u8]>,
    resent: bool,
}

impl<'s> RawResponse<'s> {
    /// The status code, whatever it is: a redirect is an answer like any other (checklist A-056).
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The body, or `None` when its end was missing or it was coded although nobody asked: the
    /// status holds all the same.
    #[must_use]
    pub fn body(&self) -> Option<&'s [u8]> {
        self.body
    }

    /// Whether the whole request went out twice, because its kept connection had died: the
    /// collector may have accepted it both times (fault catalogue S18).
    #[must_use]
    pub fn was_resent(&self) -> bool {
        self.resent
    }

    /// `Retry-After`, as it came.
    #[must_use]
    pub fn retry_after(&self) -> Option<&str> {
        self.text(header::RETRY_AFTER)
    }

    /// `Date`, as it came: what an HTTP-date in `Retry-After` is measured against.
    #[must_use]
    pub fn date(&self) -> Option<&str> {
        self.text(header::DATE)
    }

    /// `Content-Type`, as it came.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.text(header::CONTENT_TYPE)
    }

    /// Where a redirect leads, without credentials and query: for the error text only, it is not
    /// followed.
    #[must_use]
    pub fn location(&self) -> Option<RedactedUrl<'_>> {
        self.text(header::LOCATION).map(RedactedUrl)
    }

    fn text(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl fmt::Debug for RawResponse<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawResponse")
            .field("status", &self.status)
            .field("body_bytes", &self.body.map(<[u8]>::len))
            .finish_non_exhaustive()
    }
}

/// Tells the [`Connection`] when the client has taken the whole body.
struct Tracked<'a> {
    left: &'a [u8],
    connection: &'a Connection,
}

impl Read for Tracked<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.left.read(buf)?;
        if self.left.is_empty() {
            self.connection.body_taken();
        }
        Ok(n)
    }
}

fn user_agent(config: &SenderConfig) -> Result<String, BuildError> {
    let user_agent = match &config.user_agent_prefix {
        Some(prefix) => format!("{} {USER_AGENT}", prefix.trim()),
        None => USER_AGENT.to_owned(),
    };
    // The client would panic.
    if HeaderValue::from_str(&user_agent).is_err() || !user_agent.is_ascii() {
        let name = header::USER_AGENT.as_str().to_owned();
        let reason = headers::HeaderError::Value;
        return Err(BuildError::Header { name, reason });
    }
    Ok(user_agent)
}

/// Adds what the client would otherwise work out anew for every request.
fn with_fixed(mut headers: HeaderMap, uri: &Uri, user_agent: &str) -> HeaderMap {
    let host = uri.host().unwrap_or_default();
    let default_port = match uri.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    let host = match uri.port_u16().filter(|&port| port != default_port) {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let fixed = [
        (header::HOST, host.as_str()),
        (header::USER_AGENT, user_agent),
        (header::ACCEPT, "*/*"),
    ];
    for (name, value) in fixed {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.entry(name).or_insert(value);
        }
    }
    headers
}

/// Every setting on which the promises rest, none left to a default.
fn client_config(
    config: &SenderConfig,
    tls: TlsConfig,
    user_agent: String,
) -> Result<Config, BuildError> {
    let proxy = match &config.proxy {
        Proxy::None => None,
        Proxy::Environment => ureq::Proxy::try_from_env(),
        Proxy::Url(url) => Some(explicit_proxy(url)?),
    };
    Ok(Config::builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .https_only(false)
        .tls_config(tls)
        .proxy(proxy)
        .no_delay(true)
        .user_agent(AutoHeaderValue::Provided(Arc::new(user_agent)))
        .accept_encoding(AutoHeaderValue::None)
        .max_response_header_size(MAX_HEAD_BYTES)
        .max_idle_connections(1)
        .max_idle_connections_per_host(1)
        .max_idle_age(config.max_idle_age)
        .build())
}

/// SOCKS is compiled out; the client would say so only at the first request.
fn explicit_proxy(url: &str) -> Result<ureq::Proxy, BuildError> {
    let scheme = url.split("://").next().unwrap_or_default();
    if !["http", "https"]
        .iter()
        .any(|s| scheme.eq_ignore_ascii_case(s))
    {
        return Err(BuildError::Proxy);
    }
    ureq::Proxy::new(url).map_err(|_| BuildError::Proxy)
}
