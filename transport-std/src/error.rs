//! What can go wrong when a sender is built and when it sends.
//!
//! No text in here contains a header value, a URL's credentials or a byte of a response body
//! (fault catalogue G4); text that a peer can influence (names in a certificate) is escaped.

use std::io;
use std::path::PathBuf;
use std::{error, fmt};

use spandrel_core::hosted::diagnostics::sanitise;

use crate::headers::HeaderError;

/// Why a sender could not be built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// The endpoint is not an absolute `http` or `https` URL with a host and a port that is not
    /// zero (fault catalogue G2).
    Endpoint(&'static str),
    /// A configured header cannot be sent (fault catalogue G1).
    Header {
        /// Its name, escaped.
        name: String,
        /// What is wrong with it.
        reason: HeaderError,
    },
    /// A header that looks like a credential would leave this host unencrypted; see
    /// `SenderConfig::allow_plaintext_credentials` (fault catalogue G2).
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
    /// The proxy's URL cannot be used.
    Proxy,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(reason) => write!(f, "invalid endpoint: {reason}"),
            Self::Header { name, reason } => write!(f, "invalid header `{name}`: {reason}"),
            Self::PlaintextCredentials { name } => {
                write!(f, "`{name}` would be sent unencrypted to another host")
            }
            Self::TlsFile { path, reason } => {
                write!(
                    f,
                    "cannot use {}: {reason}",
                    sanitise(&path.to_string_lossy())
                )
            }
            Self::Tls(reason) => write!(f, "invalid TLS settings: {reason}"),
            Self::Proxy => f.write_str("invalid proxy URL"),
        }
    }
}

impl error::Error for BuildError {}

/// What kind of failure ended an attempt: what the classification table (`reliability.md` 4.3)
/// needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// The host name could not be resolved.
    Dns,
    /// No connection: refused, unreachable, or no address left to try.
    Refused,
    /// The TLS handshake or session failed for another reason than a certificate.
    Tls,
    /// A certificate was not accepted, by us or by the server: a configuration fault.
    Certificate,
    /// A deadline passed.
    Timeout,
    /// The connection ended before an answer.
    Reset,
    /// What came back is not HTTP, or its head is too large.
    Protocol,
    /// The answer's body is over the limit; not retryable (checklist A-022).
    ResponseTooLarge {
        /// The status that the answer had.
        status: u16,
    },
    /// [`Canceller::cancel`](crate::Canceller::cancel) was called.
    Cancelled,
    /// Anything else: no file descriptors left, a proxy's refusal.
    Other,
}

/// Why an attempt gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendError {
    class: ErrorClass,
    body_sent: bool,
    resent: bool,
    text: String,
}

impl SendError {
    pub(crate) fn new(class: ErrorClass, body_sent: bool, text: impl Into<String>) -> Self {
        Self {
            class,
            body_sent,
            resent: false,
            text: text.into(),
        }
    }

    pub(crate) fn resent(self, resent: bool) -> Self {
        Self { resent, ..self }
    }

