//! What the program tells the host: `kind, length (u32, little endian), content`.
//!
//! | kind | content |
//! |---|---|
//! | `B` | the body of one OTLP request |
//! | `N` | a number of 8 bytes, little endian, and its name |

use spandrel_core::prelude::*;

use crate::board::uart_write;
use crate::device::Spans;

/// Pulls the body of a request in pieces, so that no buffer of its size exists.
pub fn body(exporter: &Spans, transmit: &mut Transmit) {
    begin(b'B', transmit.content_length());
    let mut chunk = [0; 64];
    while !transmit.is_read() {
        let len = exporter.read_body(transmit, &mut chunk);
        put(chunk.get(..len).unwrap_or_default());
    }
}

pub fn number(name: &str, value: u64) {
    number_of(name, "", value);
}

/// A number whose name has two parts.
pub fn number_of(name: &str, part: &str, value: u64) {
    begin(b'N', 8 + name.len() + part.len());
    put(&value.to_le_bytes());
    put(name.as_bytes());
    put(part.as_bytes());
}

fn begin(kind: u8, len: usize) {
    uart_write(kind);
    put(&(len as u32).to_le_bytes());
}

fn put(bytes: &[u8]) {
    bytes.iter().copied().for_each(uart_write);
}
