//! The handle of a running pipeline.

use core::time::Duration;
use std::sync::Arc;

use spandrel_core::breaker::State;
use spandrel_core::exporter::FlushReport;
use spandrel_core::hosted::trace::{SpanCounts, Tracer, TracerProvider, clear_global};
use spandrel_core::hosted::unversioned::pipeline::FlushId;
use spandrel_core::stats::{DeliveryStats, Ledger};
use spandrel_core::time::Instant;

use super::drive::wait_for;
use super::shared::Shared;

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
    provider: TracerProvider,
    running: Option<Arc<Shared>>,
    shutdown_timeout: Duration,
}

impl Telemetry {
    /// A handle that does nothing.
    pub const fn disabled() -> Self {
        Self {
            provider: TracerProvider::disabled(),
            running: None,
            shutdown_timeout: Duration::ZERO,
        }
    }

    pub(super) const fn running(
        provider: TracerProvider,
        shared: Arc<Shared>,
        shutdown_timeout: Duration,
    ) -> Self {
        Self {
            provider,
            running: Some(shared),
            shutdown_timeout,
        }
    }

    /// A tracer for the scope `name`.
    #[must_use]
    pub fn tracer(&self, name: &str) -> Tracer {
        self.provider.tracer(name)
    }

    /// The provider, for tracers with versions and attributes.
    #[must_use]
    pub const fn provider(&self) -> &TracerProvider {
        &self.provider
    }

    /// Whether spans are recorded.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.running.is_some()
    }

    /// Sends everything that has ended so far, and waits for it, `timeout` at most.
    ///
    /// Retries and the circuit breaker stay in force: while the circuit is open for longer than
    /// `timeout`, the answer comes at once and says so. Spans that are left stay in the buffer. May
    /// be dropped at any await: the flush goes on in the background.
    #[must_use = "the report says whether everything has arrived"]
    pub async fn force_flush(&self, timeout: Duration) -> FlushReport {
        let Some(shared) = &self.running else {
            return FlushReport::NOTHING;
        };
        let flush = Waiting::new(shared, timeout);
        shared.bell.ring();
        let report = wait_for(shared, flush.deadline, || flush.poll()).await;
        report.unwrap_or_else(|| flush.end())
    }

    /// Ends tracing: sends what is left, waits `timeout` at most, and tells what happened.
    ///
    /// Spans that end later are counted as lost and go nowhere. A second call changes nothing and
    /// gives the same report. Works on any tokio runtime, also when that of `init` is gone. May be
    /// dropped at any await: the shutdown goes on in the background, or with the next call.
    #[must_use = "the report says whether everything has arrived"]
    pub async fn shutdown(&self, timeout: Duration) -> FlushReport {
        let Some(shared) = &self.running else {
            return FlushReport::NOTHING;
        };
        let deadline = begin_shutdown(shared, timeout);
        let poll = || shared.lock().pipeline.poll_shutdown();
        let report = match wait_for(shared, deadline, poll).await {
            Some(report) => report,
            // The deadline passed with a request under way, or there is nothing to send with.
            None => {
                shared.abandon();
                poll().unwrap_or(FlushReport::LATE)
            }
        };
        clear_global(&self.provider);
        report
    }

    /// A handle that ends all waiting and retrying at once, from anywhere.
    #[must_use]
    pub fn cancel_token(&self) -> CancelToken {
        CancelToken {
            running: self.running.clone(),
        }
    }

    /// Where every span is.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.running
            .as_ref()
            .map_or_else(Ledger::default, |r| r.lock().pipeline.ledger())
    }

    /// What the delivery has done.
    #[must_use]
    pub fn stats(&self) -> DeliveryStats {
        self.running
            .as_ref()
            .map_or_else(DeliveryStats::default, |r| r.lock().pipeline.stats())
    }

    /// How many spans were started, ended, and are still open.
    #[must_use]
    pub fn counts(&self) -> SpanCounts {
        self.provider.counts()
    }

    /// The state of the circuit breaker; closed when nothing is recorded.
    #[must_use]
    pub fn circuit(&self) -> State {
        self.running
            .as_ref()
            .map_or(State::Closed, |r| r.lock().pipeline.circuit())
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        let Some(shared) = self.running.take() else {
            return;
        };
        begin_shutdown(&shared, self.shutdown_timeout);
        let nobody_sends = {
            let mut state = shared.lock();
            state.is_orphaned = true;
            !state.has_background && !state.is_stopped()
        };
        if nobody_sends {
            shared.abandon();
        }
        clear_global(&self.provider);
    }
}

/// Asks for the end, and tells when it is due.
fn begin_shutdown(shared: &Shared, timeout: Duration) -> Instant {
    let deadline = {
        let pipeline = &mut shared.lock().pipeline;
        let deadline = pipeline.now().saturating_add(timeout);
        pipeline.shutdown(deadline);
        deadline
    };
    shared.bell.ring();
    deadline
}

/// A flush that a future waits for; forgotten when the future is dropped.
struct Waiting<'a> {
    shared: &'a Shared,
    id: FlushId,
    deadline: Instant,
}

impl<'a> Waiting<'a> {
    fn new(shared: &'a Shared, timeout: Duration) -> Self {
        let mut state = shared.lock();
        let deadline = state.pipeline.now().saturating_add(timeout);
        let id = state.pipeline.force_flush(deadline);
        Self {
            shared,
            id,
            deadline,
        }
    }

    fn poll(&self) -> Option<FlushReport> {
        self.shared.lock().pipeline.flush_report(self.id)
    }

    fn end(&self) -> FlushReport {
        let ended = self.shared.lock().pipeline.end_flush(self.id);
        ended.unwrap_or(FlushReport::LATE)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.lock().pipeline.forget_flush(self.id);
    }
}

/// Ends all waiting and retrying of a pipeline at once; what is held is counted as lost for the
/// shutdown. From [`Telemetry::cancel_token`]; clones do the same.
#[derive(Clone, Debug)]
pub struct CancelToken {
    running: Option<Arc<Shared>>,
}

impl CancelToken {
    /// Cancels. A flush or a shutdown that waits returns with what it has reached. Repeated calls
    /// change nothing.
    pub fn cancel(&self) {
        if let Some(shared) = &self.running {
            shared.abandon();
        }
    }
}
