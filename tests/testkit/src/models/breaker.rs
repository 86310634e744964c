//! The model of the circuit breaker, and the world in which both are run.
//!
//! The model knows permits by number and keeps the list of those whose report still counts; every
//! change of state empties it. Open intervals are computed again from the number of failed probes.

use core::ops::RangeInclusive;
use core::time::Duration;

use spandrel_core::breaker::{
    BreakerConfig, CircuitBreaker, OpenInterval, Permit, State, Transition, TransitionReason,
    Verdict,
};
use spandrel_core::time::Instant;

/// One step.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// Ask for an attempt; its permit is kept.
    Acquire {
        /// For the jitter.
        draw: u64,
    },
    /// Ask as shutdown does.
    Force {
        /// For the jitter.
        draw: u64,
    },
    /// Report the n-th permit kept (modulo their number).
    Report {
        /// Which one.
        which: usize,
        /// What became of the attempt.
        verdict: Verdict,
        /// For the jitter.
        draw: u64,
    },
    /// Lose the n-th permit kept.
    Lose {
        /// Which one.
        which: usize,
    },
    /// An attempt that is admitted, if it is, and reported at once.
    Attempt {
        /// What became of it.
        verdict: Verdict,
    },
    /// The timer fires.
    Timeout,
    /// The clock goes on by milliseconds.
    Forward(u64),
    /// The clock goes on to the machine's timeout, and the timer fires.
    Sleep,
    /// The clock goes back by milliseconds.
    Back(u64),
    /// Hold an open circuit for milliseconds from now.
    Hold(u64),
    /// Open a closed circuit for milliseconds from now.
    Trip(u64),
    /// Close the circuit by hand.
    Reset,
}

/// What happened in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// The threshold was reached.
    pub opened: u32,
    /// An open interval ended.
    pub half_opened: u32,
    /// A probe closed the circuit.
    pub probe_succeeded: u32,
    /// A probe opened it again.
    pub probe_failed: u32,
    /// A probe's lease ran out.
    pub probe_lost: u32,
    /// A probe was given up and another one admitted in the same state.
    pub probe_cancelled: u32,
    /// A report came too late to count.
    pub late_report: u32,
    /// An attempt was refused while open.
    pub refused_open: u32,
    /// An attempt was refused beside a probe.
    pub refused_half_open: u32,
    /// A forced attempt went out through an open circuit.
    pub forced: u32,
    /// A hold lengthened an open interval.
    pub held: u32,
    /// A closed circuit was opened by hand.
    pub tripped: u32,
    /// The circuit was reset while it was not closed.
    pub reset: u32,
    /// The clock went back while the circuit was open.
    pub clock_back: u32,
    /// A success ended a row of failures before the threshold.
    pub recovered: u32,
}

impl Coverage {
    /// The properties that never fired.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        [
            ("opened", self.opened),
            ("half_opened", self.half_opened),
            ("probe_succeeded", self.probe_succeeded),
            ("probe_failed", self.probe_failed),
            ("probe_lost", self.probe_lost),
            ("probe_cancelled", self.probe_cancelled),
            ("late_report", self.late_report),
            ("refused_open", self.refused_open),
            ("refused_half_open", self.refused_half_open),
            ("forced", self.forced),
            ("held", self.held),
            ("tripped", self.tripped),
            ("reset", self.reset),
            ("clock_back", self.clock_back),
            ("recovered", self.recovered),
        ]
        .into_iter()
        .filter_map(|(name, count)| (count == 0).then_some(name))
        .collect()
    }
}

/// Returns true if a transition may have this reason.
#[must_use]
pub const fn is_legal(transition: &Transition) -> bool {
    matches!(
        (transition.from, transition.to, transition.reason),
        (
            State::Closed,
            State::Open,
            TransitionReason::FailureThreshold | TransitionReason::Tripped
        ) | (
            State::Open,
            State::HalfOpen,
            TransitionReason::IntervalElapsed
        ) | (
            State::HalfOpen,
            State::Closed,
            TransitionReason::ProbeSucceeded
        ) | (
            State::HalfOpen,
            State::Open,
            TransitionReason::ProbeFailed | TransitionReason::ProbeLost
        ) | (_, State::Closed, TransitionReason::Reset)
    )
}

