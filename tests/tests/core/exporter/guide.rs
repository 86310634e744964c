//! The guide's scenarios, told as it tells them, with a whole exporter on a virtual clock.

use core::time::Duration;

use spandrel_core::backoff::{BackoffConfig, Jitter};
use spandrel_core::batch::BatchConfig;
use spandrel_core::breaker::State;
use spandrel_core::buffer::PushError;
use spandrel_core::exporter::{ExporterConfig, FlushOutcome};
use spandrel_core::response::{DropReason, TransportError};
use spandrel_core::time::Instant;
use spandrel_tests::sim::{Reply, Setup, Sim, outages, script};

const REFUSED: Reply = Reply::REFUSED;
/// A connection that was not made in time: the attempt takes no time here.
const TIMEOUT: Reply = Reply::Fail(TransportError::Timeout { body_sent: false });
const DEADLINE: Duration = Duration::from_secs(5);

/// The guide's numbers, without jitter, so that times can be told.
const GUIDE: ExporterConfig = ExporterConfig {
    backoff: BackoffConfig {
        jitter: Jitter::None,
        ..BackoffConfig::DEFAULT
    },
    ..ExporterConfig::DEFAULT
};

/// Each span is an export of its own, at once.
const ONE_BY_ONE: ExporterConfig = ExporterConfig {
    batch: BatchConfig {
        max_export_batch_size: 1,
        scheduled_delay: Duration::ZERO,
        ..BatchConfig::DEFAULT
    },
    ..GUIDE
};

/// Each export is one attempt.
const NO_RETRIES: ExporterConfig = ExporterConfig {
    backoff: BackoffConfig {
        max_retries: 0,
        ..GUIDE.backoff
    },
    ..ONE_BY_ONE
};

fn at(secs: u64) -> Instant {
    Instant::from_secs(secs)
}

