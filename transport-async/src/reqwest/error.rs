//! What can go wrong when tracing is started.
//!
//! No text in here contains a header's value, a URL's credentials or a line of a key file (fault
//! catalogue G4).

use std::path::PathBuf;
use std::string::String;
use std::{error, fmt};

use spandrel_core::hosted::config::SettingsError;
use spandrel_core::hosted::diagnostics::sanitise;
use spandrel_core::hosted::unversioned::pipeline::PipelineError;

/// Why the HTTP client could not be built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// The endpoint is not a URL that requests can go to (fault catalogue G2).
    Endpoint,
    /// A configured header cannot be sent (fault catalogue G1).
    Header {
        /// Its name, escaped.
        name: String,
    },
    /// A header that looks like a credential would leave this host unencrypted; see
    /// `Config::allow_plaintext_credentials` (fault catalogue G2).
    PlaintextCredentials {
        /// The header's name, or `userinfo` for credentials in the URL.
        name: String,
    },
    /// A file of the TLS settings cannot be used (checklist B-015..B-017).
    TlsFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The TLS settings do not fit together.
    Tls(&'static str),
    /// The client refused its settings.
    Client(String),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint => f.write_str("invalid endpoint: not a URL"),
            Self::Header { name } => write!(
                f,
                "invalid header `{name}`: the name or the value has a character that a header \
                 cannot carry"
            ),
            Self::PlaintextCredentials { name } => {
                write!(f, "`{name}` would be sent unencrypted to another host")
            }
            Self::TlsFile { path, reason } => write!(
                f,
                "cannot use {}: {reason}",
                sanitise(&path.to_string_lossy())
            ),
            Self::Tls(reason) => write!(f, "invalid TLS settings: {reason}"),
            Self::Client(reason) => write!(f, "the HTTP client cannot be built: {reason}"),
        }
    }
}

impl error::Error for BuildError {}

/// Why tracing could not be started. The program can go on without it.
#[derive(Debug)]
#[non_exhaustive]
pub enum InitError {
    /// A field of the configuration is wrong.
    Settings(SettingsError),
    /// The exporter cannot be built: a header, a certificate, an endpoint.
    Exporter(BuildError),
    /// What was configured does not fit together.
    Pipeline(PipelineError),
    /// There is no tokio runtime here: call `init` inside one, or enter one with
    /// `Handle::enter`.
    NoRuntime,
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed to create OTLP exporter: ")?;
        match self {
            Self::Settings(error) => error.fmt(f),
            Self::Exporter(error) => error.fmt(f),
            Self::Pipeline(error) => error.fmt(f),
            Self::NoRuntime => f.write_str("it was not called inside a tokio runtime"),
        }
    }
}

impl error::Error for InitError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Settings(error) => Some(error),
            Self::Exporter(error) => Some(error),
            Self::Pipeline(error) => Some(error),
            Self::NoRuntime => None,
        }
    }
}
