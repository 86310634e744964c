//! Alone in its process: it installs the counting allocator.
//!
//! No allocation for a span on the thread that records it, once everything is warm.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail at once, with the reason"
)]

use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use spandrel_tests::alloc::{CountingAllocator, measure};
use spandrel_tests::fault_server::{FaultServer, Reply, Script};
use spandrel_transport_std::{
    Baggage, Config, KeyValue, Span, SpanKind, Status, Telemetry, Tracer, init,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const SPANS: usize = 3000;
const PATIENCE: Duration = Duration::from_secs(10);

fn telemetry(server: &FaultServer, sample_rate: f64) -> Telemetry {
    init(Config {
        enabled: true,
        service_name: "allocations".into(),
        endpoint: server.url(),
        sample_rate: Some(sample_rate),
        read_environment: false,
        set_global: false,
        ..Config::default()
    })
    .unwrap()
}

/// A span with everything on it, and a child that finds its parent by itself.
fn work(tracer: &Tracer) {
    let mut order = tracer.span("order.place").kind(SpanKind::Server).start();
    order.set_attribute("order.items", 3);
    order.set_attribute("order.total", 12.5);
    order.set_attribute("customer", "jane");
    order.set_attribute("customer", "joan");
    order.add_event("cache.miss", &[KeyValue::new("key", "k")]);
    order.in_scope(|_| {
        let mut payment = tracer.start("payment.charge");
        payment.set_status(Status::error("declined"));
        payment.end();
    });
    order.record_error(&std::fmt::Error);
    order.end();
}

fn rounds(tracer: &Tracer) {
    for _ in 0..SPANS {
        work(tracer);
    }
}

#[track_caller]
fn closes(telemetry: &Telemetry) {
    let _ = telemetry.shutdown(PATIENCE);
    let ledger = telemetry.ledger();
    assert!(ledger.is_closed(), "{ledger}");
}

#[test]
fn a_span_and_its_child_allocate_nothing() {
    let server = FaultServer::start(Script::new());
    let telemetry = telemetry(&server, 1.0);
    let tracer = telemetry.tracer("allocations");
    work(&tracer);
    assert_eq!(measure(|| rounds(&tracer)).count, 0);
    closes(&telemetry);
    assert_eq!(telemetry.ledger().ended, 2 * (SPANS as u64 + 1));
}

/// What is beside the current span is shared, not copied.
#[test]
fn a_span_and_its_child_under_baggage_allocate_nothing_either() {
    let server = FaultServer::start(Script::new());
    let telemetry = telemetry(&server, 1.0);
    let tracer = telemetry.tracer("allocations");
    let _tenant = Baggage::new().with("tenant", "acme").attach();
    work(&tracer);
    assert_eq!(measure(|| rounds(&tracer)).count, 0);
    closes(&telemetry);
}

#[test]
fn a_span_that_is_lost_allocates_nothing_either() {
    let server = FaultServer::start(Reply::status(400));
    let telemetry = telemetry(&server, 1.0);
    let tracer = telemetry.tracer("allocations");
    work(&tracer);
    assert!(telemetry.shutdown(PATIENCE).left == 0);
    assert_eq!(measure(|| rounds(&tracer)).count, 0);
    closes(&telemetry);
}

#[test]
fn an_unsampled_span_allocates_nothing() {
    let server = FaultServer::start(Script::new());
    let telemetry = telemetry(&server, 0.0);
    let tracer = telemetry.tracer("allocations");
    work(&tracer);
    assert_eq!(measure(|| rounds(&tracer)).count, 0);
    closes(&telemetry);
    assert_eq!(telemetry.ledger().ended, 0);
}

#[test]
fn disabled_tracing_allocates_nothing_at_all() {
    let telemetry = Telemetry::disabled();
    let tracer = telemetry.tracer("nothing");
    work(&tracer);
    assert_eq!(measure(|| rounds(&tracer)).count, 0);
    assert_eq!(measure(|| rounds(&telemetry.tracer("again"))).count, 0);
}

#[test]
fn spans_that_end_on_another_thread_allocate_nothing_per_span_on_either() {
    const IN_FLIGHT: usize = 8;
    let server = FaultServer::start(Script::new());
    let telemetry = telemetry(&server, 1.0);
    let tracer = telemetry.tracer("allocations");
    let (sender, receiver) = sync_channel::<Span>(IN_FLIGHT);
    let (warm, is_warm) = sync_channel::<()>(1);
    thread::scope(|scope| {
        let ends = scope.spawn(move || {
            // As many as fill both pools and let them trade with the reserve.
            for _ in 0..SPANS {
                receiver.recv().unwrap().end();
            }
            warm.send(()).unwrap();
            measure(|| {
                for _ in 0..SPANS {
                    // Waiting on a channel allocates at most once; only the spans count here.
                    receiver.recv().unwrap().end();
                }
            })
        });
        let send = || {
            let mut span = tracer.start("handed over");
            span.set_attribute("number", 1);
            sender.send(span).unwrap();
        };
        for _ in 0..SPANS {
            send();
        }
        is_warm.recv().unwrap();
        let starts = measure(|| {
            for _ in 0..SPANS {
                send();
            }
        });
        let ends = ends.join().unwrap();
        // The channel may allocate a few times, and a schedule that the warm-up did not see may
        // need more boxes: at most as many as the pool of a thread (32) and the channel hold. None
        // of that grows with the number of spans.
        let most = 4 + 32 + IN_FLIGHT as u64;
        let count = starts.count + ends.count;
        assert!(
            count <= most && most * 10 < SPANS as u64,
            "{starts:?} {ends:?}"
        );
    });
    closes(&telemetry);
}

const MIB: u64 = 1024 * 1024;
/// Requests that are under way together.
const LIVE: usize = 20_000;

/// What the thread has now of what it allocated in `body`.
fn kept(body: impl FnOnce()) -> u64 {
    let allocations = measure(body);
    allocations.bytes.saturating_sub(allocations.freed)
}

#[test]
fn x101_live_spans_take_what_they_hold_and_give_it_back() {
    let server = FaultServer::start(Script::new());
    let telemetry = telemetry(&server, 1.0);
    let tracer = telemetry.tracer("allocations");
    work(&tracer);
    let mut live = Vec::with_capacity(LIVE);
    let left = kept(|| {
        let held = kept(|| {
            for number in 0..LIVE {
                let mut span = tracer.start("request");
                span.set_attribute("number", number);
                live.push(span);
            }
        });
        assert!(held < 30 * MIB, "{held} bytes for {LIVE} live spans");
        live.clear();
    });
    assert!(left < MIB, "{left} bytes are kept after a burst");
    closes(&telemetry);
}

#[test]
fn x101_large_spans_give_their_memory_back() {
    let server = FaultServer::start(Script::new());
    let telemetry = telemetry(&server, 1.0);
    let tracer = telemetry.tracer("allocations");
    work(&tracer);
    let text = "x".repeat(1000);
    let large = || {
        let mut span = tracer.start("request");
        for number in 0..14 {
            span.set_attribute(&format!("text.{number}"), text.as_str());
        }
        span
    };
    let left = kept(|| {
        let mut live: Vec<_> = (0..LIVE / 20).map(|_| large()).collect();
        live.clear();
    });
    assert!(left < MIB, "{left} bytes are kept after a burst");
    // One after the other, they use the memory of the one before. Names of keys are the test's.
    let rounds = measure(|| (0..100).for_each(|_| drop(large())));
    assert!(rounds.bytes < 100 * 14 * 32, "{rounds:?}");
    closes(&telemetry);
}
