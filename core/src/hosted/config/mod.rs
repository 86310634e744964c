//! The one configuration of a hosted pipeline: [`Config`], and what becomes of it, [`Settings`].
//!
//! Three voices speak about a setting, and the first that says something wins (checklist B-004):
//!
//! ```text
//! a field of Config  >  its OTEL_* variable  >  the default
//! ```
//!
//! A mistake of an operator must not stop a service: a bad variable gives a sentence in
//! [`Settings::diagnostics`] and the next voice is heard. A mistake in code should not survive
//! its first run: it is a [`SettingsError`]. A variable that code overrides is not even read, so
//! nothing is said about it.
//!
//! Two rules cut across. `OTEL_SDK_DISABLED=true` beats `enabled: true`: it is the switch by
//! which an operator silences a program without building it anew. And with `read_environment:
//! false` no variable is heard at all, that one included.
//!
//! | field | variable (`T_` = `OTEL_EXPORTER_OTLP_TRACES_` before `OTEL_EXPORTER_OTLP_`) | default |
//! |---|---|---|
//! | `enabled` | `OTEL_SDK_DISABLED`, which can only disable | `false` |
//! | `service_name` | `OTEL_SERVICE_NAME`, else in `OTEL_RESOURCE_ATTRIBUTES` | `unknown_service:<program>` |
//! | `service_version` | in `OTEL_RESOURCE_ATTRIBUTES` | none |
//! | `environment` | `deployment.environment.name` in `OTEL_RESOURCE_ATTRIBUTES` | none |
//! | `resource_attributes` | `OTEL_RESOURCE_ATTRIBUTES`, key by key | what is detected |
//! | `endpoint` | `T_ENDPOINT`, `OTEL_TRACES_EXPORTER` (see [`Target`]) | the standard output |
//! | `headers` | `T_HEADERS`, all or none | none |
//! | `protocol` | `T_PROTOCOL` | `http/protobuf` |
//! | `compression` | `T_COMPRESSION` | gzip |
//! | `gzip_level` | - | made for spans |
//! | `timeout` | `T_TIMEOUT` | 10 s |
//! | `certificate` | `T_CERTIFICATE` | the transport's roots |
//! | `client_certificate`, `client_key` | `T_CLIENT_CERTIFICATE`, `T_CLIENT_KEY`, as a pair | none |
//! | `sampler`, `sample_rate` | `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG` | `parentbased_always_on` |
//! | `limits` | `OTEL_SPAN_*_LIMIT`, `OTEL_ATTRIBUTE_*_LIMIT`, `OTEL_EVENT_..`, `OTEL_LINK_..` | [`SpanLimits::DEFAULT`] |
//! | `scheduled_delay` | `OTEL_BSP_SCHEDULE_DELAY` | 5 s |
//! | `export_timeout` | `OTEL_BSP_EXPORT_TIMEOUT` | 30 s |
//! | `max_queue_size` | `OTEL_BSP_MAX_QUEUE_SIZE` | 2048 spans |
//! | `max_export_batch_size` | `OTEL_BSP_MAX_EXPORT_BATCH_SIZE` | 512 spans |
//! | `buffer_bytes`, `shard_bytes` | - | 2 MiB, 256 KiB |
//! | `max_span_bytes`, `max_request_bytes` | - | 16 KiB, 4 MiB |
//! | `backoff`, `breaker` | - | [`BackoffConfig::DEFAULT`], [`BreakerConfig::DEFAULT`] |
//! | `when_open`, `on_too_large`, `overflow` | - | hold, drop, drop the newest |
//! | `max_batch_age` | - | 300 s |
//! | `shutdown_timeout` | - | 5 s |
//! | `use_environment_proxy`, `allow_plaintext_credentials` | - | `false` |
//! | `set_global` | - | `true` |
//! | - | `OTEL_PROPAGATORS`, `OTEL_LOG_LEVEL` | `tracecontext`, `info` |
//!
//! ```
//! use spandrel_core::hosted::config::{Config, Target};
//!
//! let config = Config { sample_rate: Some(0.25), ..Config::production("checkout", "") };
//! let settings = config.resolve_with(|name| match name {
//!     "OTEL_EXPORTER_OTLP_ENDPOINT" => Some("https://collector.example".into()),
//!     "OTEL_BSP_SCHEDULE_DELAY" => Some("soon".into()),
//!     _ => None,
//! })?;
//! let Target::Otlp { url, .. } = &settings.target else { panic!("there is an endpoint") };
//! assert_eq!(url, "https://collector.example/v1/traces");
//! assert_eq!(settings.diagnostics, [
//!     "OTEL_BSP_SCHEDULE_DELAY: \"soon\" is not a whole number of milliseconds; \
//!      using the default 5000"
//! ]);
//!
//! let wrong = Config { endpoint: "ftp://collector".into(), ..config };
//! assert!(wrong.resolve_with(|_| None).is_err());
//! # Ok::<(), spandrel_core::hosted::config::SettingsError>(())
//! ```

