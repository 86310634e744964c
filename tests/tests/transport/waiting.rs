//! `WhenFull::Wait`: nothing is lost by a burst, no wait is longer than it may be, and nothing waits
//! where it would keep the sender from making room.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use spandrel_core::hosted::active::active_span;
use spandrel_core::hosted::current::suppress;
use spandrel_core::hosted::diagnostics::{Kind, Severity, report, set_handler};
use spandrel_core::response::DropReason;
use spandrel_tests::fault_server::{FaultServer, Reply, Script};
use spandrel_transport_std::{Config, Span, Telemetry, Tracer, WhenFull, init};
use tokio::runtime::Builder;

use crate::child::{Process, say, settings};
use crate::harness::{AT_ONCE, PATIENCE, Rig, at_once, config, end_issued, ms, until};

/// Room for about a hundred spans of a thread, and for 64 at the sender.
fn small(when_full: WhenFull) -> impl FnOnce(&mut Config) {
    move |config| {
        config.when_full = when_full;
        config.max_queue_size = Some(64);
        config.max_export_batch_size = Some(32);
        config.max_span_bytes = Some(1024);
        config.shard_bytes = Some(4096);
    }
}

/// Ends spans until one has no room: one that is lost.
fn fill(telemetry: &Telemetry) {
    let tracer = telemetry.tracer("waiting");
    let lost = || telemetry.ledger().dropped(DropReason::QueueFull);
    let before = lost();
    while lost() == before {
        tracer.start("fills").end();
    }
}

/// The time that the end of one more span takes.
fn end_one(tracer: &Tracer) -> Duration {
    let span = tracer.start("one more");
    let started = Instant::now();
    span.end();
    started.elapsed()
}

#[test]
fn x277_bursts_of_many_threads_are_delivered_whole() {
    // With more than 63 threads the last ones share one shard.
    for threads in [1, 2, 8, 70] {
        let each = 20_000 / threads;
        let rig = Rig::with(Script::new(), small(WhenFull::Wait(PATIENCE)));
        let start = Barrier::new(threads);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let tracer = rig.telemetry.tracer("waiting");
                    start.wait();
                    for number in 0..each {
                        let mut span = tracer.start("work");
                        span.set_attribute("number", number as i64);
                        end_issued(&rig.server, span);
                    }
                });
            }
        });
        assert!(rig.telemetry.counts().waited > 0);
        rig.close().is((threads * each) as u64, &[]);
    }
}

#[test]
fn x277_without_waiting_the_same_burst_loses_spans() {
    let rig = Rig::with(Script::new(), small(WhenFull::DropNewest));
    rig.record(20_000);
    assert!(rig.telemetry.ledger().dropped(DropReason::QueueFull) > 0);
    assert_eq!(rig.telemetry.counts().waited, 0);
    rig.close();
}

#[test]
fn x278_a_span_waits_as_long_as_it_may_and_is_then_counted_as_lost() {
    let limit = ms(60);
    let rig = Rig::with(Reply::Hang, small(WhenFull::Wait(limit)));
    fill(&rig.telemetry);
    let waited = rig.telemetry.counts().waited;
    let lost = rig.telemetry.ledger().dropped(DropReason::QueueFull);
    let took = end_one(rig.tracer());
    assert!(took >= limit && took < limit + AT_ONCE, "{took:?}");
    assert_eq!(rig.telemetry.counts().waited, waited + 1);
    let ledger = rig.telemetry.ledger();
    assert_eq!(ledger.dropped(DropReason::QueueFull), lost + 1, "{ledger}");
    drop(rig.telemetry);
}

