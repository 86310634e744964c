//! gRPC: the status comes in the trailers, or in the headers of an answer without a body.

use std::convert::Infallible;
use std::future::ready;
use std::pin::pin;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::Body;
use http_body_util::Empty;
use spandrel_core::hosted::export::SpanData;
use spandrel_core::hosted::testing::Capture;
use tower_layer::Layer as _;
use tower_service::Service;

use crate::rig::{
    Answering, FINE, Frames, client, data, error, frame, now, only, outcome, server, shown,
    trailers,
};

pub(crate) type Answer = Response<Frames>;

/// A service whose trailers are these.
pub(crate) fn answering(
    pairs: &'static [(&'static str, &'static str)],
) -> impl Service<
    Request<Empty<Bytes>>,
    Response = Answer,
    Error = Infallible,
    Future: Future<Output = Result<Answer, Infallible>>,
> {
    Answering(move |_: Request<Empty<Bytes>>| {
        let mut answer = Response::new(Frames::of([data("message"), trailers(pairs)]));
        *answer.version_mut() = Version::HTTP_2;
        ready(Ok::<_, Infallible>(answer))
    })
}

/// Reads the body to its end.
pub(crate) fn finish<B: Body, E>(answer: Result<Response<B>, E>) {
    let mut body = pin!(answer.ok().expect("an answer").into_body());
    while let Some(Ok(_)) = frame(body.as_mut()) {}
}

fn call() -> Request<Empty<Bytes>> {
    let request = Request::post("http://stock:50051/shop.Stock/Count");
    let request = request.header("content-type", "application/grpc");
    request.body(Empty::new()).unwrap()
}

fn code(span: &SpanData) -> String {
    let code = span.attribute("rpc.response.status_code");
    shown(code.expect("a code"))
}

#[test]
fn the_status_in_the_trailers_is_that_of_the_span() {
    const INTERNAL: &[(&str, &str)] = &[("grpc-status", "13"), ("grpc-message", "no disk")];
    const NOT_FOUND: &[(&str, &str)] = &[("grpc-status", "5")];
    const MISSING: &[(&str, &str)] = &[("x", "y")];
    for (pairs, name, on_server, on_client) in [
        (
            INTERNAL,
            "INTERNAL",
            error("no disk", "INTERNAL"),
            error("no disk", "INTERNAL"),
        ),
        (NOT_FOUND, "NOT_FOUND", FINE, error("", "NOT_FOUND")),
        (
            MISSING,
            "UNKNOWN",
            error("", "UNKNOWN"),
            error("", "UNKNOWN"),
        ),
    ] {
        let capture = Capture::new();
        finish(now(server(&capture).layer(answering(pairs)).call(call())));
        finish(now(client(&capture).layer(answering(pairs)).call(call())));
        let spans = capture.spans();
        assert_eq!(
            (code(&spans[0]), outcome(&spans[0])),
            (name.into(), on_server)
        );
        assert_eq!(
            (code(&spans[1]), outcome(&spans[1])),
            (name.into(), on_client)
        );
    }
}

#[test]
fn the_status_in_the_headers_ends_the_span() {
    let capture = Capture::new();
    let refusing = Answering(|_: Request<Empty<Bytes>>| {
        let answer = Response::builder().header("grpc-status", "14");
        ready(Ok::<_, Infallible>(
            answer.body(Empty::<Bytes>::new()).unwrap(),
        ))
    });
    let answer = now(client(&capture).layer(refusing).call(call()));
    let span = only(&capture);
    assert_eq!(code(&span), "UNAVAILABLE");
    assert_eq!(outcome(&span), error("", "UNAVAILABLE"));
    drop(answer);
}

#[test]
fn an_answer_that_is_none_of_grpc_has_the_status_that_its_code_means() {
    for (status, name) in [
        (404, "UNIMPLEMENTED"),
        (503, "UNAVAILABLE"),
        (200, "UNKNOWN"),
    ] {
        let capture = Capture::new();
        let service = crate::rig::with_status(status);
        finish(now(client(&capture).layer(service).call(call())));
        assert_eq!(code(&only(&capture)), name);
    }
}

#[test]
fn a_call_that_is_given_up_is_cancelled() {
    let capture = Capture::new();
    drop(server(&capture).layer(answering(&[])).call(call()));
    drop(now(client(&capture)
        .layer(answering(&[("grpc-status", "0")]))
        .call(call())));
    for span in capture.spans() {
        assert_eq!(code(&span), "CANCELLED");
        assert_eq!(outcome(&span), error("cancelled", "cancelled"));
    }
    assert_eq!(capture.spans().len(), 2);
}
