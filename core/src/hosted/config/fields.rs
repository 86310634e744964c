//! [`Config`]: what a program may set.

use core::time::Duration;
use std::path::PathBuf;
use std::string::String;
use std::sync::Arc;
use std::vec::Vec;

use super::debug::{Described, DetectorNames, HeaderNames, debug_struct};
use super::further::FurtherDestination;
use super::incoming::Incoming;
use super::keep::Keep;
use super::stdout_format::StdoutFormat;
use super::when_full::WhenFull;
use crate::backoff::BackoffConfig;
use crate::breaker::BreakerConfig;
use crate::env::{Compression, Propagators, Protocol};
use crate::exporter::{OnTooLarge, WhenOpen};
use crate::hosted::diagnostics::RedactedUrl;
use crate::hosted::export::SharedExporter;
use crate::hosted::processor::SpanProcessor;
use crate::hosted::resource::ResourceDetector;
use crate::hosted::sampling::SharedIdGenerator;
use crate::limits::SpanLimits;
use crate::sampler::Sampler;

/// The default of [`Config::buffer_bytes`]: 2 MiB.
pub const DEFAULT_BUFFER_BYTES: usize = 2 << 20;
/// The default of [`Config::shard_bytes`]: 256 KiB.
pub const DEFAULT_SHARD_BYTES: usize = 256 << 10;
/// The default of [`Config::max_span_bytes`]: 16 KiB.
pub const DEFAULT_MAX_SPAN_BYTES: usize = 16 << 10;

/// The most of [`Config::concurrent_exports`].
pub const MAX_CONCURRENT_EXPORTS: u32 = crate::exporter::MAX_CONCURRENT_EXPORTS;

/// A program's wishes for its tracing. What is left out comes from the environment, else from the
/// defaults that the [module](super) lists.
///
/// Write `Config { enabled: true, service_name: "checkout".into(), ..Config::default() }` or
/// start from a preset. New fields may come in any minor version, so always end in `..`. `Debug`
/// shows no header value and no credentials.
///
/// A field counts as left out when it is `None`, and a text or a list when it is empty. The other
/// fields have no variable, so their value always counts.
#[derive(Clone)]
pub struct Config {
    /// Records spans. Off by default: a library must not start to send because it was linked in.
    /// `OTEL_SDK_DISABLED=true` beats it.
    pub enabled: bool,
    /// The resource attribute `service.name`. Empty = left out; with nothing in the environment
    /// either it becomes `unknown_service:` and the name of the executable.
    pub service_name: String,
    /// The resource attribute `service.version`. An empty text counts as left out.
    pub service_version: Option<String>,
    /// The resource attribute `deployment.environment.name`. An empty text counts as left out.
    pub environment: Option<String>,
    /// Further attributes of the resource; of a repeated key the last one counts. The three fields
    /// above win over them. An empty key is left out with a diagnostic.
    pub resource_attributes: Vec<(String, String)>,
    /// Your own detectors of attributes, which run beside the
    /// [built-in](crate::hosted::resource::BuiltinDetector) ones, once, within `init`. What they find
    /// wins over those, and loses against the environment and the fields here.
    pub resource_detectors: Vec<Arc<dyn ResourceDetector>>,
    /// The names of the detectors that run, `all` or `none`. Empty = left out; with nothing in the
    /// environment either, the [default](crate::hosted::resource::BuiltinDetector) ones run, and all
    /// of your own. An unknown name gives a diagnostic.
    pub detect: Vec<String>,

