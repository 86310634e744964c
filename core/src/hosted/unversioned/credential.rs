//! Which headers are secrets, and where they may go in clear text (fault catalogue G2).
//!
//! ```
//! use spandrel_core::hosted::unversioned::credential::{is_credential_name, is_loopback_host};
//!
//! assert!(is_credential_name("X-Api-Key") && !is_credential_name("x-scope-orgid"));
//! assert!(is_loopback_host("[::1]") && !is_loopback_host("collector.example"));
//! ```

use std::net::IpAddr;

/// Parts of names by which credentials are known. Rather one too many: the refusal says what to
/// do, while a token sent in the clear is lost.
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

/// Whether a header of this name looks like a credential.
#[must_use]
pub fn is_credential_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    CREDENTIAL_WORDS.iter().any(|word| name.contains(word))
}

/// Whether what is sent to `host` does not leave this machine; an IPv6 address may be in brackets.
/// Names under `localhost` resolve to loopback by RFC 6761.
#[must_use]
pub fn is_loopback_host(host: &str) -> bool {
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
    fn a_name_that_only_begins_like_localhost_is_not_loopback() {
        for (host, expected) in [
            ("LocalHost", true),
            ("a.localhost", true),
            ("127.8.9.1", true),
            ("::ffff:127.0.0.1", true),
            ("localhost.example.com", false),
            ("10.0.0.1", false),
            ("", false),
        ] {
            assert_eq!(is_loopback_host(host), expected, "{host}");
        }
    }
}
