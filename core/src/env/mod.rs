//! Configuration from [`OTEL_*` variables], without an environment.
//!
//! The specification names its settings as environment variables. A device has no environment, but
//! it has the same need: a section of flash, a line from a provisioning tool. So the rules are one
//! pure function over a look-up closure, [`from_lookup`].
//!
//! - A variable that is unset or empty gives `None`, and the caller's default applies. Code comes
//!   before the environment, the environment before the default.
//! - A bad value becomes a [`Diagnostic`] and counts as unset; it never stops a program. A bad
//!   `OTEL_EXPORTER_OTLP_TRACES_*` therefore falls through to its generic variable.
//! - A good `OTEL_EXPORTER_OTLP_TRACES_*` replaces the generic variable; the two are never merged.
//! - Nothing is copied: text is borrowed from the look-up, lists are decoded while they are
//!   iterated, and the work is linear in the length of the text.
//! - No header value and no user name or password of a URL appears in any `Debug` or `Display`
//!   output of this module.
//!
//! [`OTEL_*` variables]: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
//!
//! ```
//! use spandrel_core::env::{self, Compression, Endpoint};
//!
//! let variables = [
//!     ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example/otlp"),
//!     ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
//!     ("OTEL_BSP_SCHEDULE_DELAY", "abc"),
//! ];
//! let (env, diagnostics) = env::from_lookup(|name| {
//!     variables.iter().find(|(n, _)| *n == name).map(|(_, value)| *value)
//! });
//!
//! let mut url = String::new();
//! env.endpoint.unwrap_or(Endpoint::DEFAULT).write_url(&mut url)?;
//! assert_eq!(url, "https://collector.example/otlp/v1/traces");
//! assert_eq!(env.compression, Some(Compression::Gzip));
//! assert_eq!(env.schedule_delay, None);
//! let said: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
//! assert_eq!(said, [
//!     "OTEL_BSP_SCHEDULE_DELAY: \"abc\" is not a whole number of milliseconds; \
//!      using the default 5000"
//! ]);
//! # Ok::<(), core::fmt::Error>(())
//! ```

mod choice;
mod diagnostic;
mod endpoint;
mod headers;
mod parse;
mod percent;
mod resource;
mod url;
mod variable;

use core::time::Duration;

pub use choice::{
    Compression, LogLevel, PropagatorName, Propagators, Protocol, SamplerChoice, Timeout,
    TracesExporter, TracesExporters,
};
pub use diagnostic::{Diagnostic, DiagnosticKind, Diagnostics};
pub use endpoint::{Endpoint, EndpointError, GRPC_PORT};
pub use headers::{
    HeaderIter, HeaderProblem, HeaderProblemKind, Headers, MAX_HEADERS, RESERVED_HEADERS,
    is_header_name, is_header_value, is_reserved_header,
};
#[cfg(feature = "std")]
pub(crate) use headers::{check_key, check_value};
pub use percent::{PercentBytes, PercentChars, PercentDecoded};
pub use resource::{ResourceAttributeIter, ResourceAttributes, ResourceProblem};
pub use url::{DEFAULT_PORT, EndpointErrorKind, Scheme};
pub use variable::VARIABLES;

use parse::Reader;
use variable as var;

/// The [default] of `OTEL_BSP_MAX_QUEUE_SIZE`, in spans.
///
/// [default]: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#batch-span-processor
pub const DEFAULT_MAX_QUEUE_SIZE: u32 = 2048;
/// The [default] of `OTEL_BSP_MAX_EXPORT_BATCH_SIZE`, in spans.
///
/// [default]: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#batch-span-processor
pub const DEFAULT_MAX_EXPORT_BATCH_SIZE: u32 = 512;

