//! When the exporter may send: the batch trigger, the circuit breaker, pauses and the slow start.

use core::time::Duration;

use super::config::ExporterConfig;
use crate::batch::BatchTrigger;
use crate::breaker::{CircuitBreaker, Permit, State, Transition, Verdict};
use crate::time::Instant;

/// The allowance in batches from which on the slow start is over.
const RAMP_END: u32 = 64;
const RAMP_PAUSE: Duration = Duration::from_millis(100);

/// Which waits hold a request back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    All,
    /// None: there is no later, and the breaker may be overridden once.
    LastAttempt,
    /// The breaker's alone.
    BreakerOnly,
}

#[derive(Debug)]
pub(super) struct Schedule {
    trigger: BatchTrigger,
    breaker: CircuitBreaker,
    /// The end of the pause that the destination asked for.
    not_before: Instant,
    ramp_until: Instant,
    ramp: Option<Ramp>,
    /// Since when the circuit has not been closed.
    open_since: Option<Instant>,
    latest: Instant,
    seed: u64,
}

/// Slow start after a recovery: two batches, a pause, four, a pause, and so on, so that a collector
/// that has just come back is not flooded with everything that waited.
#[derive(Clone, Copy, Debug)]
struct Ramp {
    allowance: u32,
    left: u32,
}

impl Schedule {
    /// A schedule for an empty queue, with settings that are valid.
    #[inline(always)]
    pub(super) const fn new(config: &ExporterConfig) -> Self {
        Self {
            trigger: BatchTrigger::new(config.batch),
            breaker: CircuitBreaker::clamped(config.breaker),
            not_before: Instant::ZERO,
            ramp_until: Instant::ZERO,
            ramp: None,
            open_since: None,
            latest: Instant::ZERO,
            seed: config.seed,
        }
    }

    pub(super) const fn set_seed(&mut self, seed: u64) {
        self.seed = seed;
    }

    /// The jitter's next random number.
    pub(super) const fn draw(&mut self) -> u64 {
        split_mix(&mut self.seed)
    }

    /// Returns the latest time seen, `now` included.
    pub(super) fn advance(&mut self, now: Instant) -> Instant {
        self.latest = self.latest.max(now);
        self.latest
    }

    pub(super) const fn latest(&self) -> Instant {
        self.latest
    }

    /// `queued` spans wait at `now`.
    pub(super) fn observe(&mut self, now: Instant, queued: usize) {
        self.trigger.observe(now, queued);
    }

    /// One of `queued` spans has been waiting since `since`.
    pub(super) fn backdate(&mut self, since: Instant, queued: usize) {
        self.trigger.backdate(since, queued);
    }

    /// A batch was leased, which leaves `queued` spans.
    pub(super) fn taken(&mut self, now: Instant, queued: usize) {
        self.trigger.taken(now, queued);
    }

    pub(super) fn batch_due(&self, queued: usize, queued_bytes: usize) -> Option<Instant> {
        self.trigger.due_at(queued, queued_bytes)
    }

    pub(super) const fn circuit(&self) -> State {
        self.breaker.state()
    }

    pub(super) fn is_healthy(&self) -> bool {
        self.circuit() == State::Closed
    }

    pub(super) const fn opened(&self) -> u32 {
        self.breaker.opened()
    }

    /// The end of the open interval, or of the probe's lease.
    pub(super) const fn breaker_timeout(&self) -> Option<Instant> {
        self.breaker.poll_timeout()
    }

    /// When the breaker admits a request: `now` if at once.
    pub(super) fn circuit_admits_at(&self, now: Instant) -> Instant {
        self.breaker.retry_at(now)
    }

    pub(super) const fn pause_ends(&self) -> Instant {
        self.not_before
    }

    /// The earliest time of any request, whatever the batch.
    pub(super) fn gate(&self, pace: Pace) -> Instant {
        let breaker = self.breaker.retry_at(Instant::ZERO);
        match pace {
            Pace::All => breaker.max(self.not_before).max(self.ramp_until),
            Pace::LastAttempt => Instant::ZERO,
            Pace::BreakerOnly => breaker,
        }
    }

    /// Asks for one attempt. When the breaker refuses, `force` may override it.
    pub(super) fn acquire(&mut self, now: Instant, force: impl FnOnce() -> bool) -> Option<Permit> {
        let draw = self.draw();
        match self.breaker.try_acquire(now, draw) {
            Ok(permit) => Some(permit),
            Err(_) if force() => self.breaker.acquire_forced(now, draw).ok(),
            Err(_) => None,
        }
    }

    pub(super) fn record(
        &mut self,
        now: Instant,
        permit: Permit,
        verdict: Verdict,
    ) -> Option<Transition> {
        let draw = self.draw();
        self.breaker.record(now, draw, permit, verdict)
    }

    /// Opens a closed circuit until `until`.
    pub(super) fn trip(&mut self, now: Instant, until: Instant) -> Option<Transition> {
        self.breaker.trip(now, until)
    }

