//! The thread that sends the pipeline's own metrics.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use std::{io, thread};

use spandrel_core::env::Protocol;
use spandrel_core::hosted::config::Settings;
use spandrel_core::hosted::current;
use spandrel_core::hosted::unversioned::client::BuildError;
use spandrel_core::hosted::unversioned::encode::Coding;
use spandrel_core::hosted::unversioned::events::LastError;
use spandrel_core::hosted::unversioned::metrics::MetricsReporter;
use spandrel_core::response::{Outcome, TransportError};

use crate::worker::WorkerState;
use crate::{Canceller, HttpSender};

/// How long the end waits for the last values to be sent.
const LAST_VALUES: Duration = Duration::from_secs(1);

/// A running thread; see [`stop`](Self::stop).
#[derive(Debug)]
pub(crate) struct MetricsThread {
    stage: Arc<Stage>,
}

#[derive(Debug, Default)]
struct Stage {
    at: Mutex<At>,
    changed: Condvar,
    canceller: OnceLock<Canceller>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Running,
    Stopping,
    Ended,
}

impl MetricsThread {
    /// Starts the thread if the settings ask for metrics.
    pub(crate) fn start(
        settings: &Settings,
        worker: &Arc<WorkerState>,
    ) -> io::Result<Option<Self>> {
        let Some(reporter) = MetricsReporter::new(settings) else {
            return Ok(None);
        };
        let stage = Arc::new(Stage::default());
        let sending = Sending {
            reporter,
            coding: Coding::from(settings),
            sender: None,
            worker: Arc::clone(worker),
            stage: Arc::clone(&stage),
        };
        thread::Builder::new()
            .name("spandrel-metrics".into())
            .spawn(move || sending.run())?;
        Ok(Some(Self { stage }))
    }

    /// Has the last values sent, for which there is `left`, a second at most, and ends the thread.
    pub(crate) fn stop(&self, left: Duration) {
        let mut at = self.stage.lock();
        if *at == At::Running {
            *at = At::Stopping;
        }
        self.stage.changed.notify_all();
        let limit = left.min(LAST_VALUES);
        let waited = self
            .stage
            .changed
            .wait_timeout_while(at, limit, |at| *at != At::Ended);
        drop(waited);
        if let Some(canceller) = self.stage.canceller.get() {
            canceller.cancel();
        }
    }
}

impl Stage {
    fn lock(&self) -> MutexGuard<'_, At> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Even if the thread panics.
struct End(Arc<Stage>);

impl Drop for End {
    fn drop(&mut self) {
        *self.0.lock() = At::Ended;
        self.0.changed.notify_all();
    }
}

struct Sending {
    reporter: MetricsReporter,
    coding: Coding,
    /// Built at the first request, and again until its files can be read.
    sender: Option<HttpSender>,
    worker: Arc<WorkerState>,
    stage: Arc<Stage>,
}

impl Sending {
    fn run(mut self) {
        let _quiet = current::suppress();
        let _end = End(Arc::clone(&self.stage));
        loop {
            let interval = self.reporter.interval();
            let at = self.stage.lock();
            let waited = self
                .stage
                .changed
                .wait_timeout_while(at, interval, |at| *at == At::Running);
            // Again, for libraries that were bridged after this thread began.
            let _quiet = current::suppress();
            let is_last = *waited.unwrap_or_else(PoisonError::into_inner).0 != At::Running;
            self.send();
            if is_last {
                return;
            }
        }
    }

    fn send(&mut self) {
        let metrics = self.worker.lock().pipeline.metrics();
        self.reporter.encode(&metrics);
        let limit = self.reporter.timeout();
        let Self {
            reporter,
            coding,
            sender,
            stage,
            ..
        } = self;
        let sender = match sender {
            Some(sender) => sender,
            None => match build(reporter, *coding) {
                Ok(built) => {
                    let _ = stage.canceller.set(built.canceller());
                    sender.insert(built)
                }
                Err(error) => {
                    let mut last = LastError::default();
                    let failed = Outcome::Failed(TransportError::Other);
                    last.set(error.to_string(), &failed);
                    reporter.settle(None, &last);
                    return;
                }
            },
        };
        // A connection that was closed meanwhile, and a request that must not be compressed, are
        // sent again at once.
        for _ in 0..2 {
            let mut left = reporter.request();
            let _ = sender.encode(|chunk| io::Read::read(&mut left, chunk).unwrap_or_default());
            let status = match sender.send(limit) {
                Outcome::Failed(TransportError::Stale | TransportError::Compressed) => continue,
                Outcome::Failed(_) => None,
                Outcome::Response(response) => Some(response.status),
                Outcome::ResponseTooLarge { status } => Some(status),
            };
            reporter.settle(status, sender.last_error());
            return;
        }
    }
}

fn build(reporter: &MetricsReporter, coding: Coding) -> Result<HttpSender, BuildError> {
    let sender = HttpSender::new(reporter.http())?;
    Ok(sender.with_encoding(Protocol::HttpProtobuf, coding))
}
