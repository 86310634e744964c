//! From the pulled body to the bytes that are sent: gzip, or JSON, or neither.
//!
//! Compressing is a library's business, and the core depends on none: a transport brings the one
//! step of its library as a [`Deflate`]. What is around it (pulling, growing, ending, memory that is
//! used again) is here, the same for all transports. At steady state nothing is allocated.
//!
//! ```
//! use spandrel_core::config::Protocol;
//! use spandrel_core::hosted::encode::{Deflate, EncodeError, Encoder, Step};
//!
//! /// No library at all.
//! struct Never;
//!
//! impl Deflate for Never {
//!     fn reset(&mut self) {}
//!     fn step(&mut self, _: &[u8], _: &mut Vec<u8>, _: bool) -> Result<Step, EncodeError> {
//!         Err(EncodeError::Compression)
//!     }
//! }
//!
//! let mut encoder = Encoder::<Never>::new(Protocol::HttpProtobuf, None);
//! let mut pieces = [&b"ab"[..], b"c"].into_iter();
//! let mut sent = Vec::new();
//! encoder.encode(
//!     |target| {
//!         let piece = pieces.next().unwrap_or_default();
//!         target[..piece.len()].copy_from_slice(piece);
//!         piece.len()
//!     },
//!     &mut sent,
//! )?;
//! assert_eq!((sent.as_slice(), encoder.content_type()), (&b"abc"[..], "application/x-protobuf"));
//! # Ok::<(), EncodeError>(())
//! ```

use core::fmt;
use std::string::String;
use std::vec;
use std::vec::Vec;

use crate::config::Protocol;
use crate::json::{self, JsonError};

/// Bytes pulled at a time.
const CHUNK: usize = 16 * 1024;
/// Room made for output when there is none left.
const GROWTH: usize = 8 * 1024;
/// Capacity that is kept for the next request; what a single large one needed beyond it is given
/// back.
pub const KEPT_CAPACITY: usize = 1024 * 1024;

/// The level of gzip that transports use unless another is asked for, measured together with the
/// bytes that it saves: see `Gzip` of the blocking transport.
pub const DEFAULT_GZIP_LEVEL: u32 = 1;

/// Why a body cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The compressor refused to go on. It cannot happen with the states used here, but what a
    /// library calls impossible must not become a panic in an application.
    Compression,
    /// The body cannot be written as JSON.
    Json(JsonError),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compression => f.write_str("compression failed"),
            Self::Json(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for EncodeError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Compression => None,
            Self::Json(error) => Some(error),
        }
    }
}

/// What one [`Deflate::step`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// How many bytes of the input were taken.
    pub taken: usize,
    /// Whether the member is complete.
    pub is_end: bool,
}

/// A compressor of gzip members, one after the other.
pub trait Deflate {
    /// Forgets what it has begun: the next step begins a member.
    fn reset(&mut self);

    /// Takes bytes from the front of `input` and appends to `output` without growing it. With
    /// `finish`, this is all the input there is. Called with room for output, it makes progress.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Compression`], and then it can be reset.
    fn step(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
        finish: bool,
    ) -> Result<Step, EncodeError>;
}

/// Makes what is sent. All memory is used again.
pub struct Encoder<D> {
    gzip: Option<Gzip<D>>,
    protocol: Protocol,
    protobuf: Vec<u8>,
    json: String,
}

impl<D: Deflate> Encoder<D> {
    /// An encoder, which compresses with `gzip` if there is one.
    pub fn new(protocol: Protocol, gzip: Option<D>) -> Self {
        Self {
            gzip: gzip.map(Gzip::new),
            protocol,
            protobuf: Vec::new(),
            json: String::new(),
        }
    }

