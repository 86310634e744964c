//! What a flush covers, and when it returns.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use spandrel_core::breaker::{OpenInterval, State};
use spandrel_core::response::DropReason;
use spandrel_tests::fault_server::{Reply, Script};
use spandrel_transport_std::{FlushOutcome, Telemetry};

use crate::harness::{AT_ONCE, PATIENCE, Rig, at_once, complete, end_issued, ms, until};

#[test]
fn a_flush_without_spans_is_complete_at_once() {
    let rig = Rig::new(Script::new());
    let report = at_once(|| rig.flush());
    complete(report);
    assert_eq!((report.exported, report.dropped, report.left), (0, 0, 0));
    rig.close().is(0, &[]).attempts(0);
}

#[test]
fn a_flush_tells_what_became_of_its_spans() {
    let rig = Rig::new([Reply::Ok, Reply::status(400)]);
    let report = rig.batch(3);
    assert_eq!((report.exported, report.dropped, report.left), (3, 0, 0));
    let report = rig.batch(2);
    assert_eq!((report.exported, report.dropped, report.left), (0, 2, 0));
    assert!(!report.is_success());
    rig.close().is(3, &[(DropReason::Rejected4xx, 2)]);
}

#[test]
fn l2_a_flush_covers_every_span_that_ended_before_it() {
    let rig = Rig::new(Script::new());
    thread::scope(|scope| {
        for _ in 0..4 {
            let (telemetry, server) = (&rig.telemetry, &rig.server);
            scope.spawn(move || {
                let tracer = telemetry.tracer("racer");
                for _ in 0..40 {
                    let span = tracer.start("raced");
                    let key = *span.context();
                    end_issued(server, span);
                    complete(telemetry.force_flush(PATIENCE));
                    let acked = server.oracle().acked();
                    assert!(acked.iter().any(|it| it.span == key.span_id().to_bytes()));
                }
            });
        }
    });
    rig.close().is(160, &[]);
}

#[test]
fn a_flush_covers_finished_threads_and_quiet_ones_beyond_the_number_of_shards() {
    const THREADS: usize = 80;
    let rig = Rig::new(Script::new());
    let (recorded, flushed) = (Barrier::new(THREADS + 1), Barrier::new(THREADS + 1));
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (server, telemetry) = (&rig.server, &rig.telemetry);
            let (recorded, flushed) = (&recorded, &flushed);
            scope.spawn(move || {
                end_issued(server, telemetry.tracer("crowd").start("one"));
                let quiet = number % 2 == 0;
                recorded.wait();
                if quiet {
                    flushed.wait();
                }
            });
        }
        recorded.wait();
        let report = rig.flush();
        assert_eq!((report.exported, report.left), (THREADS as u64, 0));
        for _ in 0..THREADS / 2 {
            // The other half has gone without waiting.
            scope.spawn(|| flushed.wait());
        }
        flushed.wait();
    });
    rig.close().is(THREADS as u64, &[]);
}

#[test]
fn a_flush_reaches_spans_for_which_the_buffer_had_no_room_at_first() {
    // No answer comes before the flush begins, so that its report is about all spans.
    let script = Script::new().then(Reply::Ok.delayed(ms(50)));
    let rig = Rig::with(script, |config| {
        config.max_queue_size = Some(16);
        config.max_export_batch_size = Some(16);
    });
    rig.record(200);
    let report = rig.flush();
    assert!(report.is_success(), "{report:?}");
    assert_eq!(report.exported, 200);
    rig.close().is(200, &[]);
}

/// Otherwise a busy service could never flush.
#[test]
fn a_flush_ends_although_other_threads_go_on_recording() {
    let rig = Rig::with(Reply::Ok.delayed(ms(2)), |config| {
        config.max_queue_size = Some(32);
        config.max_export_batch_size = Some(32);
    });
    thread::scope(|scope| {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let (server, telemetry) = (&rig.server, &rig.telemetry);
        scope.spawn(move || {
            let tracer = telemetry.tracer("busy");
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                for _ in 0..50 {
                    end_issued(server, tracer.start("busy"));
                }
                thread::yield_now();
            }
        });
        until("a backlog", || telemetry.ledger().buffered > 100);
        let report = telemetry.force_flush(Duration::from_secs(5));
        drop(stop);
        assert_eq!(report.outcome, FlushOutcome::Complete, "{report:?}");
    });
    let _ = rig.settle(PATIENCE);
}

#[test]
fn a_flush_while_the_circuit_is_open_returns_at_once_wherever_the_spans_are() {
    let rig = Rig::with(Reply::status(503), |config| {
        config.max_queue_size = Some(8);
        config.max_export_batch_size = Some(8);
        config.breaker.as_mut().unwrap().open = OpenInterval::Fixed(Duration::from_secs(3600));
    });
    // More than the buffer takes: the rest waits in the thread's shard.
    rig.record(30);
    let _ = rig.telemetry.force_flush(ms(10));
    until("open", || rig.telemetry.circuit() == State::Open);
    let report = at_once(|| rig.telemetry.force_flush(Duration::from_secs(60)));
    let FlushOutcome::CircuitOpen { .. } = report.outcome else {
        unreachable!("{report:?}")
    };
    assert_eq!((report.left, report.exported), (30, 0), "{report:?}");
    rig.server.set_default(Reply::Ok);
    rig.close().is(30, &[]);
}

#[test]
fn a_flush_that_times_out_tells_what_it_has_reached() {
    // As above.
    let first = Reply::Ok.delayed(ms(50));
    let rig = Rig::with(Script::new().then(first), |config| {
        config.max_export_batch_size = Some(5);
        config.timeout = Some(Duration::from_secs(60));
    });
    rig.server.set_default(Reply::Hang);
    rig.record(10);
    let started = Instant::now();
    let report = rig.telemetry.force_flush(ms(200));
    assert!(started.elapsed() >= ms(200) && started.elapsed() < ms(200) + AT_ONCE);
    assert_eq!(report.outcome, FlushOutcome::TimedOut);
    assert_eq!((report.exported, report.dropped, report.left), (5, 0, 5));
    rig.close_within(ms(50)).is(5, &[(DropReason::Shutdown, 5)]);
}

#[test]
fn flushes_of_many_threads_at_once_all_end() {
    let rig = Rig::new(Script::new());
    rig.record(5);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| complete(rig.flush()));
        }
    });
    rig.close().is(5, &[]);
}

#[test]
fn a_full_batch_leaves_without_a_flush_and_so_does_an_old_span() {
    let rig = Rig::with(Script::new(), |config| {
        config.max_export_batch_size = Some(10)
    });
    rig.record(10);
    until("a full batch", || rig.telemetry.ledger().exported == 10);
    rig.close().is(10, &[]).attempts(1);

    for delay in [0, 50] {
        let rig = Rig::with(Script::new(), |config| {
            config.scheduled_delay = Some(ms(delay))
        });
        rig.record(1);
        until("an old span", || rig.telemetry.ledger().exported == 1);
        rig.close().is(1, &[]).attempts(1);
    }
}

#[test]
fn disabled_telemetry_flushes_and_shuts_down_at_once() {
    let telemetry = Telemetry::disabled();
    assert!(!telemetry.is_enabled());
    for report in [
        telemetry.force_flush(PATIENCE),
        telemetry.shutdown(PATIENCE),
    ] {
        assert!(report.is_success());
        assert_eq!((report.exported, report.left), (0, 0));
    }
    telemetry.cancel_token().cancel();
    assert!(telemetry.ledger().is_closed());
}
