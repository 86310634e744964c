//! Fault S20: a collector restarts, and 500 clients come back. What matters is that they do not
//! come at once, so the test counts how many do within the first second.

use core::time::Duration;

use spandrel_core::batch::BatchConfig;
use spandrel_core::breaker::BreakerConfig;
use spandrel_core::exporter::ExporterConfig;
use spandrel_core::time::Instant;
use spandrel_tests::models::Draws;
use spandrel_tests::sim::{Setup, Sim, outages};

const CLIENTS: u64 = 500;
const DOWN: Instant = Instant::from_secs(20);

/// How many clients make an attempt within a second after an outage of `secs` seconds.
fn in_the_first_second(breaker: BreakerConfig, secs: u64, seeds: impl Fn(u64) -> u64) -> u64 {
    let up = DOWN.saturating_add(Duration::from_secs(secs));
    let after = up.saturating_add(Duration::from_secs(1));
    let mut count = 0;
    for client in 0..CLIENTS {
        let seed = seeds(client);
        let config = ExporterConfig {
            batch: BatchConfig::DEFAULT,
            breaker,
            ..ExporterConfig::DEFAULT
        };
        let mut sim = Sim::new(Setup::new(config.with_seed(seed)), outages(vec![DOWN..up]));
        // Processes do not start in the same millisecond.
        sim.run_until(Instant::from_millis(Draws::new(seed ^ 1).below(5_000)));
        while sim.now < after {
            sim.push_many(1);
            sim.run_for(Duration::from_millis(2_500));
        }
        let hit = sim.attempts.iter().any(|a| a.at >= up && a.at < after);
        count += u64::from(hit);
    }
    count
}

#[test]
fn s20_a_fleet_does_not_come_back_in_one_second() {
    for secs in [60, 120, 300] {
        let count = in_the_first_second(BreakerConfig::adaptive(), secs, |client| client);
        println!("adaptive, {secs} s: {count} of {CLIENTS} clients in the first second");
        assert!(count <= CLIENTS / 5, "{count} of {CLIENTS} after {secs} s");
    }
}

#[test]
fn s20_a_fleet_with_one_seed_is_what_a_herd_looks_like() {
    // All seeds equal, and so the start too: every client at the same instant, or none.
    let count = in_the_first_second(BreakerConfig::adaptive(), 60, |_| 7);
    assert!(count == 0 || count == CLIENTS);
}
