//! Rules of delivery that no fault and no invariant shows by itself.

use core::time::Duration;

use spandrel_core::backoff::{BackoffConfig, Jitter};
use spandrel_core::batch::BatchConfig;
use spandrel_core::breaker::{BreakerConfig, OpenInterval};
use spandrel_core::exporter::{ExporterConfig, OnTooLarge};
use spandrel_core::response::DropReason;
use spandrel_core::time::Instant;
use spandrel_tests::sim::{Answer, Reply, Request, Setup, Sim, outages};

/// One span a batch, sent at once.
const SINGLE: ExporterConfig = ExporterConfig {
    batch: BatchConfig {
        max_export_batch_size: 1,
        scheduled_delay: Duration::ZERO,
        ..BatchConfig::DEFAULT
    },
    ..ExporterConfig::DEFAULT
};

/// rule R30
#[test]
fn after_an_outage_the_backlog_is_sent_in_growing_portions() {
    let up = Instant::from_secs(20);
    let mut sim = Sim::new(Setup::new(SINGLE), outages(vec![Instant::ZERO..up]));
    sim.push_many(40);
    assert!(sim.settle());
    assert_eq!(sim.ledger().exported, 40);
    let after: Vec<_> = sim.attempts.iter().filter(|it| it.at >= up).collect();
    let first = after[0].at;
    let at = |millis| {
        let start = first.saturating_add(Duration::from_millis(millis));
        after.iter().filter(|it| it.at == start).count()
    };
    // The probe and one batch more; after each pause twice as many.
    assert_eq!([0, 100, 200, 300, 400].map(at), [2, 4, 8, 16, 10]);
}

/// rule R21
#[test]
fn of_three_suspects_the_first_is_dropped_once_others_get_through() {
    let config = ExporterConfig {
        breaker: BreakerConfig {
            failure_threshold: 1,
            open: OpenInterval::Fixed(Duration::from_secs(1)),
            ..BreakerConfig::DEFAULT
        },
        ..SINGLE
    };
    let poisonous = |id: u64| id < 6 && id.is_multiple_of(2);
    let collector = move |request: &Request<'_>| {
        if request.ids.iter().any(|id| poisonous(*id)) {
            Reply::Status(503)
        } else {
            Reply::OK
        }
    };
    let mut sim = Sim::new(Setup::new(config), collector);
    sim.push_many(12);
    // In each second a good batch gets through, and one of the three fails for the first time.
    sim.run_until(Instant::from_millis(1_999));
    assert_eq!(sim.ledger().dropped_total(), 0);
    sim.run_until(Instant::from_millis(2_001));
    assert_eq!(sim.ledger().dropped(DropReason::Poison), 1);
    let attempts = |first| sim.attempts.iter().filter(|it| it.first == first).count();
    assert_eq!(attempts(0), 3, "its retries are not used up");
    assert!(sim.settle());
    let ledger = sim.ledger();
    assert_eq!(
        (ledger.exported, ledger.dropped(DropReason::Poison)),
        (9, 3)
    );
}

/// A suspect that was set aside and a probe whose answer never came wait, of equal size and with one
/// attempt each, until both are too old. The reports of the loss do not say which batch they are
/// about, so the books of the simulation held the probe's batch still when the next spans were sent,
/// and took them for overtaking it. The exporter was right, the books were not.
#[test]
fn i7_batches_that_grew_too_old_are_gone_and_not_overtaken() {
    let config = ExporterConfig {
        batch: BatchConfig {
            max_export_batch_size: 3,
            ..BatchConfig::DEFAULT
        },
        backoff: BackoffConfig {
            max_retries: 0,
            jitter: Jitter::None,
            ..BackoffConfig::DEFAULT
        },
        breaker: BreakerConfig {
            failure_threshold: 1,
            open: OpenInterval::Fixed(Duration::from_secs(1)),
            ..BreakerConfig::DEFAULT
        },
        max_batch_age: Duration::from_secs(50),
        on_too_large: OnTooLarge::Split,
        ..ExporterConfig::DEFAULT
    };
    let mut replies = [(Reply::REFUSED, 0), (Reply::Status(413), 1_000)].into_iter();
    let collector = move |_: &Request<'_>| {
        let (reply, millis) = replies.next().unwrap_or((Reply::OK, 0));
        let after = Duration::from_millis(millis);
        Answer { reply, after }
    };
    let mut sim = Sim::new(Setup::new(config), collector);
    sim.push_many(7);
    // The first batch is refused and set aside; the probe, of the second one, has no answer yet.
    sim.run_until(Instant::from_secs(1));
    assert_eq!(sim.attempts.len(), 2);
    // Nothing runs for a while: the probe is given up, and then both batches are too old.
    for secs in [40, 80] {
        sim.set_clock(Instant::from_secs(secs));
        sim.poll();
    }
    assert!(sim.settle());
    let ledger = sim.ledger();
    assert_eq!(
        (ledger.exported, ledger.dropped(DropReason::Expired)),
        (1, 6)
    );
}