    /// Whether what it makes is JSON, and not protobuf.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.protocol == Protocol::HttpJson
    }

    /// Whether what it makes is gzipped (checklist A-016).
    #[must_use]
    pub const fn is_gzip(&self) -> bool {
        self.gzip.is_some()
    }

    /// The value of `Content-Type` (checklist A-014, A-015).
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        if self.is_json() {
            "application/json"
        } else {
            "application/x-protobuf"
        }
    }

    /// Pulls the whole body and makes `output` what is sent. `source` writes to the front of the
    /// slice that it is given and returns how much it wrote, 0 at the end.
    ///
    /// # Errors
    ///
    /// Why it cannot be sent, without a byte of it; `output` is then of no use.
    pub fn encode(
        &mut self,
        mut source: impl FnMut(&mut [u8]) -> usize,
        output: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        if !self.is_json() {
            return match &mut self.gzip {
                Some(gzip) => gzip.compress(source, output),
                None => {
                    clear(output);
                    pull(&mut source, output);
                    Ok(())
                }
            };
        }
        clear(&mut self.protobuf);
        pull(&mut source, &mut self.protobuf);
        self.json.clear();
        self.json.shrink_to(KEPT_CAPACITY);
        json::export_request(&self.protobuf, &mut self.json).map_err(EncodeError::Json)?;
        match &mut self.gzip {
            Some(gzip) => gzip.compress_all(self.json.as_bytes(), output),
            None => {
                clear(output);
                output.extend_from_slice(self.json.as_bytes());
                // A line of JSON Lines, which is white space to anybody else.
                output.push(b'\n');
                Ok(())
            }
        }
    }
}

impl<D> fmt::Debug for Encoder<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder")
            .field("protocol", &self.protocol)
            .field("gzip", &self.gzip.is_some())
            .finish_non_exhaustive()
    }
}

/// Pulls bodies through a compressor.
pub struct Gzip<D> {
    state: D,
    chunk: Vec<u8>,
}

impl<D: Deflate> Gzip<D> {
    /// With `state` as it is.
    pub fn new(state: D) -> Self {
        Self {
            state,
            chunk: vec![0; CHUNK],
        }
    }

    /// Makes `output` one member of everything that `source` gives: it writes to the front of the
    /// slice and returns how much it wrote, 0 at the end.
    ///
    /// # Errors
    ///
    /// What the compressor says; it can be used again.
    pub fn compress(
        &mut self,
        mut source: impl FnMut(&mut [u8]) -> usize,
        output: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        clear(output);
        self.state.reset();
        loop {
            let pulled = source(&mut self.chunk);
            // A source that claims more than it was given room for is taken at its limit.
            let chunk = self.chunk.get(..pulled).unwrap_or(&self.chunk);
            if chunk.is_empty() {
                return finish(&mut self.state, output);
            }
            feed(&mut self.state, chunk, output)?;
        }
    }

    fn compress_all(&mut self, bytes: &[u8], output: &mut Vec<u8>) -> Result<(), EncodeError> {
        clear(output);
        self.state.reset();
        feed(&mut self.state, bytes, output)?;
        finish(&mut self.state, output)
    }
}

/// Ends because every turn has room for output, and so makes progress.
fn feed(
    state: &mut impl Deflate,
    mut bytes: &[u8],
    output: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    while !bytes.is_empty() {
        if output.capacity() - output.len() < GROWTH {
            output.reserve(GROWTH);
        }
        let step = state.step(bytes, output, false)?;
        bytes = bytes.get(step.taken..).unwrap_or_default();
    }
    Ok(())
}

fn finish(state: &mut impl Deflate, output: &mut Vec<u8>) -> Result<(), EncodeError> {
    loop {
        output.reserve(GROWTH);
        if state.step(&[], output, true)?.is_end {
            return Ok(());
        }
    }
}

fn clear(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.shrink_to(KEPT_CAPACITY);
}

