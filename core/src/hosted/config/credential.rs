//! Which headers are secrets, and to which hosts they may go in clear text.

use core::fmt;
use std::net::IpAddr;
use std::string::String;

use crate::env::{Endpoint, Scheme};
use crate::hosted::diagnostics::sanitise;

/// Parts of names by which credentials are recognised. The list errs on the side of too many: a
/// word too much costs less than a secret that crosses a network unnoticed.
const CREDENTIAL_WORDS: [&str; 9] = [
    "auth",
    "cookie",
    "credential",
    "key",
    "passw",
    "secret",
    "session",
    "token",
    "honeycomb-team",
];

/// Returns true if a header with this name looks like a credential: `X-Api-Key` does,
/// `x-scope-orgid` does not. Case does not matter.
#[must_use]
pub(crate) fn is_credential_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    CREDENTIAL_WORDS.iter().any(|word| name.contains(word))
}

/// The name of the first header that looks like a credential and crosses a network in clear text.
pub(super) fn plaintext_credential<'h>(
    endpoint: &Endpoint<'_>,
    headers: &'h [(String, String)],
) -> Option<&'h str> {
    if endpoint.scheme() == Scheme::Https || is_loopback_host(endpoint.host()) {
        return None;
    }
    let mut names = headers.iter().map(|(name, _)| name.as_str());
    names.find(|name| is_credential_name(name))
}

/// The sentence about such a header.
pub(super) struct InClear<'a>(pub(super) &'a str);

impl fmt::Display for InClear<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` crosses the network in clear text, because the endpoint is http and not this \
             machine; use https, or set allow_plaintext_credentials in code if it may",
            sanitise(self.0)
        )
    }
}

/// Returns true if requests to `host` do not leave this machine. An IPv6 address may be in
/// brackets.
///
/// `localhost` and the names under it count, because
/// [RFC 6761](https://www.rfc-editor.org/rfc/rfc6761#section-6.3) resolves them to loopback
/// addresses. So do IPv4 loopback addresses mapped to IPv6.
#[must_use]
pub(crate) fn is_loopback_host(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost"
        || bare.ends_with(".localhost")
        || bare
            .parse()
            .is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_known_by_their_names() {
        for name in ["Authorization", "X-Api-Key", "X-Auth-Token", "cookie"] {
            assert!(is_credential_name(name), "{name}");
        }
        assert!(!is_credential_name("x-scope-orgid"));
    }

    #[test]
    fn a_name_that_only_begins_like_localhost_is_not_loopback() {
        for (host, expected) in [
            ("LocalHost", true),
            ("a.localhost", true),
            ("127.8.9.1", true),
            ("[::1]", true),
            ("::ffff:127.0.0.1", true),
            ("localhost.example.com", false),
            ("10.0.0.1", false),
            ("", false),
        ] {
            assert_eq!(is_loopback_host(host), expected, "{host}");
        }
    }
}
