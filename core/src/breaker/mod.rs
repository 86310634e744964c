//! When not to try at all: a circuit breaker around one destination.
//!
//! A collector that is down should cost one probe now and then, not five attempts for each batch.
//! The breaker counts consecutive failures of *attempts* and sits inside the retry loop. A refusal
//! by it is not an attempt: it counts nowhere and drops nothing.
//!
//! ```text
//!                failure_threshold-th consecutive failure
//!        ┌──────────┐ ──────────────────────────────▶ ┌──────┐ ◀─┐
//!   ┌──▶ │  Closed  │                                 │ Open │   │ probe failed,
//!   │    └──────────┘                                 └──┬───┘   │ or lost: its
//!   │ reset()  ▲             the open interval is over   │       │ lease ran out
//!   │          │ probe succeeded                         ▼       │
//!   │          └────────────────────────────────── ┌──────────┐ ─┘
//!   └───────────────── from any state ──────────── │ HalfOpen │  at most one probe
//!                                                  └──────────┘
//! ```
//!
//! Every admitted attempt holds a [`Permit`] with the generation of the state that admitted it.
//! Each transition starts a new generation, so that a late report changes nothing. A probe's permit
//! also has a lease, so that a probe that is never reported cannot wedge the breaker.
//!
//! Time comes in as an argument, and only the latest time ever seen counts: a clock that goes back
//! neither shortens an open interval nor reopens anything.
//!
//! ```
//! use spandrel_core::breaker::{BreakerConfig, CircuitBreaker, State, Verdict};
//! use spandrel_core::time::Instant;
//!
//! let mut breaker = CircuitBreaker::new(BreakerConfig::DEFAULT)?;
//! let (now, draw) = (Instant::ZERO, 0);
//! for _ in 0..5 {
//!     let permit = breaker.try_acquire(now, draw).unwrap();
//!     breaker.record(now, draw, permit, Verdict::Failure);
//! }
//! assert_eq!(breaker.state(), State::Open);
//! let refused = breaker.try_acquire(Instant::from_secs(1), draw).unwrap_err();
//! assert_eq!(refused.to_string(), "circuit breaker open: too many export failures");
//! assert_eq!(refused.retry_at, Instant::from_secs(30));
//! # Ok::<(), spandrel_core::breaker::BreakerConfigError>(())
//! ```

use core::fmt;

use crate::time::{Instant, divide, duration_nanos};

mod config;
mod transition;

pub use config::{BreakerConfig, BreakerConfigError, OpenInterval};
pub use transition::{Transition, TransitionReason};

/// Where the circuit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum State {
    /// Every attempt is admitted.
    Closed,
    /// No attempt is admitted.
    Open,
    /// One attempt is admitted, the probe; its result closes or opens the circuit.
    HalfOpen,
}

/// `closed`, `open`, `half-open`.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        })
    }
}

/// The evidence of an attempt about the health of its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Verdict {
    /// It works, or is at least alive and well (429, a refused batch).
    Success,
    /// It does not work.
    Failure,
    /// Nothing: the attempt was given up. Frees the permit and changes nothing else.
    Cancelled,
}

/// The permission for one attempt, to be handed to [`CircuitBreaker::record`] exactly once.
///
/// A probe whose permit is lost is noticed when its lease runs out.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "an attempt that is not recorded blocks the half-open circuit until its lease ends"]
pub struct Permit {
    generation: u32,
    probe: bool,
}

impl Permit {
    /// Returns true if this attempt decides about a half-open circuit.
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        self.probe
    }
}

/// The circuit is open, or half-open with its probe under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CircuitOpen {
    /// When to ask again: the end of the open interval, or of the probe's lease.
    pub retry_at: Instant,
}

impl fmt::Display for CircuitOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("circuit breaker open: too many export failures")
    }
}

impl core::error::Error for CircuitOpen {}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed,
    Open {
        until: Instant,
    },
    /// `lease` is the end of the probe under way, if there is one.
    HalfOpen {
        lease: Option<Instant>,
    },
}

/// Decides whether a destination gets an attempt. See the [module](self) for its states.
#[derive(Debug)]
pub struct CircuitBreaker {
    config: BreakerConfig,
    phase: Phase,
    generation: u32,
    failures: u32,
    opened: u32,
    /// The next open one in nanoseconds, before jitter.
    interval: u64,
    /// When the circuit left the closed state.
    since: Instant,
    /// The buffer is more than half full.
    is_filling: bool,
    /// The latest one, kept for an opening without a report: a lost probe.
    draw: u64,
    latest: Instant,
}

impl CircuitBreaker {
    /// A closed circuit.
    ///
    /// # Errors
    ///
    /// As [`BreakerConfig::validate`].
    pub const fn new(config: BreakerConfig) -> Result<Self, BreakerConfigError> {
        match config.validate() {
            Ok(config) => Ok(Self::clamped(config)),
            Err(error) => Err(error),
        }
    }