struct Model {
    config: BreakerConfig,
    latest: Instant,
    state: State,
    /// Failures since the last success.
    failures: u32,
    /// Probes failed or lost since the circuit was last closed.
    failed_probes: u32,
    /// When the circuit left the closed state.
    since: Instant,
    opened: u32,
    /// Where the end of the open interval must lie; one value once it is known.
    until: RangeInclusive<Instant>,
    /// The end of the lease of the probe under way.
    lease: Option<Instant>,
    /// The permits whose report counts.
    live: Vec<u64>,
}

impl Model {
    fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            latest: Instant::ZERO,
            state: State::Closed,
            failures: 0,
            since: Instant::ZERO,
            failed_probes: 0,
            opened: 0,
            until: Instant::ZERO..=Instant::ZERO,
            lease: None,
            live: Vec::new(),
        }
    }

    fn enter(&mut self, state: State, reason: TransitionReason) -> Option<Transition> {
        let from = core::mem::replace(&mut self.state, state);
        self.live.clear();
        self.lease = None;
        if state == State::Open {
            self.opened += 1;
            if from == State::Closed {
                self.since = self.latest;
            }
            let (shortest, longest) = self.interval();
            self.until = self.latest.saturating_add(shortest)..=self.latest.saturating_add(longest);
        }
        Some(Transition {
            from,
            to: state,
            reason,
            failures: self.failures,
        })
    }

    /// The shortest and the longest open interval.
    fn interval(&self) -> (Duration, Duration) {
        match self.config.open {
            OpenInterval::Fixed(interval) => (interval, interval),
            OpenInterval::Growing { initial, cap } => {
                let doubled = initial.as_nanos() << self.failed_probes.min(60);
                let nanos = u64::try_from(doubled.min(cap.as_nanos())).unwrap_or(u64::MAX);
                let percent = u64::from(self.config.jitter_percent);
                let longest = nanos.saturating_add(nanos / 100 * percent);
                (Duration::from_nanos(nanos), Duration::from_nanos(longest))
            }
            OpenInterval::Prompt { initial, cap, .. } => {
                let part = self.latest.saturating_since(self.since) / 16;
                let later = part.max(initial.saturating_mul(2)).min(cap);
                let nanos = match self.failed_probes {
                    0 => initial.as_nanos(),
                    _ => later.as_nanos(),
                };
                let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
                let percent = u64::from(self.config.jitter_percent);
                let longest = nanos.saturating_add(nanos / 100 * percent);
                (Duration::from_nanos(nanos), Duration::from_nanos(longest))
            }
        }
    }

    fn observe(&mut self, now: Instant) -> Option<Transition> {
        self.latest = self.latest.max(now);
        if self.state == State::Open && self.latest >= *self.until.start() {
            return self.enter(State::HalfOpen, TransitionReason::IntervalElapsed);
        }
        if self.lease.is_some_and(|end| self.latest >= end) {
            self.failed_probes += 1;
            return self.enter(State::Open, TransitionReason::ProbeLost);
        }
        None
    }

    /// Whether an attempt is admitted, and if not, when to ask again.
    fn acquire(&mut self, number: u64) -> Result<(), Instant> {
        match (self.state, self.lease) {
            (State::Open, _) => return Err(*self.until.start()),
            (State::HalfOpen, Some(end)) => return Err(end),
            (State::HalfOpen, None) => {
                self.lease = Some(self.latest.saturating_add(self.config.probe_lease));
            }
            (State::Closed, _) => {}
        }
        self.live.push(number);
        Ok(())
    }

    fn report(&mut self, number: u64, verdict: Verdict) -> Option<Transition> {
        let place = self.live.iter().position(|&live| live == number)?;
        self.live.remove(place);
        match verdict {
            Verdict::Cancelled => self.lease = None,
            Verdict::Success => {
                self.failures = 0;
                if self.state == State::HalfOpen {
                    self.failed_probes = 0;
                    return self.enter(State::Closed, TransitionReason::ProbeSucceeded);
                }
            }
            Verdict::Failure => {
                self.failures += 1;
                if self.state == State::HalfOpen {
                    self.failed_probes += 1;
                    return self.enter(State::Open, TransitionReason::ProbeFailed);
                }
                if self.failures >= self.config.failure_threshold {
                    return self.enter(State::Open, TransitionReason::FailureThreshold);
                }
            }
        }
        None
    }
}

