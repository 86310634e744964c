//! Spans on one thread.

use std::borrow::Cow;
use std::hint::black_box;

use fastrace::collector::SpanContext as FastContext;
use fastrace::local::LocalSpan;
use fastrace::{Event as FastEvent, Span as FastSpan};
use opentelemetry::KeyValue as OtelKeyValue;
use opentelemetry::trace::{Span as _, Tracer as _};
use opentelemetry_sdk::trace::Sampler;
use spandrel_core::attribute::KeyValue;
use spandrel_core::hosted::trace::{Span, Tracer, TracerProvider};

use super::{PARTS, ROUND};
use crate::harness::{Case, Entry, Parts};
use crate::ours;
use crate::rivals::{self, otel, tracing_otel};
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

/// Ours by the macros of `tracing`.
fn ours_tracing(rate: f64, op: impl FnMut() + 'static) -> Entry {
    let discarding = std::rc::Rc::new(ours::Discarding::new(rate));
    let flusher = discarding.clone();
    under(
        "spandrel, tracing layer",
        ours::dispatch(&discarding.tracer()),
        op,
    )
    .settle(move || flusher.flush())
    .delivers(0, move || discarding.exported())
}

/// tracing-opentelemetry, with a provider of its own.
fn tracing(sampler: Sampler, op: impl FnMut() + 'static) -> Entry {
    let discarding = otel::Discarding::new(sampler);
    let flusher = discarding.clone();
    under(
        "tracing-opentelemetry",
        tracing_otel::dispatch(&discarding),
        op,
    )
    .settle(move || flusher.flush())
    .delivers(0, move || discarding.exported())
}

/// Operations under a subscriber of their own, for this thread and this long: two layers of the
/// same kind cannot share one, and the other contestants see none.
fn under(
    subject: &'static str,
    subscriber: tracing::Dispatch,
    mut op: impl FnMut() + 'static,
) -> Entry {
    Entry::timed(subject, move |n| {
        let _default = tracing::dispatcher::set_default(&subscriber);
        let start = std::time::Instant::now();
        for _ in 0..n {
            op();
        }
        start.elapsed().as_nanos() as u64
    })
}

/// fastrace: one reporter for all cases.
fn fastrace(subject: &'static str, op: impl FnMut() + 'static) -> Entry {
    rivals::fastrace::install();
    let before = rivals::fastrace::reported();
    Entry::new(subject, op)
        .settle(::fastrace::flush)
        .delivers(0, move || rivals::fastrace::reported() - before)
}

/// fastrace, spans under one local root. The root is made anew each time, and neither its time nor
/// itself counts; handing over what its children recorded does.
fn fastrace_local(mut op: impl FnMut() + 'static) -> Entry {
    rivals::fastrace::install();
    let before = rivals::fastrace::reported();
    let roots = std::rc::Rc::new(std::cell::Cell::new(0));
    let made = roots.clone();
    Entry::timed("fastrace, child of a local root", move |n| {
        made.set(made.get() + 1);
        let root = FastSpan::root("root", FastContext::random());
        let current = root.set_local_parent();
        let start = std::time::Instant::now();
        for _ in 0..n {
            op();
        }
        drop(current);
        start.elapsed().as_nanos() as u64
    })
    .settle(::fastrace::flush)
    .delivers(0, move || {
        rivals::fastrace::reported() - before - roots.get()
    })
}

/// emit: one runtime for all cases.
fn emit(records: bool, op: impl FnMut() + 'static) -> Entry {
    rivals::emit::install(records);
    let _ = rivals::emit::take_arrived();
    Entry::new("emit", op)
        .settle(rivals::emit::flush)
        .delivers(0, rivals::emit::take_arrived)
}

/// emit with the sampler of emit_traceparent, in a runtime of its own.
fn emit_sampled(rate: f64) -> Entry {
    rivals::emit::install_sampler(rate);
    Entry::new("emit", emit_sampled_plain).settle(rivals::emit::flush_sampled)
}

fn parent_based(root: Sampler) -> Sampler {
    Sampler::ParentBased(Box::new(root))
}

fn case(spans: u64, mut entries: Vec<Entry>) -> Case {
    for entry in &mut entries {
        match &mut entry.delivered {
            Some(_) if spans == 0 => entry.delivered = None,
            Some((per_op, _)) => *per_op = spans,
            None => {}
        }
    }
    let mut case = Case::new(ROUND, entries);
    case.parts = Some(PARTS);
    case
}

pub(super) fn disabled() -> Case {
    let tracer = TracerProvider::disabled().tracer("bench");
    let noop = opentelemetry::global::tracer("bench");
    let mut case = case(
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
            {
                let mut entry = tracing(parent_based(Sampler::AlwaysOn), || {
                    drop(black_box(tracing::debug_span!("operation")));
                });
                entry.subject = "tracing (level off)";
                entry.ops(10 * ROUND)
            },
            fastrace("fastrace (outside of a trace)", || {
                drop(black_box(LocalSpan::enter_with_local_parent("operation")));
            })
            .ops(10 * ROUND),
            {
                let mut entry = emit(false, emit_plain);
                entry.subject = "emit (filtered out)";
                entry
            },
        ],
    );
    // So few of them would be over before the clock has seen anything.
    case.parts = None;
    case
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

