//! The URL to which spans go, as the [specification] defines it.
//!
//! The specification has two kinds of URL; code may also use a shorter form:
//!
//! | given as | `http://c:4318` | `http://c/my/` | `localhost:4318` | `c.example:4318` |
//! |---|---|---|---|---|
//! | base | `http://c:4318/v1/traces` | `http://c/my/v1/traces` | error | error |
//! | exact | `http://c:4318/` | `http://c/my/` | error | error |
//! | in code | as base | as base | `http://..:4318/v1/traces` | `https://..:4318/v1/traces` |
//!
//! Only scheme, host, port and path are used, and the query of an exact URL. A user name, password
//! or fragment is left out with a diagnostic and is kept nowhere. All of the text must be visible
//! ASCII, so that no URL can add a line to an HTTP head.
//!
//! [specification]: https://opentelemetry.io/docs/specs/otel/protocol/exporter/#endpoint-urls-for-otlphttp
//!
//! ```
//! use spandrel_core::env::{Diagnostics, Endpoint, Scheme};
//!
//! let mut diagnostics = Diagnostics::new();
//! let endpoint = Endpoint::parse_programmatic("collector.example:4318", &mut diagnostics)?
//!     .expect("only an empty text gives none");
//! assert_eq!(endpoint.scheme(), Scheme::Https);
//! assert_eq!((endpoint.host(), endpoint.port()), ("collector.example", 4318));
//! let mut url = String::new();
//! endpoint.write_url(&mut url).expect("a string has room");
//! assert_eq!(url, "https://collector.example:4318/v1/traces");
//! # Ok::<(), spandrel_core::env::EndpointError<'_>>(())
//! ```

use core::fmt;

use super::diagnostic::{Diagnostic, DiagnosticKind, Diagnostics, Quoted};
use super::url::{DEFAULT_PORT, EndpointErrorKind, Form, Scheme, UrlParts, is_loopback};
use super::variable::{ENDPOINT_IN_CODE, Variable};

/// The port of OTLP over gRPC, a protocol that this pipeline does not speak.
pub const GRPC_PORT: u16 = 4317;

/// The path of traces below a base.
const SIGNAL_PATH: &str = "/v1/traces";

/// The destination of spans: a checked URL without credentials.
///
/// `Debug` leaves out the query, which some vendors use for a key, and a path with an `@`, which
/// may be the rest of a password with a slash in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Endpoint<'a> {
    scheme: Scheme,
    /// Without the brackets of an IPv6 address.
    host: &'a str,
    port: Option<u16>,
    /// Empty, or from its first `/`.
    path: &'a str,
    query: Option<&'a str>,
    is_base: bool,
}

impl Endpoint<'static> {
    /// `http://localhost:4318/v1/traces`.
    pub const DEFAULT: Self = Self {
        scheme: Scheme::Http,
        host: "localhost",
        port: Some(DEFAULT_PORT),
        path: "",
        query: None,
        is_base: true,
    };
}