/// With every fault, from several threads, while one flushes: all ends in time, and the books are right.
#[test]
fn x278_no_fault_of_a_collector_makes_a_span_wait_longer() {
    const THREADS: u64 = 4;
    const EACH: u64 = 150;
    let slow = Reply::SlowLoris {
        byte_interval: ms(20),
    };
    let faults = [
        Reply::Hang,
        slow,
        Reply::status(503),
        Reply::status(400),
        Reply::retry_after(429, &["1"]),
        Reply::StoreThenDrop,
        Reply::ConnectionClose,
    ];
    thread::scope(|scope| {
        for fault in faults {
            scope.spawn(move || {
                let limit = ms(5);
                let rig = Rig::with(fault.clone(), small(WhenFull::Wait(limit)));
                let started = Instant::now();
                thread::scope(|scope| {
                    for _ in 0..THREADS {
                        scope.spawn(|| {
                            for _ in 0..EACH {
                                let span = rig.tracer().start("work");
                                end_issued(&rig.server, span);
                            }
                        });
                    }
                    let _ = rig.telemetry.force_flush(ms(100));
                });
                let most = limit * u32::try_from(EACH).unwrap() + 2 * AT_ONCE;
                assert!(
                    started.elapsed() < most,
                    "{fault:?}: {:?}",
                    started.elapsed()
                );
                let end = rig.settle(ms(300));
                assert_eq!(end.ledger.ended, THREADS * EACH, "{fault:?}");
            });
        }
    });
}

#[test]
fn x279_a_shutdown_ends_all_waiting() {
    for cancels in [false, true] {
        let rig = Rig::with(Reply::Hang, small(WhenFull::Wait(10 * PATIENCE)));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let tracer = rig.telemetry.tracer("waiting");
                    while tracer.enabled() {
                        tracer.start("work").end();
                    }
                });
            }
            until("all wait", || rig.telemetry.counts().waited >= 4);
            at_once(|| match cancels {
                true => rig.telemetry.cancel_token().cancel(),
                false => drop(rig.telemetry.shutdown(ms(50))),
            });
        });
        let ledger = rig.telemetry.ledger();
        assert!(ledger.is_closed() && ledger.ended > 400, "{ledger}");
        assert_eq!(ledger.dropped(DropReason::QueueFull), 0, "{ledger}");
    }
}

#[test]
fn x280_nothing_waits_where_spans_are_suppressed_or_a_panic_unwinds() {
    let rig = Rig::with(Reply::Hang, small(WhenFull::Wait(ms(100))));
    fill(&rig.telemetry);
    let wait_in_suppressed = || {
        let span = rig.tracer().start("from before");
        let _quiet = suppress();
        span.end();
    };
    let before = rig.telemetry.counts().waited;
    wait_in_suppressed();
    let span = rig.tracer().start("unwound");
    let unwound = catch_unwind(AssertUnwindSafe(move || {
        let _span: Span = span;
        resume_unwind(Box::new(()));
    }));
    assert!(unwound.is_err());
    assert_eq!(rig.telemetry.counts().waited, before);
    // The span that is lost takes with it what helpers recorded, and no lock.
    rig.tracer()
        .span("with updates")
        .in_scope(|_| active_span().set_attribute("a", 1));
    assert_eq!(rig.telemetry.counts().waited, before + 1);
    drop(rig.telemetry);
}

/// In the child: a handler of diagnostics makes spans when there is no room.
pub(crate) fn waits_in_a_handler() {
    let mut config = settings();
    small(WhenFull::Wait(PATIENCE))(&mut config);
    let telemetry = init(config).unwrap();
    let tracer = telemetry.tracer("waiting");
    let handled = tracer.clone();
    set_handler(Box::new(move |_| handled.start("in the handler").end()));
    // Until a thread waits, so that there is no room.
    thread::scope(|scope| {
        scope.spawn(|| {
            while tracer.enabled() {
                tracer.start("work").end();
            }
        });
        until("a thread waits", || telemetry.counts().waited > 0);
        let started = Instant::now();
        // This thread's shard has room for some.
        for number in 0..2000 {
            let kind = [Kind::Misuse, Kind::Config][number % 2];
            spandrel_core::hosted::diagnostics::report_cause(
                kind,
                Severity::Error,
                number,
                format_args!("{number}"),
            );
        }
        report(Kind::Internal, Severity::Error, format_args!("the last"));
        say(&format!("{}", started.elapsed() < PATIENCE / 2));
        let _ = telemetry.shutdown(ms(50));
    });
    say(&format!("{}", telemetry.ledger().is_closed()));
}

