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
//!
//! While a request hangs, a second thread looks after the pipeline in the worker's place: it moves spans
//! out of shards that fill, as far as there is room, and reports those that are being lost. It sleeps
//! unless a shard wakes the worker during a request.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
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

/// How long a request has been under way when its first look is taken, and the time between two of
/// them.
const LOOK: Duration = Duration::from_millis(500);

/// How long `shutdown` waits for the worker to log its last events before the process may exit.
const FAREWELL: Duration = Duration::from_millis(250);

/// The part of the worker that handles share.
#[derive(Debug)]
pub(crate) struct WorkerState {
    locked: Mutex<Locked>,
    /// Signalled when a flush or the shutdown is over, and when the thread has ended.
    changed: Condvar,
    thread: OnceLock<Thread>,
    /// The thread that looks after the pipeline while a request hangs.
    lookout: OnceLock<Thread>,
    /// Counts the beginnings and the ends of requests: odd while one is under way.
    turns: AtomicU64,
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
    /// Whether the last answer has not been logged yet: until then no caller is let go, because the
    /// program may end next.
    is_unlogged: bool,
    /// Whether the lookout has not logged yet what it found.
    is_looking: bool,
}

impl Locked {
    fn has_logged(&self) -> bool {
        !self.is_unlogged && !self.is_looking
    }

    fn flush_report(&mut self, flush: FlushId) -> Option<FlushReport> {
        if !self.has_logged() {
            return None;
        }
        self.pipeline.flush_report(flush)
    }

    fn is_shut_down(&self) -> bool {
        self.has_logged() && self.pipeline.poll_shutdown().is_some()
    }
}

impl WorkerState {
    fn new(pipeline: Pipeline, canceller: Option<Canceller>, target: String) -> Arc<Self> {
        Arc::new(Self {
            locked: Mutex::new(Locked {
                pipeline,
                ended: false,
                is_unlogged: false,
                is_looking: false,
            }),
            changed: Condvar::new(),
            thread: OnceLock::new(),
            lookout: OnceLock::new(),
            turns: AtomicU64::new(0),
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

    /// As [`wake`](Self::wake), for a shard that fills: the worker does not hear it during a request.
    fn wake_for_shard(&self) {
        self.wake();
        if is_under_way(self.turns())
            && let Some(lookout) = self.lookout.get()
        {
            lookout.unpark();
        }
    }

    fn turns(&self) -> u64 {
        self.turns.load(Ordering::Acquire)
    }

    fn begin_request(&self) {
        self.turns.fetch_or(1, Ordering::AcqRel);
    }

    /// May be called twice.
    fn end_request(&self) {
        let turns = self.turns();
        self.turns.store(turns + (turns & 1), Ordering::Release);
    }

    /// Starts the lookout, if there is none. Without it the worker looks when the request is over.
    fn post_lookout(self: &Arc<Self>) {
        if self.lookout.get().is_none() {
            let state = Arc::downgrade(self);
            let spawned = std::thread::Builder::new()
                .name("spandrel-look".into())
                .spawn(move || look_out(&state));
            if let Ok(thread) = spawned {
                let _ = self.lookout.set(thread.thread().clone());
            }
        }
    }

    /// Moves spans on and reports losses, in the worker's place.
    fn look(&self) {
        let mut log = EventLog::new(self.target.as_str());
        {
            let mut locked = self.lock();
            if locked.pipeline.is_closing() || !locked.pipeline.look() {
                // The end is told by the worker or by the caller, who know when the process may end.
                return;
            }
            log.collect(&mut locked.pipeline);
            locked.is_looking = true;
        }
        // A handler of the program may panic.
        let _ = catch_unwind(AssertUnwindSafe(|| log.emit(&LastError::default())));
        self.lock().is_looking = false;
        self.changed.notify_all();
    }

    pub(crate) fn force_flush(&self, timeout: Duration) -> FlushReport {
        let timeout = self.patience(timeout);
        let mut locked = self.lock();
        let deadline = locked.pipeline.now().saturating_add(timeout);
        let flush = locked.pipeline.force_flush(deadline);
        self.wake();
        self.wait_flushed(locked, flush, timeout)
    }

    /// Begins a flush that nothing waits for.
    pub(crate) fn begin_flush(&self, timeout: Duration) {
        let pipeline = &mut self.lock().pipeline;
        let deadline = pipeline.now().saturating_add(timeout);
        let flush = pipeline.force_flush(deadline);
        pipeline.forget_flush(flush);
        self.wake();
    }

    pub(crate) fn shutdown(&self, timeout: Duration) -> FlushReport {
        let timeout = self.patience(timeout);
        let mut locked = self.lock();
        let deadline = locked.pipeline.now().saturating_add(timeout);
        locked.pipeline.shutdown(deadline);
        self.wake();
        locked = self.wait_shut_down(locked, deadline);
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
            report = locked.flush_report(flush);
            report.is_none()
        });
        let (mut locked, _) = waited.unwrap_or_else(PoisonError::into_inner);
        report
            .or_else(|| locked.pipeline.end_flush(flush))
            .unwrap_or(FlushReport::LATE)
    }

    /// Waits for the end of the shutdown, until `deadline` at most. A request that was under way when it
    /// began is given up half-way, so that another one has its time.
    fn wait_shut_down<'a>(
        &self,
        mut locked: MutexGuard<'a, Locked>,
        deadline: Instant,
    ) -> MutexGuard<'a, Locked> {
        loop {
            let now = locked.pipeline.now();
            let half = locked.pipeline.request_deadline();
            if half <= now
                && let Some(canceller) = &self.canceller
            {
                // Under the lock, so that it is not the next request.
                canceller.interrupt();
            }
            let until = if half > now {
                deadline.min(half)
            } else {
                deadline
            };
            let left = until.saturating_since(now);
            let waited = self
                .changed
                .wait_timeout_while(locked, left, |locked| !locked.is_shut_down());
            locked = waited.unwrap_or_else(PoisonError::into_inner).0;
            if locked.is_shut_down() || until == deadline {
                return locked;
            }
        }
    }

    /// Waits for the end of the worker, `timeout` at most.
    fn wait_ended(&self, timeout: Duration) {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), timeout, |locked| {
                !locked.ended || locked.is_looking
            });
        drop(waited);
    }
}

