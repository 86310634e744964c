//! The resolved configuration: [`Settings`] and their [`Target`].

use core::fmt;
use core::time::Duration;
use std::path::PathBuf;
use std::string::{String, ToString};
use std::sync::Arc;
use std::vec::Vec;

use super::debug::{HeaderNames, debug_struct};
use super::incoming::Incoming;
use super::keep::Keep;
use super::sampler::HostedSampler;
use super::stdout_format::StdoutFormat;
use super::when_full::WhenFull;
use crate::batch::BatchConfig;
use crate::env::{Compression, LogLevel, Propagators, Protocol};
use crate::exporter::ExporterConfig;
use crate::hosted::diagnostics::RedactedUrl;
use crate::hosted::export::SharedExporter;
use crate::hosted::processor::SpanProcessor;
use crate::hosted::resource::HostedResource;
use crate::hosted::sampling::SharedIdGenerator;
use crate::limits::SpanLimits;

/// The place that spans go to.
///
/// It is the first of these that is set, and a collector unless the row says otherwise:
///
/// 1. [`exporter`](super::Config::exporter) in code.
/// 2. [`endpoint`](super::Config::endpoint) in code. `OTEL_TRACES_EXPORTER` is not obeyed then.
/// 3. `OTEL_TRACES_EXPORTER`: `console` and `otlp/stdout` are the standard output, `none` is
///    nowhere, `otlp` goes to the endpoint of the variables, else to `http://localhost:4318`.
/// 4. An endpoint among the variables. If it cannot be used, spans go to `http://localhost:4318`
///    and not to the standard output, because a collector was asked for.
/// 5. Nothing at all: the standard output.
///
/// `Debug` shows no credentials.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// A collector that speaks OTLP over HTTP.
    Otlp {
        /// The URL to post to, path and query included. For requests only, because the query may
        /// be a secret.
        url: String,
        /// `scheme://host:port`, for logs.
        origin: String,
    },
    /// The standard output, in the form of [`Settings::stdout_format`].
    Stdout {
        /// Span by span (`console`) and not in batches.
        immediate: bool,
    },
    /// An exporter of the program: [`Settings::span_exporter`].
    Exporter {
        /// Its name.
        name: String,
    },
    /// Nowhere: tracers record nothing.
    None,
}

/// The name of the place, for logs.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Otlp { origin, .. } => origin,
            Self::Exporter { name } => name,
            Self::Stdout { .. } => "the standard output",
            Self::None => "nowhere",
        })
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Otlp { url, .. } => f.debug_tuple("Otlp").field(&RedactedUrl(url)).finish(),
            Self::Stdout { immediate } => f
                .debug_struct("Stdout")
                .field("immediate", immediate)
                .finish(),
            Self::Exporter { name } => f.debug_struct("Exporter").field("name", name).finish(),
            Self::None => f.write_str("None"),
        }
    }
}

