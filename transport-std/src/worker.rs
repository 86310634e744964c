//! The thread that sends; as many as `Config::concurrent_exports` says.
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
//! and the statistics, and free while a request is under way. Several threads do the same side by
//! side, each with a connection of its own.
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

use spandrel_core::buffer::Record;
use spandrel_core::exporter::{FlushReport, Transmit};
use spandrel_core::hosted::current;
use spandrel_core::hosted::diagnostics::poll_kept;
use spandrel_core::hosted::unversioned::events::{EventLog, LastError};
use spandrel_core::hosted::unversioned::handle::Driven;
use spandrel_core::hosted::unversioned::pipeline::{Branch, FlushId, Pipeline};
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
    /// Signalled when a flush or the shutdown is over, and when a thread has ended.
    changed: Condvar,
    threads: OnceLock<Box<[Thread]>>,
    /// The worker of the first destination, which empties the shards for this one, too.
    first: OnceLock<Weak<Self>>,
    /// The thread that looks after the pipeline while a request hangs.
    lookout: OnceLock<Thread>,
    /// Counts the beginnings and the ends of requests: odd while all threads have one under way.
    turns: AtomicU64,
    /// End the requests under way.
    cancellers: Box<[Canceller]>,
    /// The collector, for reports.
    target: String,
}

#[derive(Debug)]
pub(crate) struct Locked {
    pub(crate) pipeline: Pipeline,
    /// The threads that have not logged their last event.
    running: usize,
    /// The answers that have not been logged yet: until then no caller is let go, because the program
    /// may end next.
    unlogged: usize,
    /// Whether the lookout has not logged yet what it found.
    is_looking: bool,
}