const fn is_under_way(turns: u64) -> bool {
    turns & 1 == 1
}

/// The lookout: looks after the pipeline during requests that hang, until the worker has ended.
fn look_out(state: &Weak<WorkerState>) {
    let _quiet = current::suppress();
    loop {
        // By a shard that fills while a request is under way, and by the end of the worker.
        std::thread::park();
        let Some(turns) = state.upgrade().map(|state| state.turns()) else {
            return;
        };
        std::thread::sleep(LOOK);
        let Some(state) = state.upgrade() else {
            return;
        };
        if state.lock().ended {
            return;
        }
        if is_under_way(turns) && state.turns() == turns {
            state.look();
        }
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
                state.wake_for_shard();
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
        if let Some(lookout) = self.state.lookout.get() {
            lookout.unpark();
        }
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
        // Again, for libraries that were bridged after this thread began.
        let _quiet = current::suppress();
        let Self {
            state,
            output,
            log,
            transmit,
        } = self;
        let mut answer = |outcome: &Outcome<'_>, is_resent: bool| {
            let mut locked = state.lock();
            locked.is_unlogged = true;
            let pipeline = &mut locked.pipeline;
            if let Some(transmit) = transmit.take() {
                if is_resent {
                    pipeline.note_resent(&transmit);
                }
                pipeline.handle_response(transmit, outcome);
            }
            log.collect(pipeline);
        };
        state.post_lookout();
        let sent = output.send(timeout);
        state.end_request();
        match sent {
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
            let mut locked = self.state.lock();
            locked.is_unlogged = false;
            let pipeline = &locked.pipeline;
            pipeline.has_flush_reports() || pipeline.poll_shutdown().is_some()
        };
        if is_over {
            self.state.changed.notify_all();
        }
    }

    /// Takes the next request out of the pipeline and encodes it. Returns its time limit.
    fn take_next(&mut self) -> Option<Option<Duration>> {
        let pipeline = &mut self.state.lock().pipeline;
        // Before the shards are drained, so that none fills unnoticed.
        self.state.begin_request();
        let next = pipeline.poll_transmit();
        self.log.collect(pipeline);
        let Some(mut transmit) = next else {
            self.state.end_request();
            return None;
        };
        self.output
            .encode(|chunk| pipeline.read_body(&mut transmit, chunk));
        let deadline = transmit.deadline();
        let timeout = (deadline != Instant::MAX).then(|| deadline.saturating_since(pipeline.now()));
        self.transmit = Some(transmit);
        Some(timeout)
    }

    fn recover(&mut self, panic: &(dyn Any + Send)) {
        self.state.end_request();
        report_panic(panic);
        self.output.note_panic(panic);
        self.transmit = None;
        let body_sent = self.output.body_sent();
        let mut locked = self.state.lock();
        // The program's own handler may have panicked.
        locked.is_unlogged = false;
        let pipeline = &mut locked.pipeline;
        pipeline.fail_in_flight(body_sent);
        self.log.collect(pipeline);
    }
}

#[cfg(test)]
mod tests;
