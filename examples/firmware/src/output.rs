//! The program's messages to the host: `kind, length (u32, little endian), content`.
//!
//! | kind | content |
//! |---|---|
//! | `B` | the body of one OTLP request |
//! | `Z` | a piece of a compressed body |
//! | `N` | a number of 8 bytes, little endian, and its name |

use crate::board::uart_write;

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

/// Begins a message of `len` bytes.
pub fn begin(kind: u8, len: usize) {
    uart_write(kind);
    put(&(len as u32).to_le_bytes());
}

/// Its next bytes.
pub fn put(bytes: &[u8]) {
    bytes.iter().copied().for_each(uart_write);
}
