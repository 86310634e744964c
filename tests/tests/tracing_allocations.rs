//! Alone in its process: it installs the counting allocator.
//!
//! What a span of `tracing` allocates, beside what the registry does by itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail at once, with the reason"
)]

use std::time::Duration;

use spandrel_tests::alloc::{CountingAllocator, measure};
use spandrel_tests::fault_server::{FaultServer, Script};
use spandrel_transport_std::layer::{TracingLayer, layer};
use spandrel_transport_std::{Config, Telemetry, Tracer, init};
use tracing::{Dispatch, info, info_span};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const SPANS: usize = 2000;
const PATIENCE: Duration = Duration::from_secs(10);

fn telemetry(server: &FaultServer, sample_rate: f64) -> Telemetry {
    init(Config {
        enabled: true,
        endpoint: server.url(),
        sample_rate: Some(sample_rate),
        read_environment: false,
        set_global: false,
        ..Config::default()
    })
    .unwrap()
}

/// A span with all kinds of fields, an event, a child, a late field and a link.
fn work() {
    let order = info_span!(
        "order.place",
        items = 3,
        total = 12.5,
        customer = "jane",
        debug = ?Some(1),
        otel.kind = "server",
        late = tracing::field::Empty,
    );
    order.in_scope(|| {
        info!(warehouse = "north", left = 7, "stock reserved");
        let payment = info_span!("payment.charge", amount = 12.5);
        payment.follows_from(&order);
        payment.in_scope(|| ());
    });
    order.record("late", "value");
}

/// Allocations of `SPANS` rounds after as many.
fn allocations(subscriber: impl Into<Dispatch>) -> u64 {
    tracing::dispatcher::with_default(&subscriber.into(), || {
        (0..SPANS).for_each(|_| work());
        measure(|| (0..SPANS).for_each(|_| work())).count
    })
}

/// Whether the layer leaves it at the few allocations by which the registry's slab grows.
#[track_caller]
fn assert_none(tracer: &Tracer, edit: impl FnOnce(TracingLayer) -> TracingLayer) {
    const GROWTH: u64 = 8;
    let registry = tracing_subscriber::registry;
    // Without any layer the registry would keep what has closed.
    let alone = allocations(registry().with(LevelFilter::TRACE));
    let count = allocations(registry().with(edit(layer(tracer))));
    assert!(
        count <= GROWTH && alone <= GROWTH,
        "{count}, the registry alone {alone}"
    );
}

#[test]
fn a_recorded_span_allocates_nothing() {
    let server = FaultServer::start(Script::new());
    let telemetry = telemetry(&server, 1.0);
    let tracer = telemetry.tracer("allocations");
    assert_none(&tracer, |layer| layer);
    let all = |layer: TracingLayer| {
        layer
            .with_location(true)
            .with_threads(true)
            .with_level(true)
            .with_target(true)
            .with_tracked_inactivity(true)
    };
    assert_none(&tracer, all);
    let _ = telemetry.shutdown(PATIENCE);
    let ledger = telemetry.ledger();
    assert!(ledger.is_closed(), "{ledger}");
    assert_eq!(ledger.ended, 2 * 2 * 2 * SPANS as u64);
}

#[test]
fn an_unsampled_span_allocates_nothing() {
    let server = FaultServer::start(Script::new());
    let telemetry = telemetry(&server, 0.0);
    let tracer = telemetry.tracer("allocations");
    assert_none(&tracer, |layer| layer);
    assert_none(&tracer, |layer| layer.with_late_parents(false));
    assert_eq!(telemetry.ledger().ended, 0);
    assert_eq!(telemetry.counts().live, 0);
}

#[test]
fn a_disabled_layer_allocates_nothing() {
    assert_none(&Tracer::disabled(), |layer| layer);
}