fn millis(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

#[test]
fn breaker_scenario_1_a_short_outage() {
    // t=0: the collector goes down, until t=20 s.
    let collector = outages(vec![at(0)..at(20)]);
    let mut sim = Sim::new(Setup::new(NO_RETRIES), collector);
    // Exports 1 to 5 fail and the circuit opens.
    for n in 1..=5 {
        assert_eq!(sim.exporter.circuit(), State::Closed, "before export {n}");
        sim.push_many(1);
        sim.poll();
    }
    assert_eq!(sim.exporter.circuit(), State::Open);
    // t=1 s: export 6 is refused, and held.
    sim.run_until(at(1));
    sim.push_many(1);
    sim.poll();
    assert_eq!((sim.attempts.len(), sim.ledger().buffered), (5, 2));
    // t=30 s: half-open by itself; the probe carries what was held, the circuit closes.
    sim.run_until(at(30));
    assert_eq!(sim.exporter.circuit(), State::Closed);
    // t=32 s: normal.
    sim.run_until(at(32));
    sim.push_many(1);
    sim.poll();
    let ledger = sim.ledger();
    // Four exports had one attempt each; the fifth failed with the circuit open and was held.
    assert_eq!(
        (ledger.exported, ledger.dropped(DropReason::RetryExhausted)),
        (3, 4)
    );
}

#[test]
fn breaker_scenario_2_lasting_trouble() {
    let collector = outages(vec![at(0)..at(100)]);
    let mut sim = Sim::new(Setup::new(NO_RETRIES), collector);
    sim.push_many(5);
    sim.poll();
    assert_eq!(sim.exporter.circuit(), State::Open);
    // Half-open at 30 s, the probe fails, open again; at 60 s, at 90 s; recovery at 120 s.
    for (round, expected) in [(29, 5), (30, 6), (59, 6), (60, 7), (90, 8), (119, 8)] {
        sim.run_until(at(round));
        assert_eq!(
            (sim.exporter.circuit(), sim.attempts.len()),
            (State::Open, expected)
        );
    }
    sim.run_until(at(120));
    assert_eq!(
        (sim.exporter.circuit(), sim.ledger().exported),
        (State::Closed, 1)
    );
}

#[test]
fn retry_scenario_1_delivered_after_one_retry() {
    let mut sim = Sim::new(Setup::new(ONE_BY_ONE), script([TIMEOUT], Reply::OK));
    sim.push_many(1);
    assert!(sim.settle());
    assert_eq!(sim.attempt_millis(), [0, 100]);
    assert_eq!(sim.ledger().exported, 1);
}

/// The time limit of a request and that of the retries are both 10 s: time spent retrying counts
/// from the first failure, or a request that hung would never be repeated.
#[test]
fn retry_scenario_1_holds_for_a_request_that_hung_for_its_whole_time_limit() {
    let mut sim = Sim::new(Setup::new(ONE_BY_ONE), script([Reply::Hang], Reply::OK));
    sim.push_many(1);
    assert!(sim.settle());
    assert_eq!(sim.attempt_millis(), [0, 10_100]);
    assert_eq!(sim.ledger().exported, 1);
}

#[test]
fn retry_scenario_2_delivered_after_two_retries() {
    let mut sim = Sim::new(
        Setup::new(ONE_BY_ONE),
        script([REFUSED, REFUSED], Reply::OK),
    );
    sim.push_many(1);
    assert!(sim.settle());
    assert_eq!(sim.attempt_millis(), [0, 100, 250]);
    // The breaker had seen 2 failures of its 5.
    assert_eq!(
        (sim.ledger().exported, sim.exporter.stats().circuit_opened),
        (1, 0)
    );
}

#[test]
fn retry_scenario_3_five_failures_open_the_circuit() {
    let mut sim = Sim::new(Setup::new(ONE_BY_ONE), script([REFUSED; 5], Reply::OK));
    sim.push_many(1);
    sim.run_until(at(1));
    assert_eq!(sim.attempt_millis(), [0, 100, 250, 475, 813]);
    assert_eq!(sim.exporter.circuit(), State::Open);
    // The next exports are refused until it resets; nothing is lost.
    sim.push_many(3);
    sim.run_until(at(30));
    assert_eq!(sim.attempts.len(), 5);
    sim.run_until(at(32));
    assert_eq!(sim.attempts[5].at, millis(30_813));
    assert_eq!(
        (sim.ledger().exported, sim.ledger().dropped_total()),
        (4, 0)
    );
}

/// 429 is an answer of a living server, so the circuit stays closed and all retries are made.
#[test]
fn the_waits_are_100_150_225_338_and_507_ms() {
    let mut sim = Sim::new(Setup::new(ONE_BY_ONE), script([], Reply::Status(429)));
    sim.push_many(1);
    assert!(sim.settle());
    let times = sim.attempt_millis();
    let waits: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(waits, [100, 150, 225, 338, 507]);
    assert_eq!(sim.ledger().dropped(DropReason::RetryExhausted), 1);
}

#[test]
fn cancellation_ends_a_wait_at_once() {
    let mut sim = Sim::new(Setup::new(ONE_BY_ONE), script([REFUSED], Reply::OK));
    sim.push_many(1);
    sim.run_until(millis(10));
    // The retry is due at 100 ms; the shutdown does not wait for it.
    let report = sim.shutdown(DEADLINE);
    assert_eq!(sim.attempt_millis(), [0, 10]);
    assert!(report.is_success());
}

#[test]
fn cancellation_ends_a_request_at_once_and_keeps_its_batch() {
    let mut sim = Sim::new(Setup::new(ONE_BY_ONE), script([Reply::Cancel], Reply::OK));
    sim.push_many(1);
    sim.poll();
    assert_eq!(
        (sim.attempt_millis(), sim.ledger().exported),
        (vec![0, 0], 1)
    );
    assert_eq!(
        sim.attempts[1].number, 1,
        "what was cancelled is not an attempt"
    );
}

#[test]
fn memory_does_not_grow_however_long_the_collector_is_down() {
    let mut setup = Setup::new(GUIDE);
    setup.buffer_bytes = 2_000;
    let mut sim = Sim::new(setup, script([], REFUSED));
    for _ in 0..600 {
        sim.push_many(5);
        sim.run_for(Duration::from_secs(1));
        assert!(sim.exporter.buffer().len() <= 2_000 / 62);
    }
    let ledger = sim.ledger();
    assert_eq!(ledger.ended, 3_000);
    assert!(ledger.is_balanced() && ledger.dropped(DropReason::QueueFull) > 2_900);
}

#[test]
fn batching_sends_512_spans_or_what_there_is_after_5_seconds() {
    let mut setup = Setup::new(GUIDE);
    (setup.buffer_bytes, setup.chunk) = (1 << 18, 1 << 14);
    let mut sim = Sim::new(setup, script([], Reply::OK));
    sim.push_many(511);
    sim.run_until(millis(4_999));
    assert_eq!(sim.attempts.len(), 0);
    sim.run_until(at(5));
    sim.push_many(512 + 88);
    sim.poll();
    assert!(sim.settle());
    let sizes: Vec<_> = sim
        .attempts
        .iter()
        .map(|attempt| (attempt.at.as_millis(), attempt.spans))
        .collect();
    assert_eq!(sizes, [(5_000, 511), (5_000, 512), (10_000, 88)]);
}

#[test]
fn a_flush_sends_what_is_pending_and_says_so() {
    let mut sim = Sim::new(Setup::new(GUIDE), script([], Reply::OK));
    let nothing = sim.flush(DEADLINE);
    assert!(nothing.is_success());
    sim.push_many(3);
    let report = sim.flush(DEADLINE);
    assert_eq!(
        (report.outcome, report.exported, sim.now),
        (FlushOutcome::Complete, 3, at(0))
    );
}

#[test]
fn a_flush_does_not_wait_for_a_circuit_that_stays_open_for_longer() {
    let mut sim = Sim::new(Setup::new(GUIDE), script([], REFUSED));
    sim.push_many(3);
    let report = sim.flush(DEADLINE);
    let retry_at = millis(30_813);
    assert_eq!(report.outcome, FlushOutcome::CircuitOpen { retry_at });
    assert_eq!((report.left, sim.now), (3, millis(813)));
}

#[test]
fn a_shutdown_without_spans_is_over_at_once_and_can_be_repeated() {
    let mut sim = Sim::new(Setup::new(GUIDE), script([], Reply::OK));
    let first = sim.shutdown(DEADLINE);
    assert!(first.is_success());
    assert_eq!(sim.now, at(0));
    assert_eq!(sim.shutdown(DEADLINE), first);
    assert_eq!(sim.push(), Err(PushError::Shutdown));
}

#[test]
fn a_shutdown_flushes_what_is_pending() {
    let mut sim = Sim::new(Setup::new(GUIDE), script([], Reply::OK));
    sim.push_many(700);
    let report = sim.shutdown(DEADLINE);
    assert_eq!((report.exported, sim.now), (700, at(0)));
}

#[test]
fn a_shutdown_while_the_circuit_is_open_makes_one_last_attempt() {
    for (last, exported) in [(Reply::OK, 3), (REFUSED, 0)] {
        let replies = [REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, last];
        let mut sim = Sim::new(Setup::new(GUIDE), script(replies, last));
        sim.push_many(3);
        sim.run_until(at(10));
        assert_eq!(sim.exporter.circuit(), State::Open);
        let report = sim.shutdown(DEADLINE);
        assert_eq!((sim.attempts.len(), sim.now), (6, at(10)));
        assert_eq!((report.exported, report.dropped), (exported, 3 - exported));
    }
}
