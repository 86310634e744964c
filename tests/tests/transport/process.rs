//! Faults D1, D3, D5 and whatever else concerns a whole process.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use spandrel_tests::fault_server::{FaultServer, Reply, Script};

use crate::child::Process;

/// A process that hangs would take as long as its request.
const SOON: Duration = Duration::from_secs(3);

#[test]
fn d1_kill_9_loses_no_span_that_was_acknowledged() {
    let server = FaultServer::start(Script::new());
    let mut child = Process::start("work", &server.url(), 0, None);
    let mut acknowledged = BTreeSet::new();
    while acknowledged.len() < 25 {
        acknowledged.insert(child.line().expect("an acknowledged span"));
    }
    child.kill();
    let hex = |bytes: [u8; 8]| bytes.map(|byte| format!("{byte:02x}")).concat();
    let stored: BTreeSet<_> = server
        .oracle()
        .stored()
        .iter()
        .map(|it| hex(it.span))
        .collect();
    assert!(acknowledged.is_subset(&stored));
    // Nothing but what was in the queue or in flight is lost, and nothing is there twice.
    assert!(server.oracle().duplicated().is_empty());
}

#[test]
fn d5_an_exit_without_shutdown_never_hangs_and_keeps_flushed_spans() {
    let server = FaultServer::start(Script::new());
    let started = Instant::now();
    let lines = Process::start("exit", &server.url(), 2, None).lines();
    assert!(started.elapsed() < SOON);
    assert_eq!(lines, ["leaving"]);
    assert_eq!(server.oracle().stored().len(), 4);
}

#[test]
fn d5_a_process_that_ends_while_a_request_hangs_never_hangs() {
    for case in ["forget", "exit"] {
        let server = FaultServer::start(Reply::Hang);
        let started = Instant::now();
        let lines = Process::start(case, &server.url(), 0, None).lines();
        assert!(started.elapsed() < SOON, "{case}");
        assert_eq!(lines, ["leaving"]);
    }
}

#[test]
fn d5_a_dropped_handle_flushes_before_the_end() {
    let server = FaultServer::start(Script::new());
    let lines = Process::start("drop", &server.url(), 0, None).lines();
    assert_eq!(lines, ["leaving"]);
    assert_eq!(server.oracle().stored().len(), 3);
}

#[test]
fn d5_a_dropped_handle_of_a_hanging_collector_keeps_its_time_limit() {
    let server = FaultServer::start(Reply::Hang);
    let started = Instant::now();
    let lines = Process::start("drop", &server.url(), 0, None).lines();
    assert_eq!(lines, ["leaving"]);
    assert!(started.elapsed() < SOON);
}

#[test]
fn n9_neither_files_nor_threads_are_left_behind() {
    let server = FaultServer::start(Reply::ConnectionClose);
    let lines = Process::start("files", &server.url(), 3, None).lines();
    assert_eq!(lines, ["true"]);
}

#[cfg(unix)]
#[test]
fn x102_a_forked_child_neither_hangs_nor_sends_what_it_inherits() {
    for case in ["forks", "forks of many threads"] {
        let server = FaultServer::start(Script::new());
        let lines = Process::start(case, &server.url(), 0, None).lines();
        assert_eq!(lines, ["hung 0", "failed 0", "balanced true"], "{case}");
        assert!(server.oracle().duplicated().is_empty());
    }
}

fn exported(line: &str) -> usize {
    let request: ExportTraceServiceRequest = serde_json::from_str(line).expect("OTLP/JSON");
    let scopes = request.resource_spans.iter().flat_map(|it| &it.scope_spans);
    scopes.map(|scope| scope.spans.len()).sum()
}

#[test]
fn without_an_endpoint_each_batch_is_a_line_on_the_standard_output() {
    let lines = Process::start("stdout", "", 3, None).lines();
    assert_eq!(lines.len(), 4, "{lines:?}");
    for line in &lines[..3] {
        assert_eq!(exported(line), 2);
        assert_eq!(line.matches('\n').count(), 1);
    }
    assert_eq!(
        lines[3],
        "ended 6 = exported 6 + dropped 0 + buffered 0 + in flight 0"
    );
}

#[test]
fn the_console_shows_each_span_as_soon_as_it_has_ended() {
    let started = Instant::now();
    let lines = Process::start("console", "", 0, None).lines();
    assert!(
        started.elapsed() < SOON,
        "the delay of a batch does not apply"
    );
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[..3].iter().all(|line| exported(line) == 1));
}

#[test]
fn c1_waiting_costs_no_processor_time_in_any_state() {
    let lines = Process::start("idle", "", 0, None).lines();
    let states = ["without a delay", "open", "throttled", "hanging"];
    assert_eq!(lines, states.map(|state| format!("{state} true")));
}

/// Fault X5: a program that handles the signal itself delivers first.
#[cfg(unix)]
#[test]
fn x5_a_program_that_listens_for_sigterm_delivers_before_it_ends() {
    let server = FaultServer::start(Script::new());
    let mut child = Process::start("terminated", &server.url(), 0, None);
    assert_eq!(child.line().as_deref(), Some("ready"));
    assert_eq!(server.oracle().stored().len(), 0);
    child.terminate();
    assert_eq!(child.lines(), ["3 exported, 0 dropped, 0 left"]);
    assert_eq!(server.oracle().stored().len(), 3);
}
