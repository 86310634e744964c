//! Current spans and propagation.

use std::collections::HashMap;
use std::hint::black_box;

use opentelemetry::Context as OtelContext;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{SpanContext as OtelSpanContext, TraceContextExt as _, TraceState};
use spandrel_core::context::{ParentContext, SpanContext, TraceFlags};
use spandrel_core::hosted::current::{self, Context};
use spandrel_core::propagation::{TextMapPropagator as _, TraceContextPropagator};

use crate::harness::{Case, Entry};

const TRACEPARENT: &str = "00-5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-01";
const ROUND: u32 = 5000;

fn ours() -> SpanContext {
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

pub(super) fn attach() -> Case {
    let context = Context::from(ours());
    let theirs = otel();
    Case {
        name: "attach a context, detach it",
        ops: ROUND,
        entries: vec![
            Entry::new("spandrel", move || {
                let guard = current::attach(black_box(&context).clone());
                black_box(&guard);
            }),
            Entry::new("opentelemetry", move || {
                let guard = black_box(&theirs).clone().attach();
                black_box(&guard);
            }),
        ],
    }
}

pub(super) fn extract() -> Case {
    let headers = [("traceparent", TRACEPARENT)];
    let map: HashMap<String, String> = [("traceparent".into(), TRACEPARENT.into())].into();
    let theirs = opentelemetry_sdk::propagation::TraceContextPropagator::new();
    Case {
        name: "extract a traceparent",
        ops: ROUND,
        entries: vec![
            Entry::new("spandrel", move || {
                black_box(TraceContextPropagator.extract(black_box(&headers)));
            }),
            Entry::new("opentelemetry_sdk", move || {
                black_box(theirs.extract(black_box(&map)));
            }),
        ],
    }
}

pub(super) fn inject() -> Case {
    let parent = ParentContext::from(ours());
    let mut ours_carrier = HashMap::new();
    let context = otel();
    let mut carrier = HashMap::new();
    let theirs = opentelemetry_sdk::propagation::TraceContextPropagator::new();
    Case {
        name: "inject a traceparent into a map",
        ops: ROUND,
        entries: vec![
            Entry::new("spandrel", move || {
                TraceContextPropagator.inject(black_box(parent), &mut |key: &str, value: &str| {
                    ours_carrier.insert(key.to_owned(), value.to_owned());
                });
            }),
            Entry::new("opentelemetry_sdk", move || {
                theirs.inject_context(black_box(&context), &mut carrier);
            }),
        ],
    }
}
