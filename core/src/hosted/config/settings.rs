//! What a configuration comes to.

use core::fmt;
use core::time::Duration;
use std::path::PathBuf;
use std::string::String;
use std::vec::Vec;

use super::debug::{HeaderNames, debug_struct};
use super::sampler::HostedSampler;
use crate::buffer::Overflow;
use crate::env::{Compression, LogLevel, Propagators, Protocol};
use crate::exporter::ExporterConfig;
use crate::hosted::diagnostics::RedactedUrl;
use crate::hosted::resource::HostedResource;
use crate::limits::SpanLimits;

/// Where spans go.
///
/// The first of these that applies, each asking for OTLP over HTTP unless it says otherwise:
///
/// 1. [`endpoint`](super::Config::endpoint) in code. `OTEL_TRACES_EXPORTER` is not obeyed then.
/// 2. `OTEL_TRACES_EXPORTER`: `console` and `otlp/stdout` are the standard output, `none` is
///    nowhere, `otlp` goes to the endpoint of the variables, else to `http://localhost:4318`.
/// 3. An endpoint among the variables. If it is of no use, spans go to `http://localhost:4318`
///    and not to the standard output, which nobody asked for.
/// 4. Nothing at all: the standard output.
///
/// `Debug` shows no credentials.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// A collector, by OTLP over HTTP.
    Otlp {
        /// The URL to post to, path and query included, for requests only: the query may be a
        /// secret.
        url: String,
        /// `scheme://host:port`, for logs.
        origin: String,
    },
    /// OTLP/JSON lines on the standard output.
    Stdout {
        /// Span by span (`console`) and not in batches.
        immediate: bool,
    },
    /// Nowhere: tracers record nothing.
    None,
}

/// The name of the place, for logs.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Otlp { origin, .. } => origin,
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
            Self::None => f.write_str("None"),
        }
    }
}

/// Every setting of a pipeline, checked and without gaps: from
/// [`Config::resolve`](super::Config::resolve).
///
/// `Debug` shows no header value and no credentials.
#[derive(Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Whether the program and its operator want traces. See also
    /// [`is_recording`](Self::is_recording).
    pub enabled: bool,
    /// Where spans go.
    pub target: Target,
    /// How they are encoded.
    pub protocol: Protocol,
    /// Headers of every request: good ones, each name once.
    pub headers: Vec<(String, String)>,
    /// How requests are compressed.
    pub compression: Compression,
    /// The level of gzip, 0 to 9; `None`: made for spans.
    pub gzip_level: Option<u32>,
    /// A PEM file of the authorities to trust; `None` = the transport's roots.
    pub certificate: Option<PathBuf>,
    /// A PEM file of our certificate chain; there is a `client_key` exactly when there is this.
    pub client_certificate: Option<PathBuf>,
    /// A PEM file of our private key.
    pub client_key: Option<PathBuf>,
    /// Whether to go through the proxy that the environment names.
    pub use_environment_proxy: bool,
    /// Whether credentials may cross a network in clear text.
    pub allow_plaintext_credentials: bool,
    /// The settings of the exporter, valid, with a seed of its own.
    pub exporter: ExporterConfig,
    /// The most finished spans that wait to be sent.
    pub max_queue_size: u32,
    /// The bytes of finished spans that wait to be sent.
    pub buffer_bytes: usize,
    /// The bytes of finished spans in each recording thread.
    pub shard_bytes: usize,
    /// The bytes in which one live span is recorded.
    pub max_span_bytes: usize,
    /// Which spans are lost when there is no room.
    pub overflow: Overflow,
    /// What one span may hold.
    pub limits: SpanLimits,
    /// Which spans are recorded.
    pub sampler: HostedSampler,
    /// What is known about this process.
    pub resource: HostedResource,
    /// What is propagated, also when traces are disabled (checklist C-004).
    pub propagators: Propagators,
    /// How long the last flush may take when the handle is dropped.
    pub shutdown_timeout: Duration,
    /// Whether the provider becomes that of the process.
    pub set_global: bool,
    /// The least severe diagnostics that are shown; `None` = the default, `info`.
    pub log_level: Option<LogLevel>,
    /// What was wrong or in vain, one sentence each, for the log. Without secrets.
    pub diagnostics: Vec<String>,
}

impl Settings {
    /// Whether tracers record: traces are enabled, and go somewhere.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.enabled && self.target != Target::None
    }

    /// The time limit of one request; `None` = without limit.
    #[must_use]
    pub fn request_timeout(&self) -> Option<Duration> {
        let timeout = self.exporter.request_timeout;
        (!timeout.is_zero()).then_some(timeout)
    }
}

debug_struct!(Settings {
    enabled,
    target,
    protocol,
    headers => HeaderNames(headers),
    compression,
    gzip_level,
    certificate,
    client_certificate,
    client_key,
    use_environment_proxy,
    allow_plaintext_credentials,
    exporter,
    max_queue_size,
    buffer_bytes,
    shard_bytes,
    max_span_bytes,
    overflow,
    limits,
    sampler,
    resource,
    propagators,
    shutdown_timeout,
    set_global,
    log_level,
    diagnostics,
});
