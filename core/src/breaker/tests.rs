use super::*;
use core::time::Duration;
use std::string::ToString;

const SECOND: Instant = Instant::from_secs(1);

fn open(config: BreakerConfig, draw: u64) -> CircuitBreaker {
    let mut breaker = CircuitBreaker::new(config).unwrap();
    for _ in 0..config.failure_threshold {
        let permit = breaker.try_acquire(Instant::ZERO, draw).unwrap();
        breaker.record(Instant::ZERO, draw, permit, Verdict::Failure);
    }
    assert_eq!(breaker.state(), State::Open);
    breaker
}

#[test]
fn jitter_lengthens_growing_intervals_only() {
    let adaptive = BreakerConfig::adaptive();
    assert_eq!(open(adaptive, 0).poll_timeout(), Some(SECOND));
    let longest = open(adaptive, u64::MAX).poll_timeout().unwrap();
    assert!(longest > Instant::from_millis(1_199) && longest <= Instant::from_millis(1_200));
    let fixed = open(BreakerConfig::DEFAULT, u64::MAX);
    assert_eq!(fixed.poll_timeout(), Some(Instant::from_secs(30)));
}

#[test]
fn growing_intervals_double_up_to_the_cap_and_start_over_after_a_success() {
    let mut breaker = open(BreakerConfig::adaptive(), 0);
    let mut now = Instant::ZERO;
    for expected in [1, 2, 4, 8, 16, 30, 30] {
        let until = breaker.poll_timeout().unwrap();
        assert_eq!(until.saturating_since(now), Duration::from_secs(expected));
        now = until;
        let probe = breaker.try_acquire(now, 0).unwrap();
        breaker.record(now, 0, probe, Verdict::Failure);
    }
    now = breaker.poll_timeout().unwrap();
    let probe = breaker.try_acquire(now, 0).unwrap();
    breaker.record(now, 0, probe, Verdict::Success);
    assert_eq!(breaker.state(), State::Closed);
    for _ in 0..5 {
        let permit = breaker.try_acquire(now, 0).unwrap();
        breaker.record(now, 0, permit, Verdict::Failure);
    }
    let until = breaker.poll_timeout().unwrap();
    assert_eq!(until.saturating_since(now), Duration::from_secs(1));
}

#[test]
fn prompt_intervals_are_a_sixteenth_of_the_outage_and_shorter_while_the_buffer_fills() {
    let mut breaker = open(BreakerConfig::prompt(), 0);
    let next = |breaker: &mut CircuitBreaker, now: u64| {
        let now = Instant::from_millis(now);
        let probe = breaker.acquire_forced(now, 0).unwrap();
        breaker.record(now, 0, probe, Verdict::Failure);
        breaker.poll_timeout().unwrap().saturating_since(now)
    };
    assert_eq!(breaker.poll_timeout(), Some(Instant::from_millis(800)));
    for (outage, interval) in [
        (800, 1_600),
        (20_000, 1_600),
        (32_000, 2_000),
        (160_000, 10_000),
        (3_600_000, 30_000),
    ] {
        let expected = Duration::from_millis(interval);
        assert_eq!(next(&mut breaker, outage), expected, "{outage}");
    }
    // The interval under way ends 8 s from now.
    breaker.set_filling(true);
    assert_eq!(breaker.poll_timeout(), Some(Instant::from_secs(3_608)));
    breaker.handle_timeout(Instant::from_secs(3_601));
    breaker.set_filling(true);
    assert_eq!(breaker.poll_timeout(), Some(Instant::from_secs(3_608)));
    assert_eq!(next(&mut breaker, 3_700_000), Duration::from_secs(8));
    breaker.set_filling(false);
    assert_eq!(next(&mut breaker, 3_800_000), Duration::from_secs(30));
    // A success begins again.
    let now = Instant::from_secs(4_000);
    let probe = breaker.acquire_forced(now, 0).unwrap();
    breaker.record(now, 0, probe, Verdict::Success);
    for _ in 0..5 {
        let permit = breaker.try_acquire(now, 0).unwrap();
        breaker.record(now, 0, permit, Verdict::Failure);
    }
    let first = breaker.poll_timeout().unwrap().saturating_since(now);
    assert_eq!(first, Duration::from_millis(800));
    assert_eq!(next(&mut breaker, 4_000_800), Duration::from_millis(1_600));
}

