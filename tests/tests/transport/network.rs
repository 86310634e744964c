//! Faults N1 to N9: what the network does.

use std::time::Instant;

use spandrel_core::response::DropReason;
use spandrel_tests::fault_server::{FaultServer, Reply, Script};
use spandrel_tests::loopback::Blackhole;
use spandrel_transport_std::FlushOutcome;

use crate::harness::{AT_ONCE, PATIENCE, REQUEST, Rig, complete, ms, until};

#[test]
fn n1_connection_refused_for_a_short_while_loses_nothing() {
    let rig = Rig::new(Script::new());
    rig.server.available(false);
    rig.record(3);
    let report = std::thread::scope(|scope| {
        let flush = scope.spawn(|| rig.telemetry.force_flush(PATIENCE));
        rig.wait_for_attempts(3);
        rig.server.available(true);
        let back = Instant::now();
        let report = flush.join().unwrap();
        assert!(
            back.elapsed() < ms(2000),
            "resumed after {:?}",
            back.elapsed()
        );
        report
    });
    assert!(report.is_success(), "{report:?}");
    rig.close().is(3, &[]).possible_duplicates(0);
}

#[test]
fn n1_connection_refused_opens_the_circuit_and_the_spans_are_held() {
    let rig = Rig::new(Script::new());
    rig.server.available(false);
    rig.record(3);
    let report = rig.telemetry.force_flush(ms(50));
    assert!(!report.is_success());
    until("open", || rig.telemetry.stats().circuit_opened == 1);
    assert_eq!(rig.attempts(), 5);
    assert_eq!(rig.telemetry.ledger().buffered, 3);
    rig.server.available(true);
    complete(rig.flush());
    rig.close().is(3, &[]).opened(1).attempts(6);
}

#[test]
fn n1_connection_refused_uses_up_the_retries_while_the_circuit_is_closed() {
    let rig = Rig::with(Script::new(), |config| {
        config.breaker.as_mut().unwrap().failure_threshold = 100;
    });
    rig.server.available(false);
    let report = rig.batch(2);
    assert_eq!(
        (report.outcome, report.dropped),
        (FlushOutcome::Complete, 2)
    );
    rig.close()
        .is(0, &[(DropReason::RetryExhausted, 2)])
        .attempts(6);
}

#[test]
fn n1_connection_refused_for_ever_is_told_at_shutdown() {
    let rig = Rig::new(Script::new());
    rig.server.available(false);
    rig.record(3);
    let started = Instant::now();
    let end = rig.close();
    assert!(started.elapsed() < AT_ONCE, "one last attempt and no wait");
    end.is(0, &[(DropReason::Shutdown, 3)]);
    assert!(!end.report.is_success());
}

#[test]
fn n2_connecting_to_a_black_hole_ends_with_the_connect_timeout() {
    let Ok(hole) = Blackhole::start() else {
        return println!("skipped: this kernel completes every connection");
    };
    let rig = Rig::at(FaultServer::start(Script::new()), &hole.url(), |_| ());
    rig.record(2);
    let report = rig.telemetry.force_flush(ms(50));
    assert_eq!((report.outcome, report.left), (FlushOutcome::TimedOut, 2));
    rig.wait_for_attempts(2);
    let started = Instant::now();
    let end = rig.close_within(ms(100));
    assert!(started.elapsed() < AT_ONCE);
    end.is(0, &[(DropReason::Shutdown, 2)])
        .possible_duplicates(0);
}

#[test]
fn n3_a_server_that_never_answers_meets_the_request_timeout() {
    let rig = Rig::new([Reply::Hang]);
    let started = Instant::now();
    rig.deliver(2);
    assert!(started.elapsed() >= REQUEST);
    rig.close().is(2, &[]).attempts(2).possible_duplicates(2);
}

// spec A-062, spec D-130
#[test]
fn the_time_of_an_export_covers_its_retries_and_loses_nothing() {
    let rig = Rig::new([Reply::status(503), Reply::Hang]);
    rig.deliver(2);
    // The hang ends with the export, and the circuit opens until the probe.
    let stats = rig.telemetry.stats();
    assert_eq!((stats.attempts, stats.circuit_opened), (3, 1));
    rig.close().is(2, &[]).attempts(3).possible_duplicates(2);
}

