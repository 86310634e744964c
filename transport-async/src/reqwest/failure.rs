//! The meaning of a failure of the client: its class for the machines, its text for people.

use std::borrow::ToOwned;
use std::error::Error;
use std::format;
use std::io;
use std::string::{String, ToString};

use spandrel_core::hosted::diagnostics::sanitise;
use spandrel_core::hosted::unversioned::client::{Failure, io_failure};
use spandrel_core::hosted::unversioned::tls;
use spandrel_core::response::TransportError;

use super::client::{Connection, DnsFailure};

/// Translates the client's error. The text is redacted: the client's own names the URL.
pub(super) fn translate(error: &::reqwest::Error, connection: &Connection) -> Failure {
    let body_sent = connection.body_sent();
    class_of(error, connection, body_sent).after(body_sent)
}

fn class_of(error: &::reqwest::Error, connection: &Connection, body_sent: bool) -> Failure {
    if let Some(error) = tls::find(error) {
        return tls::failure(error);
    }
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some((class, text)) = known(cause, connection, body_sent) {
            return Failure::new(class, text);
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
        return Failure::new(class, format!("timeout: {phase}"));
    }
    if error.is_connect() {
        return Failure::new(TransportError::Connect, "connection failed");
    }
    Failure::new(TransportError::Other, "the request could not be made")
}

fn known(
    cause: &(dyn Error + 'static),
    connection: &Connection,
    body_sent: bool,
) -> Option<(TransportError, String)> {
    if let Some(dns) = cause.downcast_ref::<DnsFailure>() {
        return Some((TransportError::Dns, sanitise(&dns.to_string())));
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
    let class = match io_failure(error.kind(), body_sent) {
        Some(TransportError::Reset { .. }) => lost(connection, body_sent),
        Some(class) => class,
        None if error.get_ref().is_some() => return None,
        None => TransportError::Other,
    };
    Some((class, sanitise(&error.to_string())))
}

/// A kept connection that dies without an answer was closed by the server while it was idle:
/// the pipeline sends the request again at once.
fn lost(connection: &Connection, body_sent: bool) -> TransportError {
    if connection.is_reused() {
        TransportError::Stale
    } else {
        TransportError::Reset { body_sent }
    }
}
