//! The layer of a server.

use std::fmt::{self, Display};
use std::future::Future;
use std::net::SocketAddr;
use std::task::{Context as TaskContext, Poll};

use http::header::USER_AGENT;
use http::{Extensions, Request, Response, Uri};
use http_body::Body;
use spandrel_core::hosted::propagation::{Incoming, Propagator, propagator};
use spandrel_core::hosted::trace::{Span, Tracer};
use spandrel_core::span::SpanKind;
use tower_layer::Layer;
use tower_service::Service;

use crate::answer::TracedFuture;
use crate::body::TracedBody;
use crate::grpc;
use crate::list::List;
use crate::methods::{KNOWN, Method};
use crate::open::{Open, Side};
use crate::url::{Server, protocol, redacted_query};

/// Makes a span for each request that a service gets; see the [crate](crate).
///
/// The span is a child of the caller's, as the process's propagator finds it in the headers. Put the
/// layer outside of those that answer by themselves, so that such answers have a span as well.
#[derive(Clone)]
pub struct ServerLayer {
    tracer: Tracer,
    propagator: Option<Propagator>,
    incoming: Option<Incoming>,
    scheme: &'static str,
    methods: &'static [&'static str],
    route: fn(&Extensions) -> Option<&str>,
    peer: fn(&Extensions) -> Option<SocketAddr>,
}

impl ServerLayer {
    /// A layer whose spans `tracer` makes. The tracer may be from before `init`.
    #[must_use]
    pub fn new(tracer: &Tracer) -> Self {
        Self {
            tracer: tracer.clone(),
            propagator: None,
            incoming: None,
            scheme: "http",
            methods: KNOWN,
            route: route_of_axum,
            peer: |_| None,
        }
    }

    /// Sets the propagator, in place of the process's.
    #[must_use]
    pub fn with_propagator(mut self, propagator: impl Into<Propagator>) -> Self {
        self.propagator = Some(propagator.into());
        self
    }

    /// Sets what becomes of incoming contexts, in place of what the configuration says.
    #[must_use]
    pub const fn with_incoming(mut self, incoming: Incoming) -> Self {
        self.incoming = Some(incoming);
        self
    }

    /// Sets the `url.scheme` of requests whose URL does not say it, as in HTTP/1. The default is `http`.
    #[must_use]
    pub const fn with_scheme(mut self, scheme: &'static str) -> Self {
        self.scheme = scheme;
        self
    }

