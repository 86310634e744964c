//! Every sequence of outcomes up to a length, with a shutdown at every place, in a world whose
//! thresholds are small enough for all of it to matter.

use core::time::Duration;

use spandrel_core::backoff::{BackoffConfig, Jitter};
use spandrel_core::batch::BatchConfig;
use spandrel_core::breaker::{BreakerConfig, OpenInterval};
use spandrel_core::exporter::ExporterConfig;
use spandrel_core::time::Instant;
use spandrel_tests::models::coverage::Coverage;
use spandrel_tests::sim::{Reply, Setup, Sim, script};

const OUTCOMES: [Reply; 6] = [
    Reply::OK,
    Reply::Status(503),
    Reply::Status(400),
    Reply::REFUSED,
    Reply::RetryAfter(429, "1"),
    Reply::Hang,
];

const LENGTH: u32 = 6;

/// Two failures open the circuit, two retries are all there are, and three batches are held.
const SMALL: ExporterConfig = ExporterConfig {
    batch: BatchConfig {
        max_export_batch_size: 1,
        scheduled_delay: Duration::ZERO,
        ..BatchConfig::DEFAULT
    },
    backoff: BackoffConfig {
        max_retries: 2,
        jitter: Jitter::None,
        ..BackoffConfig::DEFAULT
    },
    breaker: BreakerConfig {
        failure_threshold: 2,
        open: OpenInterval::Fixed(Duration::from_secs(2)),
        ..BreakerConfig::DEFAULT
    },
    request_timeout: Duration::from_secs(1),
    timeout_slack: Duration::from_millis(500),
    ..ExporterConfig::DEFAULT
};

fn replies(mut number: usize) -> [Reply; LENGTH as usize] {
    std::array::from_fn(|_| {
        let reply = OUTCOMES[number % OUTCOMES.len()];
        number /= OUTCOMES.len();
        reply
    })
}

fn start(number: usize) -> Sim {
    let mut setup = Setup::new(SMALL);
    setup.buffer_bytes = 3 * 62;
    let mut sim = Sim::new(setup, script(replies(number), Reply::OK));
    sim.push_many(3);
    sim
}

#[test]
fn every_story_of_six_outcomes_ends_with_every_span_accounted_for() {
    let mut seen = Coverage::default();
    for number in 0..OUTCOMES.len().pow(LENGTH) {
        let mut sim = start(number);
        sim.run_until(Instant::from_secs(60));
        assert!(
            sim.ledger().is_closed(),
            "{:?}: {}",
            replies(number),
            sim.ledger()
        );
        assert!(sim.exporter.poll_timeout().is_none());
        seen.add(sim.seen());
    }
    for (name, count) in [
        ("opened", seen.opened),
        ("recovered", seen.recovered),
        ("probe_failed", seen.probe_failed),
        ("paused", seen.paused),
        ("parked", seen.parked),
    ] {
        assert!(count > 0, "{name} never happened");
    }
}

#[test]
fn every_shorter_story_can_be_shut_down_before_each_of_its_steps() {
    let mut forced = 0;
    for number in 0..OUTCOMES.len().pow(LENGTH - 2) {
        for steps in 0..LENGTH as usize - 1 {
            let mut sim = start(number);
            sim.poll();
            while let Some(next) = sim.next_event().filter(|_| sim.attempts.len() < steps) {
                sim.run_until(next);
            }
            let deadline = sim.now.saturating_add(Duration::from_secs(3));
            let _ = sim.shutdown(Duration::from_secs(3));
            assert!(sim.now <= deadline, "I44: {:?}", replies(number));
            assert!(sim.ledger().is_closed());
            forced += sim.seen().forced;
        }
    }
    assert!(forced > 0);
}