mod debug;
mod destination;
mod environment;
mod error;
mod pipeline;
mod resolve;
mod resolved;
mod sampler;
#[cfg(test)]
mod tests;

use core::time::Duration;
use std::path::PathBuf;
use std::string::String;
use std::sync::Arc;
use std::vec::Vec;

pub use error::SettingsError;
pub use resolved::{Settings, Target};
pub use sampler::HostedSampler;

use self::debug::{Described, HeaderNames, debug_struct};
use super::diagnostics::RedactedUrl;
use crate::backoff::BackoffConfig;
use crate::breaker::BreakerConfig;
use crate::buffer::Overflow;
use crate::env::{Compression, Protocol};
use crate::exporter::{OnTooLarge, WhenOpen};
use crate::limits::SpanLimits;
use crate::sampler::Sampler;

/// The default of [`Config::buffer_bytes`]: 2 MiB.
pub const DEFAULT_BUFFER_BYTES: usize = 2 << 20;
/// The default of [`Config::shard_bytes`]: 256 KiB.
pub const DEFAULT_SHARD_BYTES: usize = 256 << 10;
/// The default of [`Config::max_span_bytes`]: 16 KiB.
pub const DEFAULT_MAX_SPAN_BYTES: usize = 16 << 10;

/// What a program wants of its tracing; whatever is left out is asked of the environment and then
/// has a default, as the [module](self) lists.
///
/// Write `Config { enabled: true, service_name: "checkout".into(), ..Config::default() }` or
/// start from a preset. New fields may come in any minor version, so always end in `..`. `Debug`
/// shows no header value and no credentials.
#[derive(Clone)]
pub struct Config {
    /// Whether anything is recorded. Off by default: a library must not start to send because it
    /// was linked in.
    pub enabled: bool,
    /// `service.name`. Empty = from the environment, else detected.
    pub service_name: String,
    /// `service.version`.
    pub service_version: Option<String>,
    /// `deployment.environment.name`.
    pub environment: Option<String>,
    /// Further attributes of the resource. The three fields above win over them.
    pub resource_attributes: Vec<(String, String)>,

    /// The collector: `host:port`, which is `http` on this machine and `https` anywhere else, or a
    /// base URL, to which `/v1/traces` is appended. Empty = from the environment, else the spans
    /// go to the standard output.
    pub endpoint: String,
    /// Headers of every request, percent-encoding not applied. If there are any, those of the
    /// environment are not used.
    pub headers: Vec<(String, String)>,
    /// How spans are encoded.
    pub protocol: Option<Protocol>,
    /// How requests are compressed.
    pub compression: Option<Compression>,
    /// The level at which a library makes gzip: 0 stores, 1 is fastest, 9 is smallest. `None`: the
    /// encoder [made for spans](super::span_gzip), which makes full batches smaller than level 4 does, in
    /// less time than level 1.
    pub gzip_level: Option<u32>,
    /// The time limit of one request; zero = none. Retries have limits of their own, in
    /// [`backoff`](Self::backoff).
    pub timeout: Option<Duration>,
    /// A PEM file of the authorities to trust.
    pub certificate: Option<PathBuf>,
    /// A PEM file of our certificate chain; needs `client_key`.
    pub client_certificate: Option<PathBuf>,
    /// A PEM file of our private key; needs `client_certificate`.
    pub client_key: Option<PathBuf>,
    /// Goes through the proxy of `HTTPS_PROXY` and its like. Off by default, so that a variable
    /// meant for another purpose cannot lead telemetry astray (fault catalogue N19).
    pub use_environment_proxy: bool,
    /// Permits headers that look like credentials over plain `http` to another machine (fault
    /// catalogue G2).
    pub allow_plaintext_credentials: bool,

    /// The share of traces that is sampled where there is no parent: the parent's decision is
    /// followed. A number beyond 0 to 1 is cut to it, with a diagnostic; NaN samples nothing.
    pub sample_rate: Option<f64>,
    /// A sampler of your own, which beats `sample_rate`.
    pub sampler: Option<Arc<dyn Sampler + Send + Sync>>,
    /// What one span may hold. Code that sets it overrides the variables of all limits.
    pub limits: Option<SpanLimits>,
    /// The bytes in which one live span is recorded; what does not fit is left out and counted.
    pub max_span_bytes: Option<usize>,

