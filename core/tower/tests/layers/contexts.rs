//! Contexts that come with a request, go out with one, and are current in between.

use std::convert::Infallible;
use std::future::{poll_fn, ready};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::Empty;
use spandrel_core::hosted::current::current_span_context;
use spandrel_core::hosted::propagation::{Incoming, Propagator};
use spandrel_core::hosted::testing::Capture;
use tower_layer::Layer as _;
use tower_service::Service as _;

use crate::rig::{Answering, client, frame, get, now, poll_once, server, text, with_status};

const CALLER: &str = "00-5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-01";

fn called() -> Request<Empty<Bytes>> {
    let mut request = get("/");
    let headers = request.headers_mut();
    headers.insert("traceparent", CALLER.parse().unwrap());
    request
}

#[test]
fn a_client_calls_a_server_in_one_trace() {
    let capture = Capture::new();
    let inside = server(&capture).layer(with_status(200));
    let mut outside = client(&capture).layer(inside);
    let tracer = capture.tracer("program");
    tracer
        .start("work")
        .in_scope(|_| drop(now(outside.call(get("http://stock/")))));
    capture.spans().assert_tree(
        r#"
        work
        └─ GET (client) http.request.method="GET" url.full="http://stock/" server.address="stock" server.port=80 network.protocol.version="1.1" http.response.status_code=200
           └─ GET (server) http.request.method="GET" url.path="/" url.scheme="http" server.address="stock" server.port=80 network.protocol.version="1.1" http.response.status_code=200
        "#,
    );
}

#[test]
fn what_comes_in_is_treated_as_the_layer_says() {
    let run = |incoming| {
        let capture = Capture::new();
        let layer = server(&capture).with_incoming(incoming);
        drop(now(layer.layer(with_status(200)).call(called())));
        let span = crate::rig::only(&capture);
        let is_callers = CALLER.contains(&span.context.trace_id().to_string());
        (is_callers, span.links.len())
    };
    assert_eq!(run(Incoming::Continue), (true, 0));
    assert_eq!(run(Incoming::Link), (false, 1));
    assert_eq!(run(Incoming::Ignore), (false, 0));
}

#[test]
fn a_client_without_a_propagator_tells_nothing() {
    let capture = Capture::new();
    let layer = client(&capture).with_propagator(Propagator::NONE);
    let mut service = layer.layer(Answering(|request: Request<Empty<Bytes>>| {
        assert!(request.headers().is_empty());
        ready(Ok::<_, Infallible>(text("")))
    }));
    drop(now(service.call(get("http://stranger/"))));
    assert_eq!(capture.spans().len(), 1);
}

/// Notes in each poll which span is current.
struct Watching<'a>(&'a mut Vec<Option<u64>>);

fn current() -> Option<u64> {
    current_span_context().map(|it| u64::from_be_bytes(it.span_id().to_bytes()))
}

impl Body for Watching<'_> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let seen = &mut self.get_mut().0;
        seen.push(current());
        let more = seen.len() < 5;
        Poll::Ready(more.then(|| Ok(Frame::data(Bytes::from_static(b"x")))))
    }
}

#[test]
fn the_span_is_current_in_the_call_in_each_poll_and_in_the_body_and_nowhere_else() {
    let capture = Capture::new();
    let mut seen = Vec::new();
    {
        let seen = &mut seen;
        let mut seen = Some(seen);
        let mut service = server(&capture).layer(Answering(|_: Request<Empty<Bytes>>| {
            let seen = seen.take().unwrap();
            seen.push(current());
            let mut body = Some(Watching(seen));
            let mut polls = 0;
            poll_fn(move |_| {
                body.as_mut().unwrap().0.push(current());
                polls += 1;
                match polls {
                    1 => Poll::Pending,
                    _ => Poll::Ready(Ok::<_, Infallible>(Response::new(body.take().unwrap()))),
                }
            })
        }));
        let mut future = pin!(service.call(get("/")));
        assert_eq!(current(), None);
        assert!(poll_once(future.as_mut()).is_pending());
        assert_eq!(current(), None);
        let Poll::Ready(Ok(answer)) = poll_once(future) else {
            panic!("it waits");
        };
        let mut body = pin!(answer.into_body());
        while let Some(Ok(_)) = frame(body.as_mut()) {
            assert_eq!(current(), None);
        }
    }
    let span = crate::rig::only(&capture);
    let own = Some(u64::from_be_bytes(span.context.span_id().to_bytes()));
    assert_eq!(seen, [own; 5]);
}
