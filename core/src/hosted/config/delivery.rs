//! How finished spans are batched and delivered.

use core::time::Duration;
use std::format;

use rand_core::Rng;

use super::error::SettingsError;
use super::notes::Notes;
use super::sizes::Sizes;
use crate::batch::BatchConfig;
use crate::env::batch_size_within;
use crate::exporter::{ConfigError, ExporterConfig};
use crate::hosted::rng::ThreadRng;

/// The default of `OTEL_BSP_EXPORT_TIMEOUT`.
const DEFAULT_EXPORT_TIMEOUT: Duration = Duration::from_secs(30);

/// What code or environment said about delivery. `None`: neither said anything.
pub(super) struct Delivery {
    pub(super) max_queue_size: u32,
    pub(super) max_export_batch_size: Option<u32>,
    pub(super) scheduled_delay: Duration,
    /// Zero = none, as in `export_timeout`.
    pub(super) timeout: Option<Duration>,
    pub(super) export_timeout: Option<Duration>,
    /// What only code can say, and the defaults of all that is above.
    pub(super) exporter: ExporterConfig,
}

impl Delivery {
    /// Gives the settings of an exporter for a queue of `max_queue_size` spans.
    pub(super) fn check(
        &self,
        sizes: &Sizes,
        notes: &mut Notes,
    ) -> Result<ExporterConfig, SettingsError> {
        if self.max_queue_size == 0 {
            return Err(SettingsError::ZeroQueueSize);
        }
        let limit = self.time_limit(notes);
        ExporterConfig {
            batch: BatchConfig {
                max_export_batch_size: self.batch_size(notes)?,
                // Large spans can fill the buffer before there are enough of them for a batch.
                max_batch_bytes: (sizes.buffer / 2).min(sizes.request),
                scheduled_delay: self.scheduled_delay,
            },
            request_timeout: limit,
            export_timeout: limit,
            max_request_bytes: sizes.request,
            seed: ThreadRng.next_u64(),
            ..self.exporter
        }
        .validate()
        .map_err(SettingsError::Exporter)
    }

    fn batch_size(&self, notes: &mut Notes) -> Result<u32, SettingsError> {
        let (asked, queue) = (self.max_export_batch_size, self.max_queue_size);
        if asked == Some(0) {
            return Err(SettingsError::Exporter(ConfigError::ZeroBatchSize));
        }
        let used = batch_size_within(asked, queue);
        if let Some(asked) = asked.filter(|&asked| asked != used) {
            notes.push(format!(
                "max_export_batch_size: {asked} is more than the queue of {queue} holds; using \
                 {used}"
            ));
        }
        Ok(used)
    }

    /// The smaller of the two limits of an export, which is also the most that one request may take.
    fn time_limit(&self, notes: &mut Notes) -> Duration {
        let timeout = self.timeout.unwrap_or(self.exporter.request_timeout);
        let export = self.export_timeout.unwrap_or(DEFAULT_EXPORT_TIMEOUT);
        let is_shorter = !export.is_zero() && (timeout.is_zero() || export < timeout);
        if !is_shorter {
            return timeout;
        }
        if self.timeout.is_some() {
            notes.push(format!(
                "timeout: the export timeout of {export:?} is shorter and limits each export; \
                 raise it in code or in OTEL_BSP_EXPORT_TIMEOUT"
            ));
        }
        export
    }
}