    /// The collector: `host:port`, which means `http` on this machine and `https` anywhere else, or
    /// a base URL, to which `/v1/traces` is appended. Empty or blank = left out; with nothing in
    /// the environment either, spans go to the standard output. User info, a query and a fragment
    /// are not sent and give a diagnostic; anything but an `http` or `https` address is an error.
    pub endpoint: String,
    /// Where batches go instead of a collector or the standard output: an [exporter of your
    /// own](crate::hosted::export). It wins over `endpoint` and over every variable except
    /// `OTEL_SDK_DISABLED`.
    pub exporter: Option<SharedExporter>,
    /// Further places that get every span, too; see [`FurtherDestination`]. Those that
    /// `OTEL_TRACES_EXPORTER` lists come in addition, where it is obeyed.
    pub further_destinations: Vec<FurtherDestination>,
    /// What spans look like that go to the standard output.
    pub stdout_format: StdoutFormat,
    /// Headers of every request, not percent-encoded. Blanks around a value are removed, and of a
    /// repeated name the last one counts. Empty = left out; otherwise none of the environment's
    /// headers is used. A header that belongs to the protocol is left out with a diagnostic, one
    /// that cannot be sent is an error.
    pub headers: Vec<(String, String)>,
    /// A product that stands before Spandrel's own in `User-Agent`, like `MyDist/1.2.3`: for a
    /// distribution. Not used if `headers` has a `User-Agent`. One that cannot be part of a header is an
    /// error of the transport's `init`.
    pub user_agent_prefix: Option<String>,
    /// The encoding of spans.
    pub protocol: Option<Protocol>,
    /// The compression of requests.
    pub compression: Option<Compression>,
    /// The level of a general gzip encoder: 0 stores, 1 is fastest, 9 is smallest; more is an
    /// error. `None` takes the encoder [made for spans](crate::hosted::span_gzip), which makes full
    /// batches smaller than level 4 does, in less time than level 1. Not used without gzip.
    pub gzip_level: Option<u32>,
    /// The time limit of an export, which is a request with its retries; zero = none, so that only
    /// `export_timeout` limits it. What happens at its end is in the
    /// [module](super#how-long-an-export-takes).
    pub timeout: Option<Duration>,
    /// A PEM file with the authorities to trust, instead of the transport's roots. The transport
    /// reads it when it starts.
    pub certificate: Option<PathBuf>,
    /// A PEM file with the client's certificate chain. Without `client_key` it is an error, also
    /// if the environment has a key: a key fits one certificate only.
    pub client_certificate: Option<PathBuf>,
    /// A PEM file with the client's private key. Without `client_certificate` it is an error.
    pub client_key: Option<PathBuf>,
    /// Sends through the proxy that `HTTPS_PROXY` and its like name. Off by default, so that a
    /// variable meant for another purpose cannot lead telemetry astray.
    pub use_environment_proxy: bool,
    /// Silences the diagnostic about headers that look like credentials and go over plain `http` to
    /// another machine: for a network that encrypts by itself, such as a service mesh.
    pub allow_plaintext_credentials: bool,
    /// Has a transport refuse to start with headers that look like credentials, also those of a
    /// variable, if they would go over plain `http` to another machine. Off by default: they are
    /// sent as they were configured, with one diagnostic. It wins over
    /// `allow_plaintext_credentials`.
    pub refuse_plaintext_credentials: bool,

    /// The share of traces to sample, from 0 to 1. It applies to spans without a parent; others
    /// follow their parent's decision. A number outside of the range is moved into it, with a
    /// diagnostic; NaN counts as 0.
    pub sample_rate: Option<f64>,
    /// Your own sampler, which beats `sample_rate`.
    pub sampler: Option<Arc<dyn Sampler + Send + Sync>>,
    /// Your own generator of ids, in a `Mutex` if it is an [`IdGenerator`](crate::id::IdGenerator).
    /// By default ids are random, from a generator of each thread.
    pub id_generator: Option<Arc<dyn SharedIdGenerator>>,
    /// Code that sees the start and the end of every recorded span, in this order; see
    /// [`processor`](crate::hosted::processor).
    pub processors: Vec<Arc<dyn SpanProcessor>>,
    /// Holds the spans of each trace until its local root has ended, and then keeps or drops all of
    /// them. Off by default: every sampled span is sent.
    pub keep: Option<Keep>,
    /// How much one span may hold. Setting it overrides the variables of all limits.
    pub limits: Option<SpanLimits>,
    /// The most bytes of one span, at least
    /// [`MIN_SCRATCH_BYTES`](crate::span::MIN_SCRATCH_BYTES). What does not fit is left out and
    /// counted. A live span starts with 1 KiB and doubles as it needs more; if there is no more, the
    /// same happens as at this limit.
    pub max_span_bytes: Option<usize>,

