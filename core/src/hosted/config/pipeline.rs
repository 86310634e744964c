//! How finished spans are kept and delivered: sizes, batches, limits in time.

use core::time::Duration;
use std::format;
use std::string::String;
use std::vec::Vec;

use rand_core::Rng;

use super::{
    Config, DEFAULT_BUFFER_BYTES, DEFAULT_MAX_SPAN_BYTES, DEFAULT_SHARD_BYTES, SettingsError,
};
use crate::batch::BatchConfig;
use crate::buffer::RECORD_HEADER_BYTES;
use crate::env::{DEFAULT_MAX_QUEUE_SIZE, EnvConfig, Timeout, batch_size_within};
use crate::exporter::{ConfigError, ExporterConfig};
use crate::hosted::rng::ThreadRng;
use crate::span::MIN_SCRATCH_BYTES;

/// The default of `OTEL_BSP_EXPORT_TIMEOUT` (checklist C-019).
const DEFAULT_EXPORT_TIMEOUT: Duration = Duration::from_secs(30);

/// How much memory there is, in bytes.
pub(super) struct Areas {
    pub(super) span: usize,
    pub(super) shard: usize,
    pub(super) buffer: usize,
    pub(super) request: usize,
}

impl Areas {
    /// A span that fits into its scratch must fit into whatever it passes through: the full sizes
    /// are compared, so that no span is lost for a reason that was known at the start.
    pub(super) fn of(config: &Config) -> Result<Self, SettingsError> {
        let span = config.max_span_bytes.unwrap_or(DEFAULT_MAX_SPAN_BYTES);
        let areas = Self {
            span,
            shard: config.shard_bytes.unwrap_or(DEFAULT_SHARD_BYTES),
            buffer: config.buffer_bytes.unwrap_or(DEFAULT_BUFFER_BYTES),
            request: config
                .max_request_bytes
                .unwrap_or(ExporterConfig::DEFAULT.max_request_bytes),
        };
        if span < MIN_SCRATCH_BYTES {
            return Err(SettingsError::SpanTooSmall {
                bytes: span,
                least: MIN_SCRATCH_BYTES,
            });
        }
        let needed = span.saturating_add(RECORD_HEADER_BYTES);
        for (field, bytes) in [
            ("buffer_bytes", areas.buffer),
            ("shard_bytes", areas.shard),
            ("max_request_bytes", areas.request),
        ] {
            if bytes < needed {
                return Err(SettingsError::SpanTooLarge {
                    field,
                    bytes,
                    needed,
                });
            }
        }
        Ok(areas)
    }
}

pub(super) fn exporter(
    config: &Config,
    env: &EnvConfig<'_>,
    areas: &Areas,
    notes: &mut Vec<String>,
) -> Result<ExporterConfig, SettingsError> {
    let default = ExporterConfig::DEFAULT;
    let queue = max_queue_size(config, env)?;
    if config.max_export_batch_size == Some(0) {
        return Err(SettingsError::Exporter(ConfigError::ZeroBatchSize));
    }
    let asked = config.max_export_batch_size.or(env.max_export_batch_size);
    let max_export_batch_size = batch_size_within(asked, queue);
    if let Some(asked) = asked.filter(|&asked| asked != max_export_batch_size) {
        notes.push(format!(
            "max_export_batch_size: {asked} is more than the queue of {queue} holds; \
             using {max_export_batch_size}"
        ));
    }
    ExporterConfig {
        batch: BatchConfig {
            max_export_batch_size,
            // Large spans can fill the buffer before there are enough of them for a batch.
            max_batch_bytes: (areas.buffer / 2).min(areas.request),
            scheduled_delay: config
                .scheduled_delay
                .or(env.schedule_delay)
                .unwrap_or(default.batch.scheduled_delay),
        },
        backoff: config.backoff.unwrap_or(default.backoff),
        breaker: config.breaker.unwrap_or(default.breaker),
        request_timeout: request_timeout(config, env, notes),
        max_request_bytes: areas.request,
        max_batch_age: config.max_batch_age.unwrap_or(default.max_batch_age),
        when_open: config.when_open,
        on_too_large: config.on_too_large,
        seed: ThreadRng.next_u64(),
        ..default
    }
    .validate()
    .map_err(SettingsError::Exporter)
}

/// The smaller of the two limits; zero = none. The time of all attempts together is limited by the
/// backoff and by the age of the batch.
fn request_timeout(config: &Config, env: &EnvConfig<'_>, notes: &mut Vec<String>) -> Duration {
    let asked = limit(config.timeout, env.timeout);
    let timeout = asked.unwrap_or(ExporterConfig::DEFAULT.request_timeout);
    let export = limit(config.export_timeout, env.export_timeout).unwrap_or(DEFAULT_EXPORT_TIMEOUT);
    let is_shorter = !export.is_zero() && (timeout.is_zero() || export < timeout);
    if !is_shorter {
        return timeout;
    }
    if asked.is_some() {
        notes.push(format!(
            "timeout: the export timeout of {export:?} is shorter and limits each request; raise \
             it in code or in OTEL_BSP_EXPORT_TIMEOUT"
        ));
    }
    export
}

/// A time limit of which zero means none, or `None` when nobody speaks of it.
fn limit(code: Option<Duration>, env: Option<Timeout>) -> Option<Duration> {
    code.or(env.map(|timeout| timeout.as_duration().unwrap_or(Duration::ZERO)))
}

pub(super) fn max_queue_size(config: &Config, env: &EnvConfig<'_>) -> Result<u32, SettingsError> {
    match config.max_queue_size {
        Some(0) => Err(SettingsError::ZeroQueueSize),
        Some(size) => Ok(size),
        None => Ok(env.max_queue_size.unwrap_or(DEFAULT_MAX_QUEUE_SIZE)),
    }
}
