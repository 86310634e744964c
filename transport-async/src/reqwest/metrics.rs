//! The task that sends the pipeline's own metrics.

use core::time::Duration;
use std::string::ToString;
use std::sync::Arc;

use spandrel_core::env::Protocol;
use spandrel_core::hosted::config::Settings;
use spandrel_core::hosted::current::ContextFutureExt;
use spandrel_core::hosted::unversioned::client::BuildError;
use spandrel_core::hosted::unversioned::encode::Coding;
use spandrel_core::hosted::unversioned::events::LastError;
use spandrel_core::hosted::unversioned::metrics::MetricsReporter;
use spandrel_core::response::{Outcome, TransportError};

use tokio::runtime::Handle;

use super::bell::Bell;
use super::sender::HttpSender;
use super::state::DriverState;
use super::time::{first_of, pause};

/// How long the end waits for the last values to be sent.
const LAST_VALUES: Duration = Duration::from_secs(1);

/// A running task; see [`stopped`](Self::stopped).
#[derive(Debug)]
pub(super) struct MetricsTask {
    /// Rings when the task has ended.
    ended: Arc<Bell>,
}

impl MetricsTask {
    /// Starts the task if the settings ask for metrics. It ends with the pipeline.
    pub(super) fn start(
        settings: &Settings,
        runtime: &Handle,
        state: &Arc<DriverState>,
    ) -> Option<Self> {
        let ended = Arc::new(Bell::default());
        let sending = Sending {
            reporter: MetricsReporter::new(settings)?,
            coding: Coding::from(settings),
            sender: None,
            state: Arc::clone(state),
            ended: Arc::clone(&ended),
        };
        runtime.spawn(sending.run().suppressed());
        Some(Self { ended })
    }

    /// Waits until the last values have been sent, for which there is `left`, a second at most.
    pub(super) async fn stopped(&self, left: Duration) {
        let ended = self.ended.wait(0);
        first_of(ended, pause(left.min(LAST_VALUES))).await;
    }
}

struct Sending {
    reporter: MetricsReporter,
    coding: Coding,
    /// Built at the first request, and again until its files can be read.
    sender: Option<HttpSender>,
    state: Arc<DriverState>,
    ended: Arc<Bell>,
}

/// Even if the task is dropped with its runtime.
impl Drop for Sending {
    fn drop(&mut self) {
        self.ended.ring();
    }
}

impl Sending {
    async fn run(mut self) {
        loop {
            let state = Arc::clone(&self.state);
            let stopped = async {
                loop {
                    let heard = state.changed.heard();
                    if state.lock().is_stopped() {
                        return;
                    }
                    state.changed.wait(heard).await;
                }
            };
            first_of(stopped, pause(self.reporter.interval())).await;
            let is_last = self.state.lock().is_stopped();
            self.send().await;
            if is_last {
                return;
            }
        }
    }

    async fn send(&mut self) {
        let metrics = self.state.lock().pipeline.metrics();
        self.reporter.encode(&metrics);
        let limit = self.reporter.timeout();
        let Self {
            reporter,
            coding,
            sender,
            ..
        } = self;
        let sender = match sender {
            Some(sender) => sender,
            None => match build(reporter, *coding) {
                Ok(built) => sender.insert(built),
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
            let _ =
                sender.encode(|chunk| std::io::Read::read(&mut left, chunk).unwrap_or_default());
            let status = match sender.send(limit).await {
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
