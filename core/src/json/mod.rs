//! [OTLP/JSON] from stored protobuf bytes.
//!
//! This pipeline keeps everything as OTLP protobuf, so JSON is a translation of bytes into text:
//! for the stdout exporter, for files of JSON lines, and for collectors that take
//! `application/json`. The output is one line without raw line breaks, and nothing is collected in
//! memory:
//!
//! ```text
//!   protobuf bytes ──► message ──► one pass: which fields are there?
//!                         │
//!                         └──► each known field in schema order
//!                                ├─ singular  last occurrence, left out when zero
//!                                ├─ repeated  one pass, all occurrences into one array
//!                                └─ one of    the last member set, zero or not
//! ```
//!
//! The occurrences of a repeated field may lie anywhere in a message: a span's attributes, events
//! and links stand in the order of the calls that made them. So each field has its own pass, which
//! skips other fields by their length. The time is linear in the input, with at most one pass for
//! every field that a message can have.
//!
//! Ids are lower-case hexadecimal, other bytes base64. Enums are numbers, 64-bit integers are text.
//! A field with its zero value is missing, unless it is the kind that an attribute's value has. NaN
//! and the infinities are text. In text that is not UTF-8, U+FFFD replaces each broken part.
//!
//! [OTLP/JSON]: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
//!
//! ```
//! use spandrel_core::json;
//!
//! // Resource { attributes: [i = -1], dropped_attributes_count: 2 }
//! let bytes = b"\x0a\x10\x0a\x01i\x12\x0b\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10\x02";
//! let mut text = String::new();
//! json::resource(bytes, &mut text)?;
//! assert_eq!(
//!     text,
//!     r#"{"attributes":[{"key":"i","value":{"intValue":"-1"}}],"droppedAttributesCount":2}"#
//! );
//! # Ok::<(), json::JsonError>(())
//! ```

mod schema;
mod text;
mod transcode;

use core::fmt;

use crate::wire::WireError;

/// The reason why a message has no JSON.
///
/// The text that was written before the error is incomplete; throw it away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum JsonError {
    /// The bytes are not a protobuf message.
    Wire(WireError),
    /// Values are nested deeper than this crate ever writes.
    TooDeep,
    /// The writer refused.
    Write,
}

impl From<WireError> for JsonError {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

impl From<fmt::Error> for JsonError {
    fn from(_: fmt::Error) -> Self {
        Self::Write
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wire(error) => error.fmt(f),
            Self::TooDeep => f.write_str("values are nested too deep"),
            Self::Write => f.write_str("the writer refused"),
        }
    }
}

impl core::error::Error for JsonError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Wire(error) => Some(error),
            Self::TooDeep | Self::Write => None,
        }
    }
}

macro_rules! entry_points {
    ($($(#[$doc:meta])* $name:ident: $schema:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        ///
        /// The bytes are broken or nested too deep, or `out` failed. The text in `out` is then
        /// incomplete.
        pub fn $name(bytes: &[u8], out: &mut impl fmt::Write) -> Result<(), JsonError> {
            transcode::message(&schema::$schema, bytes, out)
        }
    )*};
}

entry_points! {
    /// Writes the JSON object of the body of one `Span`, as the buffer stores it.
    span: SPAN;
    /// Writes the JSON object of the body of one `Resource`.
    resource: RESOURCE;
    /// Writes the JSON object of the body of one `InstrumentationScope`.
    scope: SCOPE;
    /// Writes the JSON object of a whole `ExportTraceServiceRequest`, or of a `TracesData`, which
    /// is the same. With a line feed after it, it is a line of an [OTLP
    /// file](https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/).
    export_request: EXPORT_REQUEST;
}

#[cfg(test)]
mod tests;
