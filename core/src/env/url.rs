//! Taking a URL apart, strictly and without copying.
//!
//! Only what an OTLP endpoint can have: `http[s]://[userinfo@]host[:port][/path][?query][#..]`, in
//! visible ASCII. A general URL parser would normalize its input (`\` to `/`, dots in paths), which
//! the specification forbids: the path is used as it is.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

/// The [port of OTLP over HTTP](https://opentelemetry.io/docs/specs/otlp/#otlphttp-default-port).
pub const DEFAULT_PORT: u16 = 4318;

/// The scheme of a URL, which alone decides between clear text and TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Scheme {
    /// `http`: clear text.
    Http,
    /// `https`: TLS.
    Https,
}

impl Scheme {
    /// Returns the name as it stands in a URL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Returns the port of a URL that names none: 80 or 443.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// The ways to read a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A base for all signals: the path of traces is appended.
    Base,
    /// The URL of traces, used as it is.
    Exact,
    /// A base in which the scheme may be missing.
    Programmatic,
}

/// The reason why a text is not an endpoint. `Display` gives a phrase to follow the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum EndpointErrorKind {
    /// No `http://` or `https://` at its start.
    MissingScheme,
    /// A scheme that is neither `http` nor `https`.
    UnsupportedScheme,
    /// Nothing where the host should be.
    MissingHost,
    /// A host that is neither a name nor an address.
    BadHost,
    /// A port that is not a number from 1 to 65535.
    BadPort,
    /// White space, a control character or text beyond ASCII.
    BadCharacter,
}

impl fmt::Display for EndpointErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MissingScheme => "has no scheme, write http:// or https:// before the host",
            Self::UnsupportedScheme => "has a scheme other than http and https",
            Self::MissingHost => "has no host",
            Self::BadHost => {
                "has a host that is neither a name nor an address, write IPv6 addresses in brackets"
            }
            Self::BadPort => "has a port that is not a number from 1 to 65535",
            Self::BadCharacter => "has other than visible ASCII characters, percent-encode them",
        })
    }
}

/// A URL taken apart.
pub(super) struct UrlParts<'a> {
    pub(super) scheme: Scheme,
    pub(super) host: &'a str,
    pub(super) port: Option<u16>,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    pub(super) has_userinfo: bool,
    pub(super) has_fragment: bool,
}

impl<'a> UrlParts<'a> {
    pub(super) fn parse(text: &'a str, form: Form) -> Result<Self, EndpointErrorKind> {
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(EndpointErrorKind::BadCharacter);
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(parse_scheme(scheme)?), rest),
            None if form == Form::Programmatic => (None, text),
            None => return Err(EndpointErrorKind::MissingScheme),
        };
        let (rest, fragment) = split_tail(rest, '#');
        let (rest, query) = split_tail(rest, '?');
        let start = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(start).unwrap_or((rest, ""));
        let (userinfo, authority) = match authority.rsplit_once('@') {
            Some((userinfo, authority)) => (Some(userinfo), authority),
            None => (None, authority),
        };
        let (host, port) = split_authority(authority)?;
        let port = match (scheme, port) {
            (None, None) => Some(DEFAULT_PORT),
            (_, None) => None,
            // `https://c:` is a URL with the port of its scheme; `c:` is a slip.
            (Some(_), Some("")) => None,
            (_, Some(port)) => Some(parse_port(port)?),
        };
        let inferred = || match is_loopback(host) {
            true => Scheme::Http,
            false => Scheme::Https,
        };
        Ok(Self {
            scheme: scheme.unwrap_or_else(inferred),
            host,
            port,
            path,
            query,
            has_userinfo: userinfo.is_some(),
            has_fragment: fragment.is_some(),
        })
    }
}

fn split_tail(text: &str, separator: char) -> (&str, Option<&str>) {
    match text.split_once(separator) {
        Some((text, tail)) => (text, Some(tail)),
        None => (text, None),
    }
}

fn parse_scheme(scheme: &str) -> Result<Scheme, EndpointErrorKind> {
    [Scheme::Http, Scheme::Https]
        .into_iter()
        .find(|known| scheme.eq_ignore_ascii_case(known.as_str()))
        .ok_or(if scheme.is_empty() {
            EndpointErrorKind::MissingScheme
        } else {
            EndpointErrorKind::UnsupportedScheme
        })
}

/// The checked host and the port as it is written.
fn split_authority(authority: &str) -> Result<(&str, Option<&str>), EndpointErrorKind> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, tail) = rest.split_once(']').ok_or(EndpointErrorKind::BadHost)?;
        host.parse::<Ipv6Addr>()
            .map_err(|_| EndpointErrorKind::BadHost)?;
        return match tail.strip_prefix(':') {
            None if !tail.is_empty() => Err(EndpointErrorKind::BadHost),
            port => Ok((host, port)),
        };
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    if host.is_empty() {
        return Err(EndpointErrorKind::MissingHost);
    }
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if host.len() > 253 || host.starts_with('.') || !host.bytes().all(is_name) {
        return Err(EndpointErrorKind::BadHost);
    }
    Ok((host, port))
}

fn parse_port(port: &str) -> Result<u16, EndpointErrorKind> {
    // The standard parser would take `+80`.
    let is_number = port.bytes().all(|b| b.is_ascii_digit());
    let port = port.parse().ok().filter(|&port| is_number && port != 0);
    port.ok_or(EndpointErrorKind::BadPort)
}

pub(super) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
        || host.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_digits_from_1_to_65535() {
        for (text, port) in [("1", 1), ("080", 80), ("65535", 65535)] {
            assert_eq!(parse_port(text), Ok(port));
        }
        for text in [
            "",
            "0",
            "+80",
            "-1",
            "65536",
            "99999999999999999999",
            "8O",
            " 80",
            "١",
        ] {
            assert_eq!(parse_port(text), Err(EndpointErrorKind::BadPort), "{text}");
        }
    }

    #[test]
    fn only_hosts_that_are_certainly_local_are_loopback() {
        for host in [
            "localhost",
            "LOCALHOST",
            "127.0.0.1",
            "127.9.8.7",
            "::1",
            "0:0:0:0:0:0:0:1",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "127.evil.example",
            "localhost.evil.example",
            "127.1",
            "0.0.0.0",
            "::",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
