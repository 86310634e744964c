//! Invariants I23 to I32, and every short sequence of operations.

use core::time::Duration;

use proptest::prelude::*;
use spandrel_core::breaker::{
    BreakerConfig, CircuitBreaker, CircuitOpen, OpenInterval, State, TransitionReason, Verdict,
};
use spandrel_core::time::Instant;
use spandrel_testkit::strategies::breaker::{configs, ops};
use spandrel_tests::models::Draws;
use spandrel_tests::models::breaker::{Op, World, run};

const START: Instant = Instant::from_secs(100);

fn secs(secs: u64) -> Instant {
    Instant::from_secs(secs)
}

fn attempt(
    breaker: &mut CircuitBreaker,
    now: Instant,
    verdict: Verdict,
) -> Result<Option<TransitionReason>, CircuitOpen> {
    let permit = breaker.try_acquire(now, 0)?;
    let transition = breaker.record(now, 0, permit, verdict);
    Ok(transition.map(|transition| transition.reason))
}

fn closed() -> CircuitBreaker {
    CircuitBreaker::new(BreakerConfig::DEFAULT).expect("valid settings")
}

/// Opened at 100 s, for 30 s.
fn opened() -> CircuitBreaker {
    let mut breaker = closed();
    for _ in 0..5 {
        attempt(&mut breaker, START, Verdict::Failure).expect("closed");
    }
    assert_eq!(breaker.state(), State::Open);
    breaker
}

/// Half-open at 130 s.
fn half_open() -> CircuitBreaker {
    let mut breaker = opened();
    breaker.handle_timeout(secs(130));
    assert_eq!(breaker.state(), State::HalfOpen);
    breaker
}

proptest! {
    /// The runner checks each transition's edge, and everything else, after every step.
    #[test]
    fn i23_only_legal_edges_and_always_those_of_the_model(config in configs(), ops in ops()) {
        prop_assert!(run(config, &ops).is_some());
    }

    #[test]
    fn i24_opens_exactly_at_the_nth_consecutive_failure(
        failure_threshold in 1..20_u32,
        verdicts in prop::collection::vec(any::<bool>(), 0..200),
    ) {
        let config = BreakerConfig { failure_threshold, ..BreakerConfig::DEFAULT };
        let mut breaker = CircuitBreaker::new(config).expect("valid settings");
        let mut row = 0;
        for success in verdicts {
            let verdict = if success { Verdict::Success } else { Verdict::Failure };
            attempt(&mut breaker, START, verdict).expect("closed");
            row = if success { 0 } else { row + 1 };
            prop_assert_eq!(breaker.state() == State::Open, row == failure_threshold);
            if breaker.state() == State::Open {
                break;
            }
        }
    }

    #[test]
    fn i27_open_lasts_its_interval_and_at_most_the_jitter_more(
        draw in any::<u64>(),
        failed_probes in 0..8_u32,
    ) {
        let config = BreakerConfig { failure_threshold: 1, ..BreakerConfig::adaptive() };
        let mut breaker = CircuitBreaker::new(config).expect("valid settings");
        let mut now = START;
        for _ in 0..=failed_probes {
            now = breaker.retry_at(now);
            let permit = breaker.try_acquire(now, draw).expect("due");
            breaker.record(now, draw, permit, Verdict::Failure);
        }
        let interval = Duration::from_secs(1 << failed_probes).min(Duration::from_secs(30));
        let open = breaker.retry_at(now).saturating_since(now);
        prop_assert!(open >= interval && open <= interval * 12 / 10);
        let early = now.saturating_add(open - Duration::from_nanos(1));
        prop_assert!(breaker.try_acquire(early, draw).is_err());
        prop_assert!(breaker.try_acquire(now.saturating_add(open), draw).is_ok());
    }
}

#[test]
fn i25_a_success_clears_the_count_and_a_cancelled_attempt_changes_nothing() {
    let mut breaker = closed();
    for _ in 0..10 {
        for _ in 0..4 {
            attempt(&mut breaker, START, Verdict::Failure).expect("closed");
        }
        attempt(&mut breaker, START, Verdict::Cancelled).expect("closed");
        assert_eq!(breaker.consecutive_failures(), 4);
        attempt(&mut breaker, START, Verdict::Success).expect("closed");
        assert_eq!(breaker.consecutive_failures(), 0);
    }
    let mut breaker = half_open();
    let cancelled = attempt(&mut breaker, secs(130), Verdict::Cancelled);
    assert_eq!(cancelled, Ok(None));
    assert_eq!(breaker.state(), State::HalfOpen);
    // The permit is free again at once.
    let succeeded = attempt(&mut breaker, secs(130), Verdict::Success);
    assert_eq!(succeeded, Ok(Some(TransitionReason::ProbeSucceeded)));
}