    /// The kind of failure.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        self.class
    }

    /// Whether the whole request had left: the collector may have accepted it, and sending it
    /// again may duplicate its spans (fault catalogue N6).
    #[must_use]
    pub fn body_sent(&self) -> bool {
        self.body_sent
    }

    /// Whether the whole request had left once before on a kept connection that then died, so that
    /// the collector may have accepted it however this attempt ended.
    #[must_use]
    pub fn was_resent(&self) -> bool {
        self.resent
    }

    /// Translates the client's error.
    pub(crate) fn from_client(error: &ureq::Error, body_sent: bool) -> Self {
        let (class, text) = match error {
            ureq::Error::Io(e) => return Self::from_io(e, body_sent),
            ureq::Error::Rustls(e) => tls_failure(e),
            ureq::Error::Timeout(phase) => (
                ErrorClass::Timeout,
                format!("timeout: {}", phase_name(*phase)),
            ),
            ureq::Error::HostNotFound => (ErrorClass::Dns, "the host has no address".into()),
            ureq::Error::ConnectionFailed => (ErrorClass::Refused, "connection failed".into()),
            ureq::Error::Tls(reason) => (ErrorClass::Tls, (*reason).to_owned()),
            ureq::Error::TlsRequired | ureq::Error::Pem(_) => {
                (ErrorClass::Tls, "TLS could not be set up".into())
            }
            // Its text can quote the server.
            ureq::Error::Protocol(_) => (ErrorClass::Protocol, "malformed HTTP answer".into()),
            ureq::Error::LargeResponseHeader(..) => (
                ErrorClass::Protocol,
                "the answer's head is too large".into(),
            ),
            ureq::Error::ConnectProxyFailed(_) => {
                (ErrorClass::Other, "the proxy refused the connection".into())
            }
            _ => (ErrorClass::Other, "the request could not be made".into()),
        };
        Self::new(class, body_sent, text)
    }

    fn from_io(error: &io::Error, body_sent: bool) -> Self {
        let inner = error.get_ref();
        if let Some(tls) = inner.and_then(|e| e.downcast_ref::<rustls::Error>()) {
            let (class, text) = tls_failure(tls);
            return Self::new(class, body_sent, text);
        }
        if let Some(wrapped) = inner.and_then(|e| e.downcast_ref::<ureq::Error>()) {
            return Self::from_client(wrapped, body_sent);
        }
        use io::ErrorKind as K;
        let class = match error.kind() {
            K::ConnectionRefused
            | K::HostUnreachable
            | K::NetworkUnreachable
            | K::NetworkDown
            | K::AddrNotAvailable => ErrorClass::Refused,
            K::TimedOut | K::WouldBlock => ErrorClass::Timeout,
            _ if is_disconnect(error) => ErrorClass::Reset,
            _ => ErrorClass::Other,
        };
        Self::new(class, body_sent, sanitise(&error.to_string()))
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl error::Error for SendError {}

/// Whether the peer ended the connection.
pub(crate) fn is_disconnect(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::UnexpectedEof
            | K::ConnectionReset
            | K::ConnectionAborted
            | K::BrokenPipe
            | K::NotConnected
    )
}

fn tls_failure(error: &rustls::Error) -> (ErrorClass, String) {
    use rustls::AlertDescription as A;
    let class = match error {
        rustls::Error::InvalidCertificate(_)
        | rustls::Error::NoCertificatesPresented
        | rustls::Error::InvalidCertRevocationList(_) => ErrorClass::Certificate,
        // The server's view of our certificate.
        rustls::Error::AlertReceived(
            A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::CertificateRequired
            | A::UnknownCA
            | A::AccessDenied,
        ) => ErrorClass::Certificate,
        _ => ErrorClass::Tls,
    };
    (class, sanitise(&format!("TLS: {error}")))
}

fn phase_name(phase: ureq::Timeout) -> &'static str {
    match phase {
        ureq::Timeout::Resolve => "resolving the host name",
        ureq::Timeout::Connect => "connecting",
        ureq::Timeout::SendRequest | ureq::Timeout::SendBody => "sending the request",
        ureq::Timeout::RecvResponse => "waiting for the answer",
        ureq::Timeout::RecvBody => "reading the answer",
        _ => "the whole exchange",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_errors_are_classed() {
        use io::ErrorKind as K;
        for (kind, class) in [
            (K::ConnectionRefused, ErrorClass::Refused),
            (K::NetworkUnreachable, ErrorClass::Refused),
            (K::ConnectionReset, ErrorClass::Reset),
            (K::BrokenPipe, ErrorClass::Reset),
            (K::UnexpectedEof, ErrorClass::Reset),
            (K::TimedOut, ErrorClass::Timeout),
            (K::OutOfMemory, ErrorClass::Other),
        ] {
            let error = ureq::Error::Io(kind.into());
            assert_eq!(SendError::from_client(&error, false).class(), class);
        }
    }

    #[test]
    fn a_tls_error_inside_an_io_error_is_found() {
        let wrap =
            |e: rustls::Error| ureq::Error::Io(io::Error::new(io::ErrorKind::InvalidData, e));
        let expired = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        let error = SendError::from_client(&wrap(expired), false);
        assert_eq!(error.class(), ErrorClass::Certificate);
        assert!(error.to_string().contains("Expired"), "{error}");
        let refused = rustls::Error::AlertReceived(rustls::AlertDescription::UnknownCA);
        let error = SendError::from_client(&wrap(refused), false);
        assert_eq!(error.class(), ErrorClass::Certificate);
        let garbage = rustls::Error::DecryptError;
        let error = SendError::from_client(&wrap(garbage), true);
        assert_eq!(error.class(), ErrorClass::Tls);
        assert!(error.body_sent());
    }
}
