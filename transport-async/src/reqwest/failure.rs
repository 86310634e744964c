//! What a failure of the client means: its class for the machines, its text for people.

use std::borrow::ToOwned;
use std::error::Error;
use std::format;
use std::io;
use std::string::{String, ToString};

use spandrel_core::hosted::diagnostics::sanitise;
use spandrel_core::response::TransportError;

use super::client::{Connection, DnsFailure};

/// Translates the client's error. The text is redacted: the client's own one names the URL.
pub(super) fn translate(
    error: &::reqwest::Error,
    connection: &Connection,
) -> (TransportError, String) {
    let body_sent = connection.body_sent();
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(found) = known(cause, connection, body_sent) {
            return found;
        }
        next = cause.source();
    }
    if error.is_timeout() {
        let phase = if error.is_connect() {
            "connecting"
        } else {
            "waiting for the answer"
        };
        let class = TransportError::Timeout { body_sent };
        return (class, format!("timeout: {phase}"));
    }
    if error.is_connect() {
        return (TransportError::Connect, "connection failed".to_owned());
    }
    let text = "the request could not be made".to_owned();
    (TransportError::Other, text)
}

fn known(
    cause: &(dyn Error + 'static),
    connection: &Connection,
    body_sent: bool,
) -> Option<(TransportError, String)> {
    if let Some(dns) = cause.downcast_ref::<DnsFailure>() {
        return Some((TransportError::Dns, sanitise(&dns.to_string())));
    }
    if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
        return Some(tls_failure(tls));
    }
    if let Some(hyper) = cause.downcast_ref::<hyper::Error>() {
        if hyper.is_parse() {
            // Its text can quote the server.
            let text = "malformed HTTP answer".to_owned();
            return Some((TransportError::Protocol, text));
        }
        if hyper.is_incomplete_message() || hyper.is_canceled() || hyper.is_closed() {
            let text = "the connection ended before an answer".to_owned();
            return Some((lost(connection, body_sent), text));
        }
    }
    let error = cause.downcast_ref::<io::Error>()?;
    // The source of such an error is the source of what it wraps: that itself is skipped.
    let inner = error.get_ref();
    if let Some(found) = inner.and_then(|inner| known(inner, connection, body_sent)) {
        return Some(found);
    }
    use io::ErrorKind as K;
    let class = match error.kind() {
        K::ConnectionRefused
        | K::HostUnreachable
        | K::NetworkUnreachable
        | K::NetworkDown
        | K::AddrNotAvailable => TransportError::Connect,
        K::TimedOut => TransportError::Timeout { body_sent },
        K::UnexpectedEof
        | K::ConnectionReset
        | K::ConnectionAborted
        | K::BrokenPipe
        | K::NotConnected => lost(connection, body_sent),
        _ if error.get_ref().is_some() => return None,
        _ => TransportError::Other,
    };
    Some((class, sanitise(&error.to_string())))
}

/// A kept connection that dies without an answer was closed by the server while it was idle (fault
/// catalogue N8); the machine repeats the request once, at once.
fn lost(connection: &Connection, body_sent: bool) -> TransportError {
    if connection.is_reused() {
        TransportError::Stale
    } else {
        TransportError::Reset { body_sent }
    }
}

fn tls_failure(error: &rustls::Error) -> (TransportError, String) {
    use rustls::AlertDescription as A;
    let class = match error {
        rustls::Error::InvalidCertificate(_)
        | rustls::Error::NoCertificatesPresented
        | rustls::Error::InvalidCertRevocationList(_)
        // The server's view of our certificate.
        | rustls::Error::AlertReceived(
            A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::CertificateRequired
            | A::UnknownCA
            | A::AccessDenied,
        ) => TransportError::Certificate,
        _ => TransportError::Tls,
    };
    (class, sanitise(&format!("TLS: {error}")))
}
