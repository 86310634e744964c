//! The handle of a running pipeline.

use core::ops::Deref;
use core::time::Duration;
use std::sync::Arc;
use std::vec::Vec;

use spandrel_core::exporter::FlushReport;
use spandrel_core::hosted::diagnostics::release_kept;
use spandrel_core::hosted::trace::clear_global;
use spandrel_core::hosted::unversioned::handle::{DestinationReport, Handle, worst};
use spandrel_core::hosted::unversioned::lifecycle::report_exporter;
use spandrel_core::time::Instant;

use super::drive::{all, wait_for};
use super::ending::{Ending, Waiting, begin_shutdown};
use super::output::in_background;

/// A running pipeline.
///
/// Await [`shutdown`](Telemetry::shutdown) before the runtime ends: a handle that is dropped can
/// only ask the background task to flush, within
/// [`Config::shutdown_timeout`](super::Config::shutdown_timeout), and that task ends with its
/// runtime. Keep it for as long as the program records: `let _telemetry = init(..)` does,
/// `let _ = init(..)` ends tracing at once.
#[derive(Debug)]
#[must_use = "dropping the handle ends tracing"]
pub struct Telemetry {
    handle: Handle,
    ending: Option<Arc<Ending>>,
    /// It is the last one that can say what its start reported.
    was_started: bool,
}

impl Telemetry {
    /// A handle that does nothing.
    pub const fn disabled() -> Self {
        Self {
            handle: Handle::disabled(),
            ending: None,
            was_started: false,
        }
    }

    /// The handle of a start that records nothing.
    pub(super) const fn idle() -> Self {
        let mut idle = Self::disabled();
        idle.was_started = true;
        idle
    }

    pub(super) fn running(ending: Ending) -> Self {
        let further = ending.further.iter();
        let names = further.map(|state| (state.target.clone(), Arc::clone(state) as _));
        let handle = Handle::new(ending.provider.clone(), Arc::clone(&ending.state) as _);
        Self {
            handle: handle.with_further(ending.state.target.clone(), names.collect()),
            ending: Some(Arc::new(ending)),
            was_started: true,
        }
    }

    /// Sends everything that has ended so far, and waits for it, `timeout` at most.
    ///
    /// If spans were lost that no report has told of, before the call too, the report is no success.
    ///
    /// Retries and the circuit breaker stay in force: while the circuit is open for longer than
    /// `timeout`, the answer comes at once and says so. Spans that are left stay in the buffer. May
    /// be dropped at any await: the flush goes on in the background.
    ///
    /// With further destinations it is the report of the one that fared worst.
    #[must_use = "the report says whether everything has arrived"]
    pub async fn force_flush(&self, timeout: Duration) -> FlushReport {
        worst(&self.force_flush_each(timeout).await)
    }

    /// As [`force_flush`](Self::force_flush), with the report of each destination, the first one first.
    /// Empty if nothing is recorded here.
    #[must_use = "the reports say whether everything has arrived"]
    pub async fn force_flush_each(&self, timeout: Duration) -> Vec<DestinationReport> {
        let Some(ending) = self.ending() else {
            return Vec::new();
        };
        let processed = self.handle.flush_processors(timeout);
        // The first one hands its spans to the others before they begin.
        let begun = ending.states().map(|state| {
            let flush = Waiting::new(state, processed.left);
            state.bell.ring();
            flush
        });
        let begun: Vec<_> = begun.collect();
        let ends = begun.iter().map(|flush| async move {
            let report = wait_for(flush.state, flush.deadline, || flush.poll()).await;
            let report = processed.report(report.unwrap_or_else(|| flush.end()));
            DestinationReport::new(flush.state.target.clone(), report)
        });
        let reports = all(ends).await;
        for exporter in ending.states().filter_map(|state| state.plan.exporter()) {
            let flushed = in_background(move || exporter.force_flush()).await;
            report_exporter("flush", flushed);
        }
        reports
    }

    /// Waits until spans have room: until no thread has used half of the memory for its finished spans.
    ///
    /// For a loop that makes spans faster than they are sent, which would lose most of them:
    ///
    /// ```
    /// use spandrel_transport_async::{Config, init};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), spandrel_transport_async::InitError> {
    /// let telemetry = init(Config { enabled: false, ..Config::default() })?;
    /// let tracer = telemetry.tracer("import");
    /// for _row in 0..1000 {
    ///     telemetry.room().await;
    ///     tracer.start("row.store").end();
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Memory is that of one thread, `Config::shard_bytes`, so a task may make as many spans between two
    /// calls as fit there. While the collector is away and all memory is taken it waits for as long as that
    /// lasts: `tokio::time::timeout` limits it. Returns at once after the shutdown. A thread that blocks
    /// instead ([`WhenFull::Wait`](spandrel_core::hosted::config::WhenFull::Wait)) is not possible here,
    /// because the sender may need that thread. May be dropped at any await.
    pub async fn room(&self) {
        let Some(ending) = self.ending() else {
            return;
        };
        let state = &ending.state;
        let has_room = || {
            let locked = state.lock();
            locked.pipeline.has_room() || locked.is_stopped()
        };
        if has_room() {
            return;
        }
        state.bell.ring();
        wait_for(state, Instant::MAX, || has_room().then_some(())).await;
    }

    /// Ends tracing: sends what is left, waits `timeout` at most, and reports what happened.
    ///
    /// The report is a success only if no span was lost since the start. Meanwhile each request gets at
    /// most half of the time that is left.
    ///
    /// Spans that end later are counted as lost and go nowhere. A second call changes nothing and
    /// gives the same report. Works on any tokio runtime, also when `init`'s is gone. May be
    /// dropped at any await: the shutdown goes on in the background, or with the next call. With further
    /// destinations it is the report of the one that fared worst.
    #[must_use = "the report says whether everything has arrived"]
    pub async fn shutdown(&self, timeout: Duration) -> FlushReport {
        worst(&self.shutdown_each(timeout).await)
    }

    /// As [`shutdown`](Self::shutdown), with the report of each destination, the first one first. Empty
    /// if nothing is recorded here.
    #[must_use = "the reports say whether everything has arrived"]
    pub async fn shutdown_each(&self, timeout: Duration) -> Vec<DestinationReport> {
        let reports = match self.ending() {
            Some(ending) => ending.run(timeout).await,
            None => Vec::new(),
        };
        self.release();
        reports
    }

    /// `None` also in a forked child, where nothing drives the pipeline.
    pub(super) fn ending(&self) -> Option<&Arc<Ending>> {
        self.ending
            .as_ref()
            .filter(|_| self.handle.is_driven_here())
    }

    /// Says what nothing has listened to.
    fn release(&self) {
        if self.was_started {
            release_kept();
        }
    }
}

/// Tracers, counts and the state of the delivery.
impl Deref for Telemetry {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        let Some(ending) = self.ending() else {
            self.release();
            return;
        };
        ending.run_if_panicking();
        let processed = self.handle.shut_processors_down(ending.shutdown_timeout);
        for state in ending.states() {
            begin_shutdown(state, processed.left);
            let is_stranded = {
                let mut locked = state.lock();
                locked.is_orphaned = true;
                !locked.has_background && !locked.is_stopped()
            };
            if is_stranded {
                state.abandon();
            }
        }
        clear_global(self.provider());
        self.release();
    }
}
