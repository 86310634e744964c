//! The one thread that sends.
//!
//! ```text
//!   ┌▶ take events ─▶ request due? ─ yes ─▶ encode (locked) ─▶ POST (unlocked) ─▶ answer (locked) ┐
//!   │                      │ no                                                                   │
//!   │                      ▼                                                                      │
//!   │               shut down? ─ yes ─▶ end                                                       │
//!   │                      │ no                                                                   │
//!   └── park until the pipeline's next instant, or until woken ◀──────────────────────────────────┘
//! ```
//!
//! Recording threads never take the pipeline's lock; it is shared with callers of flush, shutdown
//! and the statistics, and free while a request is under way.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use spandrel_core::exporter::{FlushReport, Transmit};
use spandrel_core::hosted::current;
use spandrel_core::hosted::diagnostics::{Kind, Severity, report};
use spandrel_core::hosted::unversioned::events::{Told, fetch, tell};
use spandrel_core::hosted::unversioned::pipeline::{FlushId, Pipeline};
use spandrel_core::response::{Outcome, TransportError};
use spandrel_core::time::Instant;

use crate::output::Output;

/// What the worker shares with handles.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Signalled when a flush or the shutdown is over, and when the thread has ended.
    changed: Condvar,
    thread: OnceLock<Thread>,
}

/// What the lock protects.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) pipeline: Pipeline,
    /// Whether the worker has said its last word.
    ended: bool,
}

impl Shared {
    pub(crate) fn new(pipeline: Pipeline) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                pipeline,
                ended: false,
            }),
            changed: Condvar::new(),
            thread: OnceLock::new(),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the worker look at the pipeline soon.
    pub(crate) fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    pub(crate) fn set_thread(&self, thread: Thread) {
        let _ = self.thread.set(thread);
    }

    pub(crate) fn is_worker(&self) -> bool {
        self.thread
            .get()
            .is_some_and(|thread| thread.id() == std::thread::current().id())
    }

    /// Waits for the end of the shutdown, `timeout` at most.
    pub(crate) fn wait_shut_down<'a>(
        &self,
        state: MutexGuard<'a, State>,
        timeout: Duration,
    ) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout_while(state, timeout, |state| {
            state.pipeline.poll_shutdown().is_none()
        });
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits for the end of a flush, `timeout` at most, and ends it then.
    pub(crate) fn wait_flushed(
        &self,
        state: MutexGuard<'_, State>,
        flush: FlushId,
        timeout: Duration,
    ) -> FlushReport {
        let mut report = None;
        let waited = self.changed.wait_timeout_while(state, timeout, |state| {
            report = state.pipeline.flush_report(flush);
            report.is_none()
        });
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        report
            .or_else(|| state.pipeline.end_flush(flush))
            .unwrap_or(FlushReport::LATE)
    }

    /// Wakes the callers that wait for a flush or for the shutdown.
    pub(crate) fn announce(&self) {
        self.changed.notify_all();
    }

    /// Waits for the end of the worker, `timeout` at most.
    pub(crate) fn wait_ended(&self, timeout: Duration) {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), timeout, |state| !state.ended);
        drop(waited);
    }
}

/// The worker's own part.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) output: Output,
    pub(crate) target: String,
    told: Vec<Told>,
    /// The request under way: kept here so that it is answered for even after a panic.
    transmit: Option<Transmit>,
}

impl Worker {
    pub(crate) const fn new(shared: Arc<Shared>, output: Output, target: String) -> Self {
        Self {
            shared,
            output,
            target,
            told: Vec::new(),
            transmit: None,
        }
    }

    /// Runs until the shutdown is over. A panic (in a program's log handler, or a bug) fails the
    /// request under way and nothing else.
    pub(crate) fn run(mut self) {
        let _quiet = current::suppress();
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.run_until_stopped())) {
                Ok(()) => break,
                Err(_) => self.recover(),
            }
        }
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
    }

    fn run_until_stopped(&mut self) {
        loop {
            if self.send_next() {
                continue;
            }
            let (stopped, wait) = {
                let state = self.shared.lock();
                let pipeline = &state.pipeline;
                let wait = pipeline
                    .poll_timeout()
                    .map(|at| at.saturating_since(pipeline.now()));
                (pipeline.poll_shutdown().is_some(), wait)
            };
            if stopped {
                return;
            }
            match wait {
                Some(wait) => std::thread::park_timeout(wait),
                None => std::thread::park(),
            }
        }
    }

    /// Sends the next request, if there is one; whether it is worth while to look again.
    fn send_next(&mut self) -> bool {
        let found = self.take_next();
        // A handler may park this thread and so swallow a wake that came meanwhile.
        let may_have_parked = !self.told.is_empty();
        self.speak();
        let Some(timeout) = found else {
            return may_have_parked;
        };
        let Self {
            shared,
            output,
            told,
            transmit,
            ..
        } = self;
        let mut answer = |outcome: &Outcome<'_>, is_resent: bool| {
            let mut state = shared.lock();
            if let Some(transmit) = transmit.take() {
                if is_resent {
                    state.pipeline.note_resent(&transmit);
                }
                state.pipeline.handle_response(transmit, outcome);
            }
            fetch(&mut state.pipeline, told);
        };
        match output.send(timeout) {
            // The pipeline sends it again at once, although it may have arrived.
            Outcome::Failed(stale @ TransportError::Stale) => {
                answer(&Outcome::Failed(stale), output.body_sent());
            }
            outcome => answer(&outcome, false),
        }
        self.speak();
        true
    }

    /// Logs the events, and only then wakes the callers that wait: they may end the process next.
    fn speak(&mut self) {
        tell(&mut self.told, &self.target, self.output.last_error());
        let is_over = {
            let pipeline = &self.shared.lock().pipeline;
            pipeline.has_flush_reports() || pipeline.poll_shutdown().is_some()
        };
        if is_over {
            self.shared.announce();
        }
    }

    /// Takes the next request out of the pipeline and encodes it: its time limit.
    fn take_next(&mut self) -> Option<Option<Duration>> {
        let mut state = self.shared.lock();
        let next = state.pipeline.poll_transmit();
        fetch(&mut state.pipeline, &mut self.told);
        let mut transmit = next?;
        let pipeline = &state.pipeline;
        self.output
            .encode(|chunk| pipeline.read_body(&mut transmit, chunk));
        let deadline = transmit.deadline();
        let timeout = (deadline != Instant::MAX).then(|| deadline.saturating_since(pipeline.now()));
        self.transmit = Some(transmit);
        Some(timeout)
    }

    fn recover(&mut self) {
        if let Some(transmit) = self.transmit.take() {
            let failed = Outcome::Failed(TransportError::Other);
            self.shared
                .lock()
                .pipeline
                .handle_response(transmit, &failed);
        }
        self.told.clear();
        // The reporter itself may have been what panicked; it catches its handler's panics.
        report(
            Kind::Internal,
            Severity::Error,
            format_args!("the sender panicked and goes on; the request counts as failed"),
        );
    }
}
