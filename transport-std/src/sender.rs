//! One POST and its answer, over ureq.
//!
//! ```text
//!  encode ──► send ──► answer ────────────────────────────────────► Outcome::Response
//!               │
//!               ├─ reused connection that ended without a byte ──────► Stale, to be sent again at once
//!               └─ anything else ────────────────────────────────────► Outcome::Failed
//! ```
//!
//! The sender owns no policy. It follows no redirect, asks for no coding, reads no more than the
//! limit, and every wait has a deadline: a client with a default setting does the opposite of each.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fmt, io};

use spandrel_core::env::Protocol;
use spandrel_core::hosted::config::{HttpSettings, HttpTarget};
use spandrel_core::hosted::diagnostics::RedactedUrl;
use spandrel_core::hosted::unversioned::answer::Secrets;
use spandrel_core::hosted::unversioned::client::{
    BuildError, Failure, check, is_disconnect, proxy,
};
use spandrel_core::hosted::unversioned::coding::CodingTrial;
use spandrel_core::hosted::unversioned::encode::{Coding, EncodeError, RequestEncoder};
use spandrel_core::hosted::unversioned::events::LastError;
use spandrel_core::response::{Outcome, Response, TransportError};
use ureq::config::{AutoHeaderValue, Config};
use ureq::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ureq::http::{Method, Request, Uri};
use ureq::tls::TlsConfig;
use ureq::unversioned::transport::{Connector, DefaultConnector};
use ureq::{Agent, SendBody};

use crate::addresses::EachAddress;
use crate::connection::{CachedResolver, Connection, Dial, Watch};
use crate::forward::Forward;
use crate::{failure, tls};

/// Our own product in `User-Agent`.
const USER_AGENT: &str = concat!("Spandrel-OTLP-Exporter-Rust/", env!("CARGO_PKG_VERSION"));
/// The most bytes of an answer's head.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Longer deadlines are taken as this one, so that no clock arithmetic overflows.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);
/// Capacity that is kept for the next answer.
const KEPT_CAPACITY: usize = 64 * 1024;

/// Sends requests to one collector, one at a time, over a connection that is kept open. It neither
/// retries nor queues: that is the [`Exporter`](spandrel_core::exporter::Exporter)'s part.
///
/// ```no_run
/// use spandrel_core::response::Outcome;
/// use spandrel_transport_std::{HttpSender, HttpSettings, spandrel_core};
/// use std::time::Duration;
///
/// let settings = HttpSettings::new("http://localhost:4318/v1/traces");
/// let mut sender = HttpSender::new(&settings)?;
/// // A request without spans; an exporter's come from `read_body`.
/// sender.encode(|_| 0)?;
/// match sender.send(Duration::from_secs(10)) {
///     Outcome::Response(response) => println!("{} {:?}", response.status, response.retry_after),
///     _ => println!("{}", sender.last_error().text()),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct HttpSender {
    agent: Agent,
    /// What another agent is made of.
    client: Config,
    forward: Option<Forward>,
    max_idle_age: Duration,
    connection: Arc<Connection>,
    canceller: Canceller,
    uri: Uri,
    headers: HeaderMap,
    connect_timeout: Duration,
    max_response_bytes: usize,
    encoder: RequestEncoder,
    /// The encoded request.
    request: Vec<u8>,
    /// Why there is no encoded request.
    unsent: Option<TransportError>,
    /// The head and the body of the last answer.
    head: HeaderMap,
    answer: Vec<u8>,
    last_error: LastError,
    coding: CodingTrial,
}

/// An answer whose head and body are in the sender.
struct Answered {
    status: u16,
    is_readable: bool,
}