    /// How long a span may wait for others of its batch; zero = not at all.
    pub scheduled_delay: Option<Duration>,
    /// A second limit of an export; zero = none. The smaller of this and `timeout` counts.
    pub export_timeout: Option<Duration>,
    /// The most finished spans that wait to be sent; zero is an error.
    pub max_queue_size: Option<u32>,
    /// The most spans of one request; zero is an error. A number above `max_queue_size` is not
    /// used, with a diagnostic: 512 is, or the size of the queue if that is less.
    pub max_export_batch_size: Option<u32>,
    /// The most bytes of one request before compression, from one span of `max_span_bytes` to
    /// 64 MiB.
    pub max_request_bytes: Option<usize>,
    /// The bytes of finished spans that wait to be sent, at least one span of `max_span_bytes` with
    /// its header.
    pub buffer_bytes: Option<usize>,
    /// The bytes of finished spans that each recording thread keeps until the sender fetches them,
    /// at least one span of `max_span_bytes` with its header. **Twice as much is allocated** for
    /// each thread that records, so that a span fits wherever the last one ended. Threads beyond
    /// the first 63 share one shard.
    pub shard_bytes: Option<usize>,
    /// What happens to a span that finds no room. Programs that may rather be slow than lose spans
    /// [wait](WhenFull#waiting).
    pub when_full: WhenFull,

    /// How many requests may be under way at once, each over a connection of its own: 1, the default,
    /// to [`MAX_CONCURRENT_EXPORTS`]. More help where a collector is far away and one request after the
    /// other does not carry all spans. A retry holds new requests back, a half-open circuit and a
    /// `Retry-After` hold all of them back, and batches may arrive in another order. It has no effect
    /// on the standard output and on an `exporter`.
    ///
    /// ```
    /// use spandrel_core::hosted::config::Config;
    ///
    /// let far = Config::production("shop", "https://collector.example");
    /// let settings = Config { concurrent_exports: 4, ..far }.resolve_with(|_| None)?;
    /// assert_eq!(settings.concurrent_exports, 4);
    /// # Ok::<(), spandrel_core::hosted::config::SettingsError>(())
    /// ```
    pub concurrent_exports: u32,

    /// How failed requests are repeated. Values out of range are an error.
    pub backoff: Option<BackoffConfig>,
    /// When a failing collector is left alone. Values out of range are an error.
    pub breaker: Option<BreakerConfig>,
    /// What happens to a batch without retries left while the circuit is open.
    pub when_open: WhenOpen,
    /// What happens to a batch when the collector answers 413 (content too large).
    pub on_too_large: OnTooLarge,
    /// The longest life of a batch from its first attempt; zero = no limit.
    pub max_batch_age: Option<Duration>,

    /// The formats that carry contexts to other processes, as the process-wide
    /// [`propagator`](crate::hosted::propagation::propagator) reads and writes them, also where
    /// tracing is disabled.
    pub propagators: Option<Propagators>,
    /// What that propagator makes of the context that comes with a request.
    pub incoming: Incoming,
    /// The names of [baggage](crate::hosted::baggage) entries that are copied onto each span when it
    /// starts, as attributes of the same names. Samplers do not see them. Baggage is sent by anyone:
    /// list names that you trust, and few.
    pub baggage_attributes: Vec<String>,
    /// How often the transport sends the [metrics](crate::hosted::metrics) of the pipeline to the
    /// collector; `None` = not at all. Zero is an error.
    pub metrics_interval: Option<Duration>,
    /// The URL for metrics, path included. Empty = left out; with nothing in the environment either,
    /// `/v1/metrics` takes the place of `/v1/traces` in the endpoint.
    pub metrics_endpoint: String,

