//! The part that the background task, the handle and its futures share: the pipeline, and the right
//! to drive it.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::string::String;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use spandrel_core::buffer::Record;
use spandrel_core::exporter::{FlushReport, Transmit};
use spandrel_core::hosted::diagnostics::poll_kept;
use spandrel_core::hosted::unversioned::events::{EventLog, LastError};
use spandrel_core::hosted::unversioned::handle::Driven;
use spandrel_core::hosted::unversioned::pipeline::{Branch, FlushId, Pipeline};
use spandrel_core::response::Outcome;
use spandrel_core::time::Instant;

use super::bell::Bell;
use super::output::Plan;
use crate::Outbox;
use crate::driver::LOOK_AFTER;

#[derive(Debug)]
pub(super) struct DriverState {
    locked: Mutex<Locked>,
    /// Wakes the driver: there is something to do.
    pub(super) bell: Bell,
    /// Wakes the futures that wait: something was done, or the claim is free.
    pub(super) changed: Bell,
    /// How often a poll of an owner began or ended: its sign of life.
    polls: AtomicU64,
    pub(super) plan: Plan,
    pub(super) target: String,
    /// The state of the first destination, which empties the shards for this one, too.
    first: Option<Weak<Self>>,
}

#[derive(Debug)]
pub(super) struct Locked {
    pub(super) pipeline: Pipeline,
    /// The number of the claim that is valid.
    owner: Option<u64>,
    claims: u64,
    /// Whether the background task exists.
    pub(super) has_background: bool,
    /// Whether the handle is gone, so that nothing can wait for the shutdown.
    pub(super) is_orphaned: bool,
    /// Whether the end of the shutdown has been logged.
    is_told: bool,
    /// Whether the last answer has not been logged yet.
    is_unlogged: bool,
}

impl Locked {
    pub(super) fn is_stopped(&self) -> bool {
        self.pipeline.poll_shutdown().is_some()
    }

    /// A flush's report, once the answer that ended it has been logged: the program may end next.
    pub(super) fn flush_report(&mut self, id: FlushId) -> Option<FlushReport> {
        if self.is_unlogged {
            return None;
        }
        self.pipeline.flush_report(id)
    }

    /// The shutdown's report, once its end has been logged.
    pub(super) fn told(&self) -> Option<FlushReport> {
        self.pipeline.poll_shutdown().filter(|_| self.is_told)
    }
}

impl DriverState {
    pub(super) fn new(pipeline: Pipeline, plan: Plan, target: String) -> Arc<Self> {
        Arc::new(Self::of(pipeline, plan, target, None))
    }

    /// The state of a further destination.
    pub(super) fn further(
        first: &Weak<Self>,
        pipeline: Pipeline,
        plan: Plan,
        target: String,
    ) -> Arc<Self> {
        Arc::new(Self::of(pipeline, plan, target, Some(first.clone())))
    }

    pub(super) fn of(
        pipeline: Pipeline,
        plan: Plan,
        target: String,
        first: Option<Weak<Self>>,
    ) -> Self {
        Self {
            locked: Mutex::new(Locked {
                pipeline,
                owner: None,
                claims: 0,
                has_background: false,
                is_orphaned: false,
                is_told: false,
                is_unlogged: false,
            }),
            bell: Bell::default(),
            changed: Bell::default(),
            polls: AtomicU64::new(0),
            plan,
            target,
            first,
        }
    }