#[test]
fn n4_an_answer_of_one_byte_at_a_time_meets_the_deadline_of_the_whole() {
    let rig = Rig::new([Reply::SlowLoris {
        byte_interval: ms(50),
    }]);
    rig.deliver(2);
    let end = rig.close();
    end.is(2, &[]).attempts(2).possible_duplicates(2);
    assert_eq!(end.server.oracle().duplicated().len(), 2);
}

#[test]
fn n5_a_server_that_reads_at_a_crawl_meets_the_deadline_of_the_request() {
    let crawl = Reply::SlowRead {
        bytes_per_sec: 1000,
    };
    let rig = Rig::with([crawl], |config| {
        // More than the buffers of two sockets hold.
        config.compression = Some(spandrel_core::env::Compression::None);
        config.buffer_bytes = Some(16 << 20);
        config.shard_bytes = Some(16 << 20);
        config.max_request_bytes = Some(16 << 20);
        config.max_span_bytes = Some(128 << 10);
        config.timeout = Some(ms(1500));
    });
    let text = "x".repeat(60_000);
    for _ in 0..128 {
        let mut span = rig.tracer().start("large");
        span.set_attribute("text", text.as_str());
        rig.end(span);
    }
    complete(rig.flush());
    rig.close().is(128, &[]).attempts(2).possible_duplicates(0);
}

#[test]
fn n6_a_reset_at_any_byte_of_the_body_costs_a_retry() {
    let rig = Rig::new([Reply::ResetAfterHeaders]);
    rig.deliver(1);
    let mut sent = 1;
    for byte in (0..240).step_by(12) {
        rig.server.push(Reply::ResetAtBodyByte(byte));
        rig.deliver(1);
        sent += 1;
    }
    let end = rig.close();
    end.is(sent, &[]).opened(0);
    assert!(end.server.oracle().duplicated().is_empty());
}

#[test]
fn n6_a_reset_after_the_whole_body_announces_a_possible_duplicate() {
    for (reply, stored_twice) in [
        (Reply::ResetAfterRequest, 0),
        (Reply::ResetInResponse { after: 0 }, 2),
        (Reply::ResetInResponse { after: 30 }, 2),
    ] {
        let rig = Rig::new([reply]);
        rig.deliver(2);
        let end = rig.close();
        end.is(2, &[]).attempts(2).possible_duplicates(2);
        assert_eq!(end.server.oracle().duplicated().len(), stored_twice);
    }
}

#[test]
fn n7_a_half_closed_connection_is_a_failure_like_a_reset() {
    for reply in [Reply::HalfClose, Reply::CloseBeforeResponse] {
        let rig = Rig::new([reply]);
        rig.deliver(2);
        rig.close().is(2, &[]).attempts(2).possible_duplicates(2);
    }
}

#[test]
fn n8_a_kept_connection_that_closed_meanwhile_costs_nothing() {
    let rig = Rig::new([Reply::Ok, Reply::CloseBeforeResponse]);
    rig.deliver(1);
    rig.deliver(2);
    let end = rig.close();
    // It had been sent whole, and is sent again.
    end.is(3, &[]).attempts(3).possible_duplicates(2);
    assert_eq!(end.server.requests().len(), 3);
}

#[test]
fn n8_a_kept_connection_that_the_server_ended_is_not_used_again() {
    let rig = Rig::new([Reply::OkThenIdleClose(ms(1))]);
    rig.deliver(1);
    until("the end of the connection", || {
        rig.server.counters().open == 0
    });
    rig.deliver(1);
    rig.close().is(2, &[]).attempts(2).possible_duplicates(0);
}

#[test]
fn n9_a_server_that_closes_each_time_is_served_each_time() {
    let rig = Rig::new(Reply::ConnectionClose);
    for _ in 0..50 {
        rig.deliver(1);
    }
    let end = rig.close();
    end.is(50, &[]).attempts(50).opened(0);
    assert_eq!(end.server.counters().accepted, 50);
    until("no connection is left", || end.server.counters().open == 0);
}
