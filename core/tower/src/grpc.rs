//! What is different with gRPC.
//!
//! <https://opentelemetry.io/docs/specs/semconv/rpc/grpc/>

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap};

/// The names of the codes 0 to 16.
/// <https://grpc.io/docs/guides/status-codes/>
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The codes that are a server's own errors, and not its caller's.
const OF_SERVERS: [&str; 6] = [
    "UNKNOWN",
    "DEADLINE_EXCEEDED",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
];

/// Returns true if the content type is gRPC's.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let rest = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| rest.is_empty() || matches!(rest.first(), Some(b'+' | b';')))
}

/// The method of a path, `package.Service/Method`.
pub(crate) fn method(path: &str) -> &str {
    let method = path.strip_prefix('/').unwrap_or(path);
    match method.split_once('/') {
        Some((service, name)) if !service.is_empty() && !name.is_empty() => method,
        _ => "_OTHER",
    }
}

/// The name of the status in headers or trailers, with its message; `None` if there is none.
pub(crate) fn status(headers: &HeaderMap) -> Option<(&'static str, &str)> {
    let code = headers.get("grpc-status")?.to_str().ok();
    let code = code.and_then(|code| code.trim().parse::<usize>().ok());
    let name = code.and_then(|code| NAMES.get(code)).unwrap_or(&"UNKNOWN");
    let message = headers.get("grpc-message");
    let message = message.and_then(|message| message.to_str().ok());
    Some((name, message.unwrap_or_default()))
}

/// The status of an answer that has none.
/// <https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>
pub(crate) const fn without_status(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "INTERNAL",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "UNIMPLEMENTED",
        429 | 502..=504 => "UNAVAILABLE",
        _ => "UNKNOWN",
    }
}

/// Returns true if the status of this name is an error of the span.
pub(crate) fn is_error(name: &str, is_server: bool) -> bool {
    match is_server {
        true => OF_SERVERS.contains(&name),
        false => name != "OK",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .filter_map(|(name, value)| {
                Some((http::HeaderName::from_static(name), value.parse().ok()?))
            })
            .collect()
    }

    #[test]
    fn the_content_type_shows_grpc() {
        for (text, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            assert_eq!(
                is_grpc(&headers(&[("content-type", text)])),
                expected,
                "{text}"
            );
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn codes_have_names_and_what_is_none_is_unknown() {
        let name = |code: &str| status(&headers(&[("grpc-status", code)])).map(|it| it.0);
        assert_eq!(name("0"), Some("OK"));
        assert_eq!(name("16"), Some("UNAUTHENTICATED"));
        assert_eq!(name("17"), Some("UNKNOWN"));
        assert_eq!(name("x"), Some("UNKNOWN"));
        assert_eq!(status(&HeaderMap::new()), None);
        let both = headers(&[("grpc-status", "5"), ("grpc-message", "no item")]);
        assert_eq!(status(&both), Some(("NOT_FOUND", "no item")));
        assert!(!is_error("NOT_FOUND", true) && is_error("NOT_FOUND", false));
        assert!(is_error("INTERNAL", true) && !is_error("OK", false));
    }

    #[test]
    fn a_path_that_is_no_method_is_another() {
        assert_eq!(method("/shop.Stock/Count"), "shop.Stock/Count");
        for path in ["/", "/shop", "//Count", "/shop.Stock/", "*"] {
            assert_eq!(method(path), "_OTHER", "{path}");
        }
    }
}
