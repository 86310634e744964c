//! Invariants I14 to I21.

use core::time::Duration;

use proptest::prelude::*;
use spandrel_core::backoff::{Backoff, BackoffConfig, Jitter, RETRY_AFTER_CAP};
use spandrel_core::time::Instant;
use spandrel_testkit::strategies::backoff::{configs, draws, ops};
use spandrel_tests::models::Draws;
use spandrel_tests::models::backoff::{Op, base, bounds, run};

proptest! {
    #[test]
    fn the_machine_agrees_with_its_model(config in configs(), ops in ops()) {
        run(config, &ops);
    }

    #[test]
    fn the_machine_agrees_with_its_model_under_sensible_settings(ops in ops()) {
        run(BackoffConfig::DEFAULT, &ops);
    }

    #[test]
    fn i14_bases_grow_by_the_multiplier_up_to_the_cap(
        initial in 1..1_000_u64,
        multiplier_permille in 1_000..3_000_u32,
        cap in 1_000..60_000_u64,
    ) {
        let config = BackoffConfig {
            initial: Duration::from_millis(initial),
            multiplier_permille,
            cap: Duration::from_millis(cap),
            max_retries: 40,
            ..BackoffConfig::DEFAULT
        };
        let mut backoff = Backoff::clamped(config);
        let mut before = Duration::ZERO;
        for n in 0..40_i32 {
            let exact = initial as f64 * (f64::from(multiplier_permille) / 1e3).powi(n);
            let millis = backoff.base().as_secs_f64() * 1e3;
            prop_assert!((millis - exact.min(cap as f64)).abs() < 1.01, "{millis} {exact}");
            prop_assert!(backoff.base() >= before);
            before = backoff.base();
            backoff.next_delay(0);
        }
    }

    #[test]
    fn i15_jitter_stays_between_its_bounds_and_within_the_cap(
        config in configs(),
        draw in draws(),
    ) {
        let mut backoff = Backoff::clamped(config);
        let config = *backoff.config();
        for n in 0..config.max_retries.min(12) {
            let (least, most) = bounds(&config, n);
            let delay = backoff.next_delay(draw).map_or(0, |d| d.as_nanos());
            prop_assert!(least <= delay && delay <= most && delay <= config.cap.as_nanos());
            if config.jitter == Jitter::Equal {
                prop_assert!(delay >= base(&config, n) / 2);
            }
        }
    }

    #[test]
    fn i17_never_more_than_max_retries(max_retries in 0..50_u32, draw in draws()) {
        let config = BackoffConfig {
            max_retries,
            max_elapsed: Duration::MAX,
            ..BackoffConfig::DEFAULT
        };
        let mut backoff = Backoff::clamped(config);
        let mut now = Instant::ZERO;
        backoff.start(now);
        let mut retries = 0;
        while let Ok(next) = backoff.next_attempt(now, draw) {
            now = next;
            retries += 1;
        }
        prop_assert_eq!(retries, max_retries);
    }

    #[test]
    fn i18_no_attempt_starts_after_max_elapsed(
        max_elapsed in 0..20_000_u64,
        durations in prop::collection::vec((0..3_000_u64, draws()), 0..40),
    ) {
        let config = BackoffConfig {
            max_retries: u32::MAX,
            max_elapsed: Duration::from_millis(max_elapsed),
            ..BackoffConfig::DEFAULT
        };
        let mut backoff = Backoff::clamped(config);
        let first = Instant::from_secs(7);
        let mut now = first;
        backoff.start(first);
        for (duration, draw) in durations {
            let failed = now.saturating_add(Duration::from_millis(duration));
            let Ok(next) = backoff.next_attempt(failed, draw) else { break };
            prop_assert!(next.saturating_since(first) <= config.max_elapsed);
            now = next;
        }
    }

    #[test]
    fn i21_a_pause_is_never_cut_short_and_hardly_lengthened(
        millis in any::<u64>(),
        draw in draws(),
        retries in 0..5_u32,
    ) {
        let mut backoff = Backoff::default();
        for _ in 0..retries {
            backoff.next_delay(draw);
        }
        let answered = Instant::from_secs(3);
        let asked = Duration::from_millis(millis);
        let next = backoff.after_pause(answered, asked, draw);
        let wait = next.saturating_since(answered);
        let obeyed = asked.min(RETRY_AFTER_CAP);
        prop_assert!(wait >= obeyed);
        prop_assert!(wait <= obeyed.max(backoff.base()) * 11 / 10);
        prop_assert_eq!(backoff.retries(), retries);
    }
}

