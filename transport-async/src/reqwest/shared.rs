//! What the background task, the handle and its futures share: the pipeline, and who drives it.

use core::sync::atomic::{AtomicU64, Ordering};
use std::string::String;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use spandrel_core::exporter::Transmit;
use spandrel_core::hosted::unversioned::events::{LastError, Told, fetch, tell};
use spandrel_core::hosted::unversioned::pipeline::Pipeline;
use spandrel_core::response::Outcome;
use spandrel_core::time::Instant;

use super::output::Plan;
use super::time::Bell;
use crate::Outbox;

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Wakes whoever drives: something is to be done.
    pub(super) bell: Bell,
    /// Wakes whoever waits: something was done, or the claim is free.
    pub(super) changed: Bell,
    /// How often an owner was polled: its sign of life.
    polls: AtomicU64,
    pub(super) plan: Plan,
    pub(super) target: String,
}

/// What the lock protects.
#[derive(Debug)]
pub(super) struct State {
    pub(super) pipeline: Pipeline,
    /// The number of the claim that is valid.
    owner: Option<u64>,
    claims: u64,
    /// Whether the background task exists.
    pub(super) has_background: bool,
    /// Whether nobody is left who could wait for a shutdown.
    pub(super) is_orphaned: bool,
}

impl State {
    pub(super) fn is_stopped(&self) -> bool {
        self.pipeline.poll_shutdown().is_some()
    }
}

impl Shared {
    pub(super) fn new(pipeline: Pipeline, plan: Plan, target: String) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                pipeline,
                owner: None,
                claims: 0,
                has_background: false,
                is_orphaned: false,
            }),
            bell: Bell::default(),
            changed: Bell::default(),
            polls: AtomicU64::new(0),
            plan,
            target,
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn polls(&self) -> u64 {
        self.polls.load(Ordering::Acquire)
    }

    pub(super) fn note_poll(&self) {
        self.polls.fetch_add(1, Ordering::AcqRel);
    }

    /// Brings the consequences of a step to whom they concern. No lock is held while a log handler
    /// runs.
    pub(super) fn settle(&self, told: &mut Vec<Told>, last_error: &LastError) {
        fetch(&mut self.lock().pipeline, told);
        self.changed.ring();
        tell(told, &self.target, last_error);
    }

    /// Gives up what is held, at once.
    pub(super) fn abandon(&self) {
        {
            let pipeline = &mut self.lock().pipeline;
            let now = pipeline.now();
            pipeline.shutdown(now);
        }
        self.bell.ring();
        self.settle(&mut Vec::new(), &LastError::default());
    }

    /// The right to drive, if nobody has it.
    pub(super) fn claim(self: &Arc<Self>) -> Option<Claim> {
        let mut state = self.lock();
        state.owner.is_none().then(|| self.own(&mut state))
    }

    /// The right to drive, if nobody has it or its owner was not polled since `polls`. Then the
    /// request under way, if any, goes back into the pipeline.
    pub(super) fn take_over(self: &Arc<Self>, polls: u64) -> Option<Claim> {
        let mut state = self.lock();
        if self.polls() != polls {
            return None;
        }
        if state.owner.is_some() {
            state.pipeline.cancel_in_flight();
        }
        Some(self.own(&mut state))
    }

    fn own(self: &Arc<Self>, state: &mut State) -> Claim {
        state.claims += 1;
        state.owner = Some(state.claims);
        Claim {
            shared: Arc::clone(self),
            number: state.claims,
        }
    }
}

/// The right to drive, until it is dropped or taken over. It is the [`Outbox`] of its driver: a
/// void claim has nothing to send.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) shared: Arc<Shared>,
    number: u64,
}

impl Outbox for Claim {
    fn poll_transmit(&self, _: Instant) -> Option<Transmit> {
        let mut state = self.shared.lock();
        if state.owner != Some(self.number) {
            return None;
        }
        state.pipeline.poll_transmit()
    }

    fn read_body(&self, transmit: &mut Transmit, target: &mut [u8]) -> usize {
        self.shared.lock().pipeline.read_body(transmit, target)
    }

    fn handle_response(&self, _: Instant, transmit: Transmit, outcome: &Outcome<'_>) {
        let pipeline = &mut self.shared.lock().pipeline;
        pipeline.handle_response(transmit, outcome);
    }

    fn note_resent(&self, transmit: &Transmit) {
        self.shared.lock().pipeline.note_resent(transmit);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.shared.lock().pipeline.poll_timeout()
    }

    fn is_stopped(&self) -> bool {
        let state = self.shared.lock();
        state.owner != Some(self.number) || state.is_stopped()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        {
            let mut state = self.shared.lock();
            if state.owner == Some(self.number) {
                state.owner = None;
            }
        }
        self.shared.changed.ring();
    }
}
