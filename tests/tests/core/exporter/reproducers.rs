//! What once went wrong.

use core::time::Duration;

use spandrel_core::backoff::BackoffConfig;
use spandrel_core::batch::BatchConfig;
use spandrel_core::breaker::{BreakerConfig, OpenInterval, State};
use spandrel_core::exporter::ExporterConfig;
use spandrel_core::response::TransportError;
use spandrel_core::time::Instant;
use spandrel_tests::sim::{Answer, Reply, Request, Setup, Sim, script};

/// One span a batch, sent at once.
const SINGLE: BatchConfig = BatchConfig {
    max_export_batch_size: 1,
    scheduled_delay: Duration::ZERO,
    ..BatchConfig::DEFAULT
};

/// `cancel_in_flight` took the batch that waited for its retry and forgot it.
#[test]
fn cancelling_nothing_keeps_the_batch_that_waits() {
    let config = ExporterConfig {
        batch: SINGLE,
        ..ExporterConfig::DEFAULT
    };
    let mut sim = Sim::new(Setup::new(config), script([Reply::Status(503)], Reply::OK));
    sim.push_many(1);
    sim.poll();
    sim.exporter.cancel_in_flight(sim.now);
    assert!(sim.settle());
    assert_eq!(sim.ledger().exported, 1);
}

/// The suspects were looked at in the order of their parking, not of their age, and the exporter
/// asked to be called again and again for one that it then left alone.
#[test]
fn every_batch_expires_at_its_time_whatever_its_place() {
    let config = ExporterConfig {
        batch: SINGLE,
        breaker: BreakerConfig {
            failure_threshold: 1,
            open: OpenInterval::Fixed(Duration::from_secs(1)),
            ..BreakerConfig::DEFAULT
        },
        max_batch_age: Duration::from_secs(8),
        ..ExporterConfig::DEFAULT
    };
    let refused = [Reply::REFUSED; 4].into_iter();
    let mut replies = refused.chain([Reply::Status(400)]);
    let mut sim = Sim::new(Setup::new(config), move |_: &Request<'_>| Answer {
        reply: replies.next().unwrap_or(Reply::REFUSED),
        after: Duration::from_millis(500),
    });
    // Two batches become suspects, a third one is refused, the first suspect fails once more and
    // is set aside again, behind the second.
    for push_at in [0, 1000, 3600, 6600] {
        sim.run_until(Instant::from_millis(push_at));
        sim.push_many(1);
    }
    assert!(sim.settle());
    assert!(sim.ledger().is_closed());
}

/// A stale connection says nothing about the destination, so the circuit stayed half-open and the
/// next attempt followed at once, for ever.
#[test]
fn stale_connections_while_half_open_do_not_spin() {
    let config = ExporterConfig {
        batch: SINGLE,
        breaker: BreakerConfig {
            failure_threshold: 1,
            ..BreakerConfig::DEFAULT
        },
        backoff: BackoffConfig::DEFAULT,
        ..ExporterConfig::DEFAULT
    };
    let stale = Reply::Fail(TransportError::Stale);
    let mut sim = Sim::new(Setup::new(config), script([Reply::REFUSED], stale));
    sim.push_many(1);
    sim.run_until(Instant::from_secs(31));
    assert_eq!(sim.exporter.circuit(), State::HalfOpen);
    assert!(
        sim.attempts.len() <= 2 + 2 * 11,
        "{} attempts",
        sim.attempts.len()
    );
}