/// The settings that the variables make, one field each. `None` means unset: the caller's default
/// applies.
///
/// Of each pair `OTEL_EXPORTER_OTLP_*` and `OTEL_EXPORTER_OTLP_TRACES_*`, the field holds the one
/// that applies. `Debug` output shows neither header values nor credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct EnvConfig<'a> {
    /// `OTEL_SDK_DISABLED`: record and export nothing. Propagators still work.
    pub sdk_disabled: Option<bool>,
    /// `OTEL_LOG_LEVEL`: the level of the pipeline's own diagnostics.
    pub log_level: Option<LogLevel>,
    /// `OTEL_SERVICE_NAME`, as written.
    pub service_name: Option<&'a str>,
    /// `OTEL_RESOURCE_ATTRIBUTES`; a resource given in code wins over it. Its `service.name` is
    /// left out when `service_name` is set.
    pub resource_attributes: Option<ResourceAttributes<'a>>,
    /// `OTEL_EXPERIMENTAL_RESOURCE_DETECTORS`, as written: names between commas.
    pub resource_detectors: Option<&'a str>,
    /// `OTEL_PROPAGATORS`.
    pub propagators: Option<Propagators>,
    /// `OTEL_TRACES_SAMPLER` with `OTEL_TRACES_SAMPLER_ARG`.
    pub sampler: Option<SamplerChoice>,
    /// `OTEL_TRACES_EXPORTER`, of a list the first destination: `otlp` if it is among them.
    pub traces_exporter: Option<TracesExporter>,
    /// The other destinations of such a list.
    pub further_exporters: TracesExporters,

    /// `OTEL_EXPORTER_OTLP_ENDPOINT` or `.._TRACES_ENDPOINT`.
    pub endpoint: Option<Endpoint<'a>>,
    /// `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT`: where metrics about the pipeline go.
    pub metrics_endpoint: Option<Endpoint<'a>>,
    /// `OTEL_EXPORTER_OTLP_PROTOCOL` or `.._TRACES_PROTOCOL`.
    pub protocol: Option<Protocol>,
    /// `OTEL_EXPORTER_OTLP_HEADERS` or `.._TRACES_HEADERS`.
    pub headers: Option<Headers<'a>>,
    /// `OTEL_EXPORTER_OTLP_TIMEOUT` or `.._TRACES_TIMEOUT`, for one export.
    pub timeout: Option<Timeout>,
    /// `OTEL_EXPORTER_OTLP_COMPRESSION` or `.._TRACES_COMPRESSION`.
    pub compression: Option<Compression>,
    /// `OTEL_EXPORTER_OTLP_CERTIFICATE` or `.._TRACES_CERTIFICATE`: the path of the trusted
    /// certificate authority.
    pub certificate: Option<&'a str>,
    /// `OTEL_EXPORTER_OTLP_CLIENT_KEY` or `.._TRACES_CLIENT_KEY`: the path of the private key. Set
    /// only together with `client_certificate`.
    pub client_key: Option<&'a str>,
    /// `OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE` or `.._TRACES_CLIENT_CERTIFICATE`: the path of the
    /// certificate chain. Set only together with `client_key`.
    pub client_certificate: Option<&'a str>,

    /// `OTEL_BSP_SCHEDULE_DELAY`; zero means no delay.
    pub schedule_delay: Option<Duration>,
    /// `OTEL_BSP_EXPORT_TIMEOUT`.
    pub export_timeout: Option<Timeout>,
    /// `OTEL_BSP_MAX_QUEUE_SIZE`, in spans, never zero.
    pub max_queue_size: Option<u32>,
    /// `OTEL_BSP_MAX_EXPORT_BATCH_SIZE`, in spans, never zero and never more than `max_queue_size`
    /// or its default. Where code sets the queue, or this is `None`, [`batch_size_within`] gives
    /// the size to use.
    pub max_export_batch_size: Option<u32>,

    /// `OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT`, in characters.
    pub attribute_value_length_limit: Option<u32>,
    /// `OTEL_ATTRIBUTE_COUNT_LIMIT`.
    pub attribute_count_limit: Option<u32>,
    /// `OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT`, in characters; if unset, the general one.
    pub span_attribute_value_length_limit: Option<u32>,
    /// `OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT`; if unset, the general one.
    pub span_attribute_count_limit: Option<u32>,
    /// `OTEL_SPAN_EVENT_COUNT_LIMIT`.
    pub span_event_count_limit: Option<u32>,
    /// `OTEL_SPAN_LINK_COUNT_LIMIT`.
    pub span_link_count_limit: Option<u32>,
    /// `OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT`; if unset, the general one.
    pub event_attribute_count_limit: Option<u32>,
    /// `OTEL_LINK_ATTRIBUTE_COUNT_LIMIT`; if unset, the general one.
    pub link_attribute_count_limit: Option<u32>,
}

