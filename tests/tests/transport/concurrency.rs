//! Faults L1 and D4: many threads, and panics among them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use spandrel_core::hosted::config::WhenFull;
use spandrel_core::response::DropReason;
use spandrel_tests::fault_server::{Reply, Script};

use crate::harness::{END_LIMIT, PATIENCE, Rig, end_issued, ms};

const THREADS: u64 = 8;
const EACH: u64 = 400;

/// Threads record, one flushes, and half-way through one shuts down.
#[track_caller]
fn stress(when_full: WhenFull, queue: u32, shard_bytes: usize) {
    let flaky = Script::new()
        .then(Reply::Ok)
        .then(Reply::status(503))
        .then(Reply::StoreThenDrop)
        .otherwise(Reply::Ok);
    let rig = Rig::with(flaky, |config| {
        config.when_full = when_full;
        config.max_queue_size = Some(queue);
        config.max_export_batch_size = Some(queue.min(64));
        config.max_span_bytes = Some(1024);
        config.shard_bytes = Some(shard_bytes);
    });
    let done = AtomicU64::new(0);
    let (slowest, recorded) = (AtomicU64::new(0), AtomicU64::new(THREADS));
    let shut = AtomicBool::new(false);
    thread::scope(|scope| {
        let (server, telemetry) = (&rig.server, &rig.telemetry);
        let (done, slowest, recorded, shut) = (&done, &slowest, &recorded, &shut);
        for _ in 0..THREADS {
            scope.spawn(move || {
                let tracer = telemetry.tracer("stress");
                let open = tracer.start("open all the time");
                for number in 0..EACH {
                    let mut span = tracer.start("work");
                    span.set_attribute("number", number as i64);
                    if span.is_recording() {
                        let took = end_issued(server, span);
                        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
                        slowest.fetch_max(nanos, Relaxed);
                        recorded.fetch_add(1, Relaxed);
                    } else {
                        assert!(!tracer.enabled(), "only the shutdown ends recording");
                    }
                    done.fetch_add(1, Relaxed);
                    let ledger = telemetry.ledger();
                    assert!(ledger.is_balanced(), "{ledger}");
                }
                while !shut.load(Relaxed) {
                    thread::yield_now();
                }
                assert!(!tracer.start("too late").is_recording());
                end_issued(server, open);
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
    let recorded = recorded.into_inner();
    assert!(recorded > THREADS * EACH / 2, "{recorded}");
    assert_eq!(rig.telemetry.counts().ended, recorded);
    assert_eq!(rig.telemetry.counts().live, 0);
    let end = rig.close();
    assert_eq!(end.ledger.ended, recorded);
    assert!(end.ledger.dropped(DropReason::Shutdown) >= THREADS);
    assert!(end.ledger.exported > 0);
}

#[test]
fn l1_threads_a_flush_and_a_shutdown_with_room_for_all() {
    stress(WhenFull::DropNewest, 2048, 256 << 10);
}

#[test]
fn l1_threads_a_flush_and_a_shutdown_with_little_room() {
    stress(WhenFull::DropNewest, 16, 4 << 10);
}

#[test]
fn l1_threads_a_flush_and_a_shutdown_dropping_the_oldest() {
    stress(WhenFull::DropOldest, 16, 4 << 10);
}

#[test]
fn d4_a_panic_in_an_application_thread_ends_its_spans_as_errors() {
    let rig = Rig::new(Script::new());
    let tracer = rig.tracer().clone();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let mut outer = tracer.start("outer");
        outer.in_scope(|_| {
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

/// Faults X63 and X64: what a panic says about spans that know better.
#[test]
fn x63_a_panic_keeps_the_statuses_that_were_set_and_spans_of_destructors_are_well() {
    struct CleansUp(spandrel_transport_std::Tracer);
    impl Drop for CleansUp {
        fn drop(&mut self) {
            self.0.start("cleanup that went well").end();
            let mut failed = self.0.start("cleanup that failed");
            failed.set_error("disk full");
        }
    }
    let rig = Rig::new(Script::new());
    let tracer = rig.tracer().clone();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _unset = tracer.start("unset");
        let mut error = tracer.start("error");
        error.set_error("out of stock");
        let mut bare = tracer.start("error without description");
        bare.set_error("");
        let mut ok = tracer.start("ok");
        ok.set_status(spandrel_transport_std::Status::Ok);
        let _cleans_up = CleansUp(tracer.clone());
        std::panic::resume_unwind(Box::new("boom"));
    }));
    assert!(caught.is_err());
    // Its memory was used while the thread unwound, which does not concern it.
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _again = tracer.start("panics again");
        std::panic::resume_unwind(Box::new("boom"));
    }));
    assert!(caught.is_err());
    assert!(rig.flush().is_success());
    let requests = rig.server.requests();
    let statuses: std::collections::BTreeMap<_, _> = requests
        .iter()
        .flat_map(|request| request.spans())
        .map(|span| {
            let status = span.status.as_ref();
            let status = status.map(|status| (status.code(), status.message.as_str()));
            (span.name.as_str(), status)
        })
        .collect();
    let expected = [
        ("unset", Some((StatusCode::Error, "panicked"))),
        ("error", Some((StatusCode::Error, "out of stock"))),
        ("error without description", Some((StatusCode::Error, ""))),
        ("ok", Some((StatusCode::Ok, ""))),
        ("cleanup that went well", None),
        (
            "cleanup that failed",
            Some((StatusCode::Error, "disk full")),
        ),
        ("panics again", Some((StatusCode::Error, "panicked"))),
    ];
    assert_eq!(statuses, expected.into());
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