impl Locked {
    fn has_logged(&self) -> bool {
        self.unlogged == 0 && !self.is_looking
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
    fn new(pipeline: Pipeline, outputs: &[Output], target: String) -> Arc<Self> {
        Arc::new(Self {
            locked: Mutex::new(Locked {
                pipeline,
                running: outputs.len(),
                unlogged: 0,
                is_looking: false,
            }),
            changed: Condvar::new(),
            threads: OnceLock::new(),
            first: OnceLock::new(),
            lookout: OnceLock::new(),
            turns: AtomicU64::new(0),
            cancellers: outputs.iter().filter_map(Output::canceller).collect(),
            target,
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Locked> {
        self.locked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the worker look at the pipeline soon.
    fn wake(&self) {
        self.threads().iter().for_each(Thread::unpark);
    }

    /// Has the first destination's pipeline hand over what has ended. Its own worker may hang in a
    /// request.
    fn fetch(&self) {
        if let Some(first) = self.first.get().and_then(Weak::upgrade) {
            let is_due = {
                let pipeline = &mut first.lock().pipeline;
                pipeline.look();
                pipeline
                    .poll_timeout()
                    .is_some_and(|at| at <= pipeline.now())
            };
            if is_due {
                first.wake();
            }
        }
    }

    fn threads(&self) -> &[Thread] {
        self.threads.get().map_or(&[], |threads| threads)
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

    /// The destination's name.
    pub(crate) fn target(&self) -> &str {
        &self.target
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

    /// Begins a flush, and returns its number and its deadline.
    pub(crate) fn begin_flush(&self, timeout: Duration) -> (FlushId, Instant) {
        let timeout = self.patience(timeout);
        let pipeline = &mut self.lock().pipeline;
        let deadline = pipeline.now().saturating_add(timeout);
        let flush = pipeline.force_flush(deadline);
        self.wake();
        (flush, deadline)
    }

    /// Waits for the end of a flush.
    pub(crate) fn end_flush(&self, (flush, deadline): (FlushId, Instant)) -> FlushReport {
        let locked = self.lock();
        let timeout = deadline.saturating_since(locked.pipeline.now());
        self.wait_flushed(locked, flush, timeout)
    }

    #[cfg(test)]
    pub(crate) fn force_flush(&self, timeout: Duration) -> FlushReport {
        self.end_flush(self.begin_flush(timeout))
    }

    /// Begins a flush that nothing waits for.
    pub(crate) fn start_flush(&self, timeout: Duration) {
        let pipeline = &mut self.lock().pipeline;
        let deadline = pipeline.now().saturating_add(timeout);
        let flush = pipeline.force_flush(deadline);
        pipeline.forget_flush(flush);
        self.wake();
    }

    pub(crate) fn shutdown(&self, timeout: Duration) -> FlushReport {
        self.end_shutdown(self.begin_shutdown(timeout))
    }

    /// Begins the shutdown, and returns its deadline.
    pub(crate) fn begin_shutdown(&self, timeout: Duration) -> Instant {
        let timeout = self.patience(timeout);
        let pipeline = &mut self.lock().pipeline;
        let deadline = pipeline.now().saturating_add(timeout);
        pipeline.shutdown(deadline);
        self.wake();
        deadline
    }

    /// Waits for the end of the shutdown.
    pub(crate) fn end_shutdown(&self, deadline: Instant) -> FlushReport {
        let mut locked = self.wait_shut_down(self.lock(), deadline);
        if locked.pipeline.poll_shutdown().is_none() {
            // The deadline passed with a request under way: what is held is given up here, and
            // the request is ended.
            locked.pipeline.shutdown(Instant::ZERO);
        }
        let report = locked.pipeline.poll_shutdown().unwrap_or(FlushReport::LATE);
        drop(locked);
        self.changed.notify_all();
        self.cancellers.iter().for_each(Canceller::cancel);
        self.wake();
        self.wait_ended(self.patience(FAREWELL));
        // What a worker that hangs has not reported: the process may end next.
        let mut log = EventLog::new(self.target.as_str());
        log.collect(&mut self.lock().pipeline);
        log.emit(&LastError::default());
        report
    }

    /// None on a thread of the worker (in a log handler), which would wait for itself.
    fn patience(&self, timeout: Duration) -> Duration {
        let this = std::thread::current().id();
        match self.threads().iter().any(|thread| thread.id() == this) {
            true => Duration::ZERO,
            false => timeout,
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
            if half <= now {
                // Under the lock, so that it is not the next request.
                self.cancellers.iter().for_each(Canceller::interrupt);
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
                locked.running > 0 || locked.is_looking
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
        if state.lock().running == 0 {
            return;
        }
        if is_under_way(turns) && state.turns() == turns {
            state.look();
        }
    }
}

impl Branch for WorkerState {
    fn push(&self, record: &Record<'_>) {
        let is_due = self.lock().pipeline.push_copy(record);
        if is_due {
            self.wake();
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

/// A thread's own part.
pub(crate) struct Worker {
    state: Arc<WorkerState>,
    output: Output,
    log: EventLog,
    /// The request under way.
    transmit: Option<Transmit>,
    /// Whether its answer has not been logged yet.
    is_unlogged: bool,
    /// Whether there are other threads, which may have something to send too.
    has_peers: bool,
}

impl Worker {
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
        self.state.lock().running -= 1;
        self.state.changed.notify_all();
        if self.has_peers {
            self.state.wake();
        }
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
            is_unlogged,
            has_peers,
        } = self;
        if *has_peers {
            state.wake();
        }
        let mut answer = |outcome: &Outcome<'_>, is_resent: bool| {
            let mut locked = state.lock();
            locked.unlogged += 1;
            *is_unlogged = true;
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
            locked.unlogged -= usize::from(core::mem::take(&mut self.is_unlogged));
            let pipeline = &locked.pipeline;
            pipeline.has_flush_reports() || pipeline.poll_shutdown().is_some()
        };
        if is_over {
            self.state.changed.notify_all();
        }
    }

    /// Takes the next request out of the pipeline and encodes it. Returns its time limit.
    fn take_next(&mut self) -> Option<Option<Duration>> {
        self.state.fetch();
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
        let transmit = self.transmit.take();
        let body_sent = self.output.body_sent();
        let mut locked = self.state.lock();
        // The program's own handler may have panicked.
        locked.unlogged -= usize::from(core::mem::take(&mut self.is_unlogged));
        let pipeline = &mut locked.pipeline;
        match transmit {
            Some(transmit) => pipeline.fail(&transmit, body_sent),
            None if !self.has_peers => pipeline.fail_in_flight(body_sent),
            None => {}
        }
        self.log.collect(pipeline);
    }
}

mod start;
#[cfg(test)]
mod tests;
