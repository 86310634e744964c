//! [`Config`]: what a program may set.

use core::time::Duration;
use std::path::PathBuf;
use std::string::String;
use std::sync::Arc;
use std::vec::Vec;

use super::debug::{Described, HeaderNames, debug_struct};
use crate::backoff::BackoffConfig;
use crate::breaker::BreakerConfig;
use crate::buffer::Overflow;
use crate::env::{Compression, Protocol};
use crate::exporter::{OnTooLarge, WhenOpen};
use crate::hosted::diagnostics::RedactedUrl;
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
    /// encoder [made for spans](crate::hosted::span_gzip), which makes full batches smaller than level 4 does, in
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

    /// Returns true if code names a collector.
    pub(super) fn has_endpoint(&self) -> bool {
        !self.endpoint.trim_ascii().is_empty()
    }

    /// Returns true if code gives a part of the client's identity.
    pub(super) const fn has_client_identity(&self) -> bool {
        self.client_certificate.is_some() || self.client_key.is_some()
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