    /// Sets the methods that are recorded as they are; others become `_OTHER`. The default is those of
    /// RFC 9110, `PATCH` and `QUERY`.
    #[must_use]
    pub const fn with_known_methods(mut self, methods: &'static [&'static str]) -> Self {
        self.methods = methods;
        self
    }

    /// Sets where the route of a request is found: a template with few values, such as `/stock/{item}`.
    /// The default is axum's with the feature `axum`, and none without it.
    #[must_use]
    pub const fn with_route(mut self, route: fn(&Extensions) -> Option<&str>) -> Self {
        self.route = route;
        self
    }

    /// Sets where the address of the peer is found. With axum's `ConnectInfo`:
    /// `|it| it.get::<ConnectInfo<SocketAddr>>().map(|it| it.0)`.
    #[must_use]
    pub const fn with_peer(mut self, peer: fn(&Extensions) -> Option<SocketAddr>) -> Self {
        self.peer = peer;
        self
    }

    fn propagator(&self) -> Propagator {
        let propagator = self.propagator.clone().unwrap_or_else(propagator);
        match self.incoming {
            Some(incoming) => propagator.with_incoming(incoming),
            None => propagator,
        }
    }

    fn start<B>(&self, request: &Request<B>) -> Open {
        let caller = self.propagator().extract(request.headers());
        let is_grpc = grpc::is_grpc(request.headers());
        let start = |name: &str, list: &List<'_>| -> Span {
            let start = self.tracer.span(name).kind(SpanKind::Server);
            start.parent(&caller).attributes(list.as_slice()).start()
        };
        let span = match is_grpc {
            true => self.describe_call(request, start),
            false => self.describe(request, start),
        };
        let is_head = request.method() == http::Method::HEAD;
        Open::new(span, Side::Server, is_grpc, is_head)
    }

    fn describe<B>(
        &self,
        request: &Request<B>,
        start: impl FnOnce(&str, &List<'_>) -> Span,
    ) -> Span {
        let uri = original_uri(request);
        let query = uri.query().map(redacted_query);
        let peer = (self.peer)(request.extensions());
        let ip = peer.map(|peer| peer.ip().to_string());
        let mut list = List::new();
        let method = Method::new(request.method(), self.methods);
        list.push("http.request.method", method.attribute);
        list.push_some("http.request.method_original", method.original);
        list.push("url.path", uri.path());
        list.push_some("url.query", query.as_deref());
        list.push("url.scheme", uri.scheme_str().unwrap_or(self.scheme));
        let route = (self.route)(request.extensions());
        list.push_some("http.route", route);
        self.add_common(request, uri, &mut list);
        let agent = request.headers().get(USER_AGENT);
        list.push_some(
            "user_agent.original",
            agent.and_then(|agent| agent.to_str().ok()),
        );
        add_peer(peer, ip.as_deref(), &mut list);
        match route {
            Some(route) => start(&format!("{} {route}", method.in_name), &list),
            None => start(method.in_name, &list),
        }
    }

    fn describe_call<B>(
        &self,
        request: &Request<B>,
        start: impl FnOnce(&str, &List<'_>) -> Span,
    ) -> Span {
        let uri = original_uri(request);
        let peer = (self.peer)(request.extensions());
        let ip = peer.map(|peer| peer.ip().to_string());
        let method = grpc::method(uri.path());
        let mut list = List::new();
        list.push("rpc.system.name", "grpc");
        list.push("rpc.method", method);
        self.add_common(request, uri, &mut list);
        add_peer(peer, ip.as_deref(), &mut list);
        start(if method == "_OTHER" { "grpc" } else { method }, &list)
    }

    fn add_common<'a, B>(&self, request: &'a Request<B>, uri: &'a Uri, list: &mut List<'a>) {
        let scheme = uri.scheme_str().unwrap_or(self.scheme);
        let server = Server::new(uri, request.headers(), scheme);
        list.push_some("server.address", server.address);
        list.push_some("server.port", server.port.map(i64::from));
        list.push_some("network.protocol.version", protocol(request.version()));
    }
}

fn add_peer<'a>(peer: Option<SocketAddr>, ip: Option<&'a str>, list: &mut List<'a>) {
    list.push_some("client.address", ip);
    list.push_some("network.peer.address", ip);
    list.push_some("network.peer.port", peer.map(|peer| i64::from(peer.port())));
}

/// The URL before a router took its part of it.
fn original_uri<B>(request: &Request<B>) -> &Uri {
    #[cfg(feature = "axum")]
    if let Some(original) = request.extensions().get::<axum::extract::OriginalUri>() {
        return &original.0;
    }
    request.uri()
}

#[cfg(feature = "axum")]
fn route_of_axum(extensions: &Extensions) -> Option<&str> {
    let path = extensions.get::<axum::extract::MatchedPath>()?;
    Some(path.as_str())
}

#[cfg(not(feature = "axum"))]
const fn route_of_axum(_: &Extensions) -> Option<&str> {
    None
}

impl fmt::Debug for ServerLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerLayer")
            .field("tracer", &self.tracer)
            .field("propagator", &self.propagator)
            .field("incoming", &self.incoming)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = ServerService<S>;

    fn layer(&self, inner: S) -> ServerService<S> {
        ServerService {
            inner,
            layer: self.clone(),
        }
    }
}

/// A service with a span for each request; see [`ServerLayer`].
#[derive(Clone, Debug)]
pub struct ServerService<S> {
    inner: S,
    layer: ServerLayer,
}

impl<S, A, B> Service<Request<A>> for ServerService<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Future<Output = Result<Response<B>, S::Error>>,
    S::Error: Display,
    B: Body,
{
    type Response = Response<TracedBody<B>>;
    type Error = S::Error;
    type Future = TracedFuture<S::Future>;

    fn poll_ready(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let open = self.layer.start(&request);
        let future = {
            let _current = open.enter();
            self.inner.call(request)
        };
        TracedFuture::new(future, open)
    }
}