    /// The buffer is more than half full.
    pub(super) fn set_filling(&mut self, is_filling: bool) {
        self.breaker.set_filling(is_filling);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Transition> {
        self.breaker.handle_timeout(now)
    }

    /// Holds all requests back until `until`: the destination asked for it.
    pub(super) fn pause(&mut self, until: Instant) {
        self.not_before = self.not_before.max(until);
        self.breaker.hold_until(until);
    }

    /// Follows a change of the circuit. When it has closed, returns how many nanoseconds it was not.
    pub(super) fn note(&mut self, transition: Transition, now: Instant) -> Option<u64> {
        if transition.to == State::Closed {
            self.ramp = Some(Ramp {
                allowance: 2,
                left: 2,
            });
            return self.open_since.take().map(|since| now.nanos_since(since));
        }
        self.open_since.get_or_insert(now);
        None
    }

    /// A slow start is under way.
    pub(super) const fn is_ramping(&self) -> bool {
        self.ramp.is_some()
    }

    /// Counts one accepted request towards the slow start, which ends early with an empty queue.
    pub(super) fn ramp_up(&mut self, now: Instant, queue_is_empty: bool) {
        let Some(mut ramp) = self.ramp.take() else {
            return;
        };
        ramp.left = ramp.left.saturating_sub(1);
        if ramp.left == 0 {
            self.ramp_until = now.saturating_add(RAMP_PAUSE);
            ramp.allowance *= 2;
            ramp.left = ramp.allowance;
        }
        if ramp.allowance < RAMP_END && !queue_is_empty {
            self.ramp = Some(ramp);
        }
    }
}

/// The next number of SplitMix64: one addition and a mix, enough for jitter.
const fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker::TransitionReason;

    const fn at(secs: u64) -> Instant {
        Instant::from_secs(secs)
    }

    fn transition(from: State, to: State) -> Transition {
        Transition {
            from,
            to,
            reason: TransitionReason::Reset,
            failures: 0,
        }
    }

    fn open(schedule: &mut Schedule, now: Instant) {
        while schedule.is_healthy() {
            let permit = schedule.acquire(now, || false).unwrap();
            if let Some(change) = schedule.record(now, permit, Verdict::Failure) {
                assert_eq!(schedule.note(change, now), None);
            }
        }
    }

    #[test]
    fn a_pause_and_an_open_circuit_hold_back_all_but_the_last_attempt() {
        let mut schedule = Schedule::new(&ExporterConfig::DEFAULT);
        assert_eq!(schedule.gate(Pace::All), Instant::ZERO);
        schedule.pause(at(40));
        schedule.pause(at(20));
        assert_eq!(schedule.gate(Pace::All), at(40));
        assert_eq!(schedule.gate(Pace::BreakerOnly), Instant::ZERO);
        open(&mut schedule, at(1));
        assert_eq!(schedule.gate(Pace::BreakerOnly), at(31));
        assert_eq!(schedule.gate(Pace::LastAttempt), Instant::ZERO);
        assert_eq!(schedule.circuit_admits_at(at(2)), at(31));
    }

    #[test]
    fn an_open_circuit_is_overridden_only_by_force() {
        let mut schedule = Schedule::new(&ExporterConfig::DEFAULT);
        let _permit = schedule.acquire(at(1), || unreachable!());
        open(&mut schedule, at(1));
        assert!(schedule.acquire(at(2), || false).is_none());
        let probe = schedule.acquire(at(2), || true).expect("the last attempt");
        assert!(probe.is_probe());
        // Not even force admits a second probe.
        assert!(schedule.acquire(at(2), || true).is_none());
    }

    #[test]
    fn the_time_without_a_closed_circuit_is_measured_from_its_first_opening() {
        let mut schedule = Schedule::new(&ExporterConfig::DEFAULT);
        let open = transition(State::Closed, State::Open);
        assert_eq!(schedule.note(open, at(10)), None);
        let half = transition(State::Open, State::HalfOpen);
        assert_eq!(schedule.note(half, at(40)), None);
        let again = transition(State::HalfOpen, State::Open);
        assert_eq!(schedule.note(again, at(41)), None);
        let closed = transition(State::HalfOpen, State::Closed);
        assert_eq!(schedule.note(closed, at(72)), Some(62_000_000_000));
    }

    #[test]
    fn after_a_recovery_each_pause_comes_after_twice_as_many_batches_until_the_drain_runs_free() {
        let mut schedule = Schedule::new(&ExporterConfig::DEFAULT);
        let _ = schedule.note(transition(State::HalfOpen, State::Closed), at(1));
        let mut pauses = std::vec::Vec::new();
        for batch in 1..200 {
            let now = at(batch);
            schedule.ramp_up(now, false);
            if schedule.gate(Pace::All) > now {
                pauses.push(batch);
            }
        }
        // After 2, 4, 8, 16 and 32 more.
        assert_eq!(pauses, [2, 6, 14, 30, 62]);
    }

    #[test]
    fn the_slow_start_ends_with_an_empty_queue() {
        let mut schedule = Schedule::new(&ExporterConfig::DEFAULT);
        let _ = schedule.note(transition(State::HalfOpen, State::Closed), at(1));
        schedule.ramp_up(at(2), true);
        for batch in 3..20 {
            schedule.ramp_up(at(batch), false);
            assert!(schedule.gate(Pace::All) <= at(batch));
        }
    }

    #[test]
    fn time_never_goes_back() {
        let mut schedule = Schedule::new(&ExporterConfig::DEFAULT);
        assert_eq!(schedule.advance(at(5)), at(5));
        assert_eq!(schedule.advance(at(4)), at(5));
        assert_eq!(schedule.latest(), at(5));
    }
}
