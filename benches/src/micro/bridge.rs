//! The API of the crate `opentelemetry` over Spandrel and over its own SDK, and our `tracing` layer with
//! its spans in the API's contexts.
//!
//! A bridge is there for the whole process, so these cases come last, and the one without a bridge first.

use std::rc::Rc;
use std::time::Instant;

use opentelemetry::global::BoxedTracer;
use opentelemetry::trace::{Span as _, Tracer as _};
use opentelemetry_sdk::trace::Sampler;
use spandrel_core::hosted::opentelemetry_0_33::BridgeTracer;
use tracing::Dispatch;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;

use super::{PARTS, ROUND};
use crate::harness::{Case, Entry};
use crate::ours;
use crate::rivals::{otel, tracing_otel};

fn by_tracing(subject: &'static str, subscriber: Dispatch) -> Entry {
    Entry::timed(subject, move |n| {
        let _default = tracing::dispatcher::set_default(&subscriber);
        let start = Instant::now();
        for _ in 0..n {
            let span = tracing::info_span!(
                "operation",
                http.route = "/orders/{id}",
                db.rows = 17,
                server.load = 0.5,
                cache.hit = true,
            );
            let _entered = span.enter();
        }
        start.elapsed().as_nanos() as u64
    })
}

fn in_parts(entries: Vec<Entry>) -> Case {
    let mut case = Case::new(ROUND, entries);
    case.parts = Some(PARTS);
    case
}

fn our_layer() -> Entry {
    let discarding = Rc::new(ours::Discarding::new(1.0));
    let flusher = discarding.clone();
    by_tracing(
        "spandrel, tracing layer",
        ours::dispatch(&discarding.tracer()),
    )
    .settle(move || flusher.flush())
    .delivers(1, move || discarding.exported())
}

pub(super) fn layer_alone() -> Case {
    in_parts(vec![our_layer()])
}

pub(super) fn layer_bridged() -> Case {
    let discarding = Rc::new(ours::Discarding::new(1.0));
    let tracer = BridgeTracer::from(discarding.tracer());
    let layer = tracing_opentelemetry::layer().with_tracer(tracer);
    let subscriber = tracing_subscriber::registry()
        .with(LevelFilter::INFO)
        .with(layer);
    let flusher = discarding.clone();
    let over_ours = by_tracing(
        "tracing-opentelemetry over spandrel",
        Dispatch::new(subscriber),
    )
    .settle(move || flusher.flush())
    .delivers(1, move || discarding.exported());
    let theirs = otel::Discarding::new(Sampler::AlwaysOn);
    let flusher = theirs.clone();
    let over_theirs = by_tracing("tracing-opentelemetry", tracing_otel::dispatch(&theirs))
        .settle(move || flusher.flush())
        .delivers(1, move || theirs.exported());
    in_parts(vec![our_layer(), over_ours, over_theirs])
}

/// As `opentelemetry::global::tracer` gives it.
fn boxed(subject: &'static str, tracer: BoxedTracer) -> Entry {
    Entry::new(subject, move || {
        let mut span = tracer.start("operation");
        span.end();
    })
}

pub(super) fn global_tracer() -> Case {
    let discarding = Rc::new(ours::Discarding::new(1.0));
    let tracer = BoxedTracer::new(Box::new(BridgeTracer::from(discarding.tracer())));
    let flusher = discarding.clone();
    let over_ours = boxed("spandrel", tracer)
        .settle(move || flusher.flush())
        .delivers(1, move || discarding.exported());
    let theirs = otel::Discarding::new(Sampler::AlwaysOn);
    let tracer = BoxedTracer::new(Box::new(theirs.tracer()));
    let flusher = theirs.clone();
    let over_theirs = boxed("opentelemetry_sdk", tracer)
        .settle(move || flusher.flush())
        .delivers(1, move || theirs.exported());
    in_parts(vec![over_ours, over_theirs])
}