impl<'a> Endpoint<'a> {
    /// Reads an endpoint set in code. An empty text is `None`, which means the exporter to the
    /// standard output.
    ///
    /// `host:port` and `host` (port 4318) mean `http` for a loopback host and `https` for any
    /// other. A URL with a scheme is a base, as `OTEL_EXPORTER_OTLP_ENDPOINT` is: `/v1/traces` is
    /// appended.
    ///
    /// # Errors
    ///
    /// The text is neither a URL nor `host:port`. Anything that merely looks odd, such as the port
    /// of gRPC, is added to `diagnostics`.
    pub fn parse_programmatic(
        text: &'a str,
        diagnostics: &mut Diagnostics<'a>,
    ) -> Result<Option<Self>, EndpointError<'a>> {
        if text.trim_ascii().is_empty() {
            return Ok(None);
        }
        Self::parse(text, Form::Programmatic, &ENDPOINT_IN_CODE, diagnostics).map(Some)
    }

    /// Reads a base URL, to which `/v1/traces` is appended, like `OTEL_EXPORTER_OTLP_ENDPOINT`.
    ///
    /// # Errors
    ///
    /// The text is not an `http` or `https` URL.
    pub fn parse_base(
        text: &'a str,
        diagnostics: &mut Diagnostics<'a>,
    ) -> Result<Self, EndpointError<'a>> {
        Self::parse(text, Form::Base, &ENDPOINT_IN_CODE, diagnostics)
    }

    /// Reads the URL of traces, whose path and query are used byte for byte, like
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`.
    ///
    /// # Errors
    ///
    /// The text is not an `http` or `https` URL.
    pub fn parse_exact(
        text: &'a str,
        diagnostics: &mut Diagnostics<'a>,
    ) -> Result<Self, EndpointError<'a>> {
        Self::parse(text, Form::Exact, &ENDPOINT_IN_CODE, diagnostics)
    }

    /// Returns the scheme, which decides between clear text and TLS.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Returns the host name or address; an IPv6 address without its brackets.
    #[must_use]
    pub const fn host(&self) -> &'a str {
        self.host
    }

    /// Returns the TCP port: as written, or else the scheme's default.
    #[must_use]
    pub const fn port(&self) -> u16 {
        match self.port {
            Some(port) => port,
            None => self.scheme.default_port(),
        }
    }

    /// Returns true if the host is certainly this machine: `localhost`, `127.0.0.0/8` or `::1`.
    ///
    /// It returns false for names that only a resolver could judge (`127.1`, `a.localhost`).
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.host)
    }

    /// Returns true if requests, with their headers, cross a network in clear text.
    #[must_use]
    pub fn is_plaintext_remote(&self) -> bool {
        self.scheme == Scheme::Http && !self.is_loopback()
    }

    /// Writes the URL to which requests are posted.
    ///
    /// # Errors
    ///
    /// `out` failed.
    pub fn write_url(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str(self.scheme.as_str())?;
        out.write_str("://")?;
        self.write_authority(out)?;
        self.write_target(out)
    }

    /// Writes `host` or `host:port`, the value of a `Host` header. The port is written if the URL
    /// has one.
    ///
    /// # Errors
    ///
    /// `out` failed.
    pub fn write_authority(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        let (open, close) = match self.host.contains(':') {
            true => ("[", "]"),
            false => ("", ""),
        };
        for part in [open, self.host, close] {
            out.write_str(part)?;
        }
        self.port.map_or(Ok(()), |port| write_port(port, out))
    }

    /// Writes the path and the query: the target of an HTTP/1.1 request, which begins with `/`.
    ///
    /// # Errors
    ///
    /// `out` failed.
    pub fn write_target(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        self.write_path(out)?;
        if let Some(query) = self.query {
            out.write_str("?")?;
            out.write_str(query)?;
        }
        Ok(())
    }

    fn write_path(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        if self.is_base {
            out.write_str(self.path.trim_end_matches('/'))?;
            out.write_str(SIGNAL_PATH)
        } else if self.path.is_empty() {
            out.write_str("/")
        } else {
            out.write_str(self.path)
        }
    }

    /// Reads `text`; parts that are left out or look odd become diagnostics of `variable`.
    pub(super) fn parse(
        text: &'a str,
        form: Form,
        variable: &'static Variable,
        diagnostics: &mut Diagnostics<'a>,
    ) -> Result<Self, EndpointError<'a>> {
        let text = text.trim_ascii();
        let parts = UrlParts::parse(text, form).map_err(|kind| EndpointError::new(kind, text))?;
        let mut note = |kind| diagnostics.push(Diagnostic::new(variable, kind, None));
        let is_base = form != Form::Exact;
        if parts.has_userinfo {
            note(DiagnosticKind::UserinfoIgnored);
        }
        if is_base && parts.query.is_some() {
            note(DiagnosticKind::QueryIgnored);
        }
        if parts.has_fragment {
            note(DiagnosticKind::FragmentIgnored);
        }
        if is_base && parts.path.trim_end_matches('/').ends_with(SIGNAL_PATH) {
            note(DiagnosticKind::SignalPathInBase);
        }
        let endpoint = Self {
            scheme: parts.scheme,
            host: parts.host,
            port: parts.port,
            path: parts.path,
            query: parts.query.filter(|_| !is_base),
            is_base,
        };
        if endpoint.port() == GRPC_PORT {
            note(DiagnosticKind::GrpcPort);
        }
        Ok(endpoint)
    }
}

impl fmt::Debug for Endpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scheme.as_str())?;
        f.write_str("://")?;
        self.write_authority(f)?;
        if self.path.contains('@') {
            f.write_str("/(redacted)")?;
        } else {
            self.write_path(f)?;
        }
        f.write_str(if self.query.is_some() {
            "?(redacted)"
        } else {
            ""
        })
    }
}

/// Without path and query, which may hold secrets.
#[cfg(feature = "defmt")]
impl defmt::Format for Endpoint<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        let is_ipv6 = self.host.contains(':');
        let (open, close) = if is_ipv6 { ("[", "]") } else { ("", "") };
        defmt::write!(
            f,
            "{=str}://{=str}{=str}{=str}:{=u16}",
            self.scheme.as_str(),
            open,
            self.host,
            close,
            self.port(),
        );
    }
}

/// The error of a text that is not an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EndpointError<'a> {
    kind: EndpointErrorKind,
    value: Option<&'a str>,
}

impl<'a> EndpointError<'a> {
    /// Text that may have credentials in it is not kept. In a malformed text their place is
    /// unknown, so any sign of them suffices.
    fn new(kind: EndpointErrorKind, text: &'a str) -> Self {
        let value = Some(text).filter(|text| !text.contains(['@', '?', '#']));
        Self { kind, value }
    }

    /// Returns the kind of the problem.
    #[must_use]
    pub const fn kind(&self) -> EndpointErrorKind {
        self.kind
    }

    /// Returns the text, unless it may have credentials in it.
    #[must_use]
    pub const fn value(&self) -> Option<&'a str> {
        self.value
    }
}

impl fmt::Display for EndpointError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "endpoint {} {}", Quoted(self.value), self.kind)
    }
}

impl core::error::Error for EndpointError<'_> {}

/// `:` and the digits, without the formatting machinery: firmware writes its `Host` header here.
fn write_port(port: u16, out: &mut dyn fmt::Write) -> fmt::Result {
    out.write_char(':')?;
    let mut started = false;
    for unit in [10_000, 1_000, 100, 10, 1] {
        let digit = port / unit % 10;
        started |= digit != 0 || unit == 1;
        if started {
            out.write_char(char::from(b'0' + digit as u8))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::{String, ToString};

    #[test]
    fn every_port_is_written_as_its_digits() {
        for port in [1, 9, 10, 80, 100, 443, 4318, 10_000, 65_535] {
            let mut text = String::new();
            write_port(port, &mut text).unwrap();
            assert_eq!(text, format!(":{port}"));
        }
    }

    #[test]
    fn an_error_names_the_text_unless_it_may_hold_credentials() {
        let error = |text| {
            Endpoint::parse_exact(text, &mut Diagnostics::new())
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            error("ftp://x"),
            "endpoint \"ftp://x\" has a scheme other than http and https"
        );
        for text in [
            "ftp://u:hunter2@x",
            "x?key=hunter2",
            "http://u:hun/ter2@x:0",
        ] {
            assert!(error(text).starts_with("endpoint (not shown) has"));
        }
    }
}
