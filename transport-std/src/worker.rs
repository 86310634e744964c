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

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use spandrel_core::exporter::{FlushReport, Transmit};
use spandrel_core::hosted::current;
use spandrel_core::hosted::diagnostics::poll_kept;
use spandrel_core::hosted::unversioned::events::{EventLog, LastError};
use spandrel_core::hosted::unversioned::handle::Driven;
use spandrel_core::hosted::unversioned::pipeline::{FlushId, Pipeline};
use spandrel_core::hosted::unversioned::restart::{Restarts, report_panic};
use spandrel_core::response::{Outcome, TransportError};
use spandrel_core::time::Instant;

use crate::Canceller;
use crate::output::Output;

/// How long `shutdown` waits for the worker to log its last events before the process may exit.
const FAREWELL: Duration = Duration::from_millis(250);

/// The part of the worker that handles share.
#[derive(Debug)]
pub(crate) struct WorkerState {
    locked: Mutex<Locked>,
    /// Signalled when a flush or the shutdown is over, and when the thread has ended.
    changed: Condvar,
    thread: OnceLock<Thread>,
    /// Ends the request under way.
    canceller: Option<Canceller>,
    /// The collector, for reports.
    target: String,
}

#[derive(Debug)]
pub(crate) struct Locked {
    pub(crate) pipeline: Pipeline,
    /// Whether the thread has logged its last event.
    ended: bool,
}

impl WorkerState {
    fn new(pipeline: Pipeline, canceller: Option<Canceller>, target: String) -> Arc<Self> {
        Arc::new(Self {
            locked: Mutex::new(Locked {
                pipeline,
                ended: false,
            }),
            changed: Condvar::new(),
            thread: OnceLock::new(),
            canceller,
            target,
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Locked> {
        self.locked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the worker look at the pipeline soon.
    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    pub(crate) fn force_flush(&self, timeout: Duration) -> FlushReport {
        let timeout = self.patience(timeout);
        let mut locked = self.lock();
        let deadline = locked.pipeline.now().saturating_add(timeout);
        let flush = locked.pipeline.force_flush(deadline);
        self.wake();
        self.wait_flushed(locked, flush, timeout)
    }

    pub(crate) fn shutdown(&self, timeout: Duration) -> FlushReport {
        let timeout = self.patience(timeout);
        let mut locked = self.lock();
        let deadline = locked.pipeline.now().saturating_add(timeout);
        locked.pipeline.shutdown(deadline);
        self.wake();
        locked = self.wait_shut_down(locked, timeout);
        if locked.pipeline.poll_shutdown().is_none() {
            // The deadline passed with a request under way: what is held is given up here, and
            // the request is ended.
            locked.pipeline.shutdown(Instant::ZERO);
        }
        let report = locked.pipeline.poll_shutdown().unwrap_or(FlushReport::LATE);
        drop(locked);
        self.changed.notify_all();
        if let Some(canceller) = &self.canceller {
            canceller.cancel();
        }
        self.wake();
        self.wait_ended(self.patience(FAREWELL));
        // What a worker that hangs has not reported: the process may end next.
        let mut log = EventLog::new(self.target.as_str());
        log.collect(&mut self.lock().pipeline);
        log.emit(&LastError::default());
        report
    }

    /// None on the worker's own thread (in a log handler), which would wait for itself.
    fn patience(&self, timeout: Duration) -> Duration {
        let this = std::thread::current().id();
        match self.thread.get() {
            Some(thread) if thread.id() == this => Duration::ZERO,
            _ => timeout,
        }
    }

    /// Waits for the end of a flush, `timeout` at most, and ends it then.
    fn wait_flushed(
        &self,
        locked: MutexGuard<'_, Locked>,
        flush: FlushId,
        timeout: Duration,
    ) -> FlushReport {
        let mut report = None;
        let waited = self.changed.wait_timeout_while(locked, timeout, |locked| {
            report = locked.pipeline.flush_report(flush);
            report.is_none()
        });
        let (mut locked, _) = waited.unwrap_or_else(PoisonError::into_inner);
        report
            .or_else(|| locked.pipeline.end_flush(flush))
            .unwrap_or(FlushReport::LATE)
    }

    /// Waits for the end of the shutdown, `timeout` at most.
    fn wait_shut_down<'a>(
        &self,
        locked: MutexGuard<'a, Locked>,
        timeout: Duration,
    ) -> MutexGuard<'a, Locked> {
        let waited = self.changed.wait_timeout_while(locked, timeout, |locked| {
            locked.pipeline.poll_shutdown().is_none()
        });
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits for the end of the worker, `timeout` at most.
    fn wait_ended(&self, timeout: Duration) {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), timeout, |locked| !locked.ended);
        drop(waited);
    }
}

impl Driven for WorkerState {
    fn read(&self, read: &mut dyn FnMut(&Pipeline)) {
        read(&self.lock().pipeline);
    }