fn record_tracing() {
    drop(black_box(tracing::info_span!("operation")));
}

fn tracing_four() {
    drop(tracing::info_span!(
        "operation",
        http.request.method = black_box("GET"),
        http.response.status_code = black_box(200_i64),
        server.load = black_box(0.75_f64),
        cache.hit = black_box(true),
    ));
}

fn tracing_ten() {
    let [a, b, c, d, e, f, g, h, i, j] = black_box(TEN_VALUES);
    drop(tracing::info_span!(
        "operation",
        app.checkout.basket0 = a,
        app.checkout.basket1 = b,
        app.checkout.basket2 = c,
        app.checkout.basket3 = d,
        app.checkout.basket4 = e,
        app.checkout.basket5 = f,
        app.checkout.basket6 = g,
        app.checkout.basket7 = h,
        app.checkout.basket8 = i,
        app.checkout.basket9 = j,
    ));
}

fn tracing_event() {
    tracing::info_span!("operation").in_scope(|| {
        tracing::info!(cache.key = black_box(17_i64), "cache.miss");
    });
}

fn tracing_nested() {
    tracing::info_span!("parent").in_scope(|| {
        tracing::info_span!("child").in_scope(|| black_box(()));
    });
}

/// Properties are texts in fastrace.
fn fast_properties() -> [(&'static str, Cow<'static, str>); 4] {
    [
        ("http.request.method", black_box("GET").into()),
        (
            "http.response.status_code",
            black_box(200_i64).to_string().into(),
        ),
        ("server.load", black_box(0.75_f64).to_string().into()),
        (
            "cache.hit",
            if black_box(true) { "true" } else { "false" }.into(),
        ),
    ]
}

#[emit::span("operation")]
fn emit_plain() {
    black_box(());
}

#[emit::span(rt: rivals::emit::SAMPLED.get(), "operation")]
fn emit_sampled_plain() {
    black_box(());
}

#[emit::span(
    "operation",
    #[emit::key("http.request.method")] method,
    #[emit::key("http.response.status_code")] status,
    #[emit::key("server.load")] load,
    #[emit::key("cache.hit")] hit,
)]
fn emit_four(method: &str, status: i64, load: f64, hit: bool) {
    black_box(());
}

#[emit::span(
    "operation",
    #[emit::key("app.checkout.basket0")] a: values[0],
    #[emit::key("app.checkout.basket1")] b: values[1],
    #[emit::key("app.checkout.basket2")] c: values[2],
    #[emit::key("app.checkout.basket3")] d: values[3],
    #[emit::key("app.checkout.basket4")] e: values[4],
    #[emit::key("app.checkout.basket5")] f: values[5],
    #[emit::key("app.checkout.basket6")] g: values[6],
    #[emit::key("app.checkout.basket7")] h: values[7],
    #[emit::key("app.checkout.basket8")] i: values[8],
    #[emit::key("app.checkout.basket9")] j: values[9],
)]
fn emit_ten(values: [&str; 10]) {
    black_box(());
}

/// The macro puts events of a span under its context.
#[emit::span("operation")]
fn emit_event(key: i64) {
    emit::info!(
        "cache.miss",
        #[emit::key("cache.key")]
        key
    );
}

#[emit::span("parent")]
fn emit_parent() {
    emit_child();
}

#[emit::span("child")]
fn emit_child() {
    black_box(());
}

pub(super) fn unsampled() -> Case {
    case(
        0,
        vec![
            ours(0.0, record_ours),
            ours_tracing(0.0, record_tracing),
            otel(parent_based(Sampler::AlwaysOff), record_otel),
            tracing(parent_based(Sampler::AlwaysOff), record_tracing),
            fastrace("fastrace", || {
                let parent = FastContext::random().sampled(false);
                drop(black_box(FastSpan::root("operation", parent)));
            }),
            emit_sampled(0.0),
        ],
    )
}

pub(super) fn ratio() -> Case {
    case(
        0,
        vec![
            ours(0.1, record_ours),
            ours_tracing(0.1, record_tracing),
            otel(parent_based(Sampler::TraceIdRatioBased(0.1)), record_otel),
            tracing(
                parent_based(Sampler::TraceIdRatioBased(0.1)),
                record_tracing,
            ),
            fastrace("fastrace", || {
                // It has no sampler: the application decides, here by the trace id.
                let context = FastContext::random();
                let sampled = context.trace_id.0 as u64 <= u64::MAX / 10;
                drop(black_box(FastSpan::root(
                    "operation",
                    context.sampled(sampled),
                )));
            }),
            emit_sampled(0.1),
        ],
    )
}

