//! The meaning of a failure of the client: its class for the machines, its text for people.
//!
//! No text quotes a header's value, a URL's credentials or an answer; names in a certificate are
//! escaped.

use std::io;

use spandrel_core::hosted::diagnostics::sanitise;
use spandrel_core::hosted::unversioned::client::{Failure, io_failure};
use spandrel_core::hosted::unversioned::tls;
use spandrel_core::response::TransportError;

/// Translates the client's error.
pub(crate) fn translate(error: &ureq::Error, body_sent: bool) -> Failure {
    class_of(error, body_sent).after(body_sent)
}

fn class_of(error: &ureq::Error, body_sent: bool) -> Failure {
    let (class, text) = match error {
        ureq::Error::Io(error) => return translate_io(error, body_sent),
        ureq::Error::Rustls(error) => return tls::failure(error),
        ureq::Error::Timeout(phase) => {
            let text = format!("timeout: {}", phase_name(*phase));
            return Failure::new(TransportError::Timeout { body_sent }, text);
        }
        ureq::Error::HostNotFound => (TransportError::Dns, "the host has no address"),
        ureq::Error::ConnectionFailed => (TransportError::Connect, "connection failed"),
        ureq::Error::Tls(reason) => (TransportError::Tls, *reason),
        ureq::Error::TlsRequired | ureq::Error::Pem(_) => {
            (TransportError::Tls, "TLS could not be set up")
        }
        // Its text can quote the server.
        ureq::Error::Protocol(_) => (TransportError::Protocol, "malformed HTTP answer"),
        ureq::Error::LargeResponseHeader(..) => {
            (TransportError::Protocol, "the answer's head is too large")
        }
        ureq::Error::ConnectProxyFailed(_) => {
            (TransportError::Other, "the proxy refused the connection")
        }
        _ => (TransportError::Other, "the request could not be made"),
    };
    Failure::new(class, text)
}

fn translate_io(error: &io::Error, body_sent: bool) -> Failure {
    if let Some(error) = tls::find(error) {
        return tls::failure(error);
    }
    let inner = error.get_ref();
    if let Some(error) = inner.and_then(|e| e.downcast_ref::<ureq::Error>()) {
        return class_of(error, body_sent);
    }
    let class = io_failure(error.kind(), body_sent).unwrap_or(TransportError::Other);
    Failure::new(class, sanitise(&error.to_string()))
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
    fn an_io_error_says_what_happened_and_whether_the_body_was_sent() {
        let broken = translate(&ureq::Error::Io(io::ErrorKind::BrokenPipe.into()), true);
        assert_eq!(broken.error, TransportError::Reset { body_sent: true });
        let other = translate(&ureq::Error::Io(io::ErrorKind::OutOfMemory.into()), false);
        assert_eq!(other.error, TransportError::Other);
    }

    // fault X121
    #[test]
    fn whatever_fails_after_the_body_the_server_may_hold_the_spans() {
        for error in [
            ureq::Error::Io(io::ErrorKind::PermissionDenied.into()),
            ureq::Error::Io(io::ErrorKind::HostUnreachable.into()),
            ureq::Error::ConnectionFailed,
            ureq::Error::Rustls(rustls::Error::DecryptError),
        ] {
            assert!(translate(&error, true).error.possible_duplicate());
            assert!(!translate(&error, false).error.possible_duplicate());
        }
    }

    #[test]
    fn a_tls_error_inside_an_io_error_is_found() {
        let expired = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        let wrapped = io::Error::new(io::ErrorKind::InvalidData, expired);
        let failure = translate(&ureq::Error::Io(wrapped), false);
        assert_eq!(failure.error, TransportError::Certificate);
        assert!(failure.text.contains("Expired"), "{failure:?}");
    }
}
