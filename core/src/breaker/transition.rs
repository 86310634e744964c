//! A change of state, and its wording.

use core::fmt;

use super::State;

/// Why the state changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum TransitionReason {
    /// Closed to open: the last of `failure_threshold` consecutive failures.
    FailureThreshold,
    /// Closed to open, by [`CircuitBreaker::trip`](super::CircuitBreaker::trip).
    Tripped,
    /// Open to half-open: the open interval is over.
    IntervalElapsed,
    /// Half-open to closed.
    ProbeSucceeded,
    /// Half-open to open.
    ProbeFailed,
    /// Half-open to open: the probe was not reported before its lease ran out.
    ProbeLost,
    /// Any state to closed, by [`CircuitBreaker::reset`](super::CircuitBreaker::reset).
    Reset,
}

/// A change of state, for the log line that explains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Transition {
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// Why.
    pub reason: TransitionReason,
    /// Consecutive failures so far.
    pub failures: u32,
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.to {
            State::Closed => "circuit breaker closed: ",
            State::Open => "circuit breaker open: ",
            State::HalfOpen => "circuit breaker half-open: ",
        })?;
        match self.reason {
            TransitionReason::FailureThreshold => {
                write!(f, "{} consecutive export failures", self.failures)
            }
            TransitionReason::Tripped => f.write_str("an export ran out of time"),
            TransitionReason::IntervalElapsed => f.write_str("the open interval is over"),
            TransitionReason::ProbeSucceeded => f.write_str("the probe succeeded"),
            TransitionReason::ProbeFailed => {
                write!(f, "the probe failed, {} failures in a row", self.failures)
            }
            TransitionReason::ProbeLost => f.write_str("the probe was not reported in time"),
            TransitionReason::Reset => f.write_str("reset"),
        }
    }
}