/// The machine beside its model, the permits that are out, and a clock.
pub struct World {
    machine: CircuitBreaker,
    model: Model,
    held: Vec<(u64, Permit)>,
    next: u64,
    now: Instant,
    coverage: Coverage,
}

impl World {
    /// Both closed, at time zero; `None` when the settings are not valid.
    #[must_use]
    pub fn new(config: BreakerConfig) -> Option<Self> {
        Some(Self {
            machine: CircuitBreaker::new(config).ok()?,
            model: Model::new(config),
            held: Vec::new(),
            next: 0,
            now: Instant::ZERO,
            coverage: Coverage::default(),
        })
    }

    /// What happened so far.
    #[must_use]
    pub const fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// Runs one step. Panics where machine and model disagree.
    pub fn step(&mut self, op: Op) {
        match op {
            Op::Acquire { draw } => self.acquire(draw),
            Op::Force { draw } => self.force(draw),
            Op::Report {
                which,
                verdict,
                draw,
            } => {
                if !self.held.is_empty() {
                    let held = self.held.remove(which % self.held.len());
                    self.report(held, verdict, draw);
                }
            }
            Op::Lose { which } => {
                if !self.held.is_empty() {
                    drop(self.held.remove(which % self.held.len()));
                }
            }
            Op::Attempt { verdict } => {
                let out = self.held.len();
                self.acquire(0);
                if self.held.len() > out {
                    self.step(Op::Report {
                        which: out,
                        verdict,
                        draw: 0,
                    });
                }
            }
            Op::Timeout => {
                let transition = self.machine.handle_timeout(self.now);
                let expected = self.model.observe(self.now);
                self.check_transition(transition, expected);
            }
            Op::Forward(millis) => {
                self.now = self.now.saturating_add(Duration::from_millis(millis));
            }
            Op::Sleep => {
                if let Some(timeout) = self.machine.poll_timeout() {
                    self.now = self.now.max(timeout);
                    self.step(Op::Timeout);
                }
            }
            Op::Back(millis) => {
                self.now = super::back(self.now, millis);
                self.coverage.clock_back += u32::from(self.model.state == State::Open);
            }
            Op::Hold(millis) => self.hold(millis),
            Op::Trip(millis) => self.trip(millis),
            Op::Reset => self.reset(),
        }
        self.check();
    }

    fn acquire(&mut self, draw: u64) {
        let before = (self.model.failures, self.model.opened);
        let answer = self.machine.try_acquire(self.now, draw);
        self.model.observe(self.now);
        // An interval that has just begun is only known from the machine.
        self.adopt_interval();
        match (answer, self.model.acquire(self.next)) {
            (Ok(permit), Ok(())) => {
                assert_eq!(permit.is_probe(), self.model.state == State::HalfOpen);
                self.held.push((self.next, permit));
                self.next += 1;
            }
            (Err(refused), Err(retry_at)) => {
                assert_eq!(refused.retry_at, retry_at);
                assert_eq!(self.machine.consecutive_failures(), before.0, "I32");
                let half_open = self.model.state == State::HalfOpen;
                self.coverage.refused_half_open += u32::from(half_open);
                self.coverage.refused_open += u32::from(!half_open);
            }
            (answer, expected) => {
                assert!(
                    answer.is_ok() == expected.is_ok(),
                    "{answer:?} {expected:?}"
                );
            }
        }
    }

    fn force(&mut self, draw: u64) {
        let answer = self.machine.acquire_forced(self.now, draw);
        self.model.observe(self.now);
        if self.model.state == State::Open {
            self.model
                .enter(State::HalfOpen, TransitionReason::IntervalElapsed);
            self.coverage.forced += 1;
        }
        assert_eq!(answer.is_ok(), self.model.acquire(self.next).is_ok());
        if let Ok(permit) = answer {
            self.held.push((self.next, permit));
            self.next += 1;
        }
    }