    /// How long the last flush may take when the handle is dropped.
    pub shutdown_timeout: Duration,
    /// Reads the `OTEL_*` variables. If off, only the fields here count.
    pub read_environment: bool,
    /// Makes the provider the process-wide one.
    pub set_global: bool,
}

impl Config {
    /// Samples everything and writes to the standard output, unless the environment names a
    /// collector. The environment's name is `development`.
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

    /// Samples one trace in ten and sends to the collector at `endpoint`; an empty one is asked of
    /// the environment. The environment's name is `production`.
    ///
    /// After an outage it resumes soon ([`BreakerConfig::prompt`]), and 8192 spans may wait, for which
    /// the buffer has room as it is.
    #[must_use]
    pub fn production(service_name: impl Into<String>, endpoint: impl Into<String>) -> Self {
        Self {
            enabled: true,
            service_name: service_name.into(),
            endpoint: endpoint.into(),
            environment: Some("production".into()),
            sample_rate: Some(0.1),
            breaker: Some(BreakerConfig::prompt()),
            max_queue_size: Some(8192),
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
            resource_detectors: Vec::new(),
            detect: Vec::new(),
            endpoint: String::new(),
            exporter: None,
            further_destinations: Vec::new(),
            stdout_format: StdoutFormat::default(),
            headers: Vec::new(),
            user_agent_prefix: None,
            protocol: None,
            compression: None,
            gzip_level: None,
            timeout: None,
            certificate: None,
            client_certificate: None,
            client_key: None,
            use_environment_proxy: false,
            allow_plaintext_credentials: false,
            refuse_plaintext_credentials: false,
            sample_rate: None,
            sampler: None,
            id_generator: None,
            processors: Vec::new(),
            keep: None,
            limits: None,
            max_span_bytes: None,
            scheduled_delay: None,
            export_timeout: None,
            max_queue_size: None,
            max_export_batch_size: None,
            max_request_bytes: None,
            buffer_bytes: None,
            shard_bytes: None,
            when_full: WhenFull::default(),
            concurrent_exports: 1,
            backoff: None,
            breaker: None,
            when_open: WhenOpen::default(),
            on_too_large: OnTooLarge::default(),
            max_batch_age: None,
            propagators: None,
            incoming: Incoming::default(),
            baggage_attributes: Vec::new(),
            metrics_interval: None,
            metrics_endpoint: String::new(),
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
    resource_detectors => DetectorNames(resource_detectors),
    detect,
    endpoint => RedactedUrl(endpoint),
    exporter,
    further_destinations,
    stdout_format,
    headers => HeaderNames(headers),
    user_agent_prefix,
    protocol,
    compression,
    gzip_level,
    timeout,
    certificate,
    client_certificate,
    client_key,
    use_environment_proxy,
    allow_plaintext_credentials,
    refuse_plaintext_credentials,
    sample_rate,
    sampler => sampler.as_deref().map(Described),
    id_generator => id_generator.as_ref().map(|_| "own"),
    processors => processors.len(),
    keep,
    limits,
    max_span_bytes,
    scheduled_delay,
    export_timeout,
    max_queue_size,
    max_export_batch_size,
    max_request_bytes,
    buffer_bytes,
    shard_bytes,
    when_full,
    concurrent_exports,
    backoff,
    breaker,
    when_open,
    on_too_large,
    max_batch_age,
    propagators,
    incoming,
    baggage_attributes,
    metrics_interval,
    metrics_endpoint => RedactedUrl(metrics_endpoint),
    shutdown_timeout,
    read_environment,
    set_global,
});