#[test]
fn a_filling_buffer_shortens_no_other_interval() {
    for config in [BreakerConfig::DEFAULT, BreakerConfig::adaptive()] {
        let mut breaker = open(config, 0);
        let until = breaker.poll_timeout();
        breaker.set_filling(true);
        assert_eq!(breaker.poll_timeout(), until);
    }
}

#[test]
fn a_tripped_circuit_is_probed_when_it_was_told_and_then_as_configured() {
    let mut breaker = CircuitBreaker::default();
    let transition = breaker.trip(SECOND, Instant::from_secs(2)).unwrap();
    assert_eq!(
        transition.to_string(),
        "circuit breaker open: an export ran out of time"
    );
    assert_eq!(breaker.trip(SECOND, Instant::from_secs(9)), None);
    assert_eq!((breaker.opened(), breaker.consecutive_failures()), (1, 0));
    assert_eq!(breaker.retry_at(SECOND), Instant::from_secs(2));
    let probe = breaker.try_acquire(Instant::from_secs(2), 0).unwrap();
    assert_eq!(breaker.trip(SECOND, Instant::from_secs(9)), None);
    breaker.record(Instant::from_secs(3), 0, probe, Verdict::Failure);
    assert_eq!(breaker.retry_at(SECOND), Instant::from_secs(33));
    breaker.reset();
    breaker.trip(SECOND, Instant::from_secs(3600));
    assert_eq!(breaker.retry_at(SECOND), Instant::from_secs(31));
}

#[test]
fn a_hold_lengthens_an_open_interval_and_never_shortens_it() {
    let mut breaker = open(BreakerConfig::DEFAULT, 0);
    breaker.hold_until(SECOND);
    assert_eq!(breaker.retry_at(SECOND), Instant::from_secs(30));
    breaker.hold_until(Instant::from_secs(120));
    assert_eq!(breaker.retry_at(SECOND), Instant::from_secs(120));
    assert!(breaker.try_acquire(Instant::from_secs(119), 0).is_err());
    let probe = breaker.try_acquire(Instant::from_secs(120), 0).unwrap();
    breaker.hold_until(Instant::from_secs(500));
    breaker.record(Instant::from_secs(121), 0, probe, Verdict::Success);
    assert!(breaker.try_acquire(Instant::from_secs(121), 0).is_ok());
}

#[test]
fn a_forced_attempt_goes_out_at_once_but_never_beside_another_probe() {
    let mut breaker = open(BreakerConfig::DEFAULT, 0);
    let forced = breaker.acquire_forced(SECOND, 0).unwrap();
    assert!(forced.is_probe());
    assert!(breaker.acquire_forced(SECOND, 0).is_err());
    let transition = breaker.record(SECOND, 0, forced, Verdict::Failure).unwrap();
    assert_eq!(transition.reason, TransitionReason::ProbeFailed);
    assert_eq!(breaker.poll_timeout(), Some(Instant::from_secs(31)));
}

#[test]
fn transitions_say_what_happened() {
    let mut breaker = CircuitBreaker::new(BreakerConfig::DEFAULT).unwrap();
    let mut lines = std::vec::Vec::new();
    for _ in 0..5 {
        let permit = breaker.try_acquire(Instant::ZERO, 0).unwrap();
        let transition = breaker.record(Instant::ZERO, 0, permit, Verdict::Failure);
        lines.extend(transition.map(|t| t.to_string()));
    }
    let transition = breaker.handle_timeout(Instant::from_secs(30));
    lines.extend(transition.map(|t| t.to_string()));
    let permit = breaker.try_acquire(Instant::from_secs(30), 0).unwrap();
    let transition = breaker.record(Instant::from_secs(31), 0, permit, Verdict::Success);
    lines.extend(transition.map(|t| t.to_string()));
    assert_eq!(
        lines,
        [
            "circuit breaker open: 5 consecutive export failures",
            "circuit breaker half-open: the open interval is over",
            "circuit breaker closed: the probe succeeded",
        ]
    );
    assert_eq!(breaker.reset(), None);
}