    /// Has the first destination's pipeline hand over what has ended. Its own driver may wait for a
    /// request.
    fn fetch(&self) {
        if let Some(first) = self.first.as_ref().and_then(Weak::upgrade) {
            let is_due = {
                let pipeline = &mut first.lock().pipeline;
                pipeline.look();
                pipeline
                    .poll_timeout()
                    .is_some_and(|at| at <= pipeline.now())
            };
            if is_due {
                first.bell.ring();
            }
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Locked> {
        self.locked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn polls(&self) -> u64 {
        self.polls.load(Ordering::Acquire)
    }

    pub(super) fn note_poll(&self) {
        self.polls.fetch_add(1, Ordering::AcqRel);
    }

    /// Logs the events of a step, without the lock, and only then wakes the futures that wait: their
    /// program may end next.
    pub(super) fn settle(&self, log: &mut EventLog, last_error: &LastError) {
        let is_stopped = {
            let mut locked = self.lock();
            log.collect(&mut locked.pipeline);
            locked.is_stopped()
        };
        log.emit(last_error);
        {
            let mut locked = self.lock();
            locked.is_unlogged = false;
            locked.is_told |= is_stopped;
        }
        self.changed.ring();
    }

    /// Gives up what is held, at once.
    pub(super) fn abandon(&self) {
        {
            let pipeline = &mut self.lock().pipeline;
            let now = pipeline.now();
            pipeline.shutdown(now);
        }
        self.bell.ring();
        self.settle(&mut self.event_log(), &LastError::default());
    }

    pub(super) fn event_log(&self) -> EventLog {
        EventLog::new(self.target.as_str())
    }

    /// The right to drive, if it is free.
    pub(super) fn claim(self: &Arc<Self>) -> Option<Claim> {
        let mut locked = self.lock();
        locked.owner.is_none().then(|| self.own(&mut locked))
    }

    /// The right to drive, if it is free or its owner was not polled since `polls`. The request under
    /// way, if any, then goes back into the pipeline.
    pub(super) fn take_over(self: &Arc<Self>, polls: u64) -> Option<Claim> {
        let mut locked = self.lock();
        if self.polls() != polls {
            return None;
        }
        if locked.owner.is_some() {
            locked.pipeline.cancel_in_flight();
        }
        Some(self.own(&mut locked))
    }

    fn own(self: &Arc<Self>, locked: &mut Locked) -> Claim {
        locked.claims += 1;
        locked.owner = Some(locked.claims);
        Claim {
            state: Arc::clone(self),
            number: locked.claims,
        }
    }
}

impl Branch for DriverState {
    fn push(&self, record: &Record<'_>) {
        let is_due = self.lock().pipeline.push_copy(record);
        if is_due {
            self.bell.ring();
        }
    }
}

impl Driven for DriverState {
    fn read(&self, read: &mut dyn FnMut(&Pipeline)) {
        read(&self.lock().pipeline);
    }

    fn cancel(&self) {
        self.abandon();
    }
}

/// The right to drive, until it is dropped or taken over. It is the [`Outbox`] of its driver: a
/// void claim has nothing to send.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) state: Arc<DriverState>,
    number: u64,
}

impl Outbox for Claim {
    fn poll_transmit(&self, _: Instant) -> Option<Transmit> {
        self.state.fetch();
        let mut locked = self.state.lock();
        if locked.owner != Some(self.number) {
            return None;
        }
        let transmit = locked.pipeline.poll_transmit();
        drop(locked);
        if transmit.is_some() && self.state.plan.lanes() > 1 {
            // There may be another one for another lane.
            self.state.bell.ring();
        }
        transmit
    }

    fn read_body(&self, transmit: &mut Transmit, target: &mut [u8]) -> usize {
        self.state.lock().pipeline.read_body(transmit, target)
    }

    fn handle_response(&self, _: Instant, transmit: Transmit, outcome: &Outcome<'_>) {
        let mut locked = self.state.lock();
        locked.pipeline.handle_response(transmit, outcome);
        locked.is_unlogged = true;
    }

    fn note_resent(&self, transmit: &Transmit) {
        self.state.lock().pipeline.note_resent(transmit);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        // Reports that wait for a listener have the driver look for one again.
        let kept = poll_kept();
        let pipeline = &self.state.lock().pipeline;
        let kept = kept.map(|wait| pipeline.now().saturating_add(wait));
        [pipeline.poll_timeout(), kept].into_iter().flatten().min()
    }

    fn is_stopped(&self) -> bool {
        let locked = self.state.lock();
        locked.owner != Some(self.number) || locked.is_stopped()
    }

    fn request_deadline(&self) -> Instant {
        self.state.lock().pipeline.request_deadline()
    }

    fn look_after(&self) -> Option<Duration> {
        Some(LOOK_AFTER)
    }

    fn look(&self) {
        let has_losses = self.state.lock().pipeline.look();
        if has_losses {
            self.state
                .settle(&mut self.state.event_log(), &LastError::default());
        } else {
            // Spans may have moved on, for which futures wait.
            self.state.changed.ring();
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        {
            let mut locked = self.state.lock();
            if locked.owner == Some(self.number) {
                locked.owner = None;
                // The next owner logs what is left.
                locked.is_unlogged = false;
            }
        }
        self.state.changed.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spandrel_core::hosted::config::Config;

    /// Fault X4.
    #[test]
    fn x4_a_shutdown_is_over_for_its_caller_once_its_end_has_been_logged() {
        let config = Config {
            enabled: true,
            endpoint: "localhost:4318".into(),
            read_environment: false,
            ..Config::default()
        };
        let settings = config.resolve().unwrap();
        let (mut pipeline, provider) = Pipeline::new(&settings).unwrap();
        provider.tracer("tests").start("lost").end();
        pipeline.shutdown(Instant::ZERO);
        let plan = Plan::new(&settings).unwrap();
        let state = DriverState::new(pipeline, plan, "the collector".into());
        assert!(state.lock().is_stopped());
        assert_eq!(state.lock().told(), None);
        state.settle(&mut state.event_log(), &LastError::default());
        assert_eq!(state.lock().told().map(|report| report.dropped), Some(1));
    }

    /// Fault X129.
    #[test]
    fn x129_a_flush_is_over_for_its_caller_once_its_answer_has_been_logged() {
        let config = Config {
            enabled: true,
            endpoint: "localhost:4318".into(),
            read_environment: false,
            ..Config::default()
        };
        let settings = config.resolve().unwrap();
        let (mut pipeline, provider) = Pipeline::new(&settings).unwrap();
        provider.tracer("tests").start("refused").end();
        let flush = pipeline.force_flush(Instant::MAX);
        let plan = Plan::new(&settings).unwrap();
        let state = DriverState::new(pipeline, plan, "the collector".into());
        let claim = state.claim().unwrap();
        let mut transmit = claim.poll_transmit(Instant::ZERO).unwrap();
        while claim.read_body(&mut transmit, &mut [0; 64]) > 0 {}
        assert_eq!(state.lock().flush_report(flush), None);
        let answer = Outcome::Response(spandrel_core::response::Response::new(400));
        claim.handle_response(Instant::ZERO, transmit, &answer);
        assert_eq!(state.lock().flush_report(flush), None);
        state.settle(&mut state.event_log(), &LastError::default());
        let report = state.lock().flush_report(flush);
        assert_eq!(report.map(|report| report.dropped), Some(1));
    }
}