#[test]
fn x280_nothing_waits_in_a_handler_of_reports() {
    let server = FaultServer::start(Reply::Hang);
    let lines = Process::start("waits in a handler", &server.url(), 0, None).lines();
    assert_eq!(lines, ["true", "true"]);
}

#[test]
fn x281_threads_that_share_a_shard_do_not_wait_for_each_others_waits() {
    const OTHERS: usize = 64;
    let rig = Rig::with(Reply::Hang, small(WhenFull::Wait(PATIENCE)));
    let (ready, done) = (Barrier::new(OTHERS + 1), AtomicBool::new(false));
    thread::scope(|scope| {
        // All but the common shard are taken.
        for _ in 0..OTHERS {
            scope.spawn(|| {
                rig.tracer().start("idle").end();
                ready.wait();
                while !done.load(Ordering::Relaxed) {
                    thread::park_timeout(ms(1));
                }
            });
        }
        ready.wait();
        scope.spawn(|| {
            let tracer = rig.telemetry.tracer("waiting");
            while tracer.enabled() {
                tracer.start("work").end();
            }
        });
        until("one waits", || rig.telemetry.counts().waited > 0);
        let spans = at_once(|| {
            (0..100)
                .map(|_| rig.tracer().start("other"))
                .collect::<Vec<_>>()
        });
        assert!(spans.iter().all(Span::is_recording));
        let _ = rig.telemetry.shutdown(ms(50));
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn x282_async_code_awaits_room_and_never_blocks_its_runtime() {
    let server = FaultServer::start(Script::new());
    let small = |when_full| {
        let mut config = config(&server.url());
        small(when_full)(&mut config);
        config
    };
    for mut runtime in [Builder::new_current_thread(), Builder::new_multi_thread()] {
        let before = server.oracle().stored().len();
        let runtime = runtime.enable_all().build().unwrap();
        runtime.block_on(async {
            let refused = spandrel_transport_async::init(small(WhenFull::Wait(PATIENCE)));
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains("await `room()`"), "{refused}");
            let zero = spandrel_transport_async::init(small(WhenFull::Wait(Duration::ZERO)));
            drop(zero.unwrap());

            let telemetry = spandrel_transport_async::init(small(WhenFull::DropNewest)).unwrap();
            let tracer = telemetry.tracer("waiting");
            for _ in 0..5000 {
                telemetry.room().await;
                tracer.start("work").end();
            }
            let report = telemetry.shutdown(PATIENCE).await;
            assert!(report.is_success(), "{report}");
            // At once, because nothing is recorded any more.
            telemetry.room().await;
        });
        assert_eq!(server.oracle().stored().len() - before, 5000);
    }
}

#[test]
fn x282_room_that_does_not_come_is_waited_for_without_blocking() {
    let server = FaultServer::start(Reply::Hang);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut config = config(&server.url());
        small(WhenFull::DropNewest)(&mut config);
        let telemetry = spandrel_transport_async::init(config).unwrap();
        let tracer = telemetry.tracer("waiting");
        for _ in 0..2000 {
            tracer.start("work").end();
        }
        let waited = tokio::time::timeout(ms(50), telemetry.room()).await;
        assert!(waited.is_err(), "there is no room");
        let shutdown = async {
            tokio::time::sleep(ms(20)).await;
            telemetry.shutdown(ms(50)).await
        };
        let ((), report) = tokio::join!(telemetry.room(), shutdown);
        assert!(!report.is_success());
    });
}
