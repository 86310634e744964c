//! Current spans and propagation.

use std::collections::HashMap;
use std::hint::black_box;

use fastrace::Span as FastSpan;
use fastrace::collector::SpanContext as FastContext;
use opentelemetry::Context as OtelContext;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{SpanContext as OtelSpanContext, TraceContextExt as _, TraceState};
use opentelemetry_sdk::trace::Sampler;
use spandrel_core::context::{ParentContext, SpanContext, TraceFlags};
use spandrel_core::hosted::current::{self, Context};
use spandrel_core::propagation::{
    TextMapPropagator as _, TraceContextPropagator, format_traceparent, parse_traceparent,
};

use crate::harness::{Case, Entry};
use crate::ours;
use crate::rivals::{self, tracing_otel};

const TRACEPARENT: &str = "00-5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-01";
const ROUND: u32 = 5000;

fn ours_context() -> SpanContext {
    SpanContext::new(
        "5b8efff798038103d269b633813fc60c".parse().expect("an id"),
        "eee19b7ec3c1b174".parse().expect("an id"),
        TraceFlags::SAMPLED,
    )
}

fn otel() -> OtelContext {
    OtelContext::new().with_remote_span_context(OtelSpanContext::new(
        0x5b8efff798038103d269b633813fc60c_u128.into(),
        0xeee19b7ec3c1b174_u64.into(),
        opentelemetry::TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    ))
}

fn current_span(subscriber: &tracing::Dispatch) -> tracing::Span {
    tracing::dispatcher::with_default(subscriber, || tracing::info_span!("current"))
}

pub(super) fn attach() -> Case {
    let context = Context::from(ours_context());
    let theirs = otel();
    let spandrel = ours::Discarding::new(1.0);
    let ours_span = current_span(&ours::dispatch(&spandrel.tracer()));
    let provider = rivals::otel::Discarding::new(Sampler::AlwaysOn);
    let their_span = current_span(&tracing_otel::dispatch(&provider));
    rivals::fastrace::install();
    let local = FastSpan::root("current", FastContext::random());
    rivals::emit::install(true);
    let ids = emit::span::SpanCtxt::new_root(emit::rng());
    let mut frame = ids.push(emit::ctxt());
    Case::new(
        ROUND,
        vec![
            Entry::new("spandrel", move || {
                let guard = current::attach(black_box(&context).clone());
                black_box(&guard);
            }),
            Entry::new("spandrel, tracing layer", move || {
                let _ = &spandrel;
                let guard = black_box(&ours_span).enter();
                black_box(&guard);
            }),
            Entry::new("opentelemetry", move || {
                let guard = black_box(&theirs).clone().attach();
                black_box(&guard);
            }),
            Entry::new("tracing-opentelemetry", move || {
                let _ = &provider;
                let guard = black_box(&their_span).enter();
                black_box(&guard);
            }),
            Entry::new("fastrace", move || {
                let guard = black_box(&local).set_local_parent();
                black_box(&guard);
            }),
            Entry::new("emit", move || {
                let guard = frame.enter();
                black_box(&guard);
            }),
        ],
    )
}

pub(super) fn parse() -> Case {
    Case::new(
        ROUND,
        vec![
            Entry::new("spandrel", || {
                let _ = black_box(parse_traceparent(black_box(TRACEPARENT)));
            }),
            Entry::new("fastrace", || {
                let text = black_box(TRACEPARENT);
                black_box(FastContext::decode_w3c_traceparent(text));
            }),
            Entry::new("emit_traceparent", || {
                let text = black_box(TRACEPARENT);
                let _ = black_box(emit_traceparent::Traceparent::try_from_str(text));
            }),
        ],
    )
}

/// Into whatever each of them makes: an array, a `String`, a `String`.
pub(super) fn format() -> Case {
    let context = ours_context();
    let fast = FastContext::decode_w3c_traceparent(TRACEPARENT).expect("a traceparent");
    let theirs = emit_traceparent::Traceparent::try_from_str(TRACEPARENT).expect("a traceparent");
    Case::new(
        ROUND,
        vec![
            Entry::new("spandrel", move || {
                black_box(format_traceparent(black_box(&context)));
            }),
            Entry::new("fastrace", move || {
                black_box(black_box(&fast).encode_w3c_traceparent());
            }),
            Entry::new("emit_traceparent", move || {
                black_box(black_box(&theirs).to_string());
            }),
        ],
    )
}

pub(super) fn extract() -> Case {
    let headers = [("traceparent", TRACEPARENT)];
    let map: HashMap<String, String> = [("traceparent".into(), TRACEPARENT.into())].into();
    let theirs = opentelemetry_sdk::propagation::TraceContextPropagator::new();
    Case::new(
        ROUND,
        vec![
            Entry::new("spandrel", move || {
                black_box(TraceContextPropagator.extract(black_box(&headers)));
            }),
            Entry::new("opentelemetry_sdk", move || {
                black_box(theirs.extract(black_box(&map)));
            }),
        ],
    )
}

pub(super) fn inject() -> Case {
    let parent = ParentContext::from(ours_context());
    let mut ours_carrier = HashMap::new();
    let context = otel();
    let mut carrier = HashMap::new();
    let theirs = opentelemetry_sdk::propagation::TraceContextPropagator::new();
    Case::new(
        ROUND,
        vec![
            Entry::new("spandrel", move || {
                TraceContextPropagator.inject(black_box(parent), &mut |key: &str, value: &str| {
                    ours_carrier.insert(key.to_owned(), value.to_owned());
                });
            }),
            Entry::new("opentelemetry_sdk", move || {
                theirs.inject_context(black_box(&context), &mut carrier);
            }),
        ],
    )
}