#[test]
fn i16_a_generator_stuck_at_zero_cannot_spin() {
    for jitter in [Jitter::None, Jitter::Equal, Jitter::Full] {
        let config = BackoffConfig {
            jitter,
            ..BackoffConfig::DEFAULT
        };
        let mut backoff = Backoff::clamped(config);
        while let Some(delay) = backoff.next_delay(0) {
            assert!(delay >= Duration::from_millis(100), "{jitter:?} {delay:?}");
        }
    }
}

#[test]
fn i19_the_widest_settings_saturate() {
    let config = BackoffConfig {
        initial: Duration::MAX,
        multiplier_permille: u32::MAX,
        cap: Duration::MAX,
        max_retries: u32::MAX,
        max_elapsed: Duration::MAX,
        floor: Duration::MAX,
        jitter: Jitter::Full,
    };
    let mut backoff = Backoff::new(config).expect("valid settings");
    backoff.start(Instant::MAX);
    backoff.exclude(Duration::MAX);
    backoff.exclude(Duration::MAX);
    for draw in [0, u64::MAX] {
        assert_eq!(backoff.next_attempt(Instant::MAX, draw), Ok(Instant::MAX));
        assert_eq!(backoff.next_attempt(Instant::ZERO, draw), Ok(Instant::MAX));
    }
}

#[test]
fn i20_equal_seeds_agree_and_different_seeds_part_within_eight_draws() {
    let delays = |seed| {
        let config = BackoffConfig {
            max_retries: 8,
            ..BackoffConfig::DEFAULT
        };
        let mut draws = Draws::new(seed);
        let mut backoff = Backoff::clamped(config);
        core::iter::from_fn(move || backoff.next_delay(draws.draw())).collect::<Vec<_>>()
    };
    assert_eq!(delays(1), delays(1));
    let same = (0..10_000).filter(|&seed| delays(seed) == delays(seed + 1));
    assert!(same.count() < 10);
}

/// Faults C1 to C4.
#[test]
fn a_clock_that_stops_goes_back_or_jumps_does_no_harm() {
    let mut backoff = Backoff::default();
    backoff.start(Instant::from_secs(100));
    // It stops: the number of retries still ends the batch.
    let stopped = Instant::from_secs(100);
    let granted = (0..10).filter(|_| backoff.next_attempt(stopped, 0).is_ok());
    assert_eq!(granted.count(), 5);
    // It goes back: the next attempt is never before what is already known to have passed.
    backoff.start(Instant::from_secs(200));
    let next = backoff.next_attempt(Instant::from_secs(1), 0);
    assert_eq!(next, Ok(Instant::from_millis(200_100)));
    // It jumps: out of time; nothing overflows, and nothing panics when it wraps to zero.
    assert!(backoff.next_attempt(Instant::MAX, u64::MAX).is_err());
    assert!(backoff.next_attempt(Instant::ZERO, u64::MAX).is_err());
    // A reset forgets the clock of before.
    backoff.reset();
    let next = backoff.next_attempt(Instant::from_secs(1), 0);
    assert_eq!(next, Ok(Instant::from_millis(1_100)));
}

#[test]
fn sometimes_everything_happens() {
    let mut draws = Draws::new(0x00ba_c0ff);
    let ops: Vec<Op> = (0..20_000)
        .map(|_| match draws.below(14) {
            0 => Op::Start,
            1 => Op::Pause {
                millis: draws.below(600_000),
                draw: draws.draw(),
            },
            2 => Op::Exclude(draws.below(5_000)),
            3 => Op::Forward(draws.below(4_000)),
            4 => Op::Back(draws.below(2_000)),
            _ => Op::Next { draw: draws.draw() },
        })
        .collect();
    // More retries than by default, so that the base reaches the cap.
    let config = BackoffConfig {
        max_retries: 9,
        ..BackoffConfig::DEFAULT
    };
    let coverage = run(config, &ops);
    assert_eq!(coverage.missing(), [""; 0], "{coverage:?}");
}
