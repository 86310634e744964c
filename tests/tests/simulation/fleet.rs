//! Fault S20: a collector restarts, and 500 clients come back. What matters is that they do not
//! come at once, so the tests count how many do within the same second. Run with `--nocapture` to see
//! the numbers.

use core::time::Duration;

use spandrel_core::breaker::BreakerConfig;
use spandrel_core::exporter::ExporterConfig;
use spandrel_core::time::Instant;
use spandrel_tests::models::Draws;
use spandrel_tests::sim::{Setup, Sim, outages};

const CLIENTS: u64 = 500;
const DOWN: Instant = Instant::from_secs(20);

/// How many clients make their first attempt within a second after an outage of `secs` seconds:
/// in the first second after it, and in the worst one.
fn herd(breaker: BreakerConfig, secs: u64, seeds: impl Fn(u64) -> u64) -> (usize, usize) {
    let up = DOWN.saturating_add(Duration::from_secs(secs));
    let mut firsts = Vec::new();
    for client in 0..CLIENTS {
        let seed = seeds(client);
        let config = ExporterConfig {
            breaker,
            ..ExporterConfig::DEFAULT
        };
        let mut sim = Sim::new(Setup::new(config.with_seed(seed)), outages(vec![DOWN..up]));
        // Processes do not start in the same millisecond.
        sim.run_until(Instant::from_millis(Draws::new(seed ^ 1).below(5_000)));
        while firsts.len() as u64 == client {
            sim.push_many(1);
            sim.run_for(Duration::from_millis(10_000));
            let first = sim.attempts.iter().find(|attempt| attempt.at >= up);
            firsts.extend(first.map(|attempt| attempt.at));
        }
    }
    firsts.sort_unstable();
    let within_a_second = |start: Instant| {
        let end = start.saturating_add(Duration::from_secs(1));
        firsts.iter().filter(|&&at| start <= at && at < end).count()
    };
    let worst = firsts.iter().map(|&start| within_a_second(start)).max();
    (within_a_second(up), worst.unwrap_or(0))
}

#[test]
fn s20_a_fleet_does_not_come_back_in_one_second() {
    // In peace, a fleet that exports every 5 s makes a fifth of its requests each second; short
    // outages must not make that much worse, long ones must do better.
    for (secs, most) in [(5, CLIENTS / 4), (60, CLIENTS / 5), (300, CLIENTS / 5)] {
        let (first, worst) = herd(BreakerConfig::adaptive(), secs, |client| client);
        println!("adaptive, {secs} s: {first} in the first second, {worst} in the worst one");
        assert!(worst as u64 <= most, "{worst} of {CLIENTS} after {secs} s");
    }
}

/// The fixed interval has no jitter of its own: what spreads the fleet is its start and its retries.
#[test]
fn s20_a_fixed_interval_keeps_the_fleet_as_close_together_as_it_failed() {
    let (first, worst) = herd(BreakerConfig::DEFAULT, 60, |client| client);
    println!("fixed, 60 s: {first} in the first second, {worst} in the worst one");
    assert!(worst < CLIENTS as usize / 2);
}

#[test]
fn s20_a_fleet_with_one_seed_is_what_a_herd_looks_like() {
    let (_, worst) = herd(BreakerConfig::adaptive(), 60, |_| 7);
    assert_eq!(worst as u64, CLIENTS);
}