/// Why there is no answer that can be read.
enum Failed {
    TooLarge { status: u16 },
    Without(Failure),
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
        Self::with_canceller(settings, Canceller::default())
    }

    /// A sender for a canceller that was handed out before. It sends nothing if that was used.
    pub(crate) fn with_canceller(
        settings: &HttpSettings,
        canceller: Canceller,
    ) -> Result<Self, BuildError> {
        let target = check(settings)?;
        let uri: Uri = target.url().parse().map_err(refused)?;
        let tls = if target.is_https() {
            tls::config(&settings.tls)?
        } else {
            TlsConfig::default()
        };
        let connection = Arc::new(Connection::default());
        let user_agent = target.user_agent(USER_AGENT);
        let mut proxy = proxy(settings, &target);
        let forward = proxy.as_deref().and_then(|url| Forward::new(url, &uri));
        if forward.is_some() {
            proxy = None;
        }
        let client = client_config(settings, proxy.as_deref(), tls, user_agent)?;
        let mut headers = fixed_headers(&target)?;
        let authorization = forward.as_ref().and_then(|it| it.authorization.clone());
        if let Some(authorization) = authorization {
            headers.insert(header::PROXY_AUTHORIZATION, authorization);
        }
        let agent = agent(
            &client,
            &connection,
            forward.as_ref(),
            settings.max_idle_age,
        );
        canceller.watch(&agent);
        Ok(Self {
            headers,
            agent,
            client,
            forward,
            max_idle_age: settings.max_idle_age,
            connection,
            canceller,
            uri,
            connect_timeout: settings.connect_timeout,
            max_response_bytes: settings.max_response_bytes,
            encoder: RequestEncoder::new(Protocol::HttpProtobuf, Coding::Gzip),
            request: Vec::new(),
            unsent: Some(TransportError::Other),
            head: HeaderMap::new(),
            answer: Vec::new(),
            last_error: LastError::new(Secrets::of(&target)),
            coding: CodingTrial::default(),
        })
    }

    /// The same sender, for requests of `protocol` in `coding`.
    #[must_use]
    pub fn with_encoding(mut self, protocol: Protocol, coding: Coding) -> Self {
        self.encoder = RequestEncoder::new(protocol, coding);
        self.unsent = Some(TransportError::Other);
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
        self.connection.begin();
        self.encoder.set_plain(self.coding.is_plain());
        let encoded = self.encoder.encode(source, &mut self.request);
        self.unsent = encoded.err().map(|error| error.class());
        if let Err(error) = encoded {
            let failed = Outcome::Failed(error.class());
            self.last_error.set(error.to_string(), &failed);
        }
        encoded
    }

    /// Sends what was encoded last and waits for the whole answer, `timeout` at most for everything.
    ///
    /// [`TransportError::Stale`] means that the server had closed the kept connection meanwhile: the
    /// next call makes a new one, so send again at once. [`TransportError::Compressed`] means that the
    /// server took nothing of a compressed request: encode the same spans again, which leaves them
    /// uncompressed, and send them.
    ///
    /// An answer of any status is a response: redirects are not followed. For other outcomes,
    /// [`last_error`](Self::last_error) has the reason in words.
    pub fn send(&mut self, timeout: Duration) -> Outcome<'_> {
        if let Some(class) = self.unsent {
            return Outcome::Failed(class);
        }
        let Answered {
            status,
            is_readable,
        } = match self.exchange(timeout.min(LONGEST_TIMEOUT)) {
            Ok(answered) => answered,
            Err(Failed::Without(failure)) => {
                let error = failure.error;
                self.last_error.set_failure(failure);
                return Outcome::Failed(error);
            }
            Err(Failed::TooLarge { status }) => {
                let limit = self.max_response_bytes;
                let text = format!("the answer (status {status}) is larger than {limit} bytes");
                let outcome = Outcome::ResponseTooLarge { status };
                self.last_error.set(text, &outcome);
                return outcome;
            }
        };
        let response = Response {
            status,
            retry_after: text(&self.head, &header::RETRY_AFTER),
            date: text(&self.head, &header::DATE),
            content_type: text(&self.head, &header::CONTENT_TYPE),
            body: is_readable.then_some(self.answer.as_slice()),
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

    /// Returns true if the whole request of the last call of [`send`](Self::send) had left: the
    /// collector may have accepted it, whatever the outcome.
    #[must_use]
    pub fn body_sent(&self) -> bool {
        self.connection.body_sent()
    }

    /// The last failure in words: redacted, short, and without a line of an answer.
    #[must_use]
    pub const fn last_error(&self) -> &LastError {
        &self.last_error
    }

    pub(crate) const fn last_error_mut(&mut self) -> &mut LastError {
        &mut self.last_error
    }

    /// A handle that ends a call of [`send`](Self::send) from another thread, for a shutdown with a
    /// deadline.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }

    fn exchange(&mut self, timeout: Duration) -> Result<Answered, Failed> {
        if self.canceller.interrupted.swap(false, Ordering::AcqRel) {
            // The client was closed with the request that was interrupted.
            self.agent = agent(
                &self.client,
                &self.connection,
                self.forward.as_ref(),
                self.max_idle_age,
            );
            self.canceller.watch(&self.agent);
        }
        match self.attempt(timeout) {
            Ok(answer) => self.read(answer),
            Err(error) => Err(Failed::Without(self.failure(&error))),
        }
    }

    /// One request, up to the head of its answer.
    fn attempt(&self, timeout: Duration) -> Result<Answer, ureq::Error> {
        self.connection.begin();
        if timeout.is_zero() {
            return Err(ureq::Error::Timeout(ureq::Timeout::Global));
        }
        let mut reader = Tracked {
            left: &self.request,
            connection: &self.connection,
        };
        let mut request = Request::new(SendBody::from_reader(&mut reader));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.request_headers();
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

    fn request_headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        let content_type = HeaderValue::from_static(self.encoder.content_type());
        headers.insert(header::CONTENT_TYPE, content_type);
        headers.insert(header::CONTENT_LENGTH, self.request.len().into());
        if self.encoder.is_gzip() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        headers
    }

    /// The server closed the connection while it was idle.
    fn is_stale(&self, error: &ureq::Error) -> bool {
        matches!(error, ureq::Error::Io(error) if is_disconnect(error.kind()))
            && self.connection.reused_and_silent()
    }

    /// Reads to the end, so that the connection can be used again, or to one byte past the limit, so
    /// that it is closed.
    fn read(&mut self, answer: Answer) -> Result<Answered, Failed> {
        let (head, mut body) = answer.into_parts();
        let status = head.status.as_u16();
        self.head = head.headers;
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
            return Err(Failed::TooLarge { status });
        }
        // No coding was asked for, so one that is there cannot be undone.
        let is_plain = self
            .head
            .get(header::CONTENT_ENCODING)
            .is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"));
        Ok(Answered {
            status,
            is_readable: read.is_ok() && is_plain,
        })
    }

    fn failure(&self, error: &ureq::Error) -> Failure {
        self.connection.forget_addresses();
        let failure = failure::translate(error, self.connection.body_sent());
        if self.canceller.is_cancelled() {
            Failure::new(TransportError::Cancelled, "cancelled")
        } else if self.canceller.is_interrupted() {
            let body_sent = self.connection.body_sent();
            let text = "timeout: half of the time for the shutdown is over";
            Failure::new(TransportError::Timeout { body_sent }, text)
        } else if self.connection.unresolved() {
            Failure::new(TransportError::Dns, failure.text)
        } else if self.is_stale(error) {
            Failure::new(TransportError::Stale, failure.text)
        } else {
            failure
        }
    }
}