/// Reads the variables of [`VARIABLES`] through `lookup`, each at most a few times.
///
/// `lookup` returns the text of a variable, or `None` when it is unset.
#[must_use]
pub fn from_lookup<'a>(
    lookup: impl Fn(&str) -> Option<&'a str>,
) -> (EnvConfig<'a>, Diagnostics<'a>) {
    let mut reader = Reader::new(&lookup);
    let config = read(&mut reader);
    (config, reader.diagnostics)
}

/// Returns the batch size to use with a queue of `queue` spans: `batch` if it fits, else the
/// smaller of the default and the queue.
#[must_use]
pub const fn batch_size_within(batch: Option<u32>, queue: u32) -> u32 {
    match batch {
        Some(batch) if batch <= queue => batch,
        _ if DEFAULT_MAX_EXPORT_BATCH_SIZE < queue => DEFAULT_MAX_EXPORT_BATCH_SIZE,
        _ => queue,
    }
}

fn read<'a>(from: &mut Reader<'_, 'a>) -> EnvConfig<'a> {
    let service_name = from.text(&var::SERVICE_NAME);
    let max_queue_size = from.positive(&var::BSP_MAX_QUEUE_SIZE);
    let endpoint = endpoint(from);
    let (client_key, client_certificate) = client_identity(from);
    let value_length = from.count(&var::ATTRIBUTE_VALUE_LENGTH_LIMIT);
    let count = from.count(&var::ATTRIBUTE_COUNT_LIMIT);
    if let Some(path) = from.text(&var::CONFIG_FILE) {
        from.warn(&var::CONFIG_FILE, DiagnosticKind::ConfigFile, Some(path));
    }
    let (traces_exporter, further_exporters) = choice::read_exporters(from);
    EnvConfig {
        sdk_disabled: from.boolean(&var::SDK_DISABLED),
        log_level: from.choice(&var::LOG_LEVEL, LogLevel::NAMES),
        service_name,
        resource_attributes: resource_attributes(from, service_name.is_some()),
        resource_detectors: from.text(&var::RESOURCE_DETECTORS),
        propagators: choice::read_propagators(from),
        sampler: choice::read_sampler(from),
        traces_exporter,
        further_exporters,
        endpoint,
        metrics_endpoint: endpoint_of(from, &var::METRICS_ENDPOINT, url::Form::Exact),
        protocol: from.either(&var::PROTOCOL, |from, variable| {
            from.choice(variable, Protocol::NAMES)
        }),
        headers: headers(from, endpoint),
        timeout: from
            .either(&var::TIMEOUT, Reader::number)
            .map(Timeout::from_millis),
        compression: from.either(&var::COMPRESSION, |from, variable| {
            from.choice(variable, Compression::NAMES)
        }),
        certificate: from.either(&var::CERTIFICATE, |from, variable| from.text(variable)),
        client_key,
        client_certificate,
        schedule_delay: from
            .number(&var::BSP_SCHEDULE_DELAY)
            .map(Duration::from_millis),
        export_timeout: from
            .number(&var::BSP_EXPORT_TIMEOUT)
            .map(Timeout::from_millis),
        max_queue_size,
        max_export_batch_size: batch_size(from, max_queue_size),
        attribute_value_length_limit: value_length,
        attribute_count_limit: count,
        span_attribute_value_length_limit: from
            .count(&var::SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT)
            .or(value_length),
        span_attribute_count_limit: from.count(&var::SPAN_ATTRIBUTE_COUNT_LIMIT).or(count),
        span_event_count_limit: from.count(&var::SPAN_EVENT_COUNT_LIMIT),
        span_link_count_limit: from.count(&var::SPAN_LINK_COUNT_LIMIT),
        event_attribute_count_limit: from.count(&var::EVENT_ATTRIBUTE_COUNT_LIMIT).or(count),
        link_attribute_count_limit: from.count(&var::LINK_ATTRIBUTE_COUNT_LIMIT).or(count),
    }
}

