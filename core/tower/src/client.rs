//! The layer of a client.

use std::fmt::{self, Display};
use std::future::Future;
use std::task::{Context as TaskContext, Poll};

use http::{Request, Response};
use http_body::Body;
use spandrel_core::hosted::propagation::{Propagator, propagator};
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
use crate::url::{Server, redacted_url};

/// The template of a request's URL, such as `/stock/{item}`, in the extensions of a request: it becomes
/// `url.template` and part of the span's name.
///
/// ```
/// use spandrel_tower::UrlTemplate;
///
/// let request = http::Request::get("http://stock/stock/7").extension(UrlTemplate("/stock/{item}"));
/// # drop(request);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UrlTemplate(pub &'static str);

/// Makes a span for each request that a client sends; see the [crate](crate).
///
/// The span is a child of the current one, and its context goes out in the headers, by the process's
/// propagator. Put the layer inside of one that repeats requests, so that each attempt has its span.
#[derive(Clone)]
pub struct ClientLayer {
    tracer: Tracer,
    propagator: Option<Propagator>,
    methods: &'static [&'static str],
}

impl ClientLayer {
    /// A layer whose spans `tracer` makes. The tracer may be from before `init`.
    #[must_use]
    pub fn new(tracer: &Tracer) -> Self {
        Self {
            tracer: tracer.clone(),
            propagator: None,
            methods: KNOWN,
        }
    }

    /// Sets the propagator, in place of the process's. [`Propagator::NONE`] sends nothing, as to a
    /// stranger who must not see contexts.
    #[must_use]
    pub fn with_propagator(mut self, propagator: impl Into<Propagator>) -> Self {
        self.propagator = Some(propagator.into());
        self
    }

    /// Sets the methods that are recorded as they are; others become `_OTHER`. The default is those of
    /// RFC 9110, `PATCH` and `QUERY`.
    #[must_use]
    pub const fn with_known_methods(mut self, methods: &'static [&'static str]) -> Self {
        self.methods = methods;
        self
    }

    fn start<B>(&self, request: &mut Request<B>) -> Open {
        let is_grpc = grpc::is_grpc(request.headers());
        let start = |name: &str, list: &List<'_>| -> Span {
            let start = self.tracer.span(name).kind(SpanKind::Client);
            start.attributes(list.as_slice()).start()
        };
        let span = match is_grpc {
            true => describe_call(request, start),
            false => self.describe(request, start),
        };
        let is_head = request.method() == http::Method::HEAD;
        let open = Open::new(span, Side::Client, is_grpc, is_head);
        let propagator = self.propagator.clone().unwrap_or_else(propagator);
        propagator.inject_from(open.context(), request.headers_mut());
        open
    }

    fn describe<B>(
        &self,
        request: &Request<B>,
        start: impl FnOnce(&str, &List<'_>) -> Span,
    ) -> Span {
        let url = redacted_url(request.uri());
        let template = request.extensions().get::<UrlTemplate>();
        let mut list = List::new();
        let method = Method::new(request.method(), self.methods);
        list.push("http.request.method", method.attribute);
        list.push_some("http.request.method_original", method.original);
        list.push("url.full", url.as_str());
        list.push_some("url.template", template.map(|template| template.0));
        add_server(request, &mut list);
        match template {
            Some(UrlTemplate(template)) => start(&format!("{} {template}", method.in_name), &list),
            None => start(method.in_name, &list),
        }
    }
}

fn describe_call<B>(request: &Request<B>, start: impl FnOnce(&str, &List<'_>) -> Span) -> Span {
    let method = grpc::method(request.uri().path());
    let mut list = List::new();
    list.push("rpc.system.name", "grpc");
    list.push("rpc.method", method);
    add_server(request, &mut list);
    start(if method == "_OTHER" { "grpc" } else { method }, &list)
}

fn add_server<'a, B>(request: &'a Request<B>, list: &mut List<'a>) {
    let scheme = request.uri().scheme_str().unwrap_or("http");
    let server = Server::new(request.uri(), request.headers(), scheme);
    list.push_some("server.address", server.address);
    list.push_some("server.port", server.port.map(i64::from));
}

impl fmt::Debug for ClientLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientLayer")
            .field("tracer", &self.tracer)
            .field("propagator", &self.propagator)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for ClientLayer {
    type Service = ClientService<S>;

    fn layer(&self, inner: S) -> ClientService<S> {
        ClientService {
            inner,
            layer: self.clone(),
        }
    }
}

/// A client with a span for each request; see [`ClientLayer`].
#[derive(Clone, Debug)]
pub struct ClientService<S> {
    inner: S,
    layer: ClientLayer,
}

impl<S, A, B> Service<Request<A>> for ClientService<S>
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

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let open = self.layer.start(&mut request);
        let future = {
            let _current = open.enter();
            self.inner.call(request)
        };
        TracedFuture::new(future, open)
    }
}
