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

/// When each client makes its first attempt after an outage of `secs` seconds, in milliseconds after
/// it. Each client ends a span per second, so that it exports, and fails, every five seconds.
fn returns(breaker: BreakerConfig, secs: u64, seeds: impl Fn(u64) -> u64) -> Vec<u64> {
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
            sim.run_for(Duration::from_secs(1));
            let first = sim.attempts.iter().find(|attempt| attempt.at >= up);
            firsts.extend(first.map(|attempt| attempt.at));
        }
    }
    let millis = |at: Instant| u64::try_from(at.saturating_since(up).as_millis()).unwrap_or(0);
    firsts.sort_unstable();
    firsts.into_iter().map(millis).collect()
}

/// The most clients that return within any `window` of milliseconds.
fn worst(returns: &[u64], window: u64) -> u64 {
    let within = |start: u64| {
        let inside = |&&at: &&u64| start <= at && at < start + window;
        returns.iter().filter(inside).count()
    };
    let counts = returns.iter().map(|&start| within(start));
    counts.max().unwrap_or(0) as u64
}

#[test]
fn s20_a_fleet_does_not_come_back_in_one_second() {
    // In peace, a fleet that exports every 5 s makes a fifth of its requests each second.
    for secs in [60, 300] {
        let worst = worst(
            &returns(BreakerConfig::adaptive(), secs, |client| client),
            1_000,
        );
        println!("adaptive, {secs} s: {worst} in the worst second");
        assert!(worst <= CLIENTS / 5, "{worst} of {CLIENTS} after {secs} s");
    }
}

/// Circuits that opened a moment ago are open for a second or two, so that a short outage costs
/// little. The fleet is back as soon, but its clients do not march in step.
#[test]
fn s20_after_a_short_outage_a_fleet_is_back_soon_and_not_in_step() {
    let returns = returns(BreakerConfig::adaptive(), 5, |client| client);
    let (second, tenth) = (worst(&returns, 1_000), worst(&returns, 100));
    println!("adaptive, 5 s: {second} in the worst second, {tenth} in its worst tenth");
    assert!(tenth <= CLIENTS / 8, "{tenth} of {CLIENTS}");
}

/// The fixed interval has no jitter of its own: what spreads the fleet is its start and its retries.
#[test]
fn s20_a_fixed_interval_keeps_the_fleet_as_close_together_as_it_failed() {
    let worst = worst(&returns(BreakerConfig::DEFAULT, 60, |client| client), 1_000);
    println!("fixed, 60 s: {worst} in the worst second");
    assert!(worst <= CLIENTS / 4, "{worst} of {CLIENTS}");
}

#[test]
fn s20_a_fleet_with_one_seed_is_what_a_herd_looks_like() {
    let worst = worst(&returns(BreakerConfig::adaptive(), 60, |_| 7), 1_000);
    assert_eq!(worst, CLIENTS);
}
