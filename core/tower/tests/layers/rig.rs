//! A capture, layers over it, and services without a runtime.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{Empty, Full};
use spandrel_core::hosted::export::{AttributeValue, SpanData};
use spandrel_core::hosted::propagation::{Propagator, SpanOnly, TraceContextPropagator};
use spandrel_core::hosted::testing::Capture;
use spandrel_tower::{ClientLayer, ServerLayer};
use tower_service::Service;

/// One of the process would be shared by tests that run at the same time.
pub(crate) fn propagator() -> Propagator {
    Propagator::new(SpanOnly(TraceContextPropagator))
}

pub(crate) fn server(capture: &Capture) -> ServerLayer {
    ServerLayer::new(&capture.tracer("server")).with_propagator(propagator())
}

pub(crate) fn client(capture: &Capture) -> ClientLayer {
    ClientLayer::new(&capture.tracer("client")).with_propagator(propagator())
}

/// A service that a function makes.
#[derive(Clone)]
pub(crate) struct Answering<F>(pub(crate) F);

impl<A, F, O> Service<Request<A>> for Answering<F>
where
    F: FnMut(Request<A>) -> O,
    O: Future,
    O::Output: IsResult,
{
    type Response = <O::Output as IsResult>::Ok;
    type Error = <O::Output as IsResult>::Err;
    type Future = Results<O>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        Results(Box::pin((self.0)(request)))
    }
}

/// A `Result`, whose types can be named.
pub(crate) trait IsResult {
    type Ok;
    type Err;
    fn result(self) -> Result<Self::Ok, Self::Err>;
}

impl<T, E> IsResult for Result<T, E> {
    type Ok = T;
    type Err = E;
    fn result(self) -> Self {
        self
    }
}

pub(crate) struct Results<O>(Pin<Box<O>>);

impl<O: Future> Future for Results<O>
where
    O::Output: IsResult,
{
    type Output = Result<<O::Output as IsResult>::Ok, <O::Output as IsResult>::Err>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(task).map(IsResult::result)
    }
}

/// What a service answers at once, without a body.
pub(crate) type Bare = Ready<Result<Response<Empty<Bytes>>, Infallible>>;

/// A service that answers `status` without a body.
pub(crate) fn with_status(
    status: u16,
) -> Answering<impl Fn(Request<Empty<Bytes>>) -> Bare + Clone> {
    Answering(move |_| {
        let answer = Response::builder().status(status).body(Empty::new());
        ready(Ok(answer.unwrap()))
    })
}

pub(crate) fn get(uri: &str) -> Request<Empty<Bytes>> {
    Request::get(uri).body(Empty::new()).unwrap()
}

pub(crate) fn text(text: &'static str) -> Response<Full<Bytes>> {
    Response::new(Full::new(Bytes::from_static(text.as_bytes())))
}

/// The output of a future that waits for nothing.
#[track_caller]
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    match poll_once(pin!(future)) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

pub(crate) fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// The next frame of a body that waits for nothing.
pub(crate) fn frame<B: Body>(body: Pin<&mut B>) -> Option<Result<Frame<B::Data>, B::Error>> {
    match body.poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(frame) => frame,
        Poll::Pending => panic!("it waits"),
    }
}

/// Frames in a row, the last one perhaps an error.
pub(crate) struct Frames(pub(crate) Vec<Result<Frame<Bytes>, String>>);

impl Frames {
    pub(crate) fn of(frames: impl IntoIterator<Item = Result<Frame<Bytes>, String>>) -> Self {
        let mut frames: Vec<_> = frames.into_iter().collect();
        frames.reverse();
        Self(frames)
    }
}

pub(crate) fn data(text: &'static str) -> Result<Frame<Bytes>, String> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

pub(crate) fn trailers(pairs: &[(&'static str, &str)]) -> Result<Frame<Bytes>, String> {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.insert(*name, value.parse().unwrap());
    }
    Ok(Frame::trailers(map))
}

impl Body for Frames {
    type Data = Bytes;
    type Error = String;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, String>>> {
        Poll::Ready(self.0.pop())
    }
}

/// The only span.
#[track_caller]
pub(crate) fn only(capture: &Capture) -> SpanData {
    let mut spans = capture.spans().into_iter();
    let span = spans.next().expect("a span");
    assert!(spans.next().is_none(), "more than one");
    assert_eq!(capture.counts().live, 0);
    span
}

/// A text or a number.
pub(crate) fn shown(value: &AttributeValue) -> String {
    match value {
        AttributeValue::String(text) => text.clone(),
        AttributeValue::I64(number) => number.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Status and `error.type`.
pub(crate) fn outcome(span: &SpanData) -> (Option<Result<(), String>>, Option<String>) {
    let kind = span.attribute("error.type").map(shown);
    (span.status.clone(), kind)
}

pub(crate) fn error(text: &str, kind: &str) -> (Option<Result<(), String>>, Option<String>) {
    (Some(Err(text.to_owned())), Some(kind.to_owned()))
}

pub(crate) const FINE: (Option<Result<(), String>>, Option<String>) = (None, None);
