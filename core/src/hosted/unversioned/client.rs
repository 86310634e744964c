//! The common part of the transports' HTTP clients: why one cannot be built, and what its I/O errors
//! mean.
//!
//! ```
//! use spandrel_core::hosted::unversioned::client::{is_disconnect, io_failure};
//! use spandrel_core::response::TransportError;
//! use std::io::ErrorKind;
//!
//! assert_eq!(io_failure(ErrorKind::ConnectionRefused, false), Some(TransportError::Connect));
//! assert!(is_disconnect(ErrorKind::BrokenPipe));
//! ```

use core::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::string::String;

use crate::hosted::config::{HttpSettings, HttpSettingsError, HttpTarget, Settings, VariableUse};
use crate::hosted::diagnostics::{Kind, Severity, report, report_cause, sanitise};
use crate::response::TransportError;

/// Why the HTTP client of a sender could not be built.
///
/// Neither `Display` nor `Debug` shows a header's value, credentials or a line of a key file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting is wrong, or a credential would leave this machine unencrypted.
    Settings(HttpSettingsError),
    /// A file of the TLS settings cannot be used.
    TlsFile {
        /// The file.
        path: PathBuf,
        /// The problem.
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
            Self::Settings(error) => error.fmt(f),
            Self::TlsFile { path, reason } => {
                let path = sanitise(&path.to_string_lossy());
                write!(f, "cannot use {path}: {reason}")
            }
            Self::Tls(reason) => write!(f, "invalid TLS settings: {reason}"),
            Self::Client(reason) => write!(f, "the HTTP client cannot be built: {reason}"),
        }
    }
}

impl core::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Settings(error) => Some(error),
            _ => None,
        }
    }
}

impl From<HttpSettingsError> for BuildError {
    fn from(error: HttpSettingsError) -> Self {
        Self::Settings(error)
    }
}

/// Why a request got no answer: the class for the machines, a text and a remedy for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The class.
    pub error: TransportError,
    /// What happened, redacted.
    pub text: String,
    /// What to do about it, beginning with a semicolon; empty if the class says it all.
    pub hint: &'static str,
}

impl Failure {
    /// A failure of which the class says what to do.
    #[must_use]
    pub fn new(error: TransportError, text: impl Into<String>) -> Self {
        Self {
            error,
            text: text.into(),
            hint: "",
        }
    }

    /// The same failure, given whether the whole request had been written: from then on it is a
    /// connection that was lost, because the server may hold the spans.
    #[must_use]
    pub const fn after(mut self, body_sent: bool) -> Self {
        self.error = after(self.error, body_sent);
        self
    }
}

/// Checks `settings`, and reports each header that is left out because it belongs to the protocol.
///
/// # Errors
///
/// [`BuildError::Settings`].
pub fn check(settings: &HttpSettings) -> Result<HttpTarget, BuildError> {
    let target = settings.check()?;
    for sentence in target.diagnostics() {
        let cause = sentence.as_str();
        report_cause(
            Kind::Config,
            Severity::Warn,
            cause,
            format_args!("{sentence}"),
        );
    }
    Ok(target)
}

/// Decides about a client that cannot be built at the start.
///
/// If a variable is to blame, this is reported, and the transport starts with a sender that builds
/// the client again before each request and sends nothing until that succeeds: a variable does not
/// stop a program, and nothing goes out without the trust that was asked for.
///
/// # Errors
///
/// `error`, if code is to blame.
pub fn postpone(settings: &Settings, error: BuildError) -> Result<(), BuildError> {
    let VariableUse {
        endpoint, files, ..
    } = &settings.variables;
    let blamed = match &error {
        BuildError::Settings(_) => None,
        BuildError::TlsFile { path, .. } => {
            let named = files.iter().find(|(_, file)| file == path);
            named.map(|(name, _)| *name)
        }
        BuildError::Tls(_) => files.first().map(|(name, _)| *name),
        BuildError::Client(_) => *endpoint,
    };
    let Some(name) = blamed else {
        return Err(error);
    };
    report_cause(
        Kind::ExporterCreation,
        Severity::Error,
        name,
        format_args!(
            "{name}: {error}; no span is sent until this is corrected, and it is tried again \
             before each request"
        ),
    );
    Ok(())
}

/// The URL of the proxy through which `target` is reached, or `None` for the direct way. Reports a
/// variable that names a proxy which cannot be used.
#[must_use]
pub fn proxy(settings: &HttpSettings, target: &HttpTarget) -> Option<String> {
    let lookup = |name: &str| std::env::var(name).ok();
    settings.proxy_for(target, lookup).unwrap_or_else(|name| {
        report(
            Kind::Config,
            Severity::Warn,
            format_args!(
                "{name} is no http or https URL; requests go to the collector directly; correct the \
                 variable, or turn `use_environment_proxy` off"
            ),
        );
        None
    })
}

/// Returns true if the peer ended the connection.
#[must_use]
pub const fn is_disconnect(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected
    )
}

/// The failure that an I/O error stands for, or `None` if its kind does not say. `body_sent` as in
/// [`TransportError`].
///
/// A network that becomes unreachable under a request is a connection that was lost.
#[must_use]
pub const fn io_failure(kind: ErrorKind, body_sent: bool) -> Option<TransportError> {
    match kind {
        ErrorKind::ConnectionRefused
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::AddrNotAvailable
        // By a firewall, here or on the way.
        | ErrorKind::PermissionDenied => Some(after(TransportError::Connect, body_sent)),
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Some(TransportError::Timeout { body_sent }),
        kind if is_disconnect(kind) => Some(TransportError::Reset { body_sent }),
        _ => None,
    }
}

/// The class of a failure, given whether the whole request had been written.
const fn after(class: TransportError, body_sent: bool) -> TransportError {
    match class {
        TransportError::Connect | TransportError::Tls | TransportError::Other if body_sent => {
            TransportError::Reset { body_sent }
        }
        class => class,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_errors_are_classed() {
        const BODY_SENT: bool = true;
        let reset = Some(TransportError::Reset {
            body_sent: BODY_SENT,
        });
        let timeout = Some(TransportError::Timeout {
            body_sent: BODY_SENT,
        });
        for (kind, failure) in [
            (ErrorKind::HostUnreachable, reset),
            (ErrorKind::PermissionDenied, reset),
            (ErrorKind::NetworkUnreachable, reset),
            (ErrorKind::ConnectionReset, reset),
            (ErrorKind::BrokenPipe, reset),
            (ErrorKind::UnexpectedEof, reset),
            (ErrorKind::TimedOut, timeout),
            (ErrorKind::OutOfMemory, None),
        ] {
            assert_eq!(io_failure(kind, BODY_SENT), failure, "{kind:?}");
        }
        for kind in [
            ErrorKind::ConnectionRefused,
            ErrorKind::HostUnreachable,
            ErrorKind::NetworkUnreachable,
            ErrorKind::PermissionDenied,
        ] {
            let connect = Some(TransportError::Connect);
            assert_eq!(io_failure(kind, false), connect, "{kind:?}");
        }
    }
}
