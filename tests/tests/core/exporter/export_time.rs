//! The time of an export: the attempts of one batch with the waits between them.

use core::time::Duration;

use spandrel_core::backoff::{BackoffConfig, Jitter};
use spandrel_core::batch::BatchConfig;
use spandrel_core::breaker::{BreakerConfig, State};
use spandrel_core::exporter::{ExporterConfig, WhenOpen};
use spandrel_core::hosted::config::Config;
use spandrel_core::response::DropReason;
use spandrel_core::time::Instant;
use spandrel_tests::sim::{Answer, Reply, Request, Setup, Sim, script};

const LIMIT: Duration = Duration::from_secs(10);

/// One span a batch, sent at once, without jitter, as a hosted pipeline limits it.
const LIMITED: ExporterConfig = ExporterConfig {
    batch: BatchConfig {
        max_export_batch_size: 1,
        scheduled_delay: Duration::ZERO,
        ..BatchConfig::DEFAULT
    },
    backoff: BackoffConfig {
        jitter: Jitter::None,
        ..BackoffConfig::DEFAULT
    },
    export_timeout: LIMIT,
    ..ExporterConfig::DEFAULT
};

const fn secs(secs: u64) -> Instant {
    Instant::from_secs(secs)
}

/// Answers `reply` after `millis`.
const fn slow(reply: Reply, millis: u64) -> Answer {
    Answer {
        reply,
        after: Duration::from_millis(millis),
    }
}

/// Each answer in turn, and then a success at once.
fn answers(list: Vec<Answer>) -> impl FnMut(&Request<'_>) -> Answer {
    let mut list = list.into_iter();
    move |_| list.next().unwrap_or_else(|| Reply::OK.into())
}

// spec A-062, spec C-019, spec D-130
#[test]
fn an_export_ends_with_its_time_retries_and_waits_included() {
    let busy = slow(Reply::Status(503), 4_000);
    let mut sim = Sim::new(
        Setup::new(LIMITED),
        answers(vec![busy, busy, Reply::Hang.into()]),
    );
    sim.push_many(1);
    sim.run_until(secs(9));
    // The third attempt has what the first two and their waits have left.
    assert_eq!(sim.attempt_millis(), [0, 4_100, 8_250]);
    assert_eq!(sim.exporter.circuit(), State::Closed);
    sim.run_until(secs(10));
    assert_eq!(sim.exporter.circuit(), State::Open, "the export is over");
    assert_eq!(
        (sim.ledger().buffered, sim.ledger().dropped_total()),
        (1, 0)
    );
    assert_eq!(sim.exporter.stats().circuit_opened, 1);
    // The probe comes after the wait that a retry would have had.
    assert!(sim.settle());
    assert_eq!(sim.attempt_millis(), [0, 4_100, 8_250, 10_225]);
    assert_eq!(sim.ledger().exported, 1);
}

#[test]
fn a_retry_that_would_come_after_the_end_is_not_made() {
    let late = slow(Reply::Status(503), 9_950);
    let mut sim = Sim::new(Setup::new(LIMITED), answers(vec![late]));
    sim.push_many(1);
    sim.run_until(Instant::from_millis(9_950));
    assert_eq!(sim.exporter.circuit(), State::Open);
    assert!(sim.settle());
    assert_eq!(sim.attempt_millis(), [0, 10_050]);
    assert_eq!(sim.ledger().exported, 1);
}

#[test]
fn without_a_limit_only_the_retries_end_an_export() {
    let config = ExporterConfig {
        export_timeout: Duration::ZERO,
        request_timeout: Duration::ZERO,
        max_batch_age: Duration::ZERO,
        ..LIMITED
    };
    let mut sim = Sim::new(
        Setup::new(config),
        answers(vec![slow(Reply::OK, 3_600_000)]),
    );
    sim.push_many(1);
    assert!(sim.settle());
    assert_eq!((sim.ledger().exported, sim.attempts.len()), (1, 1));
    // An hour, and the collector is not given up.
    let busy = slow(Reply::Status(503), 3_600_000);
    let mut sim = Sim::new(Setup::new(config), answers(vec![busy, slow(Reply::OK, 1)]));
    sim.push_many(1);
    sim.run_until(secs(3_600));
    assert_eq!(sim.exporter.circuit(), State::Closed);
    assert!(sim.settle());
    assert_eq!((sim.ledger().exported, sim.attempts.len()), (1, 2));
}

