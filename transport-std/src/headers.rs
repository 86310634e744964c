//! The headers that a user configured: validated once, shown never.
//!
//! A header value comes from an environment variable or a secret store, so it must neither end
//! a line of the request early nor appear in any text of ours (fault catalogue G1, G4).

use std::fmt;

use spandrel_core::hosted::diagnostics::{Kind, Severity, report, sanitise};
use spandrel_core::hosted::unversioned::credential::is_credential_name;
use ureq::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::error::BuildError;

/// What is wrong with a configured header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderError {
    /// The name is not a token of RFC 9110.
    Name,
    /// The value contains something else than visible ASCII, spaces and tabs.
    Value,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "not a header name",
            Self::Value => "the value has a character that a header cannot carry",
        })
    }
}

/// What belongs to the protocol and not to the user (checklist A-029): framing, the coding of
/// the body, and what concerns the connection alone.
const RESERVED: [HeaderName; 12] = [
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::EXPECT,
    header::HOST,
    HeaderName::from_static("keep-alive"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Validates `pairs`. A reserved name is left out with a warning; of a repeated name the last
/// value counts (checklist B-029).
pub(crate) fn validated(pairs: &[(String, String)]) -> Result<HeaderMap, BuildError> {
    let mut headers = HeaderMap::with_capacity(pairs.len() + 2);
    for (name, value) in pairs {
        let refused = |reason| BuildError::Header {
            name: sanitise(name),
            reason,
        };
        let name =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused(HeaderError::Name))?;
        let value = value.trim_matches([' ', '\t']);
        let is_plain = value.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~'));
        let mut value = HeaderValue::from_str(value)
            .ok()
            .filter(|_| is_plain)
            .ok_or_else(|| refused(HeaderError::Value))?;
        if RESERVED.contains(&name) {
            report(
                Kind::Config,
                Severity::Warn,
                format_args!(
                    "header `{name}` is set by the protocol; the configured one is ignored"
                ),
            );
            continue;
        }
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// The first header that looks like a credential.
pub(crate) fn credential(headers: &HeaderMap) -> Option<&str> {
    headers
        .keys()
        .map(HeaderName::as_str)
        .find(|name| is_credential_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> Result<HeaderMap, BuildError> {
        validated(&[(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn what_cannot_be_a_header_is_refused_without_showing_the_value() {
        for value in [
            "s3cret\r\nX-Evil: 1",
            "s3cret\n",
            "s3cret\0",
            "s3crét",
            "s3cret\u{7f}",
        ] {
            let error = one("x-api-key", value).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(text.contains("x-api-key"));
            assert!(!text.contains("s3cr"), "{text}");
        }
        for name in ["", "a b", "a:b", "ä", "a\r\nb"] {
            let error = one(name, "v").unwrap_err();
            assert!(!error.to_string().contains('\n'));
        }
    }

    #[test]
    fn protocol_headers_are_left_out() {
        for name in RESERVED {
            assert!(one(name.as_str(), "x").unwrap().is_empty());
        }
        assert!(one("CoNtEnT-tYpE", "text/html").unwrap().is_empty());
        assert_eq!(one("User-Agent", "mine").unwrap().len(), 1);
    }

    #[test]
    fn the_last_of_a_repeated_name_counts_and_none_is_shown() {
        let pairs = [("X-Tenant", "one"), ("x-tenant", " two\t")];
        let headers = validated(&pairs.map(|(k, v)| (k.to_owned(), v.to_owned()))).unwrap();
        assert_eq!(headers.get("x-tenant").unwrap(), "two");
        assert!(!format!("{headers:?}").contains("two"));
    }

    #[test]
    fn credentials_are_known_by_their_names() {
        for name in ["Authorization", "x-api-key", "X-Auth-Token", "cookie"] {
            assert!(credential(&one(name, "v").unwrap()).is_some(), "{name}");
        }
        assert_eq!(credential(&one("x-scope-orgid", "v").unwrap()), None);
    }
}
