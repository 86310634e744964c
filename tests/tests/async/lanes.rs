//! Several requests under way at once, on tokio.

use std::time::Duration;

use spandrel_core::response::DropReason;
use spandrel_tests::fault_server::{FaultServer, Reply, Script};
use spandrel_transport_async::{Config, Telemetry, init};

use crate::support::{PATIENCE, assert_delivered, config, record};

/// A pipeline with batches of ten spans, which are sent at once, and so many requests.
fn start(server: &FaultServer, concurrent_exports: u32) -> Telemetry {
    let config = Config {
        concurrent_exports,
        max_export_batch_size: Some(10),
        timeout: Some(PATIENCE),
        ..config(&server.url())
    };
    init(config).unwrap()
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "not in time: {what}");
}

// spec A-024
#[tokio::test]
async fn a_024_a_request_that_hangs_does_not_hold_the_others_up() {
    let server = FaultServer::start(Script::new().then(Reply::Hang));
    let telemetry = start(&server, 2);
    record(&telemetry.tracer("test"), &server, 40);
    until("three batches", || telemetry.ledger().exported == 30).await;
    let ledger = telemetry.ledger();
    assert_eq!((ledger.in_flight, ledger.buffered), (10, 0), "{ledger}");
    // The shutdown gives it up half-way, and it is sent again.
    let report = telemetry.shutdown(Duration::from_secs(1)).await;
    assert!(report.is_success(), "{report}");
    assert_delivered(&telemetry, &server, 40);
}

#[tokio::test]
async fn a_024_as_many_requests_as_configured_are_under_way_and_no_more() {
    for lanes in [1, 4] {
        let server = FaultServer::start(Script::new().otherwise(Reply::Hang));
        let telemetry = start(&server, lanes);
        record(&telemetry.tracer("test"), &server, 60);
        let in_flight = u64::from(lanes) * 10;
        until("requests", || {
            telemetry.ledger().in_flight == in_flight && server.requests().len() == lanes as usize
        })
        .await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(telemetry.stats().attempts, u64::from(lanes));
        let report = telemetry.shutdown(Duration::from_millis(400)).await;
        assert_eq!((report.dropped, report.left), (60, 0));
        assert_eq!(telemetry.ledger().dropped(DropReason::Shutdown), 60);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_requests_deliver_every_span_once_whatever_the_collector_answers() {
    let flaky = Script::new()
        .then(Reply::status(503))
        .then(Reply::Ok)
        .then(Reply::ConnectionClose)
        .then(Reply::status(429))
        .then(Reply::Ok.delayed(Duration::from_millis(30)))
        .then(Reply::status(503))
        .otherwise(Reply::Ok.delayed(Duration::from_millis(2)));
    let server = FaultServer::start(flaky);
    let telemetry = start(&server, 4);
    record(&telemetry.tracer("test"), &server, 500);
    let report = telemetry.force_flush(PATIENCE).await;
    assert!(report.is_success(), "{report}");
    record(&telemetry.tracer("test"), &server, 500);
    let report = telemetry.shutdown(PATIENCE).await;
    assert!(report.is_success(), "{report}");
    assert_delivered(&telemetry, &server, 1_000);
    assert_eq!(telemetry.stats().possible_duplicates, 0);
}

#[test]
fn with_several_requests_a_runtime_that_is_gone_loses_nothing() {
    let server = FaultServer::start(Script::new().times(3, &Reply::Hang));
    let runtime = tokio::runtime::Builder::new_current_thread();
    let build = |mut builder: tokio::runtime::Builder| builder.enable_all().build().unwrap();
    let first = build(runtime);
    let telemetry = first.block_on(async {
        let telemetry = start(&server, 3);
        record(&telemetry.tracer("test"), &server, 30);
        until("three requests", || telemetry.ledger().in_flight == 30).await;
        telemetry
    });
    drop(first);
    let second = build(tokio::runtime::Builder::new_current_thread());
    let report = second.block_on(telemetry.shutdown(PATIENCE));
    assert!(report.is_success(), "{report}");
    assert_eq!(telemetry.ledger().exported, 30);
}