    /// A closed circuit with the nearest settings that are valid; see [`BreakerConfig::clamp`].
    /// For statics.
    #[must_use]
    pub const fn clamped(config: BreakerConfig) -> Self {
        let config = config.clamp();
        Self {
            config,
            phase: Phase::Closed,
            generation: 0,
            failures: 0,
            opened: 0,
            interval: config.open.first(),
            since: Instant::ZERO,
            is_filling: false,
            draw: 0,
            latest: Instant::ZERO,
        }
    }

    /// Asks for one attempt at `now`. `draw` is uniform over all of `u64`.
    ///
    /// Begins with what [`handle_timeout`](Self::handle_timeout) does; call that before to see the
    /// transition.
    ///
    /// # Errors
    ///
    /// [`CircuitOpen`]: no attempt now. Costs nothing and changes nothing.
    pub fn try_acquire(&mut self, now: Instant, draw: u64) -> Result<Permit, CircuitOpen> {
        self.draw = draw;
        self.advance(now);
        match self.phase {
            Phase::Closed => Ok(self.permit(false)),
            Phase::HalfOpen { lease: None } => Ok(self.probe()),
            Phase::HalfOpen {
                lease: Some(retry_at),
            }
            | Phase::Open { until: retry_at } => Err(CircuitOpen { retry_at }),
        }
    }

    /// Like [`try_acquire`](Self::try_acquire), but does not wait for the open interval: for the one
    /// last attempt of a shutdown, because there is no later. An open circuit becomes half-open at
    /// once.
    ///
    /// # Errors
    ///
    /// [`CircuitOpen`] while another probe is under way: there is never more than one.
    pub fn acquire_forced(&mut self, now: Instant, draw: u64) -> Result<Permit, CircuitOpen> {
        self.draw = draw;
        self.advance(now);
        if let Phase::Open { .. } = self.phase {
            self.enter(Phase::HalfOpen { lease: None });
        }
        self.try_acquire(now, draw)
    }

    /// Reports the result of an attempt. Returns the change of state, if there is one.
    ///
    /// A report of an earlier generation changes nothing: the state that it belongs to is over.
    pub fn record(
        &mut self,
        now: Instant,
        draw: u64,
        permit: Permit,
        verdict: Verdict,
    ) -> Option<Transition> {
        self.draw = draw;
        // A timer that is due starts a new generation, so at most one transition happens here.
        let timed = self.advance(now);
        if permit.generation != self.generation {
            return timed;
        }
        match (self.phase, verdict) {
            (Phase::Closed, Verdict::Success) => {
                self.failures = 0;
                None
            }
            (Phase::Closed, Verdict::Failure) => {
                self.failures = self.failures.saturating_add(1);
                (self.failures >= self.config.failure_threshold).then(|| {
                    self.since = self.latest;
                    self.open(TransitionReason::FailureThreshold)
                })
            }
            (Phase::HalfOpen { .. }, Verdict::Success) => {
                self.failures = 0;
                self.interval = self.config.open.first();
                Some(self.go(Phase::Closed, TransitionReason::ProbeSucceeded))
            }
            (Phase::HalfOpen { .. }, Verdict::Failure) => {
                self.failures = self.failures.saturating_add(1);
                Some(self.reopen(TransitionReason::ProbeFailed))
            }
            (Phase::HalfOpen { .. }, Verdict::Cancelled) => {
                self.phase = Phase::HalfOpen { lease: None };
                None
            }
            (Phase::Closed, Verdict::Cancelled) | (Phase::Open { .. }, _) => None,
        }
    }

    /// Opens a closed circuit at `now` until `instant`, but for no longer than the first open interval,
    /// however few failures were counted: the time for a whole export is over, and nothing arrived.
    /// Returns the change of state; no effect in the other states. The intervals after a failed probe
    /// are the configured ones.
    pub fn trip(&mut self, now: Instant, instant: Instant) -> Option<Transition> {
        self.latest = self.latest.max(now);
        if self.state() != State::Closed {
            return None;
        }
        self.since = self.latest;
        self.opened = self.opened.saturating_add(1);
        let until = instant.min(self.latest.saturating_add_nanos(self.interval));
        Some(self.go(Phase::Open { until }, TransitionReason::Tripped))
    }

    /// Keeps an open circuit open until `instant` at least: the failure that opened it carried a
    /// `Retry-After`. Call it after [`record`](Self::record); no effect in the other states.
    pub fn hold_until(&mut self, instant: Instant) {
        if let Phase::Open { until } = &mut self.phase {
            *until = instant.max(*until);
        }
    }

