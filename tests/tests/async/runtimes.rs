//! Faults D9 and D7: every kind of runtime, none, one that is gone, one that stands still.

use std::time::{Duration, Instant};

use spandrel_core::response::DropReason;
use spandrel_tests::fault_server::{FaultServer, Reply, Script};
use spandrel_tests::loopback::refuse;
use spandrel_transport_async::{FlushOutcome, InitError, Telemetry, init};
use tokio::runtime::{Builder, Runtime};

use crate::support::{PATIENCE, assert_delivered, block_on, config, record};

/// Long enough for a request to leave.
const SHORT: Duration = Duration::from_millis(500);

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// A pipeline whose task lives on `runtime`, with spans in it.
fn start(runtime: &Runtime, server: &FaultServer) -> Telemetry {
    let _entered = runtime.enter();
    let telemetry = init(config(&server.url())).unwrap();
    record(&telemetry.tracer("test"), server, 10);
    telemetry
}

#[test]
fn without_a_runtime_init_says_so() {
    let error = init(config("http://127.0.0.1:9")).unwrap_err();
    assert!(matches!(error, InitError::NoRuntime), "{error}");
}

// fault X40
#[test]
fn without_timers_or_io_init_says_what_to_do() {
    let io_only = Builder::new_current_thread().enable_io().build().unwrap();
    let time_only = Builder::new_current_thread().enable_time().build().unwrap();
    let neither = Builder::new_current_thread().build().unwrap();
    let (no_timers, no_io) = (
        "the tokio runtime has no timers",
        "the tokio runtime has no I/O",
    );
    for (runtime, missing) in [
        (io_only, no_timers),
        (time_only, no_io),
        (neither, no_timers),
    ] {
        let error = runtime.block_on(async { init(config("http://127.0.0.1:9")) });
        let text = error.unwrap_err().to_string();
        assert!(
            text.contains(missing) && text.contains("`enable_all`"),
            "{text}"
        );
    }
}

// fault X4
#[test]
fn a_shutdown_at_any_moment_of_another_thread_ends_when_its_end_is_said() {
    let runtime = multi_thread();
    let _entered = runtime.enter();
    let server = FaultServer::start(Script::new());
    for round in 0..200 {
        let telemetry = init(config(&server.url())).unwrap();
        telemetry.tracer("test").start("order.place").end();
        let flushed = block_on(telemetry.force_flush(PATIENCE));
        assert!(flushed.is_success(), "round {round}: {flushed:?}");
        let began = Instant::now();
        let report = block_on(telemetry.shutdown(PATIENCE));
        assert!(report.is_success(), "round {round}: {report:?}");
        assert!(began.elapsed() < PATIENCE / 2, "round {round}");
    }
}

/// `shutdown` works on any runtime; on such a one nothing can be sent.
// fault X41
#[test]
fn a_shutdown_on_a_runtime_without_timers_or_io_ends_in_time_and_counts() {
    for enable_time in [false, true] {
        let server = FaultServer::start(Script::new());
        let telemetry = start(&current_thread(), &server);
        let mut builder = Builder::new_current_thread();
        if enable_time {
            builder.enable_time();
        }
        let runtime = builder.build().unwrap();
        let started = Instant::now();
        let (report, turns) = runtime.block_on(async {
            let mut turns = 0;
            let busy = async {
                loop {
                    turns += 1;
                    tokio::task::yield_now().await;
                    std::thread::sleep(Duration::from_millis(1));
                }
            };
            let shutdown = telemetry.shutdown(SHORT);
            let report =
                tokio::select! { report = shutdown => report, () = busy => unreachable!() };
            (report, turns)
        });
        assert!(started.elapsed() < 4 * SHORT, "{:?}", started.elapsed());
        assert!(turns > 20, "the program's own work had {turns} turns");
        assert_eq!(report.left, 0, "{report:?}");
        let ledger = telemetry.ledger();
        assert!(ledger.is_closed() && ledger.ended == 10, "{ledger}");
        assert_eq!(ledger.dropped(DropReason::Shutdown), 10, "{ledger}");
        assert!(telemetry.stats().attempts < 10, "{:?}", telemetry.stats());
    }
}

