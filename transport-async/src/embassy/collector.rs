//! Where requests go, and the head of each of them.

use core::fmt;
use core::net::SocketAddr;

use super::http::Text;

/// Our own product in `User-Agent` (checklist A-026).
pub(super) const USER_AGENT: &str = concat!(
    "Spandrel-OTLP-Exporter-Rust-Async/",
    env!("CARGO_PKG_VERSION")
);
/// The line that announces a coding, without its name.
pub(super) const CONTENT_ENCODING: &str = "\r\nContent-Encoding: ";
/// What belongs to the protocol and not to the user (checklist A-029).
const RESERVED: [&str; 9] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "transfer-encoding",
    "user-agent",
];

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

    /// Whatever could end a line of the head is refused here (fault catalogue G1).
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

/// Whether `text` can stand where white space ends it.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The place of the first header that cannot be sent.
pub(super) fn bad_header(headers: &[(&str, &str)]) -> Option<usize> {
    let is_good = |(name, value): &(&str, &str)| {
        is_word(name)
            && name.bytes().all(|b| !b"\"(),/:;<=>?@[\\]{}".contains(&b))
            && !RESERVED.iter().any(|own| own.eq_ignore_ascii_case(name))
            && value.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~'))
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
    /// A header cannot be sent: its name is none or belongs to the protocol, or its value has
    /// something else than visible ASCII, spaces and tabs.
    Header {
        /// Which one, from 0.
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
