//! Further destinations: places that get every span besides the first one.

use core::fmt;
use core::time::Duration;
use std::path::PathBuf;
use std::string::String;
use std::vec::Vec;

use super::debug::{HeaderNames, debug_struct};
use super::stdout_format::StdoutFormat;
use crate::env::{Compression, Protocol};
use crate::hosted::diagnostics::RedactedUrl;
use crate::hosted::export::SharedExporter;

/// A place that gets every span besides the [first one](super::Target), for
/// [`Config::further_destinations`](super::Config::further_destinations).
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
    pub(super) place: Place,
    /// Headers of every request, as [`Config::headers`](super::Config::headers).
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
pub(super) enum Place {
    Collector(String),
    Exporter(SharedExporter),
    Stdout(StdoutFormat),
    /// Span by span.
    Console,
}

impl FurtherDestination {
    /// A collector: `host:port` or a base URL, as
    /// [`Config::endpoint`](super::Config::endpoint). An empty one is an error.
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
