//! Faults D7, D8 and the end of a handle in all its forms.

use std::thread;
use std::time::{Duration, Instant};

use spandrel_core::breaker::{OpenInterval, State};
use spandrel_core::context::{SpanContext, TraceFlags};
use spandrel_core::response::DropReason;
use spandrel_tests::fault_server::{FaultServer, Reply, Script};
use spandrel_transport_std::{FlushOutcome, init};

use crate::harness::{AT_ONCE, LATE, PATIENCE, Rig, at_once, config, five, ms, soonest, until};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn d8_shutdown_of_an_idle_pipeline_sends_what_is_left() {
    let rig = Rig::new(Script::new());
    rig.record(3);
    let end = at_once(|| rig.close());
    end.is(3, &[]).attempts(1);
    assert!(end.report.is_success());
    assert_eq!(end.report.exported, 3);
}

#[test]
fn d8_shutdown_without_spans_sends_nothing() {
    let end = at_once(|| Rig::new(Script::new()).close());
    end.is(0, &[]).attempts(0);
    assert!(end.report.is_success());
    assert_eq!(end.server.counters().accepted, 0);
}

#[test]
fn d8_shutdown_while_sending_waits_for_the_answer() {
    let rig = Rig::new([Reply::Ok.delayed(ms(100))]);
    rig.record(2);
    let _ = rig.telemetry.force_flush(ms(1));
    assert!(rig.server.wait_for_requests(1, PATIENCE));
    rig.record(1);
    rig.close().is(3, &[]).attempts(2);
}

#[test]
fn d8_shutdown_while_a_request_hangs_returns_at_its_deadline() {
    let late = soonest(|| {
        let rig = Rig::with(Reply::Hang, |config| config.timeout = Some(HOUR));
        rig.record(2);
        let _ = rig.telemetry.force_flush(ms(1));
        assert!(rig.server.wait_for_requests(1, PATIENCE));
        let started = Instant::now();
        let end = rig.close_within(ms(100));
        let took = started.elapsed();
        assert!(took >= ms(100) && took < ms(100) + AT_ONCE, "{took:?}");
        end.is(0, &[(DropReason::Shutdown, 2)]);
        assert_eq!(end.report.outcome, FlushOutcome::TimedOut);
        assert_eq!(end.report.dropped, 2);
        // The request is ended, not left behind.
        until("the connection is gone", || end.server.counters().open == 0);
        took - ms(100)
    });
    assert!(late <= LATE, "always {late:?} late or more");
}

#[test]
fn d8_shutdown_while_waiting_for_a_retry_does_not_wait() {
    let rig = Rig::with([Reply::status(503)], |config| {
        let backoff = config.backoff.as_mut().unwrap();
        (backoff.initial, backoff.cap) = (HOUR, HOUR);
        backoff.max_elapsed = Duration::MAX;
    });
    rig.record(2);
    let _ = rig.telemetry.force_flush(ms(1));
    rig.wait_for_attempts(1);
    until("the answer", || rig.telemetry.ledger().in_flight == 0);
    let end = at_once(|| rig.close());
    end.is(2, &[]).attempts(2);
}

/// The one last attempt opens the way for all that is held, in the shards too.
#[test]
fn d8_shutdown_while_open_tries_once_and_goes_on_when_that_succeeds() {
    let rig = open(|_| ());
    rig.record(20);
    rig.server.set_default(Reply::Ok);
    let end = at_once(|| rig.close());
    end.is(22, &[]);
    assert!(end.report.is_success());
}

#[test]
fn d8_shutdown_while_open_reaches_spans_beyond_the_buffer_too() {
    let rig = open(|config| {
        config.max_queue_size = Some(4);
        config.max_export_batch_size = Some(4);
    });
    rig.record(20);
    rig.server.set_default(Reply::Ok);
    let end = at_once(|| rig.close());
    end.is(22, &[]);
}

#[test]
fn d8_shutdown_while_open_gives_up_when_the_last_attempt_fails() {
    let rig = open(|_| ());
    rig.record(3);
    let end = at_once(|| rig.close());
    end.is(0, &[(DropReason::Shutdown, 5)]).attempts(6);
    assert!(!end.report.is_success());
}

/// A rig with two spans behind an open circuit.
fn open(edit: impl FnOnce(&mut spandrel_transport_std::Config)) -> Rig {
    let rig = Rig::with(Reply::status(503), |config| {
        config.breaker.as_mut().unwrap().open = OpenInterval::Fixed(HOUR);
        edit(config);
    });
    rig.record(2);
    let _ = rig.telemetry.force_flush(ms(1));
    until("open", || rig.telemetry.circuit() == State::Open);
    rig
}

