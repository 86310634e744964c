//! Several destinations, each with its own queue, on tokio.

use std::time::Duration;

use spandrel_core::breaker::State;
use spandrel_core::hosted::export::InMemoryExporter;
use spandrel_core::response::DropReason;
use spandrel_tests::fault_server::{FaultServer, Reply, Script};
use spandrel_transport_async::{Config, FlushOutcome, FurtherDestination, Telemetry, init};

use crate::support::{PATIENCE, config, record};

/// A pipeline to both servers.
fn start(first: &FaultServer, second: &FaultServer) -> Telemetry {
    let config = Config {
        further_destinations: vec![FurtherDestination::collector(second.url())],
        timeout: Some(PATIENCE),
        ..config(&first.url())
    };
    init(config).unwrap()
}

fn stored(server: &FaultServer) -> usize {
    server.oracle().stored().len()
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

// spec A-030
#[tokio::test]
async fn a_030_every_destination_gets_every_span_and_counts_it() {
    let first = FaultServer::start(Reply::Ok);
    let second = FaultServer::start(Reply::Ok);
    let telemetry = start(&first, &second);
    record(&telemetry.tracer("test"), &first, 30);
    let report = telemetry.force_flush(PATIENCE).await;
    assert!(report.is_success(), "{report}");
    assert_eq!((stored(&first), stored(&second)), (30, 30));
    record(&telemetry.tracer("test"), &first, 5);
    let reports = telemetry.shutdown_each(PATIENCE).await;
    let names: Vec<_> = reports.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, [first.url(), second.url()]);
    let is_whole = |it: &spandrel_transport_async::DestinationReport| {
        it.report.is_success() && it.report.exported == 5
    };
    assert!(reports.iter().all(is_whole), "{reports:?}");
    for destination in telemetry.destinations() {
        let ledger = destination.ledger;
        assert!(ledger.is_closed(), "{ledger}");
        assert_eq!((ledger.ended, ledger.exported), (35, 35), "{ledger}");
    }
}

#[tokio::test]
async fn a_030_a_first_destination_that_hangs_holds_the_second_one_not_up() {
    let first = FaultServer::start(Script::new().otherwise(Reply::Hang));
    let second = FaultServer::start(Reply::Ok);
    let telemetry = start(&first, &second);
    for round in 1..=3 {
        record(&telemetry.tracer("test"), &first, 10);
        let reports = telemetry.force_flush_each(Duration::from_millis(200)).await;
        assert_ne!(reports[0].report.outcome, FlushOutcome::Complete);
        until("the second one", || stored(&second) == round * 10).await;
    }
    let report = telemetry.shutdown(Duration::from_millis(100)).await;
    assert_eq!((report.dropped, report.left), (30, 0), "{report}");
    let all = telemetry.destinations();
    assert_eq!(all[0].ledger.dropped(DropReason::Shutdown), 30);
    assert_eq!(all[1].ledger.exported, 30);
}

#[tokio::test]
async fn a_030_a_second_destination_that_is_away_opens_its_own_circuit() {
    let first = FaultServer::start(Reply::Ok);
    let second = FaultServer::start(Script::new().otherwise(Reply::status(503)));
    let telemetry = start(&first, &second);
    record(&telemetry.tracer("test"), &first, 10);
    let _ = telemetry.force_flush(Duration::from_millis(100)).await;
    until("an open circuit", || {
        telemetry.destinations()[1].circuit == State::Open
    })
    .await;
    let all = telemetry.destinations();
    assert_eq!(
        (all[0].circuit, all[0].ledger.exported),
        (State::Closed, 10)
    );
    let report = telemetry.shutdown(PATIENCE).await;
    assert_eq!((report.dropped, report.left), (10, 0), "{report}");
    assert!(
        telemetry
            .destinations()
            .iter()
            .all(|it| it.ledger.is_closed())
    );
}

#[tokio::test]
async fn an_exporter_of_the_program_is_a_further_destination() {
    let spans = InMemoryExporter::new();
    let server = FaultServer::start(Reply::Ok);
    let config = Config {
        further_destinations: vec![FurtherDestination::exporter(spans.clone())],
        max_export_batch_size: Some(10),
        ..config(&server.url())
    };
    let telemetry = init(config).unwrap();
    record(&telemetry.tracer("test"), &server, 25);
    until("two batches", || spans.finished_spans().len() == 20).await;
    let report = telemetry.shutdown(PATIENCE).await;
    assert!(report.is_success(), "{report}");
    assert_eq!(spans.finished_spans().len(), 25);
}

#[test]
fn without_the_runtime_of_the_start_all_destinations_are_driven_by_the_shutdown() {
    let first = FaultServer::start(Script::new().otherwise(Reply::Hang));
    let second = FaultServer::start(Reply::Ok);
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let before = runtime();
    let telemetry = before.block_on(async { start(&first, &second) });
    drop(before);
    record(&telemetry.tracer("test"), &first, 10);
    let after = runtime();
    let reports = after.block_on(telemetry.shutdown_each(Duration::from_millis(500)));
    assert_eq!((reports[0].report.dropped, reports[0].report.left), (10, 0));
    assert!(reports[1].report.is_success(), "{}", reports[1].report);
    assert_eq!(stored(&second), 10);
}
