//! Parts of URLs, without what must not be shown.

use std::borrow::Cow;

use http::Uri;
use http::header::{HOST, HeaderMap};

/// What stands in the place of what must not be shown.
const REDACTED: &str = "REDACTED";

/// The parameters whose values are signatures or credentials of storage services.
/// <https://opentelemetry.io/docs/specs/semconv/registry/attributes/url/>
const SECRET: [&str; 4] = ["AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature"];

/// A query without signatures.
pub(crate) fn redacted_query(query: &str) -> Cow<'_, str> {
    let is_secret = |pair: &str| {
        let name = pair.split_once('=').map(|(name, _)| name);
        name.is_some_and(|name| SECRET.contains(&name))
    };
    if !query.split('&').any(is_secret) {
        return Cow::Borrowed(query);
    }
    let mut text = String::with_capacity(query.len());
    for (at, pair) in query.split('&').enumerate() {
        if at > 0 {
            text.push('&');
        }
        match pair.split_once('=') {
            Some((name, _)) if SECRET.contains(&name) => {
                text.push_str(name);
                text.push('=');
                text.push_str(REDACTED);
            }
            _ => text.push_str(pair),
        }
    }
    Cow::Owned(text)
}

/// A whole URL without credentials and signatures.
pub(crate) fn redacted_url(uri: &Uri) -> String {
    let mut text = String::with_capacity(64);
    if let Some(scheme) = uri.scheme_str() {
        text.push_str(scheme);
        text.push(':');
    }
    if let Some(authority) = uri.authority() {
        text.push_str("//");
        let authority = authority.as_str();
        match authority.rsplit_once('@') {
            None => text.push_str(authority),
            Some((user, host)) => {
                text.push_str(REDACTED);
                if user.contains(':') {
                    text.push(':');
                    text.push_str(REDACTED);
                }
                text.push('@');
                text.push_str(host);
            }
        }
    }
    text.push_str(uri.path());
    if let Some(query) = uri.query() {
        text.push('?');
        text.push_str(&redacted_query(query));
    }
    text
}

/// Host and port of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Server<'a> {
    pub(crate) address: Option<&'a str>,
    pub(crate) port: Option<u16>,
}

impl<'a> Server<'a> {
    /// From a URL, or else from the header `Host`. Without a port it is the scheme's.
    pub(crate) fn new(uri: &'a Uri, headers: &'a HeaderMap, scheme: &str) -> Self {
        let authority = uri.authority().map(http::uri::Authority::as_str);
        let host = || headers.get(HOST).and_then(|host| host.to_str().ok());
        let Some(authority) = authority.or_else(host).filter(|text| !text.is_empty()) else {
            return Self::default();
        };
        let (address, port) = split(authority);
        Self {
            address: (!address.is_empty()).then_some(address),
            port: port.or(match scheme {
                "https" | "wss" => Some(443),
                "http" | "ws" => Some(80),
                _ => None,
            }),
        }
    }
}

/// Host and port of an authority; an address of IPv6 without its brackets.
fn split(authority: &str) -> (&str, Option<u16>) {
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    if let Some((address, rest)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let port = rest.strip_prefix(':').and_then(|port| port.parse().ok());
        return (address, port);
    }
    match host.rsplit_once(':') {
        Some((address, port)) if !address.contains(':') => (address, port.parse().ok()),
        _ => (host, None),
    }
}

/// The version of HTTP as the conventions write it.
pub(crate) fn protocol(version: http::Version) -> Option<&'static str> {
    Some(match version {
        http::Version::HTTP_09 => "0.9",
        http::Version::HTTP_10 => "1.0",
        http::Version::HTTP_11 => "1.1",
        http::Version::HTTP_2 => "2",
        http::Version::HTTP_3 => "3",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_not_be_shown_is_not() {
        for (given, shown) in [
            ("a=1&b=2", "a=1&b=2"),
            ("a=1&sig=abc&b", "a=1&sig=REDACTED&b"),
            (
                "Signature=x&Signature=y",
                "Signature=REDACTED&Signature=REDACTED",
            ),
            ("AWSAccessKeyId=", "AWSAccessKeyId=REDACTED"),
            ("X-Goog-Signature=a=b", "X-Goog-Signature=REDACTED"),
            ("SIG=visible&sig", "SIG=visible&sig"),
            ("", ""),
        ] {
            assert_eq!(redacted_query(given), shown);
        }
        for (given, shown) in [
            (
                "https://user:pass@host:1/p?q=1",
                "https://REDACTED:REDACTED@host:1/p?q=1",
            ),
            ("https://user@host/", "https://REDACTED@host/"),
            ("http://host/a?sig=x", "http://host/a?sig=REDACTED"),
            ("/only/path?x", "/only/path?x"),
        ] {
            assert_eq!(redacted_url(&given.parse().unwrap_or_default()), shown);
        }
    }

    #[test]
    fn host_and_port_of_every_form_are_found() {
        let of = |uri: &str, host: &str, scheme: &str| {
            let mut headers = HeaderMap::new();
            if let Ok(host) = host.parse() {
                headers.insert(HOST, host);
            }
            let uri: Uri = uri.parse().unwrap_or_default();
            let server = Server::new(&uri, &headers, scheme);
            (server.address.map(str::to_owned), server.port)
        };
        let is = |address: &str, port| (Some(address.to_owned()), port);
        assert_eq!(of("http://a:81/x", "b:82", "http"), is("a", Some(81)));
        assert_eq!(of("/x", "b:82", "http"), is("b", Some(82)));
        assert_eq!(of("/x", "b", "https"), is("b", Some(443)));
        assert_eq!(of("/x", "b", "http"), is("b", Some(80)));
        assert_eq!(of("http://u:p@a/x", "", "http"), is("a", Some(80)));
        assert_eq!(of("http://[::1]:8080/x", "", "http"), is("::1", Some(8080)));
        assert_eq!(of("/x", "[::1]", "http"), is("::1", Some(80)));
        assert_eq!(of("/x", "", "http"), (None, None));
    }
}