/// Appends everything that `source` gives.
fn pull(source: &mut impl FnMut(&mut [u8]) -> usize, target: &mut Vec<u8>) {
    loop {
        let start = target.len();
        target.resize(start + CHUNK, 0);
        let free = target.get_mut(start..).unwrap_or_default();
        let pulled = source(free).min(CHUNK);
        target.truncate(start + pulled);
        if pulled == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Copies a few bytes at a time, and ends with a full stop.
    #[derive(Default)]
    struct Copier {
        is_broken: bool,
        resets: u32,
    }

    impl Deflate for Copier {
        fn reset(&mut self) {
            self.resets += 1;
        }

        fn step(
            &mut self,
            input: &[u8],
            output: &mut Vec<u8>,
            finish: bool,
        ) -> Result<Step, EncodeError> {
            assert!(output.capacity() > output.len(), "there is no room");
            if self.is_broken {
                return Err(EncodeError::Compression);
            }
            let taken = input.len().min(1000);
            output.extend_from_slice(&input[..taken]);
            if finish {
                output.push(b'.');
            }
            Ok(Step {
                taken,
                is_end: finish,
            })
        }
    }

    fn give(mut left: &[u8], most: usize) -> impl FnMut(&mut [u8]) -> usize + '_ {
        move |target| {
            let len = left.len().min(target.len()).min(most);
            target[..len].copy_from_slice(&left[..len]);
            left = &left[len..];
            len
        }
    }

    #[test]
    fn the_whole_body_comes_out_whatever_the_pieces() {
        let data: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
        let mut plain = Encoder::<Copier>::new(Protocol::HttpProtobuf, None);
        let mut gzip = Encoder::new(Protocol::HttpProtobuf, Some(Copier::default()));
        assert!(gzip.is_gzip() && !plain.is_gzip());
        let mut output = Vec::new();
        for most in [1000, CHUNK, usize::MAX] {
            plain.encode(give(&data, most), &mut output).unwrap();
            assert!(output == data);
            gzip.encode(give(&data, most), &mut output).unwrap();
            assert!(output.strip_suffix(b".") == Some(&data));
        }
        gzip.encode(|_| 0, &mut output).unwrap();
        assert_eq!(output, b".");
    }

    #[test]
    fn json_is_a_line_or_a_member() {
        let mut output = Vec::new();
        let mut plain = Encoder::<Copier>::new(Protocol::HttpJson, None);
        plain.encode(|_| 0, &mut output).unwrap();
        assert_eq!(output, b"{}\n");
        let mut gzip = Encoder::new(Protocol::HttpJson, Some(Copier::default()));
        gzip.encode(|_| 0, &mut output).unwrap();
        assert_eq!(output, b"{}.");
        assert_eq!(gzip.content_type(), "application/json");
        let error = gzip.encode(give(b"\xff", 1), &mut output).unwrap_err();
        assert!(matches!(error, EncodeError::Json(_)), "{error}");
    }

    #[test]
    fn a_failure_of_the_compressor_is_told_and_it_begins_anew() {
        let mut gzip = Gzip::new(Copier::default());
        let mut output = Vec::new();
        gzip.state.is_broken = true;
        let broken = gzip.compress(give(b"abc", 3), &mut output);
        assert_eq!(broken, Err(EncodeError::Compression));
        gzip.state.is_broken = false;
        gzip.compress(give(b"abc", 3), &mut output).unwrap();
        assert_eq!((output.as_slice(), gzip.state.resets), (&b"abc."[..], 2));
    }

    #[test]
    fn a_large_body_does_not_hold_its_memory_for_ever() {
        let mut encoder = Encoder::<Copier>::new(Protocol::HttpProtobuf, None);
        let mut output = Vec::new();
        let large = vec![0; 4 * KEPT_CAPACITY];
        encoder.encode(give(&large, CHUNK), &mut output).unwrap();
        encoder.encode(|_| 0, &mut output).unwrap();
        assert!(output.capacity() < 2 * KEPT_CAPACITY);
    }

    #[test]
    fn a_source_that_claims_too_much_does_no_harm() {
        let mut encoder = Encoder::<Copier>::new(Protocol::HttpProtobuf, None);
        let mut output = Vec::new();
        let mut calls = 0;
        let liar = |_: &mut [u8]| {
            calls += 1;
            if calls == 1 { usize::MAX } else { 0 }
        };
        encoder.encode(liar, &mut output).unwrap();
        assert_eq!(output.len(), CHUNK);
    }
}
