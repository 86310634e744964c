//! `init` in all its forms.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use spandrel_tests::fault_server::{FaultServer, Script};
use spandrel_transport_std::{Config, Telemetry, init, tracer};

use crate::harness::{PATIENCE, config};

/// There is one process-wide provider: the tests that speak of it go one after the other.
static GLOBAL: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    GLOBAL.lock().unwrap_or_else(PoisonError::into_inner)
}

fn global(server: &FaultServer) -> Telemetry {
    init(Config {
        set_global: true,
        ..config(&server.url())
    })
    .unwrap()
}

#[test]
fn the_first_init_serves_the_whole_process_until_its_shutdown() {
    let _alone = alone();
    assert!(!tracer("early").enabled());
    let server = FaultServer::start(Script::new());
    let telemetry = global(&server);
    tracer("anywhere").start("work").end();
    assert!(telemetry.shutdown(PATIENCE).is_success());
    assert_eq!(server.oracle().acked().len(), 1);
    assert!(!tracer("late").enabled());
    assert!(telemetry.ledger().is_closed());
}

#[test]
fn a_second_init_is_a_pipeline_beside_the_first() {
    let _alone = alone();
    let servers = [
        FaultServer::start(Script::new()),
        FaultServer::start(Script::new()),
    ];
    let [first, second] = [global(&servers[0]), global(&servers[1])];
    tracer("anywhere").start("to the first").end();
    second.tracer("own").start("to the second").end();
    // The end of the second one leaves the place of the first alone.
    assert!(second.shutdown(PATIENCE).is_success());
    tracer("anywhere").start("to the first").end();
    assert!(first.shutdown(PATIENCE).is_success());
    let counts = servers
        .each_ref()
        .map(|server| server.oracle().acked().len());
    assert_eq!(counts, [2, 1]);
}

#[test]
fn ten_inits_at_once_all_work_and_one_is_process_wide() {
    let _alone = alone();
    let servers: Vec<_> = (0..10).map(|_| FaultServer::start(Script::new())).collect();
    let handles: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = servers
            .iter()
            .map(|server| scope.spawn(|| global(server)))
            .collect();
        threads.into_iter().map(|it| it.join().unwrap()).collect()
    });
    tracer("anywhere").start("once").end();
    for telemetry in &handles {
        telemetry.tracer("own").start("each").end();
    }
    for telemetry in &handles {
        assert!(telemetry.shutdown(PATIENCE).is_success());
        assert!(telemetry.ledger().is_closed());
    }
    let mut counts: Vec<_> = servers.iter().map(|it| it.oracle().acked().len()).collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 1, 1, 1, 1, 1, 1, 1, 1, 2]);
}

#[test]
fn init_after_a_shutdown_starts_afresh() {
    let _alone = alone();
    let server = FaultServer::start(Script::new());
    for round in 1..=3 {
        let telemetry = global(&server);
        tracer("again").start("work").end();
        assert!(telemetry.shutdown(PATIENCE).is_success());
        assert_eq!(server.oracle().acked().len(), round);
    }
}

#[test]
fn a_dropped_handle_gives_the_place_free() {
    let _alone = alone();
    let server = FaultServer::start(Script::new());
    drop(global(&server));
    assert!(!tracer("late").enabled());
    let telemetry = global(&server);
    assert!(tracer("again").enabled());
    drop(telemetry);
}

#[test]
fn without_set_global_the_place_stays_free() {
    let _alone = alone();
    let server = FaultServer::start(Script::new());
    let telemetry = init(config(&server.url())).unwrap();
    assert!(!tracer("anywhere").enabled());
    drop(telemetry);
}

#[test]
fn a_collector_that_is_away_is_no_error_of_the_start() {
    let nobody = spandrel_tests::loopback::refuse();
    for url in [nobody.url(), "https://no-such-host.invalid".into()] {
        let telemetry = init(config(&url)).unwrap();
        assert!(telemetry.is_enabled());
        assert!(telemetry.shutdown(PATIENCE).is_success());
    }
}
