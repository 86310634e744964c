//! Mistakes in the configuration of the code.

use core::error::Error;
use core::fmt;
use std::boxed::Box;
use std::string::String;

use crate::env::{EndpointErrorKind, HeaderProblemKind};
use crate::exporter::ConfigError;
use crate::hosted::diagnostics::sanitise;

/// A field of a [`Config`](super::Config) that no pipeline can run with. `Display` names the field,
/// says what is wrong with it and what to do; neither `Display` nor `Debug` shows credentials or
/// the value of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsError {
    /// `endpoint` is neither `host:port` nor an `http` or `https` URL.
    Endpoint {
        /// What is wrong with it.
        problem: EndpointErrorKind,
        /// The text, unless it may contain credentials.
        text: Option<String>,
    },
    /// A member of `headers` cannot be sent.
    Header {
        /// Its position, the first being 1.
        number: usize,
        /// Its name, unless the name is what is wrong: it may be a piece of a secret.
        name: Option<String>,
        /// What is wrong with it.
        problem: HeaderProblemKind,
    },
    /// `client_certificate` without `client_key`.
    CertificateWithoutKey,
    /// `client_key` without `client_certificate`.
    KeyWithoutCertificate,
    /// `max_queue_size` is zero.
    ZeroQueueSize,
    /// `gzip_level` is above 9.
    GzipLevel(u32),
    /// `concurrent_exports` is zero or above
    /// [`MAX_CONCURRENT_EXPORTS`](super::MAX_CONCURRENT_EXPORTS).
    ConcurrentExports(u32),
    /// One of `further_destinations` is wrong.
    Further {
        /// Its position, the first being 1.
        number: usize,
        /// What is wrong with it.
        error: Box<SettingsError>,
    },
    /// `metrics_interval` is zero.
    MetricsInterval,
    /// `max_span_bytes` cannot hold the fixed part of a span.
    SpanTooSmall {
        /// The size that the field asks for.
        bytes: usize,
        /// The smallest size that works.
        least: usize,
    },
    /// A place that spans pass through cannot hold a single one of `max_span_bytes`.
    SpanTooLarge {
        /// The name of the place's field.
        field: &'static str,
        /// The field's value, or its default.
        bytes: usize,
        /// The bytes that a span of `max_span_bytes` takes there.
        needed: usize,
    },
    /// The batch, `backoff`, `breaker` or `max_request_bytes` is out of its range.
    Exporter(ConfigError),
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint { problem, text } => {
                f.write_str("endpoint: ")?;
                match text {
                    Some(text) => write!(f, "\"{}\" {problem}", sanitise(text))?,
                    None => write!(f, "the text, which may hold credentials, {problem}")?,
                }
                f.write_str(
                    "; give host:port or an http or https URL, or leave it empty to ask the \
                     environment",
                )
            }
            Self::Header {
                number,
                name,
                problem,
            } => {
                write!(f, "headers: member {number} ")?;
                if let Some(name) = name {
                    write!(f, "(\"{}\") ", sanitise(name))?;
                }
                write!(f, "{problem}; correct it or leave it out")
            }
            Self::CertificateWithoutKey => f.write_str(
                "client_certificate: there is no client_key with it; give the private key of the \
                 certificate, or leave out both",
            ),
            Self::KeyWithoutCertificate => f.write_str(
                "client_key: there is no client_certificate with it; give the certificate of the \
                 key, or leave out both",
            ),
            Self::ZeroQueueSize => {
                f.write_str("max_queue_size: must be at least 1; leave it out for 2048")
            }
            Self::ConcurrentExports(asked) => write!(
                f,
                "concurrent_exports: {asked} is not from 1 to {}; leave it out for one request \
                 after the other",
                crate::exporter::MAX_CONCURRENT_EXPORTS
            ),
            Self::Further { number, error } => {
                write!(f, "further_destinations: member {number}: {error}")
            }
            Self::MetricsInterval => {
                f.write_str("metrics_interval is zero; leave it out to send no metrics")
            }
            Self::GzipLevel(level) => write!(
                f,
                "gzip_level: {level} is above 9; give 1 (fastest) to 9 (smallest), or set \
                 compression to none"
            ),
            Self::SpanTooSmall { bytes, least } => write!(
                f,
                "max_span_bytes: {bytes} cannot hold the fixed part of a span; give at least \
                 {least}, and about 1024 for spans with attributes"
            ),
            Self::SpanTooLarge {
                field,
                bytes,
                needed,
            } => write!(
                f,
                "{field}: {bytes} cannot hold one span of max_span_bytes; raise it to at least \
                 {needed}, or lower max_span_bytes"
            ),
            Self::Exporter(error) => {
                let (field, remedy) = match error {
                    ConfigError::Backoff(_) => ("backoff: ", "BackoffConfig::DEFAULT"),
                    ConfigError::Breaker(_) => ("breaker: ", "BreakerConfig::DEFAULT"),
                    _ => return write!(f, "{error}; leave it out for the default"),
                };
                write!(f, "{field}{error}; start from {remedy}")
            }
        }
    }
}

impl Error for SettingsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Exporter(error) => Some(error),
            Self::Further { error, .. } => Some(error.as_ref()),
            _ => None,
        }
    }
}