#[test]
fn d8_shutdown_while_half_open_waits_for_the_probe() {
    let script = five(&Reply::status(503)).otherwise(Reply::Ok.delayed(ms(100)));
    let rig = Rig::new(script);
    rig.record(2);
    let _ = rig.telemetry.force_flush(ms(1));
    until("half-open", || rig.telemetry.circuit() == State::HalfOpen);
    rig.close().is(2, &[]).attempts(6);
}

#[test]
fn d8_shutdown_of_a_backlog_larger_than_the_buffer_delivers_all_of_it() {
    let rig = Rig::with(Script::new(), |config| {
        config.max_queue_size = Some(8);
        config.max_export_batch_size = Some(8);
    });
    rig.record(100);
    let end = rig.close();
    end.is(100, &[]);
    assert!(end.report.is_success(), "{:?}", end.report);
}

#[test]
fn d8_shutdown_cuts_pauses_short_for_a_backlog_larger_than_the_buffer_too() {
    let rig = Rig::with([Reply::retry_after(503, &["300"])], |config| {
        config.max_queue_size = Some(8);
        config.max_export_batch_size = Some(8);
    });
    rig.record(100);
    until("the pause", || {
        rig.attempts() == 1 && rig.telemetry.ledger().in_flight == 0
    });
    at_once(|| rig.close()).is(100, &[]);
}

#[test]
fn d7_shutdown_again_gives_the_same_report_whatever_ended_meanwhile() {
    let rig = Rig::new(Script::new());
    rig.record(3);
    let open = [rig.tracer().start("open"), rig.tracer().start("open")];
    let first = rig.telemetry.shutdown(PATIENCE);
    assert!(first.is_success());
    assert_eq!(first.exported, 3);
    for span in open {
        rig.end(span);
        assert_eq!(at_once(|| rig.telemetry.shutdown(PATIENCE)), first);
    }
    rig.close().is(3, &[(DropReason::Shutdown, 2)]);
}

#[test]
fn d7_shutdown_by_many_threads_drains_once_and_tells_all_of_them() {
    let rig = Rig::new([Reply::Ok.delayed(ms(50))]);
    rig.record(3);
    let reports: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..10)
            .map(|_| scope.spawn(|| rig.telemetry.shutdown(PATIENCE)))
            .collect();
        threads.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert!(reports.iter().all(|report| *report == reports[0]));
    assert_eq!(reports[0].exported, 3);
    rig.close().is(3, &[]).attempts(1);
}