/// Every setting of a pipeline, checked and without gaps: the result of
/// [`Config::resolve`](super::Config::resolve).
///
/// `Debug` shows no header value and no credentials.
#[derive(Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Both the program and its operator want traces. See also
    /// [`is_recording`](Self::is_recording).
    pub enabled: bool,
    /// The place that spans go to.
    pub target: Target,
    /// The settings of each further place: with its own target, exporter and limits; what is about
    /// recording is the first place's.
    pub further: Vec<Settings>,
    /// What spans look like on the standard output.
    pub stdout_format: StdoutFormat,
    /// The encoding of spans.
    pub protocol: Protocol,
    /// Headers of every request: none that cannot be sent, each name once, values without blanks
    /// around them.
    pub headers: Vec<(String, String)>,
    /// A product that stands before the transport's own in `User-Agent`.
    pub user_agent_prefix: Option<String>,
    /// The compression of requests.
    pub compression: Compression,
    /// The level of gzip, 0 to 9; `None` = the encoder [made for spans](crate::hosted::span_gzip).
    pub gzip_level: Option<u32>,
    /// A PEM file with the authorities to trust; `None` = the transport's roots.
    pub certificate: Option<PathBuf>,
    /// A PEM file with the client's certificate chain; set exactly if `client_key` is.
    pub client_certificate: Option<PathBuf>,
    /// A PEM file with the client's private key.
    pub client_key: Option<PathBuf>,
    /// Requests go through the proxy that the environment names.
    pub use_environment_proxy: bool,
    /// Nothing is said about headers that look like credentials and cross a network in clear text.
    pub allow_plaintext_credentials: bool,
    /// A transport refuses to start with such headers.
    pub refuse_plaintext_credentials: bool,
    /// The settings of the exporter, valid, with a seed that no other pipeline has.
    pub exporter: ExporterConfig,
    /// The most finished spans that wait to be sent, above zero.
    pub max_queue_size: u32,
    /// The bytes of finished spans that wait to be sent.
    pub buffer_bytes: usize,
    /// The bytes of finished spans in each recording thread; twice as much is allocated.
    pub shard_bytes: usize,
    /// The most bytes of one live span.
    pub max_span_bytes: usize,
    /// What happens to a span that finds no room.
    pub when_full: WhenFull,
    /// The most requests under way at once: 1 if spans do not go to a collector.
    pub concurrent_exports: u32,
    /// How much one span may hold.
    pub limits: SpanLimits,
    /// The sampler, which decides which spans are recorded.
    pub sampler: HostedSampler,
    /// The program's generator of ids.
    pub id_generator: Option<Arc<dyn SharedIdGenerator>>,
    /// Code of the program that sees the start and the end of every recorded span.
    pub processors: Vec<Arc<dyn SpanProcessor>>,
    /// Which finished traces are sent; `None` = all.
    pub keep: Option<Keep>,
    /// The attributes of this process.
    pub resource: HostedResource,
    /// The formats that carry the context of a trace to other processes, also when traces are
    /// [disabled](https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#general-sdk-configuration).
    pub propagators: Propagators,
    /// The program's own exporter, if the target is one.
    pub span_exporter: Option<SharedExporter>,
    /// What becomes of the context that comes with a request.
    pub incoming: Incoming,
    /// The names of baggage entries that become attributes of spans.
    pub baggage_attributes: Vec<String>,
    /// How often the pipeline's own metrics are sent; `None` = not at all.
    pub metrics_interval: Option<Duration>,
    /// The URL that they are posted to; `None` without a collector. It may hold a secret.
    pub metrics_url: Option<String>,
    /// How long the last flush may take when the handle is dropped.
    pub shutdown_timeout: Duration,
    /// The provider becomes the process-wide one.
    pub set_global: bool,
    /// The least severe diagnostics that are shown; `None` = the default, `info`.
    pub log_level: Option<LogLevel>,
    /// What was wrong or has no effect, one sentence each, for the log. Without secrets.
    pub diagnostics: Vec<String>,
    pub(in crate::hosted) variables: VariableUse,
}

/// What a start has to know of the variables.
#[derive(Clone, Debug, Default)]
pub(in crate::hosted) struct VariableUse {
    /// `enabled` is false in code, and nothing else stands in the way.
    pub(in crate::hosted) only_code_disables: bool,
    /// A variable asks for an exporter or an endpoint.
    pub(in crate::hosted) asks_for_collector: bool,
    /// The one that the URL is from.
    pub(in crate::hosted) endpoint: Option<&'static str>,
    /// Those that name files, and the files.
    pub(in crate::hosted) files: Vec<(&'static str, PathBuf)>,
}

impl Settings {
    /// Returns true if tracers record: traces are enabled and go somewhere.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.enabled && self.target != Target::None
    }

    /// When finished spans must leave the threads that recorded them: when a batch is due anywhere.
    pub(in crate::hosted) fn first_due(&self) -> BatchConfig {
        let mut first = self.exporter.batch;
        for further in &self.further {
            let batch = &further.exporter.batch;
            first.scheduled_delay = first.scheduled_delay.min(batch.scheduled_delay);
            first.max_export_batch_size =
                first.max_export_batch_size.min(batch.max_export_batch_size);
        }
        first
    }

    /// The names of all places that spans go to, for logs.
    #[must_use]
    pub fn targets(&self) -> String {
        let mut names = self.target.to_string();
        for further in &self.further {
            names.push_str(" and ");
            names.push_str(&further.target.to_string());
        }
        names
    }

    /// The time limit of one request; `None` = no limit.
    #[must_use]
    pub fn request_timeout(&self) -> Option<Duration> {
        let timeout = self.exporter.request_timeout;
        (!timeout.is_zero()).then_some(timeout)
    }
}

debug_struct!(Settings {
    enabled,
    target,
    further,
    stdout_format,
    protocol,
    headers => HeaderNames(headers),
    user_agent_prefix,
    compression,
    gzip_level,
    certificate,
    client_certificate,
    client_key,
    use_environment_proxy,
    allow_plaintext_credentials,
    refuse_plaintext_credentials,
    exporter,
    max_queue_size,
    buffer_bytes,
    shard_bytes,
    max_span_bytes,
    when_full,
    concurrent_exports,
    limits,
    sampler,
    id_generator => id_generator.as_ref().map(|_| "own"),
    processors => processors.len(),
    keep,
    resource,
    propagators,
    span_exporter,
    incoming,
    baggage_attributes,
    metrics_interval,
    metrics_url => metrics_url.as_deref().map(RedactedUrl),
    shutdown_timeout,
    set_global,
    log_level,
    diagnostics,
    variables,
});