#[test]
fn flush_and_shutdown_work_on_both_kinds_of_runtime() {
    for runtime in [current_thread(), multi_thread()] {
        let server = FaultServer::start(Script::new());
        runtime.block_on(async {
            let telemetry = init(config(&server.url())).unwrap();
            record(&telemetry.tracer("test"), &server, 600);
            let report = telemetry.force_flush(PATIENCE).await;
            assert!(report.is_success(), "{report:?}");
            // A full batch may have left before the flush began, which then does not count it.
            assert_eq!(telemetry.ledger().exported, 600);
            record(&telemetry.tracer("test"), &server, 5);
            let report = telemetry.shutdown(PATIENCE).await;
            assert!(report.is_success(), "{report:?}");
            assert_eq!(report.exported, 5);
            assert_eq!(telemetry.shutdown(PATIENCE).await, report, "idempotent");
            assert!(telemetry.force_flush(PATIENCE).await.is_success());
            assert_delivered(&telemetry, &server, 605);
        });
        let first = &server.requests()[0];
        assert_eq!(first.header("content-encoding"), Some("gzip"));
        assert_eq!(first.header("content-type"), Some("application/x-protobuf"));
        assert_eq!(first.header("accept-encoding"), None);
        let agent = first.header("user-agent").unwrap();
        assert!(
            agent.starts_with("Spandrel-OTLP-Exporter-Rust-Async/"),
            "{agent}"
        );
        assert!(first.header("content-length").is_some());
    }
}

#[test]
fn the_task_sends_full_batches_by_itself() {
    let server = FaultServer::start(Script::new());
    let runtime = multi_thread();
    let telemetry = start(&runtime, &server);
    record(&telemetry.tracer("test"), &server, 1000);
    assert!(server.wait_for_requests(1, PATIENCE));
    drop(runtime);
}

#[test]
fn when_the_runtime_is_gone_shutdown_sends_inline() {
    for other in [current_thread(), multi_thread()] {
        let server = FaultServer::start(Script::new());
        let runtime = multi_thread();
        let telemetry = start(&runtime, &server);
        drop(runtime);
        record(&telemetry.tracer("test"), &server, 10);
        let report = other.block_on(telemetry.shutdown(PATIENCE));
        assert!(report.is_success(), "{report:?}");
        assert_delivered(&telemetry, &server, 20);
    }
}

#[test]
fn a_runtime_that_goes_in_the_middle_of_a_request_gives_its_batch_back() {
    let server = FaultServer::start(Script::new().then(Reply::Hang));
    let runtime = multi_thread();
    let telemetry = start(&runtime, &server);
    runtime.block_on(async {
        let _ = tokio::time::timeout(SHORT, telemetry.force_flush(PATIENCE)).await;
    });
    assert!(server.wait_for_requests(1, PATIENCE));
    drop(runtime);
    let ledger = telemetry.ledger();
    assert_eq!(ledger.in_flight, 0, "{ledger}");
    let report = current_thread().block_on(telemetry.force_flush(PATIENCE));
    assert!(report.is_success(), "{report:?}");
    assert_eq!(telemetry.ledger().exported, 10);
    assert!(server.oracle().missing().is_empty());
}

#[test]
fn when_nothing_but_shutdown_is_ever_polled_it_sends() {
    let server = FaultServer::start(Script::new());
    // Its task is never polled, not even once.
    let idle = current_thread();
    let telemetry = start(&idle, &server);
    let report = current_thread().block_on(telemetry.shutdown(PATIENCE));
    assert!(report.is_success(), "{report:?}");
    assert_delivered(&telemetry, &server, 10);
    // It finds everything done.
    idle.block_on(async { tokio::task::yield_now().await });
}

