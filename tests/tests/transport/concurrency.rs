//! Faults L1 and D4: many threads, and panics among them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use spandrel_core::buffer::Overflow;
use spandrel_core::response::DropReason;
use spandrel_tests::fault_server::{Reply, Script};

use crate::harness::{END_LIMIT, PATIENCE, Rig, end_issued, ms};

const THREADS: u64 = 8;
const EACH: u64 = 400;

/// Threads record, one flushes, and half-way through one shuts down.
#[track_caller]
fn stress(overflow: Overflow, queue: u32, shard_bytes: usize) {
    let flaky = Script::new()
        .then(Reply::Ok)
        .then(Reply::status(503))
        .then(Reply::StoreThenDrop)
        .otherwise(Reply::Ok);
    let rig = Rig::with(flaky, |config| {
        config.overflow = overflow;
        config.max_queue_size = Some(queue);
        config.max_export_batch_size = Some(queue.min(64));
        config.max_span_bytes = Some(1024);
        config.shard_bytes = Some(shard_bytes);
    });
    let done = AtomicU64::new(0);
    let slowest = AtomicU64::new(0);
    let shut = AtomicBool::new(false);
    thread::scope(|scope| {
        let (server, telemetry) = (&rig.server, &rig.telemetry);
        let (done, slowest, shut) = (&done, &slowest, &shut);
        for _ in 0..THREADS {
            scope.spawn(move || {
                let tracer = telemetry.tracer("stress");
                for number in 0..EACH {
                    let mut span = tracer.start("work");
                    span.set_attribute("number", number as i64);
                    let took = end_issued(server, span);
                    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
                    slowest.fetch_max(nanos, Relaxed);
                    done.fetch_add(1, Relaxed);
                    let ledger = telemetry.ledger();
                    assert!(ledger.is_balanced(), "{ledger}");
                }
                while !shut.load(Relaxed) {
                    thread::yield_now();
                }
                end_issued(server, tracer.start("too late"));
            });
        }
        scope.spawn(move || {
            while done.load(Relaxed) < THREADS * EACH {
                let _ = telemetry.force_flush(ms(20));
            }
        });
        scope.spawn(move || {
            while done.load(Relaxed) < THREADS * EACH / 2 {
                thread::yield_now();
            }
            let report = telemetry.shutdown(PATIENCE);
            assert_eq!(report.left, 0);
            shut.store(true, Relaxed);
        });
    });
    let slowest = Duration::from_nanos(slowest.into_inner());
    assert!(slowest < END_LIMIT, "`end` waited {slowest:?}");
    assert_eq!(rig.telemetry.counts().ended, THREADS * (EACH + 1));
    assert_eq!(rig.telemetry.counts().live, 0);
    let end = rig.close();
    assert_eq!(end.ledger.ended, THREADS * (EACH + 1));
    assert!(end.ledger.dropped(DropReason::Shutdown) >= THREADS);
    assert!(end.ledger.exported > 0);
}

#[test]
fn l1_threads_a_flush_and_a_shutdown_with_room_for_all() {
    stress(Overflow::DropNewest, 2048, 256 << 10);
}

#[test]
fn l1_threads_a_flush_and_a_shutdown_with_little_room() {
    stress(Overflow::DropNewest, 16, 4 << 10);
}

#[test]
fn l1_threads_a_flush_and_a_shutdown_dropping_the_oldest() {
    stress(Overflow::DropOldest, 16, 4 << 10);
}

#[test]
fn d4_a_panic_in_an_application_thread_ends_its_spans_as_errors() {
    let rig = Rig::new(Script::new());
    let tracer = rig.tracer().clone();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let outer = tracer.start("outer");
        outer.in_scope(|| {
            let mut inner = tracer.start("inner");
            inner.set_status(spandrel_transport_std::Status::Ok);
            std::panic::resume_unwind(Box::new("boom"));
        });
    }));
    assert!(caught.is_err());
    assert!(spandrel_core::hosted::current::current().is_none());
    assert!(rig.flush().is_success());
    let requests = rig.server.requests();
    let spans: Vec<_> = requests.iter().flat_map(|r| r.spans()).collect();
    assert_eq!(spans.len(), 2);
    for span in spans {
        let status = span.status.as_ref().unwrap();
        if span.name == "outer" {
            assert_eq!(status.code(), StatusCode::Error);
            assert_eq!(status.message, "panicked");
        } else {
            // Said to be fine before the panic: that is final.
            assert_eq!(status.code(), StatusCode::Ok);
        }
    }
    assert!(rig.telemetry.shutdown(PATIENCE).is_success());
    assert!(rig.telemetry.ledger().is_closed());
}

#[test]
fn d4_a_thread_that_dies_leaves_its_spans_and_its_shard() {
    let rig = Rig::new(Script::new());
    let (server, telemetry) = (&rig.server, &rig.telemetry);
    for _ in 0..100 {
        let ended = thread::scope(|scope| {
            scope
                .spawn(|| {
                    end_issued(server, telemetry.tracer("mortal").start("last words"));
                    std::panic::resume_unwind(Box::new("boom"));
                })
                .join()
        });
        assert!(ended.is_err());
    }
    assert_eq!(rig.flush().exported, 100);
    rig.close().is(100, &[]);
}
