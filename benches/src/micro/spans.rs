//! Spans on one thread.

use std::hint::black_box;

use opentelemetry::KeyValue as OtelKeyValue;
use opentelemetry::trace::{Span as _, Tracer as _};
use opentelemetry_sdk::trace::Sampler;
use spandrel_core::attribute::KeyValue;
use spandrel_core::hosted::trace::{Span, Tracer, TracerProvider};

use super::ROUND;
use crate::harness::{Case, Entry};
use crate::ours;
use crate::rivals::otel;
use crate::workload::{TEN_KEYS, TEN_VALUES};

/// Ours, with a provider of its own.
fn ours(rate: f64, mut op: impl FnMut(&Tracer) + 'static) -> Entry {
    let discarding = std::rc::Rc::new(ours::Discarding::new(rate));
    let tracer = discarding.tracer();
    let flusher = discarding.clone();
    Entry::new("spandrel", move || op(&tracer))
        .settle(move || flusher.flush())
        .delivers(0, move || discarding.exported())
}

/// opentelemetry_sdk, with a provider of its own.
fn otel(
    sampler: Sampler,
    mut op: impl FnMut(&opentelemetry_sdk::trace::SdkTracer) + 'static,
) -> Entry {
    let discarding = otel::Discarding::new(sampler);
    let tracer = discarding.tracer();
    let flusher = discarding.clone();
    Entry::new("opentelemetry_sdk", move || op(&tracer))
        .settle(move || flusher.flush())
        .delivers(0, move || discarding.exported())
}

fn parent_based(root: Sampler) -> Sampler {
    Sampler::ParentBased(Box::new(root))
}

fn case(name: &'static str, spans: u64, mut entries: Vec<Entry>) -> Case {
    for entry in &mut entries {
        match &mut entry.delivered {
            Some(_) if spans == 0 => entry.delivered = None,
            Some((per_op, _)) => *per_op = spans,
            None => {}
        }
    }
    Case {
        name,
        ops: ROUND,
        entries,
    }
}

pub(super) fn disabled() -> Case {
    let tracer = TracerProvider::disabled().tracer("bench");
    let noop = opentelemetry::global::tracer("bench");
    case(
        "disabled: start + end",
        0,
        vec![
            Entry::new("spandrel", move || {
                let span = tracer.start("operation");
                black_box(&span);
                span.end();
            })
            .ops(10 * ROUND),
            Entry::new("opentelemetry (no-op)", move || {
                let mut span = noop.start("operation");
                black_box(&span);
                span.end();
            })
            .ops(10 * ROUND),
        ],
    )
}

fn record_ours(tracer: &Tracer) {
    let span = tracer.start("operation");
    black_box(&span);
    span.end();
}

fn record_otel(tracer: &opentelemetry_sdk::trace::SdkTracer) {
    let mut span = tracer.start("operation");
    black_box(&span);
    span.end();
}

pub(super) fn unsampled() -> Case {
    case(
        "unsampled: start + end",
        0,
        vec![
            ours(0.0, record_ours),
            otel(parent_based(Sampler::AlwaysOff), record_otel),
        ],
    )
}

pub(super) fn ratio() -> Case {
    case(
        "sample rate 0.1: start + end",
        0,
        vec![
            ours(0.1, record_ours),
            otel(parent_based(Sampler::TraceIdRatioBased(0.1)), record_otel),
        ],
    )
}

pub(super) fn start_end() -> Case {
    case(
        "start + end",
        1,
        vec![
            ours(1.0, record_ours),
            otel(parent_based(Sampler::AlwaysOn), record_otel),
        ],
    )
}

/// A text, a whole number, a real number, a truth value.
fn attributes_ours(span: &mut Span) {
    span.set_attribute("http.request.method", black_box("GET"));
    span.set_attribute("http.response.status_code", black_box(200_i64));
    span.set_attribute("server.load", black_box(0.75_f64));
    span.set_attribute("cache.hit", black_box(true));
}

fn attributes_otel(span: &mut opentelemetry_sdk::trace::Span) {
    span.set_attribute(OtelKeyValue::new("http.request.method", black_box("GET")));
    span.set_attribute(OtelKeyValue::new(
        "http.response.status_code",
        black_box(200_i64),
    ));
    span.set_attribute(OtelKeyValue::new("server.load", black_box(0.75_f64)));
    span.set_attribute(OtelKeyValue::new("cache.hit", black_box(true)));
}

pub(super) fn four_attributes() -> Case {
    case(
        "start + 4 attributes + end",
        1,
        vec![
            ours(1.0, |tracer| {
                let mut span = tracer.start("operation");
                attributes_ours(&mut span);
                span.end();
            }),
            otel(parent_based(Sampler::AlwaysOn), |tracer| {
                let mut span = tracer.start("operation");
                attributes_otel(&mut span);
                span.end();
            }),
        ],
    )
}

pub(super) fn ten_attributes() -> Case {
    let mut case = case(
        "start + 10 attributes of 20 characters + end",
        1,
        vec![
            ours(1.0, |tracer| {
                let mut span = tracer.start("operation");
                for (key, value) in TEN_KEYS.iter().zip(TEN_VALUES) {
                    span.set_attribute(key, black_box(value));
                }
                span.end();
            }),
            otel(parent_based(Sampler::AlwaysOn), |tracer| {
                let mut span = tracer.start("operation");
                for (key, value) in TEN_KEYS.iter().zip(TEN_VALUES) {
                    span.set_attribute(OtelKeyValue::new(*key, black_box(value)));
                }
                span.end();
            }),
        ],
    );
    // Spans of half a KiB: fewer of them, so that the shard of a thread holds a round.
    case.ops = ROUND / 4;
    case
}

pub(super) fn event() -> Case {
    case(
        "start + event with 1 attribute + end",
        1,
        vec![
            ours(1.0, |tracer| {
                let mut span = tracer.start("operation");
                span.add_event(
                    "cache.miss",
                    &[KeyValue::new("cache.key", black_box(17_i64))],
                );
                span.end();
            }),
            otel(parent_based(Sampler::AlwaysOn), |tracer| {
                let mut span = tracer.start("operation");
                span.add_event(
                    "cache.miss",
                    vec![OtelKeyValue::new("cache.key", black_box(17_i64))],
                );
                span.end();
            }),
        ],
    )
}

pub(super) fn nested() -> Case {
    let mut case = case(
        "parent + child, both current",
        2,
        vec![
            ours(1.0, |tracer| {
                tracer.span("parent").in_scope(|_| {
                    tracer.span("child").in_scope(|span| {
                        black_box(span);
                    });
                });
            }),
            otel(parent_based(Sampler::AlwaysOn), |tracer| {
                tracer.in_span("parent", |_| {
                    tracer.in_span("child", |context| {
                        black_box(&context);
                    });
                });
            }),
        ],
    );
    case.ops = ROUND / 2;
    case
}