    /// Notes whether the buffer is more than half full, which shortens the intervals of
    /// [`OpenInterval::Prompt`], also the one under way; no effect on the others.
    pub fn set_filling(&mut self, is_filling: bool) {
        self.is_filling = is_filling;
        if let (true, Phase::Open { until }, OpenInterval::Prompt { filling_cap, .. }) =
            (is_filling, &mut self.phase, self.config.open)
        {
            *until = self.latest.saturating_add(filling_cap).min(*until);
        }
    }

    /// Lets time pass: ends an open interval, or the lease of a lost probe.
    ///
    /// An early call does nothing. A late one delays the probe and nothing else.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Transition> {
        self.advance(now)
    }

    /// Closes the circuit and forgets failures, outstanding permits and every time seen.
    pub fn reset(&mut self) -> Option<Transition> {
        let was_closed = self.state() == State::Closed;
        self.failures = 0;
        self.interval = self.config.open.first();
        self.latest = Instant::ZERO;
        let transition = self.go(Phase::Closed, TransitionReason::Reset);
        (!was_closed).then_some(transition)
    }

    /// The state, as of the latest call that brought a time.
    #[must_use]
    pub const fn state(&self) -> State {
        match self.phase {
            Phase::Closed => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); every other `&mut self` call can
    /// change it.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Open { until } => Some(until),
            Phase::HalfOpen { lease } => lease,
            Phase::Closed => None,
        }
    }

    /// The earliest instant at which an attempt may be admitted: `now` if one would be now.
    #[must_use]
    pub fn retry_at(&self, now: Instant) -> Instant {
        self.poll_timeout().unwrap_or(now)
    }

    /// Consecutive failures counted so far.
    #[must_use]
    pub const fn consecutive_failures(&self) -> u32 {
        self.failures
    }

    /// The number of times that the circuit has opened, reopening after a probe included. Saturates.
    #[must_use]
    pub const fn opened(&self) -> u32 {
        self.opened
    }

    /// The settings in force.
    #[must_use]
    pub const fn config(&self) -> &BreakerConfig {
        &self.config
    }

    fn advance(&mut self, now: Instant) -> Option<Transition> {
        self.latest = self.latest.max(now);
        match self.phase {
            Phase::Open { until } if self.latest >= until => Some(self.go(
                Phase::HalfOpen { lease: None },
                TransitionReason::IntervalElapsed,
            )),
            Phase::HalfOpen { lease: Some(end) } if self.latest >= end => {
                Some(self.reopen(TransitionReason::ProbeLost))
            }
            _ => None,
        }
    }

    const fn permit(&self, probe: bool) -> Permit {
        Permit {
            generation: self.generation,
            probe,
        }
    }

    fn probe(&mut self) -> Permit {
        let end = self.latest.saturating_add(self.config.probe_lease);
        self.phase = Phase::HalfOpen { lease: Some(end) };
        self.permit(true)
    }

    fn reopen(&mut self, reason: TransitionReason) -> Transition {
        match self.config.open {
            OpenInterval::Fixed(_) => {}
            OpenInterval::Growing { cap, .. } => {
                self.interval = self.interval.saturating_mul(2).min(duration_nanos(cap));
            }
            OpenInterval::Prompt {
                initial,
                cap,
                filling_cap,
            } => {
                let least = duration_nanos(initial).saturating_mul(2);
                let part = self.latest.nanos_since(self.since) / 16;
                let cap = match self.is_filling {
                    true => duration_nanos(filling_cap).min(duration_nanos(cap)),
                    false => duration_nanos(cap),
                };
                self.interval = part.max(least).min(cap);
            }
        }
        self.open(reason)
    }

    /// Opens from the latest time seen, never from a lease that ended earlier: even after a long
    /// sleep the destination gets the whole interval.
    // fault C7
    fn open(&mut self, reason: TransitionReason) -> Transition {
        let jitter = match self.config.open {
            OpenInterval::Fixed(_) => 0,
            OpenInterval::Growing { .. } | OpenInterval::Prompt { .. } => {
                let (hundredth, _) = divide(self.interval, 100);
                let most = hundredth * u64::from(self.config.jitter_percent);
                (most >> 16) * (self.draw >> 48)
            }
        };
        let interval = self.interval.saturating_add(jitter);
        let until = self.latest.saturating_add_nanos(interval);
        self.opened = self.opened.saturating_add(1);
        self.go(Phase::Open { until }, reason)
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.generation = self.generation.wrapping_add(1);
    }

    fn go(&mut self, phase: Phase, reason: TransitionReason) -> Transition {
        let from = self.state();
        self.enter(phase);
        Transition {
            from,
            to: self.state(),
            reason,
            failures: self.failures,
        }
    }
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self::clamped(BreakerConfig::DEFAULT)
    }
}

#[cfg(test)]
mod tests;
