//! Several requests under way at once, over real sockets.

use std::time::Instant;

use spandrel_core::breaker::State;
use spandrel_core::response::DropReason;
use spandrel_tests::fault_server::{Reply, Script};

use crate::harness::{AT_ONCE, PATIENCE, Rig, ms, until};

/// A rig with batches of ten spans, which are sent at once, and so many requests.
fn rig(script: impl Into<Script>, concurrent_exports: u32) -> Rig {
    Rig::with(script, |config| {
        config.concurrent_exports = concurrent_exports;
        config.max_export_batch_size = Some(10);
        config.timeout = Some(PATIENCE);
    })
}

// spec A-024
#[test]
fn a_024_a_request_that_hangs_does_not_hold_the_others_up() {
    let rig = rig(Script::new().then(Reply::Hang), 2);
    rig.record(40);
    until("three batches", || rig.telemetry.ledger().exported >= 30);
    let ledger = rig.telemetry.ledger();
    assert_eq!((ledger.in_flight, ledger.buffered), (10, 0), "{ledger}");
    assert!(rig.server.counters().accepted >= 2);
    // The shutdown gives it up half-way, and it is sent again.
    let end = rig.close_within(ms(1_000));
    end.is(40, &[]).possible_duplicates(10);
}

#[test]
fn a_024_as_many_requests_as_configured_are_under_way_and_no_more() {
    for lanes in [1, 4] {
        let rig = rig(Script::new().otherwise(Reply::Hang), lanes);
        rig.record(60);
        let in_flight = u64::from(lanes) * 10;
        until("requests", || {
            rig.telemetry.ledger().in_flight == in_flight
                && rig.server.requests().len() == lanes as usize
        });
        std::thread::sleep(ms(50));
        assert_eq!(rig.attempts(), u64::from(lanes));
        // A shutdown gives them up half-way, and each thread has another attempt.
        let started = Instant::now();
        let end = rig.close_within(ms(400));
        assert!(started.elapsed() < AT_ONCE);
        end.is(0, &[(DropReason::Shutdown, 60)]);
    }
}

#[test]
fn several_requests_deliver_every_span_once_whatever_the_collector_answers() {
    let flaky = Script::new()
        .then(Reply::status(503))
        .then(Reply::Ok)
        .then(Reply::ConnectionClose)
        .then(Reply::status(429))
        .then(Reply::Ok.delayed(ms(30)))
        .then(Reply::status(503))
        .otherwise(Reply::Ok.delayed(ms(2)));
    let rig = rig(flaky, 4);
    rig.deliver(500);
    rig.deliver(500);
    let end = rig.close();
    end.is(1_000, &[]).possible_duplicates(0);
    assert!(end.report.is_success(), "{}", end.report);
}

#[test]
fn with_several_requests_a_half_open_circuit_is_probed_by_one() {
    // As many as may be under way when the circuit opens, twice.
    let script = Script::new()
        .times(8, &Reply::status(503))
        .otherwise(Reply::Hang);
    let rig = rig(script, 4);
    rig.record(100);
    until("the probe that hangs", || {
        rig.attempts() == 9 && rig.telemetry.ledger().in_flight == 10
    });
    std::thread::sleep(ms(100));
    assert_eq!(rig.attempts(), 9);
    assert_eq!(rig.telemetry.circuit(), State::HalfOpen);
    rig.close_within(ms(100))
        .is(0, &[(DropReason::Shutdown, 100)]);
}
