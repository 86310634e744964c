//! The methods that become part of names and attributes.

/// The methods that the conventions know.
/// <https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-client-span>
pub(crate) const KNOWN: &[&str] = &[
    "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "QUERY",
];

/// A method as the conventions want it.
#[derive(Clone, Copy)]
pub(crate) struct Method<'a> {
    /// In names of spans.
    pub(crate) in_name: &'a str,
    pub(crate) attribute: &'a str,
    /// If it is not a known one.
    pub(crate) original: Option<&'a str>,
}

impl<'a> Method<'a> {
    pub(crate) fn new(method: &'a http::Method, known: &[&str]) -> Self {
        let method = method.as_str();
        match known.contains(&method) {
            true => Self {
                in_name: method,
                attribute: method,
                original: None,
            },
            false => Self {
                in_name: "HTTP",
                attribute: "_OTHER",
                original: Some(method),
            },
        }
    }
}