pub(super) fn start_end() -> Case {
    case(
        1,
        vec![
            ours(1.0, record_ours),
            ours_tracing(1.0, record_tracing),
            otel(parent_based(Sampler::AlwaysOn), record_otel),
            tracing(parent_based(Sampler::AlwaysOn), record_tracing),
            fastrace("fastrace", || {
                drop(black_box(FastSpan::root(
                    "operation",
                    FastContext::random(),
                )));
            }),
            fastrace_local(|| drop(black_box(LocalSpan::enter_with_local_parent("operation")))),
            emit(true, emit_plain),
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
        1,
        vec![
            ours(1.0, |tracer| {
                let mut span = tracer.start("operation");
                attributes_ours(&mut span);
                span.end();
            }),
            ours_tracing(1.0, tracing_four),
            otel(parent_based(Sampler::AlwaysOn), |tracer| {
                let mut span = tracer.start("operation");
                attributes_otel(&mut span);
                span.end();
            }),
            tracing(parent_based(Sampler::AlwaysOn), tracing_four),
            fastrace("fastrace", || {
                drop(
                    FastSpan::root("operation", FastContext::random())
                        .with_properties(fast_properties),
                );
            }),
            fastrace_local(|| {
                drop(
                    LocalSpan::enter_with_local_parent("operation")
                        .with_properties(fast_properties),
                );
            }),
            emit(true, || {
                emit_four(
                    black_box("GET"),
                    black_box(200),
                    black_box(0.75),
                    black_box(true),
                )
            }),
        ],
    )
}

pub(super) fn ten_attributes() -> Case {
    let mut case = case(
        1,
        vec![
            ours(1.0, |tracer| {
                let mut span = tracer.start("operation");
                for (key, value) in TEN_KEYS.iter().zip(TEN_VALUES) {
                    span.set_attribute(key, black_box(value));
                }
                span.end();
            }),
            ours_tracing(1.0, tracing_ten),
            otel(parent_based(Sampler::AlwaysOn), |tracer| {
                let mut span = tracer.start("operation");
                for (key, value) in TEN_KEYS.iter().zip(TEN_VALUES) {
                    span.set_attribute(OtelKeyValue::new(*key, black_box(value)));
                }
                span.end();
            }),
            tracing(parent_based(Sampler::AlwaysOn), tracing_ten),
            fastrace("fastrace", || {
                let pairs = || TEN_KEYS.into_iter().zip(black_box(TEN_VALUES));
                drop(FastSpan::root("operation", FastContext::random()).with_properties(pairs));
            }),
            fastrace_local(|| {
                let pairs = || TEN_KEYS.into_iter().zip(black_box(TEN_VALUES));
                drop(LocalSpan::enter_with_local_parent("operation").with_properties(pairs));
            }),
            emit(true, || emit_ten(black_box(TEN_VALUES))),
        ],
    );
    // Spans of half a KiB: fewer of them, so that the shard of a thread holds them. Its worker is woken
    // by their length after about 230, so that is in it once as well.
    case.ops = ROUND / 4;
    case.parts = Some(Parts { warm: 200, ..PARTS });
    case
}

pub(super) fn event() -> Case {
    case(
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
            ours_tracing(1.0, tracing_event),
            otel(parent_based(Sampler::AlwaysOn), |tracer| {
                let mut span = tracer.start("operation");
                span.add_event(
                    "cache.miss",
                    vec![OtelKeyValue::new("cache.key", black_box(17_i64))],
                );
                span.end();
            }),
            tracing(parent_based(Sampler::AlwaysOn), tracing_event),
            fastrace("fastrace", || {
                let span = FastSpan::root("operation", FastContext::random());
                span.add_event(
                    FastEvent::new("cache.miss")
                        .with_property(|| ("cache.key", black_box(17).to_string())),
                );
            }),
        ],
    )
}

pub(super) fn nested() -> Case {
    let mut case = case(
        2,
        vec![
            ours(1.0, |tracer| {
                tracer.span("parent").in_scope(|_| {
                    tracer.span("child").in_scope(|span| {
                        black_box(span);
                    });
                });
            }),
            ours_tracing(1.0, tracing_nested),
            otel(parent_based(Sampler::AlwaysOn), |tracer| {
                tracer.in_span("parent", |_| {
                    tracer.in_span("child", |context| {
                        black_box(&context);
                    });
                });
            }),
            tracing(parent_based(Sampler::AlwaysOn), tracing_nested),
            fastrace("fastrace", || {
                let parent = FastSpan::root("parent", FastContext::random());
                let _current = parent.set_local_parent();
                drop(black_box(LocalSpan::enter_with_local_parent("child")));
            }),
            emit(true, emit_parent),
        ],
    );
    case.ops = ROUND / 2;
    case.parts = Some(Parts {
        cold: PARTS.cold / 2,
        warm: PARTS.warm / 2,
    });
    case
}