#[test]
fn i26_one_probe_at_most_and_refusals_change_nothing() {
    let mut breaker = half_open();
    let probe = breaker.try_acquire(secs(130), 0).expect("the probe");
    for _ in 0..100 {
        let refused = breaker.try_acquire(secs(131), u64::MAX);
        assert_eq!(refused.err().map(|r| r.retry_at), Some(secs(141)));
        assert!(breaker.acquire_forced(secs(131), 0).is_err());
        assert_eq!(breaker.state(), State::HalfOpen);
    }
    breaker.record(secs(132), 0, probe, Verdict::Success);
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn i28_a_probe_that_nobody_reports_opens_the_circuit_when_its_lease_ends() {
    let mut breaker = half_open();
    let lost = breaker.try_acquire(secs(130), 0).expect("the probe");
    drop(lost);
    assert_eq!(breaker.poll_timeout(), Some(secs(141)));
    assert_eq!(breaker.handle_timeout(Instant::from_millis(140_999)), None);
    let transition = breaker.handle_timeout(secs(141)).expect("the lease ends");
    assert_eq!(transition.reason, TransitionReason::ProbeLost);
    assert_eq!(breaker.poll_timeout(), Some(secs(171)));
    // Without a timer, the next caller notices it.
    let mut breaker = half_open();
    let _lost = breaker.try_acquire(secs(130), 0).expect("the probe");
    let refused = breaker.try_acquire(secs(150), 0);
    assert_eq!(refused.err().map(|r| r.retry_at), Some(secs(180)));
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn i29_a_dropped_permit_is_released_and_is_not_a_success() {
    let mut breaker = half_open();
    drop(breaker.try_acquire(secs(130), 0));
    breaker.handle_timeout(secs(141));
    assert_eq!(breaker.state(), State::Open);
    breaker.handle_timeout(secs(171));
    // The next probe is admitted: nothing is wedged.
    assert!(breaker.try_acquire(secs(171), 0).is_ok());
    // In a closed circuit a dropped permit leaves no trace.
    let mut breaker = closed();
    for _ in 0..100 {
        drop(breaker.try_acquire(START, 0));
    }
    assert_eq!(breaker.consecutive_failures(), 0);
    assert_eq!(breaker.state(), State::Closed);
}

/// Also fault L3.
#[test]
fn i30_a_report_of_an_old_generation_changes_nothing() {
    for verdict in [Verdict::Success, Verdict::Failure, Verdict::Cancelled] {
        // Admitted while closed, reported while half-open with another probe under way.
        let mut breaker = closed();
        let old = breaker.try_acquire(START, 0).expect("closed");
        for _ in 0..5 {
            attempt(&mut breaker, START, Verdict::Failure).expect("closed");
        }
        let probe = breaker.try_acquire(secs(130), 0).expect("the probe");
        assert_eq!(breaker.record(secs(131), 0, old, verdict), None);
        assert_eq!(breaker.state(), State::HalfOpen);
        assert_eq!(breaker.consecutive_failures(), 5);
        assert!(breaker.try_acquire(secs(131), 0).is_err());
        // The probe itself, reported after its lease: the lease counts, not the report.
        let transition = breaker.record(secs(141), 0, probe, verdict);
        assert_eq!(
            transition.map(|transition| transition.reason),
            Some(TransitionReason::ProbeLost)
        );
        // A permit from before a reset.
        let mut breaker = closed();
        let old = breaker.try_acquire(START, 0).expect("closed");
        breaker.reset();
        attempt(&mut breaker, START, Verdict::Failure).expect("closed");
        assert_eq!(breaker.record(START, 0, old, verdict), None);
        assert_eq!(breaker.consecutive_failures(), 1);
    }
}

/// Also fault C2.
#[test]
fn i31_a_clock_that_goes_back_neither_shortens_nor_stretches_an_open_interval() {
    let mut breaker = opened();
    for now in [99, 1, 0, 129] {
        let refused = breaker.try_acquire(secs(now), 0);
        assert_eq!(refused.err().map(|r| r.retry_at), Some(secs(130)), "{now}");
    }
    assert!(breaker.try_acquire(secs(130), 0).is_ok());
    // Opened by a report after the clock went back by 60 s: at most those 60 s longer.
    let mut breaker = closed();
    for _ in 0..4 {
        attempt(&mut breaker, START, Verdict::Failure).expect("closed");
    }
    attempt(&mut breaker, secs(40), Verdict::Failure).expect("closed");
    let open = breaker.retry_at(secs(40)).saturating_since(secs(40));
    assert_eq!(open, Duration::from_secs(30 + 60));
}

/// Faults C3, C4, C7.
#[test]
fn a_clock_that_jumps_forward_probes_once_and_one_that_wraps_does_no_harm() {
    let mut breaker = opened();
    let hours = secs(8 * 3600);
    let probe = breaker.try_acquire(hours, 0).expect("one probe");
    assert!(breaker.try_acquire(hours, 0).is_err());
    breaker.record(hours, 0, probe, Verdict::Failure);
    assert!(breaker.try_acquire(hours, 0).is_err());

    let mut breaker = opened();
    let probe = breaker.try_acquire(Instant::MAX, 0).expect("one probe");
    for now in [Instant::ZERO, secs(1), Instant::MAX] {
        // The lease ends with time itself.
        let _ = breaker.try_acquire(now, u64::MAX);
    }
    breaker.record(Instant::ZERO, 0, probe, Verdict::Success);
    // The counter wrapped: a reset begins anew on the new clock.
    breaker.reset();
    for _ in 0..5 {
        attempt(&mut breaker, secs(1), Verdict::Failure).expect("closed");
    }
    assert_eq!(breaker.retry_at(secs(1)), secs(31));
}

#[test]
fn i32_a_refusal_costs_nothing() {
    let mut breaker = opened();
    let before = format!("{breaker:?}");
    for now in 0..1_000 {
        let refused = breaker.try_acquire(START, 0);
        assert_eq!(
            refused,
            Err(CircuitOpen {
                retry_at: secs(130)
            }),
            "{now}"
        );
    }
    assert_eq!(format!("{breaker:?}"), before);
}

/// All 262,144 sequences of six operations out of eight, under two policies; every prefix is
/// checked on the way.
#[test]
fn every_sequence_of_six_operations_agrees_with_the_model() {
    let alphabet = [
        Op::Attempt {
            verdict: Verdict::Failure,
        },
        Op::Attempt {
            verdict: Verdict::Success,
        },
        Op::Acquire { draw: u64::MAX },
        Op::Report {
            which: 0,
            verdict: Verdict::Failure,
            draw: 0,
        },
        Op::Report {
            which: 0,
            verdict: Verdict::Cancelled,
            draw: 0,
        },
        Op::Force { draw: 0 },
        Op::Forward(10),
        Op::Back(10),
    ];
    let millis = Duration::from_millis;
    for open in [
        OpenInterval::Fixed(millis(10)),
        OpenInterval::Growing {
            initial: millis(10),
            cap: millis(25),
        },
        OpenInterval::Prompt {
            initial: millis(10),
            cap: millis(25),
            filling_cap: millis(15),
        },
    ] {
        let config = BreakerConfig {
            failure_threshold: 2,
            open,
            probe_lease: millis(20),
            jitter_percent: 20,
        };
        for number in 0..alphabet.len().pow(6) {
            let mut world = World::new(config).expect("valid settings");
            let mut rest = number;
            for _ in 0..6 {
                world.step(alphabet[rest % alphabet.len()]);
                rest /= alphabet.len();
            }
        }
    }
}

#[test]
fn sometimes_everything_happens() {
    let mut draws = Draws::new(0x0b4e_ace4);
    let config = BreakerConfig {
        failure_threshold: 3,
        ..BreakerConfig::adaptive()
    };
    let mut world = World::new(config).expect("valid settings");
    for _ in 0..20_000 {
        let verdict = match draws.below(5) {
            0 => Verdict::Cancelled,
            1 | 2 => Verdict::Success,
            _ => Verdict::Failure,
        };
        let which = draws.below(8) as usize;
        let draw = draws.draw();
        world.step(match draws.below(16) {
            0..=2 => Op::Acquire { draw },
            3 => Op::Force { draw },
            4..=6 => Op::Report {
                which,
                verdict,
                draw,
            },
            7 => Op::Lose { which },
            8..=10 => Op::Attempt { verdict },
            11 => Op::Forward(draws.below(2_000)),
            12 => Op::Sleep,
            13 => Op::Back(draws.below(1_000)),
            14 => Op::Hold(draws.below(20_000)),
            _ if draws.below(20) == 0 => Op::Reset,
            _ if draws.below(20) == 0 => Op::Trip(draws.below(20_000)),
            _ => Op::Timeout,
        });
    }
    let coverage = world.coverage();
    assert_eq!(coverage.missing(), [""; 0], "{coverage:?}");
}