impl fmt::Debug for HttpSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.keys().map(HeaderName::as_str).collect();
        f.debug_struct("HttpSender")
            .field("url", &RedactedUrl(&self.uri.to_string()))
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

type Answer = ureq::http::Response<ureq::Body>;

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// Ends what an [`HttpSender`] is doing, for good: the sender sends nothing any more.
///
/// A name look-up under way cannot be interrupted; it ends with the connect timeout.
#[derive(Clone, Default)]
pub struct Canceller {
    /// Empty as long as there is no client.
    agent: Arc<Mutex<Option<Agent>>>,
    cancelled: Arc<AtomicBool>,
    /// The client was closed for the sake of the next request, which needs another one.
    interrupted: Arc<AtomicBool>,
}

impl Canceller {
    /// Closes the connection. The call in progress, if any, fails with
    /// [`TransportError::Cancelled`], as does every later one. May be called twice.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.close();
    }

    /// Closes the connection. The call in progress, if any, fails with [`TransportError::Timeout`];
    /// later ones make a new connection.
    pub(crate) fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Release);
        self.close();
    }

    fn close(&self) {
        let agent = self.agent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = &*agent {
            agent.clone().shutdown();
        }
    }

    /// Closes `agent` from now on.
    fn watch(&self, agent: &Agent) {
        *self.agent.lock().unwrap_or_else(PoisonError::into_inner) = Some(agent.clone());
        if self.is_cancelled() {
            self.close();
        }
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Acquire)
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canceller").finish_non_exhaustive()
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

fn agent(
    config: &Config,
    connection: &Arc<Connection>,
    forward: Option<&Forward>,
    max_idle_age: Duration,
) -> Agent {
    let proxy = forward.map(|forward| forward.proxy.clone());
    let resolver = CachedResolver::new(Arc::clone(connection), proxy, max_idle_age);
    let connector = Dial(Arc::clone(connection))
        .chain(EachAddress(DefaultConnector::new()))
        .chain(Watch {
            connection: Arc::clone(connection),
            origin: forward.map_or("", |forward| &forward.origin).into(),
        });
    Agent::with_parts(config.clone(), connector, resolver)
}

/// The headers that are the same for every request. The client would otherwise build the last three
/// of them each time.
fn fixed_headers(target: &HttpTarget) -> Result<HeaderMap, BuildError> {
    let mut headers = HeaderMap::with_capacity(target.headers().len() + 6);
    for (name, value) in target.headers() {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(refused)?;
        let mut value = HeaderValue::from_str(value).map_err(refused)?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    let user_agent = target.user_agent(USER_AGENT);
    for (name, value) in [
        (header::HOST, target.authority()),
        (header::USER_AGENT, &user_agent),
        (header::ACCEPT, "*/*"),
    ] {
        let value = HeaderValue::from_str(value).map_err(refused)?;
        headers.entry(name).or_insert(value);
    }
    Ok(headers)
}

/// Every setting that the promises depend on, none left to a default.
fn client_config(
    settings: &HttpSettings,
    proxy: Option<&str>,
    tls: TlsConfig,
    user_agent: String,
) -> Result<Config, BuildError> {
    // With a URL the client reads no variable.
    let proxy = proxy.map(ureq::Proxy::new).transpose();
    let proxy = proxy.map_err(refused)?;
    Ok(Config::builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .https_only(false)
        .tls_config(tls)
        .proxy(proxy)
        .no_delay(true)
        // For the request to a proxy; ours is among the headers.
        .user_agent(AutoHeaderValue::Provided(Arc::new(user_agent)))
        .accept_encoding(AutoHeaderValue::None)
        .max_response_header_size(MAX_HEAD_BYTES)
        .max_idle_connections(1)
        .max_idle_connections_per_host(1)
        .max_idle_age(settings.max_idle_age)
        .build())
}

/// Not to be expected after the core's check. None of these errors quotes a value.
fn refused(error: impl ToString) -> BuildError {
    BuildError::Client(error.to_string())
}