/// A URL that cannot be used counts as unset: only code that names a bad URL gets an error.
fn endpoint<'a>(from: &mut Reader<'_, 'a>) -> Option<Endpoint<'a>> {
    from.either(&var::ENDPOINT, |from, variable| {
        let form = if *variable == var::TRACES_ENDPOINT {
            url::Form::Exact
        } else {
            url::Form::Base
        };
        endpoint_of(from, variable, form)
    })
}

fn endpoint_of<'a>(
    from: &mut Reader<'_, 'a>,
    variable: &'static var::Variable,
    form: url::Form,
) -> Option<Endpoint<'a>> {
    let text = from.word(variable)?;
    match Endpoint::parse(text, form, variable, &mut from.diagnostics) {
        Ok(endpoint) => Some(endpoint),
        Err(error) => {
            let kind = DiagnosticKind::Endpoint(error.kind());
            from.warn(variable, kind, error.value());
            None
        }
    }
}

/// Headers that will cross a network in clear text are sent, because writing `http://` is an
/// explicit choice, but with a diagnostic.
fn headers<'a>(from: &mut Reader<'_, 'a>, endpoint: Option<Endpoint<'a>>) -> Option<Headers<'a>> {
    from.either(&var::HEADERS, |from, variable| {
        let headers = Headers::new(from.text(variable)?);
        for problem in headers.problems() {
            let kind = DiagnosticKind::Header(problem.kind(), problem.number());
            from.warn(variable, kind, problem.key());
        }
        let in_clear = endpoint.is_some_and(|endpoint| endpoint.is_plaintext_remote());
        if in_clear && headers.iter().next().is_some() {
            from.warn(variable, DiagnosticKind::HeadersInClear, None);
        }
        Some(headers)
    })
}

/// A key without its certificate, or the reverse, cannot identify a client.
fn client_identity<'a>(from: &mut Reader<'_, 'a>) -> (Option<&'a str>, Option<&'a str>) {
    let read = |from: &mut Reader<'_, 'a>, variable| Some((variable, from.text(variable)?));
    let key = from.either(&var::CLIENT_KEY, read);
    let certificate = from.either(&var::CLIENT_CERTIFICATE, read);
    let (variable, path, kind) = match (key, certificate) {
        (Some((_, key)), Some((_, certificate))) => return (Some(key), Some(certificate)),
        (Some((variable, path)), None) => (variable, path, DiagnosticKind::KeyWithoutCertificate),
        (None, Some((variable, path))) => (variable, path, DiagnosticKind::CertificateWithoutKey),
        (None, None) => return (None, None),
    };
    from.warn(variable, kind, Some(path));
    (None, None)
}

fn resource_attributes<'a>(
    from: &mut Reader<'_, 'a>,
    service_name_is_set: bool,
) -> Option<ResourceAttributes<'a>> {
    let text = from.text(&var::RESOURCE_ATTRIBUTES)?;
    match ResourceAttributes::parse(text) {
        Ok(attributes) if service_name_is_set => Some(attributes.without_service_name()),
        Ok(attributes) => Some(attributes),
        Err(problem) => {
            let kind = DiagnosticKind::Resource(problem);
            from.warn(&var::RESOURCE_ATTRIBUTES, kind, Some(text));
            None
        }
    }
}

fn batch_size(from: &mut Reader<'_, '_>, queue: Option<u32>) -> Option<u32> {
    let batch = from.positive(&var::BSP_MAX_EXPORT_BATCH_SIZE)?;
    let queue = queue.unwrap_or(DEFAULT_MAX_QUEUE_SIZE);
    let used = batch_size_within(Some(batch), queue);
    if used != batch {
        let text = from.word(&var::BSP_MAX_EXPORT_BATCH_SIZE);
        let kind = DiagnosticKind::BatchOverQueue { queue, used };
        from.warn(&var::BSP_MAX_EXPORT_BATCH_SIZE, kind, text);
    }
    Some(used)
}