#[test]
fn a_task_that_stalls_in_a_request_is_replaced_without_harm() {
    let server = FaultServer::start(Script::new().then(Reply::Hang));
    let stalled = current_thread();
    let telemetry = start(&stalled, &server);
    // The task sends, and is never polled again before the shutdown.
    stalled.block_on(async {
        let _ = tokio::time::timeout(SHORT, telemetry.force_flush(PATIENCE)).await;
    });
    assert!(server.wait_for_requests(1, PATIENCE));
    let report = current_thread().block_on(telemetry.force_flush(PATIENCE));
    assert!(report.is_success(), "{report:?}: {}", telemetry.ledger());
    // The task comes back, finds its claim void, and goes on with new spans.
    record(&telemetry.tracer("test"), &server, 7);
    let report = stalled.block_on(telemetry.shutdown(PATIENCE));
    assert!(report.is_success(), "{report:?}");
    let ledger = telemetry.ledger();
    assert!(ledger.is_closed() && ledger.exported == 17, "{ledger}");
}

#[test]
fn another_executor_can_wait_for_the_task() {
    let server = FaultServer::start(Script::new());
    let runtime = multi_thread();
    let telemetry = start(&runtime, &server);
    assert!(block_on(telemetry.force_flush(PATIENCE)).is_success());
    assert!(block_on(telemetry.shutdown(PATIENCE)).is_success());
    assert_delivered(&telemetry, &server, 10);
}

#[test]
fn without_task_and_runtime_the_spans_are_counted_as_lost_at_once() {
    lost_without_a_runtime(multi_thread());
}

// fault X330
#[test]
fn so_they_are_if_the_runtime_ends_before_the_task_has_begun() {
    // It polls its tasks only while somebody blocks on it, and nobody does.
    lost_without_a_runtime(current_thread());
}

fn lost_without_a_runtime(runtime: Runtime) {
    let server = FaultServer::start(Script::new());
    let telemetry = start(&runtime, &server);
    drop(runtime);
    let begin = Instant::now();
    let report = block_on(telemetry.shutdown(PATIENCE));
    assert!(begin.elapsed() < PATIENCE / 2);
    assert_eq!(
        (report.outcome, report.dropped),
        (FlushOutcome::TimedOut, 10)
    );
    assert_eq!(telemetry.ledger().dropped(DropReason::Shutdown), 10);
    assert!(telemetry.ledger().is_closed());
}

#[test]
fn shutdown_returns_by_its_deadline_whatever_the_collector_does() {
    const DEADLINE: Duration = Duration::from_millis(300);
    /// How late a shutdown may return, on a machine that is not busy.
    const LATE: Duration = Duration::from_millis(50);
    let hanging = FaultServer::start(Script::from(Reply::Hang));
    let refusing = refuse();
    for url in [hanging.url(), refusing.url()] {
        let shut_down = |_| {
            current_thread().block_on(async {
                let telemetry = init(config(&url)).unwrap();
                telemetry.tracer("test").start("work").end();
                let begin = Instant::now();
                let report = telemetry.shutdown(DEADLINE).await;
                let took = begin.elapsed();
                assert_eq!((report.dropped, report.left), (1, 0), "{report:?}");
                assert!(telemetry.ledger().is_closed());
                took
            })
        };
        // A busy machine delays some of the tries, a shutdown that is late delays all.
        let soonest = (0..5).map(shut_down).min().unwrap();
        assert!(soonest <= DEADLINE + LATE, "{url}: {soonest:?}");
    }
}

#[test]
fn a_cancel_token_ends_a_flush_and_its_request() {
    let server = FaultServer::start(Script::from(Reply::Hang));
    current_thread().block_on(async {
        let telemetry = init(config(&server.url())).unwrap();
        record(&telemetry.tracer("test"), &server, 1);
        let token = telemetry.cancel_token();
        let cancel = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            token.cancel();
        };
        let (report, ()) = tokio::join!(telemetry.force_flush(PATIENCE), cancel);
        assert_eq!(report.dropped, 1, "{report:?}");
        assert!(telemetry.ledger().is_closed());
    });
}

