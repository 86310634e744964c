//! From a further destination to its settings.

use core::time::Duration;
use std::vec;

use super::error::SettingsError;
use super::fields::Config;
use super::further::{FurtherDestination, Place};
use super::settings::{Settings, Target};

/// The settings of `destination`, beside a `first` one with these.
pub(super) fn settings_of(
    destination: &FurtherDestination,
    code: &Config,
    first: &Settings,
) -> Result<Settings, SettingsError> {
    let delivery = first.exporter;
    // Its batches of one span are for a person who is watching.
    let is_console = first.target == (Target::Stdout { immediate: true });
    let mut config = Config {
        enabled: first.enabled,
        detect: vec!["none".into()],
        headers: destination.headers.clone(),
        user_agent_prefix: first.user_agent_prefix.clone(),
        protocol: Some(destination.protocol.unwrap_or(first.protocol)),
        compression: Some(destination.compression.unwrap_or(first.compression)),
        gzip_level: first.gzip_level,
        timeout: Some(destination.timeout.unwrap_or(delivery.export_timeout)),
        // The first place's limit is the smaller one of both.
        export_timeout: Some(Duration::ZERO),
        certificate: destination.certificate.clone(),
        client_certificate: destination.client_certificate.clone(),
        client_key: destination.client_key.clone(),
        use_environment_proxy: first.use_environment_proxy,
        allow_plaintext_credentials: first.allow_plaintext_credentials,
        refuse_plaintext_credentials: first.refuse_plaintext_credentials,
        max_span_bytes: Some(first.max_span_bytes),
        scheduled_delay: match is_console {
            true => code.scheduled_delay,
            false => Some(delivery.batch.scheduled_delay),
        },
        max_queue_size: Some(first.max_queue_size),
        max_export_batch_size: match is_console {
            true => code.max_export_batch_size,
            false => Some(delivery.batch.max_export_batch_size),
        },
        max_request_bytes: Some(delivery.max_request_bytes),
        buffer_bytes: Some(first.buffer_bytes),
        shard_bytes: Some(first.shard_bytes),
        when_full: first.when_full,
        concurrent_exports: code.concurrent_exports,
        backoff: Some(delivery.backoff),
        breaker: Some(delivery.breaker),
        when_open: delivery.when_open,
        on_too_large: delivery.on_too_large,
        max_batch_age: Some(delivery.max_batch_age),
        shutdown_timeout: first.shutdown_timeout,
        read_environment: false,
        set_global: false,
        ..Config::default()
    };
    match &destination.place {
        // Without an endpoint spans would go to the standard output, so an empty one is passed on
        // as what is no endpoint either.
        Place::Collector(endpoint) => {
            config.endpoint = match endpoint.trim_ascii().is_empty() {
                true => ":".into(),
                false => endpoint.clone(),
            }
        }
        Place::Exporter(exporter) => config.exporter = Some(exporter.clone()),
        Place::Stdout(format) => config.stdout_format = *format,
        Place::Console => {}
    }
    let mut settings = config.resolve_with(|_| None)?;
    if let Place::Console = destination.place {
        settings.target = Target::Stdout { immediate: true };
        settings.exporter.batch.max_export_batch_size = 1;
        settings.exporter.batch.scheduled_delay = Duration::ZERO;
    }
    Ok(settings)
}
