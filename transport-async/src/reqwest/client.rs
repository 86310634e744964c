//! The HTTP client, with every setting that the promises depend on, and what must be known about
//! the connections under it.
//!
//! The client hides whether a connection is new or reused and whether a look-up failed. Two small
//! parts plugged into its seams show it: a layer around the connector that counts, and a resolver
//! whose failure can be recognised.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::boxed::Box;
use std::format;
use std::net::SocketAddr;
use std::string::{String, ToString};
use std::sync::Arc;
use std::vec;
use std::{error, fmt};

use ::reqwest::dns::{Addrs, Name, Resolve, Resolving};
use ::reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use ::reqwest::{Client, Url, redirect};
use spandrel_core::hosted::config::HttpSettings;
use spandrel_core::hosted::unversioned::answer::Secrets;
use spandrel_core::hosted::unversioned::client::{BuildError, check, proxy};
use spandrel_core::hosted::unversioned::coding::CodingTrial;
use spandrel_core::hosted::unversioned::tls::TlsMaterial;

/// Our own product in `User-Agent`.
const USER_AGENT: &str = concat!(
    "Spandrel-OTLP-Exporter-Rust-Async/",
    env!("CARGO_PKG_VERSION")
);

/// The checked settings of clients, in the client's types.
pub(super) struct Blueprint {
    url: Url,
    headers: HeaderMap,
    user_agent: HeaderValue,
    tls: rustls::ClientConfig,
    proxy: Option<String>,
    connect_timeout: Duration,
    max_idle_age: Duration,
    max_response_bytes: usize,
    secrets: Secrets,
    coding: CodingTrial,
}

/// A client for one driver: its connections live on that driver's runtime.
pub(super) struct Connected {
    pub(super) client: Client,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) connection: Arc<Connection>,
    pub(super) max_response_bytes: usize,
    pub(super) secrets: Secrets,
    pub(super) coding: CodingTrial,
}

impl Blueprint {
    /// Checks the settings and reads the files that they name. Nothing is connected or resolved: a
    /// collector that is down is no error at the start.
    pub(super) fn new(settings: &HttpSettings) -> Result<Self, BuildError> {
        let target = check(settings)?;
        let mut headers = HeaderMap::with_capacity(target.headers().len() + 2);
        for (name, value) in target.headers() {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(refused)?;
            let mut value = HeaderValue::from_str(value).map_err(refused)?;
            // No log of the client shows it.
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let material = if target.is_https() {
            TlsMaterial::read(&settings.tls)?
        } else {
            TlsMaterial::NONE
        };
        let mut roots = rustls::RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        let mut tls = material.client_config(roots)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            url: Url::parse(target.url()).map_err(refused)?,
            headers,
            user_agent: HeaderValue::from_str(&target.user_agent(USER_AGENT)).map_err(refused)?,
            tls,
            proxy: proxy(settings, &target),
            connect_timeout: settings.connect_timeout,
            max_idle_age: settings.max_idle_age,
            max_response_bytes: settings.max_response_bytes,
            secrets: Secrets::of(&target),
            coding: CodingTrial::default(),
        })
    }

    pub(super) fn build(&self) -> Result<Connected, BuildError> {
        let connection = Arc::new(Connection::default());
        let mut builder = Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .connector_layer(Watch(Arc::clone(&connection)))
            .dns_resolver(Arc::new(Resolver))
            .user_agent(self.user_agent.clone())
            .http1_only()
            .redirect(redirect::Policy::none())
            .referer(false)
            // No coding is asked for, not even when another crate of the program switches the
            // decoders on (fault S15).
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .tcp_nodelay(true)
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(self.max_idle_age)
            .pool_max_idle_per_host(1);
        builder = match &self.proxy {
            // With a URL the client reads no variable.
            Some(url) => {
                let proxy = ::reqwest::Proxy::all(url);
                builder.proxy(proxy.map_err(client_refused)?)
            }
            None => builder.no_proxy(),
        };
        Ok(Connected {
            client: builder.build().map_err(client_refused)?,
            url: self.url.clone(),
            headers: self.headers.clone(),
            connection,
            max_response_bytes: self.max_response_bytes,
            secrets: self.secrets.clone(),
            coding: self.coding.clone(),
        })
    }
}

impl fmt::Debug for Blueprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blueprint").finish_non_exhaustive()
    }
}

/// Not to be expected after the core's check. None of these errors quotes a value.
fn refused(error: impl ToString) -> BuildError {
    BuildError::Client(error.to_string())
}

fn client_refused(error: ::reqwest::Error) -> BuildError {
    refused(error.without_url())
}

/// The events on the wire during the present request. One runs at a time; the atomics are
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

    /// Returns true if the request went out over an earlier one's connection.
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

/// The system's resolver, asked for every connection.
struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let addresses = found.map_err(|error| DnsFailure(format!("{error}")))?;
            let addresses: vec::Vec<SocketAddr> = addresses.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Marks a failed look-up among other failures.
#[derive(Debug)]
pub(super) struct DnsFailure(String);

impl fmt::Display for DnsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for DnsFailure {}