#[test]
fn a_dropped_flush_disturbs_nobody() {
    let server = FaultServer::start(Script::new());
    current_thread().block_on(async {
        let telemetry = init(config(&server.url())).unwrap();
        record(&telemetry.tracer("test"), &server, 10);
        for micros in 0..50 {
            let limit = Duration::from_micros(micros * 20);
            let _ = tokio::time::timeout(limit, telemetry.force_flush(PATIENCE)).await;
        }
        assert!(telemetry.shutdown(PATIENCE).await.is_success());
        assert_delivered(&telemetry, &server, 10);
    });
}

#[test]
fn a_dropped_handle_flushes_in_the_background() {
    let server = FaultServer::start(Script::new());
    let runtime = multi_thread();
    drop(start(&runtime, &server));
    assert!(server.wait_for_requests(1, PATIENCE));
}

#[test]
fn both_transports_live_in_one_program() {
    let server = FaultServer::start(Script::new());
    let blocking = spandrel_transport_std::init(config(&server.url())).unwrap();
    current_thread().block_on(async {
        let telemetry = init(config(&server.url())).unwrap();
        record(&telemetry.tracer("async"), &server, 10);
        record(&blocking.tracer("blocking"), &server, 10);
        assert!(telemetry.shutdown(PATIENCE).await.is_success());
    });
    assert!(blocking.shutdown(PATIENCE).is_success());
    assert_eq!(server.oracle().copies_stored(), 20);
    assert!(server.oracle().missing().is_empty());
}

/// A flush takes a request over whose task is not polled, and sends it again: the collector may have
/// both.
#[test]
fn a_request_that_was_taken_over_is_an_announced_duplicate() {
    let slow = Reply::Ok.delayed(Duration::from_millis(500));
    let server = FaultServer::start(Script::new().then(slow));
    let stalled = current_thread();
    let telemetry = stalled.block_on(async { init(config(&server.url())).unwrap() });
    record(&telemetry.tracer("test"), &server, 10);
    stalled.block_on(async {
        let limit = Duration::from_millis(20);
        let _ = telemetry.force_flush(limit).await;
        while server.requests().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    // Nobody polls the runtime of the request any more.
    let report = current_thread().block_on(telemetry.force_flush(PATIENCE));
    assert!(report.is_success(), "{report:?}");
    let twice = server.oracle().copies_stored() - 10;
    let announced = telemetry.stats().possible_duplicates;
    assert!(
        twice <= announced,
        "{twice} arrived twice, {announced} announced"
    );
}

/// A collector that answers after a while is no reason to send a request again.
#[test]
fn a_slow_answer_does_not_have_its_request_taken_over() {
    let slow = Reply::Ok.delayed(Duration::from_millis(400));
    let server = FaultServer::start(Script::new().otherwise(slow));
    multi_thread().block_on(async {
        let telemetry = init(config(&server.url())).unwrap();
        for _ in 0..10 {
            record(&telemetry.tracer("test"), &server, 1);
            assert!(telemetry.force_flush(PATIENCE).await.is_success());
        }
        assert_eq!(telemetry.stats().attempts, 10);
    });
}

/// Each of them may drive, and neither takes the other's request away.
#[test]
fn two_flushes_without_a_background_task_send_a_request_once() {
    let slow = Reply::Ok.delayed(Duration::from_millis(400));
    let server = FaultServer::start(Script::new().otherwise(slow));
    let telemetry = current_thread().block_on(async { init(config(&server.url())).unwrap() });
    record(&telemetry.tracer("test"), &server, 10);
    multi_thread().block_on(async {
        let flush = || telemetry.force_flush(PATIENCE);
        let (first, second) = tokio::join!(flush(), flush());
        assert!(first.is_success() && second.is_success(), "{second:?}");
    });
    assert_eq!(telemetry.stats().attempts, 1);
}
