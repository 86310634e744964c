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

#[test]
fn flush_and_shutdown_work_on_both_kinds_of_runtime() {
    for runtime in [current_thread(), multi_thread()] {
        let server = FaultServer::start(Script::new());
        runtime.block_on(async {
            let telemetry = init(config(&server.url())).unwrap();
            record(&telemetry.tracer("test"), &server, 600);
            let report = telemetry.force_flush(PATIENCE).await;
            assert!(report.is_success(), "{report:?}");
            assert_eq!(report.exported, 600);
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
    let server = FaultServer::start(Script::new());
    let runtime = multi_thread();
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