    fn cancel(&self) {
        self.shutdown(Duration::ZERO);
    }
}

/// The worker's own part.
pub(crate) struct Worker {
    state: Arc<WorkerState>,
    output: Output,
    log: EventLog,
    /// The request under way.
    transmit: Option<Transmit>,
}

impl Worker {
    /// Starts the thread that sends what `pipeline` holds to `target`.
    pub(crate) fn start(
        pipeline: Pipeline,
        output: Output,
        target: String,
    ) -> std::io::Result<Arc<WorkerState>> {
        let state = WorkerState::new(pipeline, output.canceller(), target.clone());
        let wake = Arc::downgrade(&state);
        state.lock().pipeline.set_waker(Box::new(move || {
            if let Some(state) = wake.upgrade() {
                state.wake();
            }
        }));
        let worker = Self {
            state: Arc::clone(&state),
            output,
            log: EventLog::new(target),
            transmit: None,
        };
        let thread = std::thread::Builder::new()
            .name("spandrel".into())
            .spawn(move || worker.run())?;
        let _ = state.thread.set(thread.thread().clone());
        // What was recorded before the thread was known has not woken it.
        state.wake();
        Ok(state)
    }

    /// Runs until the shutdown is over. A panic (in the client, or a bug) fails the request under
    /// way and nothing else, and is followed by a pause.
    fn run(mut self) {
        let _quiet = current::suppress();
        let mut restarts = Restarts::default();
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.run_until_stopped())) {
            // If the books themselves panic, they do so again after the pause.
            let _ = catch_unwind(AssertUnwindSafe(|| self.recover(&*panic)));
            let (now, accepted) = {
                let pipeline = &self.state.lock().pipeline;
                (pipeline.now(), pipeline.stats().accepted)
            };
            self.rest(restarts.pause(now, accepted));
        }
        self.state.lock().ended = true;
        self.state.changed.notify_all();
    }

    /// Does nothing for `pause`, whatever is recorded meanwhile. The beginning of a shutdown ends it,
    /// so that what is left gets one more chance, and so does its end.
    fn rest(&self, pause: Duration) {
        let end = std::time::Instant::now() + pause;
        let was_closing = self.state.lock().pipeline.is_closing();
        loop {
            let left = end.saturating_duration_since(std::time::Instant::now());
            let is_over = {
                let pipeline = &self.state.lock().pipeline;
                pipeline.poll_shutdown().is_some() || (pipeline.is_closing() && !was_closing)
            };
            if left.is_zero() || is_over {
                return;
            }
            std::thread::park_timeout(left);
        }
    }

    fn run_until_stopped(&mut self) {
        loop {
            if self.send_next() {
                continue;
            }
            let (stopped, wait) = {
                let pipeline = &self.state.lock().pipeline;
                let wait = pipeline
                    .poll_timeout()
                    .map(|at| at.saturating_since(pipeline.now()));
                (pipeline.poll_shutdown().is_some(), wait)
            };
            if stopped {
                // The shutdown may have come after the events of this step were collected.
                self.log.collect(&mut self.state.lock().pipeline);
                self.emit();
                return;
            }
            // Reports that wait for a listener have the thread look for one again.
            match [wait, poll_kept()].into_iter().flatten().min() {
                Some(wait) => std::thread::park_timeout(wait),
                None => std::thread::park(),
            }
        }
    }

    /// Sends the next request, if there is one. Returns false if the worker can sleep.
    fn send_next(&mut self) -> bool {
        let found = self.take_next();
        // A handler may park this thread and so swallow a wake that came meanwhile.
        let may_have_parked = !self.log.is_empty();
        self.emit();
        let Some(timeout) = found else {
            return may_have_parked;
        };
        let Self {
            state,
            output,
            log,
            transmit,
        } = self;
        let mut answer = |outcome: &Outcome<'_>, is_resent: bool| {
            let pipeline = &mut state.lock().pipeline;
            if let Some(transmit) = transmit.take() {
                if is_resent {
                    pipeline.note_resent(&transmit);
                }
                pipeline.handle_response(transmit, outcome);
            }
            log.collect(pipeline);
        };
        match output.send(timeout) {
            // The pipeline sends it again at once, although it may have arrived.
            Outcome::Failed(stale @ TransportError::Stale) => {
                answer(&Outcome::Failed(stale), output.body_sent());
            }
            outcome => answer(&outcome, false),
        }
        self.emit();
        true
    }

    /// Logs the events, and only then wakes the callers that wait: they may end the process next.
    fn emit(&mut self) {
        self.log.emit(self.output.last_error());
        let is_over = {
            let pipeline = &self.state.lock().pipeline;
            pipeline.has_flush_reports() || pipeline.poll_shutdown().is_some()
        };
        if is_over {
            self.state.changed.notify_all();
        }
    }

    /// Takes the next request out of the pipeline and encodes it. Returns its time limit.
    fn take_next(&mut self) -> Option<Option<Duration>> {
        let pipeline = &mut self.state.lock().pipeline;
        let next = pipeline.poll_transmit();
        self.log.collect(pipeline);
        let mut transmit = next?;
        self.output
            .encode(|chunk| pipeline.read_body(&mut transmit, chunk));
        let deadline = transmit.deadline();
        let timeout = (deadline != Instant::MAX).then(|| deadline.saturating_since(pipeline.now()));
        self.transmit = Some(transmit);
        Some(timeout)
    }

    fn recover(&mut self, panic: &(dyn Any + Send)) {
        report_panic(panic);
        self.output.note_panic(panic);
        self.transmit = None;
        let body_sent = self.output.body_sent();
        let pipeline = &mut self.state.lock().pipeline;
        pipeline.fail_in_flight(body_sent);
        self.log.collect(pipeline);
    }
}

#[cfg(test)]
mod tests;
