//! What the drawing needs to know of a span.

use std::string::String;
use std::vec::Vec;

/// A span as it is drawn, whatever it was decoded from. It borrows the texts.
#[derive(Clone, Debug, Default)]
pub struct SpanView<'a> {
    /// The resource's `service.name`, or nothing.
    pub service: &'a str,
    /// 16 bytes.
    pub trace_id: &'a [u8],
    /// 8 bytes.
    pub span_id: &'a [u8],
    /// 8 bytes, or nothing for a root.
    pub parent_span_id: &'a [u8],
    /// The span's name.
    pub name: &'a str,
    /// The number of the kind in OTLP.
    pub kind: i32,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Nanoseconds since 1970.
    pub end: u64,
    /// The number of the status in OTLP: 1 is ok, 2 is an error.
    pub status: i32,
    /// What the status says.
    pub message: &'a str,
    /// Keys, and values as text.
    pub attributes: Vec<(&'a str, String)>,
    /// Names, and times in nanoseconds since 1970.
    pub events: Vec<(&'a str, u64)>,
}