#[test]
fn what_waits_for_the_circuit_or_for_a_pause_is_no_export() {
    // Five refusals open the circuit; each probe is an export of its own.
    let slow_answer = slow(Reply::OK, 9_900);
    let refused = [Answer::from(Reply::REFUSED); 6];
    let list: Vec<_> = refused.into_iter().chain([slow_answer]).collect();
    let mut sim = Sim::new(Setup::new(LIMITED), answers(list));
    sim.push_many(1);
    assert!(sim.settle());
    assert_eq!(sim.attempts.len(), 7);
    assert_eq!(sim.ledger().exported, 1);
    // A pause of a minute takes nothing of the ten seconds.
    let asked = Reply::RetryAfter(503, "60");
    let mut sim = Sim::new(
        Setup::new(LIMITED),
        answers(vec![asked.into(), slow_answer]),
    );
    sim.push_many(1);
    assert!(sim.settle());
    assert_eq!((sim.ledger().exported, sim.attempts.len()), (1, 2));
    assert_eq!(sim.exporter.stats().circuit_opened, 0);
}

#[test]
fn a_driver_that_slept_through_the_end_begins_another_export() {
    let mut sim = Sim::new(Setup::new(LIMITED), script([Reply::Status(503)], Reply::OK));
    sim.push_many(1);
    sim.poll();
    sim.set_clock(secs(60));
    sim.poll();
    assert_eq!(sim.ledger().exported, 1);
    assert_eq!(sim.exporter.circuit(), State::Closed);
}

#[test]
fn a_batch_that_must_not_be_held_is_dropped_at_the_end() {
    let config = ExporterConfig {
        when_open: WhenOpen::Drop,
        ..LIMITED
    };
    let mut sim = Sim::new(Setup::new(config), script([], Reply::Hang));
    sim.push_many(1);
    assert!(sim.settle());
    assert_eq!(sim.attempt_millis(), [0]);
    assert_eq!(sim.ledger().dropped(DropReason::RetryExhausted), 1);
    assert_eq!(sim.now, secs(86_400));
}

#[test]
fn a_shutdown_has_its_own_deadline() {
    let mut sim = Sim::new(Setup::new(LIMITED), script([Reply::Hang], Reply::OK));
    sim.push_many(1);
    sim.run_until(secs(1));
    let report = sim.shutdown(Duration::from_secs(60));
    assert!(report.is_success(), "{report}");
    assert_eq!(sim.exporter.stats().circuit_opened, 0);
}

/// The promise of the documentation: a collector that hangs for 20 s costs the production preset no
/// span, and not even the default settings lose a batch to it.
#[test]
fn a_hang_of_20_s_loses_nothing() {
    for preset in [Config::production("shop", ""), Config::default()] {
        let settings = preset.resolve_with(|_| None).unwrap();
        assert_eq!(settings.exporter.export_timeout, LIMIT);
        for hang in [1, 5, 9, 10, 12, 15, 20] {
            let end = secs(5 + hang);
            let collector = move |request: &Request<'_>| {
                let hangs = request.at >= secs(5) && request.at < end;
                let left = end.saturating_since(request.at);
                match hangs {
                    true if left > LIMIT => Reply::Hang.into(),
                    true => Answer {
                        reply: Reply::OK,
                        after: left,
                    },
                    false => Reply::OK.into(),
                }
            };
            let mut setup = Setup::new(settings.exporter);
            setup.buffer_bytes = settings.buffer_bytes;
            setup.max_records = settings.max_queue_size;
            setup.chunk = 1 << 15;
            let mut sim = Sim::new(setup, collector);
            // As many as the room of the queue lets wait until the first probe after a failed one.
            let rate = u64::from(settings.max_queue_size) / (hang + 35);
            for second in 1..=60 {
                sim.push_many(rate);
                sim.run_until(secs(second));
            }
            assert!(sim.settle());
            let ledger = sim.ledger();
            assert_eq!(ledger.dropped_total(), 0, "{hang} s: {ledger}");
            assert_eq!(ledger.exported, 60 * rate);
            let back = sim.attempts.iter().find(|it| it.at >= end).unwrap().at;
            if settings.exporter.breaker == BreakerConfig::prompt() {
                assert!(
                    back <= end.saturating_add(Duration::from_secs(6)),
                    "{back:?}"
                );
            }
        }
    }
}
