//! The HTTP client, every setting on which the promises rest named (`reliability.md` 4.12), and
//! what must be known about the connections under it.
//!
//! The client hides whether a connection is new or reused and whether a host name was the trouble.
//! Two small parts plugged into its seams tell: a layer around the connector that counts, and a
//! resolver whose failure can be recognised.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::boxed::Box;
use std::format;
use std::net::SocketAddr;
use std::string::{String, ToString};
use std::sync::Arc;
use std::{error, fmt};

use ::reqwest::dns::{Addrs, Name, Resolve, Resolving};
use ::reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use ::reqwest::{Client, Url, redirect};
use spandrel_core::hosted::config::Settings;
use spandrel_core::hosted::diagnostics::sanitise;
use spandrel_core::hosted::unversioned::credential::{is_credential_name, is_loopback_host};

use super::error::BuildError;
use super::tls;

/// Our own product in `User-Agent` (checklist A-026).
const USER_AGENT: &str = concat!(
    "Spandrel-OTLP-Exporter-Rust-Async/",
    env!("CARGO_PKG_VERSION")
);
/// The most time for resolving, connecting and the TLS handshake together (fault catalogue N2).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an idle connection may be reused: shorter than the patience of servers.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// Everything that clients are made of, checked once.
pub(super) struct Blueprint {
    url: Url,
    headers: HeaderMap,
    tls: rustls::ClientConfig,
    read_timeout: Option<Duration>,
    use_environment_proxy: bool,
}

/// A client for one driver: its connections live on the runtime of that driver.
pub(super) struct Connected {
    pub(super) client: Client,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) connection: Arc<Connection>,
}

impl Blueprint {
    /// Checks the settings and reads the files that they name. Nothing is connected or resolved: a
    /// collector that is away is no error of the start (fault catalogue N14).
    pub(super) fn new(url: &str, settings: &Settings) -> Result<Self, BuildError> {
        let url = Url::parse(url).map_err(|_| BuildError::Endpoint)?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(BuildError::Endpoint);
        }
        let headers = sensitive(&settings.headers)?;
        let in_the_clear =
            url.scheme() == "http" && !is_loopback_host(url.host_str().unwrap_or_default());
        if in_the_clear && !settings.allow_plaintext_credentials {
            let named = headers
                .keys()
                .map(HeaderName::as_str)
                .find(|name| is_credential_name(name));
            let has_userinfo = !url.username().is_empty() || url.password().is_some();
            if let Some(name) = named.or(has_userinfo.then_some("userinfo")) {
                return Err(BuildError::PlaintextCredentials { name: name.into() });
            }
        }
        Ok(Self {
            url,
            headers,
            tls: tls::config(settings)?,
            read_timeout: settings.request_timeout(),
            use_environment_proxy: settings.use_environment_proxy,
        })
    }

    pub(super) fn build(&self) -> Result<Connected, BuildError> {
        let connection = Arc::new(Connection::default());
        let mut builder = Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .connector_layer(Watch(Arc::clone(&connection)))
            .dns_resolver(Arc::new(Resolver))
            .user_agent(USER_AGENT)
            .http1_only()
            .redirect(redirect::Policy::none())
            .referer(false)
            // No coding is asked for, not even when another crate of the program switches the
            // decoders on (fault catalogue S15).
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(1);
        if let Some(timeout) = self.read_timeout {
            builder = builder.read_timeout(timeout);
        }
        if !self.use_environment_proxy {
            builder = builder.no_proxy();
        }
        Ok(Connected {
            // Its own text may name the endpoint.
            client: builder
                .build()
                .map_err(|error| BuildError::Client(error.without_url().to_string()))?,
            url: self.url.clone(),
            headers: self.headers.clone(),
            connection,
        })
    }
}

impl fmt::Debug for Blueprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blueprint").finish_non_exhaustive()
    }
}

/// The settings have checked the pairs already; here they become what the client wants, marked so
/// that no log of the client shows them.
fn sensitive(pairs: &[(String, String)]) -> Result<HeaderMap, BuildError> {
    let mut headers = HeaderMap::with_capacity(pairs.len() + 2);
    for (name, value) in pairs {
        let refused = || BuildError::Header {
            name: sanitise(name),
        };
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?;
        let mut value = HeaderValue::from_str(value.trim()).map_err(|_| refused())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// What happened on the wire during the present request. One runs at a time; the atomics are
/// there because the client's parts are shared.
#[derive(Debug, Default)]
pub(super) struct Connection {
    connects: AtomicU32,
    body_sent: AtomicBool,
}

impl Connection {
    pub(super) fn begin(&self) {
        self.connects.store(0, Ordering::Relaxed);
        self.body_sent.store(false, Ordering::Relaxed);
    }

    /// The client took the last byte of the body.
    pub(super) fn set_body_sent(&self) {
        self.body_sent.store(true, Ordering::Relaxed);
    }

    pub(super) fn body_sent(&self) -> bool {
        self.body_sent.load(Ordering::Relaxed)
    }

    /// Whether the request went out over a connection of an earlier one.
    pub(super) fn is_reused(&self) -> bool {
        self.connects.load(Ordering::Relaxed) == 0
    }
}

/// Counts the connections that are made.
#[derive(Clone)]
struct Watch(Arc<Connection>);

impl<S> tower_layer::Layer<S> for Watch {
    type Service = Watched<S>;

    fn layer(&self, inner: S) -> Watched<S> {
        Watched {
            inner,
            connection: Arc::clone(&self.0),
        }
    }
}

#[derive(Clone)]
struct Watched<S> {
    inner: S,
    connection: Arc<Connection>,
}

impl<S: tower_service::Service<R>, R> tower_service::Service<R> for Watched<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.connection.connects.fetch_add(1, Ordering::Relaxed);
        self.inner.call(request)
    }
}

/// The system's resolver, asked for every connection (fault catalogue N15).
struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let addresses = found.map_err(|error| DnsFailure(format!("{error}")))?;
            let addresses: std::vec::Vec<SocketAddr> = addresses.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// How a failed look-up is told from other failures.
#[derive(Debug)]
pub(super) struct DnsFailure(String);

impl fmt::Display for DnsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for DnsFailure {}
