//! The model of the backoff: everything is computed again from the settings and the history.

use core::time::Duration;

use spandrel_core::backoff::{Backoff, BackoffConfig, Jitter, RETRY_AFTER_CAP};
use spandrel_core::time::Instant;

/// One step.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// A new batch's first attempt.
    Start,
    /// An attempt failed: when is the next one?
    Next {
        /// For the jitter.
        draw: u64,
    },
    /// An answer asked for a pause.
    Pause {
        /// In milliseconds.
        millis: u64,
        /// For the jitter.
        draw: u64,
    },
    /// Time that does not count, in milliseconds.
    Exclude(u64),
    /// The clock goes on by milliseconds.
    Forward(u64),
    /// The clock goes back by milliseconds.
    Back(u64),
    /// Everything is forgotten.
    Reset,
}

/// What happened in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Retries granted.
    pub granted: u32,
    /// Refused because all retries were used up.
    pub out_of_retries: u32,
    /// Refused because the next attempt would have been too late.
    pub out_of_time: u32,
    /// Granted only because time had been excluded.
    pub saved_by_exclusion: u32,
    /// Pauses longer than the delay.
    pub pause_obeyed: u32,
    /// Pauses over the cap.
    pub pause_capped: u32,
    /// Bases at the cap.
    pub base_capped: u32,
    /// Times the clock went back.
    pub clock_back: u32,
}

impl Coverage {
    /// The properties that never fired.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        [
            ("granted", self.granted),
            ("out_of_retries", self.out_of_retries),
            ("out_of_time", self.out_of_time),
            ("saved_by_exclusion", self.saved_by_exclusion),
            ("pause_obeyed", self.pause_obeyed),
            ("pause_capped", self.pause_capped),
            ("base_capped", self.base_capped),
            ("clock_back", self.clock_back),
        ]
        .into_iter()
        .filter_map(|(name, count)| (count == 0).then_some(name))
        .collect()
    }
}

const MILLISECOND: u128 = 1_000_000;

/// The base of retry `n` in nanoseconds: multiplied out from the start, without
/// overflow.
#[must_use]
pub fn base(config: &BackoffConfig, n: u32) -> u128 {
    let cap = config.cap.as_nanos();
    let mut exact = config.initial.as_nanos();
    for _ in 0..n {
        exact = (exact * u128::from(config.multiplier_permille))
            .div_ceil(1000)
            .min(cap);
    }
    (exact.div_ceil(MILLISECOND) * MILLISECOND).min(cap)
}

/// The shortest and the longest delay of retry `n` in nanoseconds.
#[must_use]
pub fn bounds(config: &BackoffConfig, n: u32) -> (u128, u128) {
    let base = base(config, n);
    let floor = config.floor.as_nanos().min(base);
    let least = match config.jitter {
        Jitter::None => base,
        Jitter::Equal => floor.max(base / 2),
        Jitter::Full => floor,
    };
    (least, base)
}

/// Runs `ops` on the machine and on the model.
///
/// Panics where they disagree.
pub fn run(config: BackoffConfig, ops: &[Op]) -> Coverage {
    let mut machine = Backoff::clamped(config);
    let config = *machine.config();
    let mut coverage = Coverage::default();
    let mut now = Instant::ZERO;
    let mut latest = Instant::ZERO;
    let mut started = None;
    let mut excluded = 0_u128;
    let mut retries = 0_u32;
    for &op in ops {
        match op {
            Op::Start => {
                machine.start(now);
                latest = latest.max(now);
                (started, excluded, retries) = (Some(latest), 0, 0);
            }
            Op::Next { draw } => {
                let (least, most) = bounds(&config, retries);
                let delay = machine.delay(draw).as_nanos();
                assert!(least <= delay && delay <= most, "I15, I16: {delay}");
                coverage.base_capped += u32::from(most == config.cap.as_nanos());
                latest = latest.max(now);
                let since = latest.saturating_since(*started.get_or_insert(latest));
                let elapsed = since.as_nanos().saturating_sub(excluded);
                let in_time = elapsed + delay <= config.max_elapsed.as_nanos();
                match machine.next_attempt(now, draw) {
                    Ok(at) => {
                        assert!(retries < config.max_retries, "I17");
                        assert!(in_time, "I18");
                        assert_eq!(at.saturating_since(latest).as_nanos(), delay);
                        coverage.granted += 1;
                        coverage.saved_by_exclusion +=
                            u32::from(since.as_nanos() + delay > config.max_elapsed.as_nanos());
                        retries += 1;
                    }
                    Err(exhausted) => {
                        assert!(!in_time || retries >= config.max_retries);
                        assert_eq!(exhausted.attempts, retries + 1);
                        assert_eq!(exhausted.elapsed.as_nanos(), elapsed);
                        assert_eq!(machine.next_attempt(now, draw), Err(exhausted));
                        coverage.out_of_time += u32::from(!in_time);
                        coverage.out_of_retries += u32::from(in_time);
                    }
                }
            }
            Op::Pause { millis, draw } => {
                latest = latest.max(now);
                let (_, most) = bounds(&config, retries);
                let pause = Duration::from_millis(millis);
                let least = pause.min(RETRY_AFTER_CAP).as_nanos();
                let at = machine.after_pause(now, pause, draw);
                let wait = at.saturating_since(latest).as_nanos();
                let longest = least.max(most);
                assert!(least <= wait && wait <= longest + longest / 10, "I21");
                coverage.pause_obeyed += u32::from(least > most);
                coverage.pause_capped += u32::from(pause > RETRY_AFTER_CAP);
            }
            Op::Exclude(millis) => {
                machine.exclude(Duration::from_millis(millis));
                excluded += u128::from(millis) * MILLISECOND;
            }
            Op::Forward(millis) => now = now.saturating_add(Duration::from_millis(millis)),
            Op::Back(millis) => {
                now = super::back(now, millis);
                coverage.clock_back += 1;
            }
            Op::Reset => {
                machine.reset();
                (latest, started, excluded, retries) = (Instant::ZERO, None, 0, 0);
            }
        }
        assert_eq!(machine.retries(), retries);
        assert_eq!(machine.base().as_nanos(), base(&config, retries), "I14");
    }
    coverage
}