    /// How long a span may wait for others of its batch; zero = not at all.
    pub scheduled_delay: Option<Duration>,
    /// The specification's limit of handing over a batch; zero = none. Here the smaller of this
    /// and `timeout` limits one request, and [`backoff`](Self::backoff) all requests of a batch.
    pub export_timeout: Option<Duration>,
    /// The most finished spans that wait to be sent; above zero.
    pub max_queue_size: Option<u32>,
    /// The most spans of one request; above zero. More than the queue holds is cut, with a
    /// diagnostic (checklist C-022).
    pub max_export_batch_size: Option<u32>,
    /// The most bytes of one request before compression, up to 64 MiB (checklist B-020).
    pub max_request_bytes: Option<usize>,
    /// The bytes of finished spans that wait to be sent.
    pub buffer_bytes: Option<usize>,
    /// The bytes of finished spans that each recording thread keeps for the sender to fetch.
    pub shard_bytes: Option<usize>,
    /// Which spans are lost when there is no room.
    pub overflow: Overflow,

    /// How attempts are repeated.
    pub backoff: Option<BackoffConfig>,
    /// When a collector is left alone.
    pub breaker: Option<BreakerConfig>,
    /// What an open circuit does to a batch without retries left.
    pub when_open: WhenOpen,
    /// What an answer of 413 does.
    pub on_too_large: OnTooLarge,
    /// The longest life of a batch from its first attempt; zero = no limit.
    pub max_batch_age: Option<Duration>,

    /// How long the last flush may take when the handle is dropped.
    pub shutdown_timeout: Duration,
    /// Whether the `OTEL_*` variables are heard. Off makes the fields here the only truth.
    pub read_environment: bool,
    /// Whether the provider becomes that of the process.
    pub set_global: bool,
}

impl Config {
    /// Everything is sampled and goes to the standard output, unless the environment names a
    /// collector.
    #[must_use]
    pub fn development(service_name: impl Into<String>) -> Self {
        Self {
            enabled: true,
            service_name: service_name.into(),
            environment: Some("development".into()),
            sample_rate: Some(1.0),
            ..Self::default()
        }
    }

    /// One trace in ten is sampled and goes to the collector at `endpoint`.
    #[must_use]
    pub fn production(service_name: impl Into<String>, endpoint: impl Into<String>) -> Self {
        Self {
            enabled: true,
            service_name: service_name.into(),
            endpoint: endpoint.into(),
            environment: Some("production".into()),
            sample_rate: Some(0.1),
            ..Self::default()
        }
    }

    /// Merges this with the environment of the process and the defaults. Also detects what is
    /// known about the process, which takes a few microseconds.
    ///
    /// # Errors
    ///
    /// A field that no pipeline can run with, also when this is disabled: better now than on the
    /// day on which somebody enables it.
    pub fn resolve(&self) -> Result<Settings, SettingsError> {
        resolve::resolve(self, |name| std::env::var(name))
    }

    /// As [`resolve`](Self::resolve), with `lookup` in the place of the environment.
    ///
    /// # Errors
    ///
    /// As [`resolve`](Self::resolve).
    pub fn resolve_with(
        &self,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Settings, SettingsError> {
        resolve::resolve(self, |name| {
            lookup(name).ok_or(std::env::VarError::NotPresent)
        })
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: false,
            service_name: String::new(),
            service_version: None,
            environment: None,
            resource_attributes: Vec::new(),
            endpoint: String::new(),
            headers: Vec::new(),
            protocol: None,
            compression: None,
            gzip_level: None,
            timeout: None,
            certificate: None,
            client_certificate: None,
            client_key: None,
            use_environment_proxy: false,
            allow_plaintext_credentials: false,
            sample_rate: None,
            sampler: None,
            limits: None,
            max_span_bytes: None,
            scheduled_delay: None,
            export_timeout: None,
            max_queue_size: None,
            max_export_batch_size: None,
            max_request_bytes: None,
            buffer_bytes: None,
            shard_bytes: None,
            overflow: Overflow::default(),
            backoff: None,
            breaker: None,
            when_open: WhenOpen::default(),
            on_too_large: OnTooLarge::default(),
            max_batch_age: None,
            shutdown_timeout: Duration::from_secs(5),
            read_environment: true,
            set_global: true,
        }
    }
}

debug_struct!(Config {
    enabled,
    service_name,
    service_version,
    environment,
    resource_attributes,
    endpoint => RedactedUrl(endpoint),
    headers => HeaderNames(headers),
    protocol,
    compression,
    gzip_level,
    timeout,
    certificate,
    client_certificate,
    client_key,
    use_environment_proxy,
    allow_plaintext_credentials,
    sample_rate,
    sampler => sampler.as_deref().map(Described),
    limits,
    max_span_bytes,
    scheduled_delay,
    export_timeout,
    max_queue_size,
    max_export_batch_size,
    max_request_bytes,
    buffer_bytes,
    shard_bytes,
    overflow,
    backoff,
    breaker,
    when_open,
    on_too_large,
    max_batch_age,
    shutdown_timeout,
    read_environment,
    set_global,
});