#[test]
fn d7_dropping_the_handle_flushes() {
    let server = FaultServer::start(Script::new());
    let telemetry = init(config(&server.url())).unwrap();
    let tracer = telemetry.tracer("dropped");
    let span = tracer.start("last");
    let late = tracer.start("late");
    crate::harness::end_issued(&server, span);
    drop(telemetry);
    assert!(server.oracle().missing().is_empty());
    // The tracer has outlived its pipeline.
    at_once(|| late.end());
    tracer.start("later").end();
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn d7_dropping_the_handle_of_a_dead_or_hanging_collector_keeps_its_time_limit() {
    for reply in [Reply::Hang, Reply::status(503)] {
        let server = FaultServer::start(reply);
        let telemetry = init(spandrel_transport_std::Config {
            shutdown_timeout: ms(100),
            timeout: Some(HOUR),
            ..config(&server.url())
        })
        .unwrap();
        telemetry.tracer("dropped").start("lost").end();
        at_once(|| drop(telemetry));
    }
}

#[test]
fn d7_a_drop_inside_an_async_runtime_is_a_drop_like_any_other() {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    let server = FaultServer::start(Script::new());
    let telemetry = init(config(&server.url())).unwrap();
    let mut held = Some(telemetry);
    let future = pin!(poll_fn(move |_| {
        if let Some(telemetry) = held.take() {
            telemetry.tracer("task").start("work").end();
        }
        Poll::Ready(())
    }));
    let mut task = Context::from_waker(Waker::noop());
    assert!(future.poll(&mut task).is_ready());
    assert_eq!(server.oracle().acked().len(), 1);
}

#[test]
fn a_cancel_token_ends_a_flush_a_shutdown_and_the_request_at_once() {
    let rig = Rig::with(Reply::Hang, |config| config.timeout = Some(HOUR));
    rig.record(2);
    let token = rig.telemetry.cancel_token();
    thread::scope(|scope| {
        let flush = scope.spawn(|| rig.telemetry.force_flush(HOUR));
        let shutdown = scope.spawn(|| rig.telemetry.shutdown(HOUR));
        assert!(rig.server.wait_for_requests(1, PATIENCE));
        at_once(|| {
            token.cancel();
            let flush = flush.join().unwrap();
            let shutdown = shutdown.join().unwrap();
            assert_eq!((flush.exported, flush.dropped), (0, 2), "{flush:?}");
            assert_eq!(
                (shutdown.exported, shutdown.dropped),
                (0, 2),
                "{shutdown:?}"
            );
        });
        token.clone().cancel();
    });
    rig.close().is(0, &[(DropReason::Shutdown, 2)]);
}

#[test]
fn spans_that_end_after_the_shutdown_are_counted_and_go_nowhere() {
    let rig = Rig::new(Script::new());
    let open = [rig.tracer().start("open"), rig.tracer().start("open")];
    rig.record(1);
    assert_eq!(rig.telemetry.counts().live, 2);
    assert!(rig.telemetry.shutdown(PATIENCE).is_success());
    open.into_iter().for_each(|span| rig.end(span));
    assert_eq!(rig.telemetry.counts().live, 0);
    let end = rig.close();
    end.is(1, &[(DropReason::Shutdown, 2)]).attempts(1);
    assert_eq!(end.server.requests().len(), 1);
}

/// Fault X61: a span that can never arrive says so.
#[test]
fn x61_after_the_shutdown_nothing_is_recorded_nor_sampled() {
    let rig = Rig::new(Script::new());
    let old = rig.tracer().clone();
    rig.record(1);
    assert!(old.enabled());
    assert!(rig.telemetry.shutdown(PATIENCE).is_success());
    let parent = SpanContext::remote(
        "5b8efff798038103d269b633813fc60c".parse().unwrap(),
        "eee19b7ec3c1b174".parse().unwrap(),
        TraceFlags::SAMPLED,
    );
    for tracer in [old, rig.telemetry.tracer("new")] {
        assert!(!tracer.enabled());
        let root = tracer.start("root");
        assert!(!root.is_recording() && !root.context().is_sampled());
        let child = tracer.span("child").parent(parent).start();
        assert!(!child.is_recording());
        assert_eq!(*child.context(), parent, "it stands for its parent");
    }
    assert!(!rig.telemetry.provider().is_enabled());
    rig.close().is(1, &[]);
}

/// Spans that are never ended must show, or a leak looks like an idle service.
#[test]
fn spans_that_are_never_ended_show_in_the_counts() {
    let rig = Rig::new(Script::new());
    let leaked: Vec<_> = (0..1000).map(|_| rig.tracer().start("leaked")).collect();
    let live = rig.telemetry.counts().live;
    assert!((700..=1000).contains(&live), "{live}");
    drop(leaked);
    assert_eq!(rig.telemetry.counts().live, 0);
    let report = rig.telemetry.shutdown(PATIENCE);
    assert_eq!(report.exported, 1000);
}

#[test]
fn a_flush_after_the_shutdown_is_complete_at_once() {
    let rig = Rig::new(Script::new());
    rig.record(1);
    let open = rig.tracer().start("open");
    assert!(rig.telemetry.shutdown(PATIENCE).is_success());
    rig.end(open);
    let report = at_once(|| rig.flush());
    assert_eq!((report.outcome, report.left), (FlushOutcome::Complete, 0));
    rig.close().is(1, &[(DropReason::Shutdown, 1)]);
}

/// Fault X3.
#[test]
fn x3_a_request_that_hangs_in_a_shutdown_leaves_time_for_another() {
    let rig = Rig::with([Reply::Hang], |config| config.timeout = Some(HOUR));
    rig.record(10);
    let end = rig.close_within(ms(1_500));
    end.is(10, &[]).attempts(2);
    assert!(end.report.is_success(), "{}", end.report);
}

/// Fault X3: the same when the request was under way before.
#[test]
fn x3_a_request_that_hangs_when_the_shutdown_begins_leaves_time_for_another() {
    let rig = Rig::with([Reply::Hang], |config| config.timeout = Some(HOUR));
    rig.record(10);
    let _ = rig.telemetry.force_flush(ms(1));
    assert!(rig.server.wait_for_requests(1, PATIENCE));
    let end = rig.close_within(ms(1_500));
    end.is(10, &[]).attempts(2);
    assert!(end.report.is_success(), "{}", end.report);
}
