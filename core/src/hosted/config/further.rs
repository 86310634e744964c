//! Further destinations: places that get every span besides the first one.

use core::fmt;
use core::time::Duration;
use std::path::PathBuf;
use std::string::String;
use std::vec;
use std::vec::Vec;

use super::debug::{HeaderNames, debug_struct};
use super::error::SettingsError;
use super::fields::Config;
use super::settings::{Settings, Target};
use super::stdout_format::StdoutFormat;
use crate::env::{Compression, Protocol};
use crate::hosted::diagnostics::RedactedUrl;
use crate::hosted::export::SharedExporter;

/// A place that gets every span besides the [first one](super::Target), for
/// [`Config::further_destinations`].
///
/// It has a queue, retries, a circuit breaker and a ledger of its own: a destination that is slow or
/// away holds no other one back, and one whose queue is full loses spans for itself alone. The sizes,
/// the delay and the rules of delivery are those of the configuration, unless a field here says
/// otherwise; headers, certificates and keys are never taken from there, nor from a variable, because a
/// secret is for one collector. New fields may come in any minor version. `Debug` shows no header value
/// and no credentials.
///
/// ```
/// use spandrel_core::hosted::config::{Config, FurtherDestination};
/// use spandrel_core::hosted::export::JsonFile;
///
/// let mut vendor = FurtherDestination::collector("https://otlp.vendor.example");
/// vendor.headers = vec![("api-key".into(), "s3cret".into())];
/// let config = Config {
///     further_destinations: vec![vendor, FurtherDestination::exporter(JsonFile::new("spans.jsonl"))],
///     ..Config::production("shop", "https://collector.example")
/// };
/// let settings = config.resolve_with(|_| None)?;
/// assert_eq!(settings.further.len(), 2);
/// # Ok::<(), spandrel_core::hosted::config::SettingsError>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct FurtherDestination {
    place: Place,
    /// Headers of every request, as [`Config::headers`].
    pub headers: Vec<(String, String)>,
    /// The encoding of spans; `None` = as for the first place.
    pub protocol: Option<Protocol>,
    /// The compression of requests; `None` = as for the first place.
    pub compression: Option<Compression>,
    /// The time limit of an export; `None` = as for the first place.
    pub timeout: Option<Duration>,
    /// A PEM file with the authorities to trust, instead of the transport's roots.
    pub certificate: Option<PathBuf>,
    /// A PEM file with the client's certificate chain.
    pub client_certificate: Option<PathBuf>,
    /// A PEM file with the client's private key.
    pub client_key: Option<PathBuf>,
}

#[derive(Clone)]
enum Place {
    Collector(String),
    Exporter(SharedExporter),
    Stdout(StdoutFormat),
    /// Span by span.
    Console,
}

impl FurtherDestination {
    /// A collector: `host:port` or a base URL, as [`Config::endpoint`]. An empty one is an error.
    #[must_use]
    pub fn collector(endpoint: impl Into<String>) -> Self {
        Self::at(Place::Collector(endpoint.into()))
    }

    /// An [exporter of your own](crate::hosted::export).
    #[must_use]
    pub fn exporter(exporter: impl Into<SharedExporter>) -> Self {
        Self::at(Place::Exporter(exporter.into()))
    }

    /// The standard output, batch by batch.
    #[must_use]
    pub const fn stdout(format: StdoutFormat) -> Self {
        Self::at(Place::Stdout(format))
    }

    /// The standard output, span by span.
    #[must_use]
    pub(super) const fn console() -> Self {
        Self::at(Place::Console)
    }

    const fn at(place: Place) -> Self {
        Self {
            place,
            headers: Vec::new(),
            protocol: None,
            compression: None,
            timeout: None,
            certificate: None,
            client_certificate: None,
            client_key: None,
        }
    }

    /// The settings of this place, beside a first one with these.
    pub(super) fn resolve(
        &self,
        code: &Config,
        first: &Settings,
    ) -> Result<Settings, SettingsError> {
        let delivery = first.exporter;
        // Its batches of one span are for a person who is watching.
        let is_console = first.target == (Target::Stdout { immediate: true });
        let mut config = Config {
            enabled: first.enabled,
            detect: vec!["none".into()],
            headers: self.headers.clone(),
            user_agent_prefix: first.user_agent_prefix.clone(),
            protocol: Some(self.protocol.unwrap_or(first.protocol)),
            compression: Some(self.compression.unwrap_or(first.compression)),
            gzip_level: first.gzip_level,
            timeout: Some(self.timeout.unwrap_or(delivery.export_timeout)),
            // The first place's limit is the smaller one of both.
            export_timeout: Some(Duration::ZERO),
            certificate: self.certificate.clone(),
            client_certificate: self.client_certificate.clone(),
            client_key: self.client_key.clone(),
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
            overflow: first.overflow,
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
        match &self.place {
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
        if let Place::Console = self.place {
            settings.target = Target::Stdout { immediate: true };
            settings.exporter.batch.max_export_batch_size = 1;
            settings.exporter.batch.scheduled_delay = Duration::ZERO;
        }
        Ok(settings)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Collector(endpoint) => fmt::Debug::fmt(&RedactedUrl(endpoint), f),
            Self::Exporter(exporter) => fmt::Debug::fmt(exporter, f),
            Self::Stdout(format) => fmt::Debug::fmt(format, f),
            Self::Console => f.write_str("Console"),
        }
    }
}

debug_struct!(FurtherDestination {
    place,
    headers => HeaderNames(headers),
    protocol,
    compression,
    timeout,
    certificate,
    client_certificate,
    client_key,
});
