//! The propagator of the API over ours, and the carriers of both.

use std::collections::HashMap;
use std::process::Command;

use opentelemetry_0_33::baggage::BaggageExt as _;
use opentelemetry_0_33::propagation::{TextMapCompositePropagator, TextMapPropagator};
use opentelemetry_0_33::trace::{Span as _, TraceContextExt as _, TraceId, Tracer as _};
use opentelemetry_0_33::{Context as Theirs, KeyValue};
use spandrel_core::env::{PropagatorName, Propagators};
use spandrel_core::hosted::opentelemetry_0_33::{BridgePropagator, BridgeTracer, our_context};
use spandrel_core::hosted::propagation::environment::{EnvironmentGetter, EnvironmentSetter};
use spandrel_core::hosted::propagation::{Incoming, Propagator};
use spandrel_core::hosted::testing::Capture;

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn of(names: &[PropagatorName]) -> Propagator {
    let names = names.iter();
    Propagator::of(names.fold(Propagators::NONE, |all, name| all.with(*name)))
}

fn w3c() -> Propagator {
    of(&[PropagatorName::TraceContext, PropagatorName::Baggage])
}

fn headers(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    let pairs = pairs.iter();
    pairs.map(|(k, v)| ((*k).into(), (*v).into())).collect()
}

fn sorted(map: HashMap<String, String>) -> Vec<(String, String)> {
    let mut pairs: Vec<_> = map.into_iter().collect();
    pairs.sort();
    pairs
}

#[test]
fn what_came_in_goes_out_again() {
    let cases: [(Propagator, &[(&str, &str)]); 5] = [
        (
            w3c(),
            &[
                ("baggage", "tenant=acme;ttl=3,user=u%20v"),
                ("traceparent", TRACEPARENT),
                ("tracestate", "vendor=1,other=2"),
            ],
        ),
        (w3c(), &[("baggage", "tenant=acme")]),
        (
            of(&[PropagatorName::B3]),
            &[("b3", "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1")],
        ),
        (
            of(&[PropagatorName::B3]),
            &[("b3", "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-d")],
        ),
        (
            of(&[PropagatorName::B3Multi]),
            &[
                ("x-b3-sampled", "1"),
                ("x-b3-spanid", "b7ad6b7169203331"),
                ("x-b3-traceid", "0af7651916cd43dd8448eb211c80319c"),
            ],
        ),
    ];
    for (propagator, pairs) in cases {
        let propagator = BridgePropagator::new(propagator);
        let extracted = propagator.extract(&headers(pairs));
        let mut outgoing = HashMap::new();
        propagator.inject_context(&extracted, &mut outgoing);
        let lower = |pairs: Vec<(String, String)>| -> Vec<_> {
            pairs
                .into_iter()
                .map(|(k, v)| (k.to_lowercase(), v))
                .collect()
        };
        assert_eq!(lower(sorted(outgoing)), sorted(headers(pairs)));
        let fields: Vec<_> = propagator.fields().map(str::to_lowercase).collect();
        assert!(
            pairs
                .iter()
                .all(|(name, _)| fields.contains(&(*name).to_owned())),
            "{fields:?}"
        );
    }
}

#[test]
fn a_request_goes_through_spans_of_both_kinds() {
    let capture = Capture::new();
    let ours = capture.tracer("test");
    let tracer = BridgeTracer::from(ours.clone());
    let propagator = BridgePropagator::new(w3c());
    let request = headers(&[("traceparent", TRACEPARENT), ("baggage", "tenant=acme")]);
    let parent = propagator.extract(&request);
    assert!(parent.span().span_context().is_remote());
    let server = tracer.start_with_context("server", &parent);
    let _inside = parent.with_span(server).attach();
    ours.span("work").in_scope(|work| {
        let mut outgoing = HashMap::new();
        propagator.inject(&mut outgoing);
        let context = work.context();
        let expected = format!("00-{}-{}-01", context.trace_id(), context.span_id());
        assert_eq!(outgoing["traceparent"][..52], expected[..52]);
        assert_eq!(outgoing["baggage"], "tenant=acme");
    });
}

#[test]
fn without_headers_the_context_stays_as_it_is() {
    let capture = Capture::new();
    let tracer = BridgeTracer::from(capture.tracer("test"));
    let propagator = BridgePropagator::new(w3c());
    let context = Theirs::new().with_baggage([KeyValue::new("tenant", "acme")]);
    let context = context.with_span(tracer.start_with_context("span", &context));
    for request in [headers(&[]), headers(&[("traceparent", "00-bad")])] {
        let same = propagator.extract_with_context(&context, &request);
        assert!(same.span().is_recording());
        assert_eq!(same.baggage().len(), 1);
    }
}

#[test]
fn a_service_may_link_to_its_callers_instead_of_following_them() {
    let capture = Capture::new();
    let tracer = BridgeTracer::from(capture.tracer("test"));
    let request = headers(&[("traceparent", TRACEPARENT), ("baggage", "tenant=acme")]);
    for (incoming, links) in [(Incoming::Link, 1), (Incoming::Ignore, 0)] {
        let propagator = BridgePropagator::new(w3c().with_incoming(incoming));
        let parent = propagator.extract(&request);
        let mut span = tracer.start_with_context("server", &parent);
        let trace = TraceId::from_hex("0af7651916cd43dd8448eb211c80319c").unwrap();
        assert_ne!(span.span_context().trace_id(), trace);
        span.end();
        let spans = capture.spans();
        let span = spans.one("server");
        assert_eq!((span.links.len(), span.parent_span_id), (links, None));
        assert_eq!(
            parent.baggage().len(),
            links,
            "what is ignored brings nothing"
        );
        capture.reset();
    }
}

#[test]
fn the_environment_carries_contexts_of_the_api() {
    let propagator = BridgePropagator::new(w3c());
    let getter: EnvironmentGetter = [("TRACEPARENT", TRACEPARENT)].into_iter().collect();
    let context = propagator.extract(&getter);
    assert!(context.span().span_context().is_valid());
    let mut command = Command::new("child");
    propagator.inject_context(&context, &mut EnvironmentSetter(&mut command));
    let variables: Vec<_> = command.get_envs().collect();
    assert_eq!(variables.len(), 1);
    assert_eq!(
        variables[0],
        ("TRACEPARENT".as_ref(), Some(TRACEPARENT.as_ref()))
    );
}

/// As the API's own test of its composite does it.
#[test]
fn propagators_of_the_api_work_beside_ours() {
    let composite = TextMapCompositePropagator::new(vec![
        Box::new(BridgePropagator::new(of(&[PropagatorName::TraceContext]))),
        Box::new(BridgePropagator::new(of(&[PropagatorName::Baggage]))),
    ]);
    let request = headers(&[("traceparent", TRACEPARENT), ("baggage", "tenant=acme")]);
    let context = composite.extract(&request);
    assert_eq!(context.baggage().len(), 1);
    let mut outgoing = HashMap::new();
    composite.inject_context(&context, &mut outgoing);
    assert_eq!(sorted(outgoing), sorted(request));
    let ours = our_context(&context);
    assert_eq!(ours.baggage().get("tenant"), Some("acme"));
    assert_eq!(composite.fields().count(), 3);
}
