//! Where requests go, and the head of each of them.

use core::fmt;
use core::net::SocketAddr;

use spandrel_core::env::{is_header_name, is_header_value, is_reserved_header};

use super::http::Text;

/// Our own product in `User-Agent`.
pub(super) const USER_AGENT: &str = concat!(
    "Spandrel-OTLP-Exporter-Rust-Async/",
    env!("CARGO_PKG_VERSION")
);
/// The line that announces a coding, without its name.
pub(super) const CONTENT_ENCODING: &str = "\r\nContent-Encoding: ";
/// Where requests go. No name is resolved and nothing is encrypted here: a device knows its
/// gateway.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Collector<'a> {
    /// Where to connect to.
    pub address: SocketAddr,
    /// The `Host` header: the name or address, and the port unless it is 80.
    pub host: &'a str,
    /// The target of requests.
    pub path: &'a str,
    /// Further headers of every request. They travel in clear text.
    pub headers: &'a [(&'a str, &'a str)],
}

impl<'a> Collector<'a> {
    /// The collector at `address`, which calls itself `host`, at the usual path.
    #[must_use]
    pub const fn new(address: SocketAddr, host: &'a str) -> Self {
        Self {
            address,
            host,
            path: "/v1/traces",
            headers: &[],
        }
    }

    /// Refuses whatever could end a line of the head.
    pub(super) fn validate(&self) -> Result<(), CollectorError> {
        if !is_word(self.host) {
            return Err(CollectorError::Host);
        }
        if !is_word(self.path) || !self.path.starts_with('/') {
            return Err(CollectorError::Path);
        }
        match bad_header(self.headers) {
            Some(at) => Err(CollectorError::Header { at }),
            None => Ok(()),
        }
    }

    /// Writes the head of a request into `target`: its length, if it fits.
    pub(super) fn write_head(
        &self,
        content_length: usize,
        coding: Option<&str>,
        target: &mut [u8],
    ) -> Option<usize> {
        let mut head = Text::new(target);
        head.push("POST ").push(self.path);
        head.push(" HTTP/1.1\r\nHost: ").push(self.host);
        head.push("\r\nUser-Agent: ").push(USER_AGENT);
        head.push("\r\nContent-Type: application/x-protobuf\r\nContent-Length: ");
        head.push_decimal(content_length);
        if let Some(coding) = coding {
            head.push(CONTENT_ENCODING).push(coding);
        }
        for (name, value) in self.headers {
            head.push("\r\n").push(name).push(": ").push(value);
        }
        head.push("\r\n\r\n").len()
    }
}

/// Returns true if `text` can stand where white space ends it.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The place of the first header that cannot be sent.
pub(super) fn bad_header(headers: &[(&str, &str)]) -> Option<usize> {
    let is_good = |(name, value): &(&str, &str)| {
        is_header_name(name)
            && !is_reserved_header(name)
            // Its place in the head is ours.
            && !name.eq_ignore_ascii_case("user-agent")
            && is_header_value(value.as_bytes())
    };
    headers.iter().position(|header| !is_good(header))
}

/// Shows no header's value.
impl fmt::Debug for Collector<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector")
            .field("address", &self.address)
            .field("host", &self.host)
            .field("headers", &self.headers.len())
            .finish_non_exhaustive()
    }
}

/// Shows no header's value.
#[cfg(feature = "defmt")]
impl defmt::Format for Collector<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "Collector {{ host: {=str}, path: {=str}, headers: {=usize} }}",
            self.host,
            self.path,
            self.headers.len(),
        );
    }
}

/// Why requests cannot be made to a [`Collector`] or a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CollectorError {
    /// The host is empty or has a character that it cannot have.
    Host,
    /// The path is not one.
    Path,
    /// A header cannot be sent: its name is not a token, is
    /// [reserved](spandrel_core::env::RESERVED_HEADERS) or is `User-Agent`, or its value has other
    /// than visible ASCII, spaces and tabs.
    Header {
        /// Its position, the first being 0.
        at: usize,
    },
    /// The memory is below [`MIN_MEMORY_BYTES`](super::MIN_MEMORY_BYTES), or the head of a request does not fit into it.
    Memory,
}

impl fmt::Display for CollectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("invalid host"),
            Self::Path => f.write_str("invalid path"),
            Self::Header { at } => write!(f, "header {at} cannot be sent"),
            Self::Memory => f.write_str("too little memory for the head of a request"),
        }
    }
}

impl core::error::Error for CollectorError {}

#[cfg(test)]
mod tests {
    use super::*;
    use spandrel_core::env::RESERVED_HEADERS;

    #[test]
    fn a_header_of_the_protocol_is_refused_and_a_tab_is_not() {
        fn validate(headers: &[(&str, &str)]) -> Result<(), CollectorError> {
            let address = "127.0.0.1:4318".parse().unwrap();
            let collector = Collector::new(address, "gateway");
            Collector {
                headers,
                ..collector
            }
            .validate()
        }
        for name in RESERVED_HEADERS.into_iter().chain(["User-Agent"]) {
            let refused = Err(CollectorError::Header { at: 1 });
            assert_eq!(validate(&[("x-tenant", "a\tb"), (name, "x")]), refused);
        }
        assert_eq!(validate(&[("x-tenant", "a\tb")]), Ok(()));
    }
}
