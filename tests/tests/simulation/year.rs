//! A year of outages in a second or so.

use core::time::Duration;

use spandrel_core::breaker::BreakerConfig;
use spandrel_core::exporter::ExporterConfig;
use spandrel_core::time::Instant;
use spandrel_tests::models::Draws;
use spandrel_tests::sim::{Reply, Setup, Sim, outages};

const DAY: u64 = 86_400;

#[test]
fn a_year_of_outages_loses_nothing_that_fits_in_the_queue() {
    let mut draws = Draws::new(2024);
    let mut times = Vec::new();
    let mut at = 0;
    while at < 365 * DAY {
        at += draws.below(2 * DAY);
        let len = [1, 5, 30, 120, 3_600][usize::try_from(draws.below(5)).expect("small")];
        times.push(Instant::from_secs(at)..Instant::from_secs(at + len));
        at += len;
    }
    let count = times.len();
    let config = ExporterConfig {
        breaker: BreakerConfig::adaptive(),
        max_batch_age: Duration::ZERO,
        ..ExporterConfig::DEFAULT
    };
    let mut sim = Sim::new(Setup::new(config), outages(times));
    for _ in 0..365 * DAY / 600 {
        sim.push_many(1);
        sim.run_for(Duration::from_secs(600));
    }
    assert!(sim.settle());
    let ledger = sim.ledger();
    assert_eq!(
        (ledger.exported, ledger.dropped_total()),
        (365 * DAY / 600, 0)
    );
    let failed = sim.attempts.iter().filter(|a| a.reply != Reply::OK).count();
    println!(
        "{count} outages, {} requests, {failed} of them failed",
        sim.attempts.len()
    );
    assert!(sim.exporter.stats().circuit_opened > 10);
}