    fn report(&mut self, (number, permit): (u64, Permit), verdict: Verdict, draw: u64) {
        let was = (self.model.failures, self.model.state);
        let transition = self.machine.record(self.now, draw, permit, verdict);
        let timed = self.model.observe(self.now);
        let late = !self.model.live.contains(&number);
        let expected = timed.or(self.model.report(number, verdict));
        self.check_transition(transition, expected);
        let (failures, state) = was;
        self.coverage.late_report += u32::from(late);
        let gave_up = !late && verdict == Verdict::Cancelled;
        self.coverage.probe_cancelled += u32::from(gave_up && state == State::HalfOpen);
        let recovered = !late && verdict == Verdict::Success;
        self.coverage.recovered += u32::from(recovered && state == State::Closed && failures > 0);
    }

    fn hold(&mut self, millis: u64) {
        let instant = self.now.saturating_add(Duration::from_millis(millis));
        self.machine.hold_until(instant);
        if self.model.state == State::Open && instant > *self.model.until.start() {
            self.model.until = instant..=instant;
            self.coverage.held += 1;
        }
    }

    fn trip(&mut self, millis: u64) {
        self.model.latest = self.model.latest.max(self.now);
        let until = self
            .model
            .latest
            .saturating_add(Duration::from_millis(millis));
        let transition = self.machine.trip(self.now, until);
        let expected = match self.model.state {
            State::Closed => self.model.enter(State::Open, TransitionReason::Tripped),
            _ => None,
        };
        if expected.is_some() {
            let until = until.min(*self.model.until.start());
            self.model.until = until..=until;
        }
        self.check_transition(transition, expected);
    }

    fn reset(&mut self) {
        let transition = self.machine.reset();
        self.model.failures = 0;
        self.model.failed_probes = 0;
        self.model.latest = Instant::ZERO;
        let expected = match self.model.state {
            State::Closed => {
                self.model.live.clear();
                None
            }
            _ => self.model.enter(State::Closed, TransitionReason::Reset),
        };
        self.check_transition(transition, expected);
    }

    fn check_transition(&mut self, seen: Option<Transition>, expected: Option<Transition>) {
        assert_eq!(seen, expected);
        let Some(transition) = seen else { return };
        assert!(is_legal(&transition), "I23: {transition:?}");
        let counter = match transition.reason {
            TransitionReason::FailureThreshold => &mut self.coverage.opened,
            TransitionReason::IntervalElapsed => &mut self.coverage.half_opened,
            TransitionReason::ProbeSucceeded => &mut self.coverage.probe_succeeded,
            TransitionReason::ProbeFailed => &mut self.coverage.probe_failed,
            TransitionReason::ProbeLost => &mut self.coverage.probe_lost,
            TransitionReason::Tripped => &mut self.coverage.tripped,
            _ => &mut self.coverage.reset,
        };
        *counter += 1;
    }

    /// The end of the open interval lies within its bounds, and stays where it is.
    fn adopt_interval(&mut self) {
        if self.model.state == State::Open {
            let until = self.machine.poll_timeout().unwrap_or(Instant::ZERO);
            assert!(self.model.until.contains(&until), "I27: {until:?}");
            self.model.until = until..=until;
        }
    }

    fn check(&mut self) {
        assert_eq!(self.machine.state(), self.model.state);
        assert_eq!(self.machine.consecutive_failures(), self.model.failures);
        assert_eq!(self.machine.opened(), self.model.opened);
        self.adopt_interval();
        let timeout = match self.model.state {
            State::Closed => None,
            State::Open => Some(*self.model.until.start()),
            State::HalfOpen => self.model.lease,
        };
        assert_eq!(self.machine.poll_timeout(), timeout);
        assert_eq!(self.machine.retry_at(self.now), timeout.unwrap_or(self.now));
    }
}

/// Runs `ops`; `None` when the settings are not valid. Panics where machine and model disagree.
#[must_use]
pub fn run(config: BreakerConfig, ops: &[Op]) -> Option<Coverage> {
    let mut world = World::new(config)?;
    for &op in ops {
        world.step(op);
    }
    Some(*world.coverage())
}
