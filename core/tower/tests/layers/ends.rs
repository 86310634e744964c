//! How spans end.

use std::convert::Infallible;
use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Empty;
use spandrel_core::hosted::testing::Capture;
use tower_layer::Layer as _;
use tower_service::Service as _;

use crate::rig::{
    Answering, FINE, Frames, client, data, error, frame, get, now, only, outcome, poll_once,
    server, text,
};

type Got = Request<Empty<Bytes>>;

fn framed(
    frames: impl Fn() -> Frames + Clone,
) -> Answering<impl FnMut(Got) -> std::future::Ready<Result<Response<Frames>, Infallible>>> {
    Answering(move |_: Got| ready(Ok(Response::new(frames()))))
}

#[test]
fn a_span_ends_with_its_body_and_not_before() {
    let capture = Capture::new();
    let two = || Frames::of([data("one"), data("two")]);
    let answer = now(server(&capture).layer(framed(two)).call(get("/")));
    assert_eq!(capture.counts().live, 1);
    let mut body = pin!(answer.unwrap().into_body());
    assert!(frame(body.as_mut()).is_some() && frame(body.as_mut()).is_some());
    assert_eq!(capture.counts().live, 1);
    assert!(frame(body.as_mut()).is_none());
    assert_eq!(outcome(&only(&capture)), FINE);
    // Asked again, it still says that it has ended.
    assert!(frame(body).is_none());
}

#[test]
fn a_body_that_knows_its_end_ends_the_span_there() {
    let capture = Capture::new();
    let service = Answering(|_: Got| ready(Ok::<_, Infallible>(text("three"))));
    let answer = now(server(&capture).layer(service).call(get("/")));
    let mut body = pin!(answer.unwrap().into_body());
    assert!(!body.is_end_stream() && body.size_hint().exact() == Some(5));
    assert!(frame(body.as_mut()).is_some());
    assert!(body.is_end_stream());
    assert_eq!(outcome(&only(&capture)), FINE);
}

#[test]
fn a_server_that_stops_at_the_length_has_sent_everything() {
    let capture = Capture::new();
    let service = Answering(|_: Got| {
        let answer = Response::builder().header("content-length", "3");
        let body = Frames::of([data("one")]);
        ready(Ok::<_, Infallible>(answer.body(body).unwrap()))
    });
    let answer = now(server(&capture).layer(service).call(get("/")));
    {
        let mut body = pin!(answer.unwrap().into_body());
        assert!(frame(body.as_mut()).is_some());
    }
    assert_eq!(outcome(&only(&capture)), FINE);
}

#[test]
fn answers_to_head_and_those_that_have_no_body_end_at_once() {
    for (method, status) in [("HEAD", 200), ("GET", 204), ("GET", 304)] {
        let capture = Capture::new();
        let service = Answering(move |_: Got| {
            let answer = Response::builder().status(status);
            ready(Ok::<_, Infallible>(
                answer.body(Frames::of([data("x")])).unwrap(),
            ))
        });
        let request = Request::builder().method(method).uri("/");
        let request = request.body(Empty::new()).unwrap();
        let answer = now(server(&capture).layer(service).call(request));
        assert_eq!(outcome(&only(&capture)), FINE, "{method} {status}");
        drop(answer);
    }
}

/// Fault X252: nobody waits for the answer any more.
#[test]
fn x252_requests_and_bodies_that_are_dropped_are_cancelled_and_a_client_need_not_read_everything() {
    let capture = Capture::new();
    let waiting = Answering(|_: Got| pending::<Result<Response<Empty<Bytes>>, Infallible>>());
    {
        let mut service = server(&capture).layer(waiting.clone());
        let mut future = pin!(service.call(get("/")));
        assert!(poll_once(future.as_mut()).is_pending());
    }
    drop(client(&capture).layer(waiting).call(get("http://a/")));
    let two = || Frames::of([data("one"), data("two")]);
    let answer = now(server(&capture).layer(framed(two)).call(get("/")));
    {
        let mut body = pin!(answer.unwrap().into_body());
        assert!(frame(body.as_mut()).is_some());
    }
    let spans = capture.spans();
    assert_eq!(spans.len(), 3);
    for span in spans {
        assert_eq!(
            outcome(&span),
            error("cancelled", "cancelled"),
            "{}",
            span.name
        );
    }
    capture.reset();
    drop(now(client(&capture)
        .layer(framed(two))
        .call(get("http://a/"))));
    assert_eq!(outcome(&only(&capture)), FINE);
}

#[test]
fn errors_of_services_and_bodies_are_those_of_their_spans() {
    let capture = Capture::new();
    let failing = Answering(|_: Got| {
        let error = std::io::Error::other("no route to host");
        ready(Err::<Response<Empty<Bytes>>, _>(error))
    });
    assert!(now(client(&capture).layer(failing).call(get("http://a/"))).is_err());
    let span = only(&capture);
    assert_eq!(
        outcome(&span),
        error("no route to host", "std::io::error::Error")
    );
    assert_eq!(span.events[0].name, "exception");
    assert_eq!(span.attribute("http.response.status_code"), None);

    capture.reset();
    let broken = || Frames::of([data("one"), Err("reset by peer".into())]);
    let answer = now(client(&capture)
        .layer(framed(broken))
        .call(get("http://a/")));
    let mut body = pin!(answer.unwrap().into_body());
    assert!(frame(body.as_mut()).unwrap().is_ok());
    assert!(frame(body.as_mut()).unwrap().is_err());
    let span = only(&capture);
    assert_eq!(
        outcome(&span),
        error("reset by peer", "alloc::string::String")
    );
    span.assert_attribute("http.response.status_code", 200);

    capture.reset();
    let boxed = Answering(|_: Got| {
        let error: Box<dyn std::error::Error + Send + Sync> = "closed".into();
        ready(Err::<Response<Empty<Bytes>>, _>(error))
    });
    assert!(now(client(&capture).layer(boxed).call(get("http://a/"))).is_err());
    assert_eq!(outcome(&only(&capture)), error("closed", "_OTHER"));
}

/// Fault X253: who catches the panic may keep what panicked.
#[test]
fn x253_a_panic_ends_the_span_whoever_catches_it() {
    let capture = Capture::new();
    let panicking = Answering(|_: Got| {
        poll_fn(
            |_| -> std::task::Poll<Result<Response<Empty<Bytes>>, Infallible>> { panic!("boom") },
        )
    });
    let mut service = server(&capture).layer(panicking);
    let mut future = pin!(service.call(get("/")));
    assert!(catch_unwind(AssertUnwindSafe(|| poll_once(future.as_mut()))).is_err());
    assert_eq!(outcome(&only(&capture)), error("panicked", "panic"));

    capture.reset();
    let in_call = Answering(
        |_: Got| -> std::future::Ready<Result<Response<Empty<Bytes>>, Infallible>> {
            panic!("boom")
        },
    );
    let mut service = server(&capture).layer(in_call);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(service.call(get("/"))))).is_err());
    assert_eq!(outcome(&only(&capture)), error("panicked", "panic"));

    capture.reset();
    struct Bomb;
    impl Body for Bomb {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
            panic!("boom")
        }
    }
    let service = Answering(|_: Got| ready(Ok::<_, Infallible>(Response::new(Bomb))));
    let answer = now(server(&capture).layer(service).call(get("/")));
    let mut body = pin!(answer.unwrap().into_body());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(frame(body.as_mut())))).is_err());
    let span = only(&capture);
    assert_eq!(outcome(&span), error("panicked", "panic"));
    span.assert_attribute("http.response.status_code", 200);
}
