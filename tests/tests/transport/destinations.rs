//! Several destinations, each with its own queue, over real sockets.

use std::time::Instant;

use spandrel_core::breaker::State;
use spandrel_core::hosted::export::InMemoryExporter;
use spandrel_core::response::DropReason;
use spandrel_tests::fault_server::{FaultServer, Reply, Script};
use spandrel_transport_std::{FlushOutcome, FurtherDestination};

use crate::harness::{AT_ONCE, PATIENCE, Rig, five, ms, until};

/// A rig whose first collector answers by `script`, with a second one.
fn pair(script: impl Into<Script>, second: impl Into<Script>) -> (Rig, FaultServer) {
    let second = FaultServer::start(second);
    let further = FurtherDestination::collector(second.url());
    let rig = Rig::with(script, |config| {
        config.further_destinations = vec![further];
    });
    (rig, second)
}

/// Spans that a server has stored.
fn stored(server: &FaultServer) -> usize {
    server.oracle().stored().len()
}

// spec A-030
#[test]
fn a_030_every_destination_gets_every_span_and_counts_it() {
    let (rig, second) = pair(Reply::Ok, Reply::Ok);
    rig.deliver(30);
    assert_eq!(stored(&second), 30);
    let all = rig.telemetry.destinations();
    let names: Vec<_> = all.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, [rig.server.url(), second.url()]);
    for destination in &all {
        let ledger = destination.ledger;
        assert!(ledger.is_closed(), "{ledger}");
        assert_eq!((ledger.ended, ledger.exported), (30, 30), "{ledger}");
        assert_eq!(destination.stats.accepted, 1);
    }
    rig.record(5);
    let reports = rig.telemetry.shutdown_each(PATIENCE);
    assert_eq!(reports.len(), 2);
    assert!(
        reports
            .iter()
            .all(|it| it.report.is_success() && it.report.exported == 5)
    );
    assert_eq!(stored(&second), 35);
    rig.close().is(35, &[]);
}

#[test]
fn a_030_a_first_destination_that_hangs_holds_the_second_one_not_up() {
    let (rig, second) = pair(Script::new().otherwise(Reply::Hang), Reply::Ok);
    for round in 1..=3 {
        rig.record(10);
        let reports = rig.telemetry.force_flush_each(ms(200));
        let [first, other] = &reports[..] else {
            unreachable!("{reports:?}");
        };
        assert_ne!(first.report.outcome, FlushOutcome::Complete);
        assert_eq!(other.name, second.url());
        until("the second one", || stored(&second) == round * 10);
    }
    // The report of all is that of the one that fared worst.
    assert!(!rig.telemetry.force_flush(ms(50)).is_success());
    let started = Instant::now();
    rig.close_within(ms(100))
        .is(0, &[(DropReason::Shutdown, 30)]);
    assert!(started.elapsed() < AT_ONCE);
}

#[test]
fn a_030_a_second_destination_that_is_away_opens_its_own_circuit() {
    let (rig, second) = pair(
        Reply::Ok,
        five(&Reply::status(503)).otherwise(Reply::status(503)),
    );
    rig.record(10);
    until("the first one", || {
        rig.telemetry.force_flush_each(ms(100))[0]
            .report
            .is_success()
    });
    until("an open circuit", || {
        rig.telemetry.destinations()[1].stats.circuit_opened > 0
    });
    let all = rig.telemetry.destinations();
    assert_eq!(
        (all[0].circuit, all[0].ledger.exported),
        (State::Closed, 10)
    );
    assert_eq!(all[1].ledger.exported, 0);
    second.set_default(Reply::Ok);
    rig.record(10);
    let reports = rig.telemetry.shutdown_each(PATIENCE);
    assert!(reports.iter().all(|it| it.report.left == 0), "{reports:?}");
    let all = rig.telemetry.destinations();
    assert!(
        all.iter()
            .all(|it| it.ledger.is_closed() && it.ledger.ended == 20)
    );
    assert_eq!(all[1].ledger.exported as usize, stored(&second));
    rig.close().is(20, &[]);
}

#[test]
fn a_030_a_full_queue_loses_for_its_destination_alone() {
    let second = FaultServer::start(Script::new().otherwise(Reply::Hang));
    let further = FurtherDestination::collector(second.url());
    let rig = Rig::with(Reply::Ok, |config| {
        config.further_destinations = vec![further];
        config.max_queue_size = Some(50);
        config.max_export_batch_size = Some(10);
    });
    for _ in 0..10 {
        rig.record(20);
        until("the first one", || {
            rig.telemetry.force_flush_each(ms(20))[0]
                .report
                .is_success()
        });
    }
    let all = rig.telemetry.destinations();
    assert_eq!(all[0].ledger.dropped_total(), 0, "{}", all[0].ledger);
    assert_eq!(all[1].ledger.ended, 200);
    assert_eq!(
        all[1].ledger.dropped(DropReason::QueueFull),
        150,
        "{}",
        all[1].ledger
    );
    rig.close_within(ms(100)).is(200, &[]);
}

#[test]
fn an_exporter_of_the_program_is_a_further_destination() {
    let spans = InMemoryExporter::new();
    let further = FurtherDestination::exporter(spans.clone());
    let rig = Rig::with(Reply::Ok, |config| {
        config.further_destinations = vec![further];
        // Its spans do not wait for the first one's delay, which is endless here.
        config.max_export_batch_size = Some(10);
    });
    rig.record(25);
    until("two batches", || spans.finished_spans().len() == 20);
    assert!(rig.flush().is_success());
    assert_eq!(spans.finished_spans().len(), 25);
    rig.close().is(25, &[]);
}

#[test]
fn threads_that_record_while_both_destinations_fail_and_work_lose_no_count() {
    let flaky = Script::new()
        .then(Reply::status(503))
        .then(Reply::Ok)
        .then(Reply::status(503))
        .otherwise(Reply::Ok);
    let (rig, second) = pair(flaky.clone(), flaky);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let tracer = rig.tracer().clone();
            scope.spawn(move || (0..500).for_each(|_| tracer.start("work").end()));
        }
        for _ in 0..20 {
            for destination in rig.telemetry.destinations() {
                assert!(destination.ledger.is_balanced(), "{}", destination.ledger);
            }
        }
    });
    let reports = rig.telemetry.shutdown_each(PATIENCE);
    assert!(
        reports.iter().all(|it| it.report.is_success()),
        "{reports:?}"
    );
    for destination in rig.telemetry.destinations() {
        assert_eq!(destination.ledger.exported, 2_000, "{}", destination.ledger);
    }
    assert_eq!(stored(&second), 2_000);
}
