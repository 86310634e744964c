//! From the pulled body to the bytes that are sent: gzip, or JSON, or neither.
//!
//! Requests in protobuf are compressed by [`SpanGzip`], unless a level is asked for; that, and JSON,
//! is a library's business. The core depends on none: a transport brings the steps of its library
//! as a [`Deflate`] and a [`Checksum`]. What is around them (pulling, growing, ending, memory that
//! is used again) is here, the same for all transports. At steady state nothing is allocated.
//!
//! ```
//! use spandrel_core::env::Protocol;
//! use spandrel_core::hosted::unversioned::encode::{Coding, Deflate, EncodeError, Encoder, Step};
//! use spandrel_core::hosted::span_gzip::Checksum;
//!
//! /// No library at all.
//! struct Never;
//!
//! impl Deflate for Never {
//!     fn new(_level: u32) -> Self {
//!         Self
//!     }
//!     fn reset(&mut self) {}
//!     fn step(&mut self, _: &[u8], _: &mut Vec<u8>, _: bool) -> Result<Step, EncodeError> {
//!         Err(EncodeError::Compression)
//!     }
//! }
//!
//! # #[derive(Default)]
//! # struct Zero;
//! # impl Checksum for Zero {
//! #     fn reset(&mut self) {}
//! #     fn update(&mut self, _: &[u8]) {}
//! #     fn value(&self) -> u32 { 0 }
//! # }
//! let mut encoder = Encoder::<Never, Zero>::new(Protocol::HttpProtobuf, Coding::Identity);
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
use std::boxed::Box;
use std::string::String;
use std::vec;
use std::vec::Vec;

use crate::env::{Compression, Protocol};
use crate::hosted::config::Settings;
use crate::hosted::span_gzip::{Checksum, SpanGzip};
use crate::json::{self, JsonError};

/// Bytes pulled at a time.
const CHUNK: usize = 16 * 1024;
/// Room made for output when there is none left.
const GROWTH: usize = 8 * 1024;
/// Capacity that is kept for the next request; what a single large one needed beyond it is given
/// back.
pub const KEPT_CAPACITY: usize = 1024 * 1024;

/// The level at which a library compresses JSON unless another is asked for. Above it each byte
/// saved costs more time than the one before.
const JSON_LEVEL: u32 = 1;

/// How bodies are coded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    /// As they are.
    #[default]
    Identity,
    /// gzip, as [`SpanGzip`] makes it, and JSON at the lowest level of the library.
    Gzip,
    /// gzip, as the library makes it at this level: 0 stores, 1 is fastest, 9 is smallest; more is
    /// taken as 9.
    GzipLevel(u32),
}

impl From<&Settings> for Coding {
    fn from(settings: &Settings) -> Self {
        match (settings.compression, settings.gzip_level) {
            (Compression::None, _) => Self::Identity,
            (Compression::Gzip, None) => Self::Gzip,
            (Compression::Gzip, Some(level)) => Self::GzipLevel(level),
        }
    }
}

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
    /// One of `level`: 0 stores, 1 is fastest, 9 is smallest; more is taken as 9.
    fn new(level: u32) -> Self;

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
pub struct Encoder<D, C> {
    coder: Coder<D, C>,
    protocol: Protocol,
    protobuf: Vec<u8>,
    json: String,
}

/// What compresses.
enum Coder<D, C> {
    Identity,
    Spans(Box<SpanGzip<C>>),
    Library(Gzip<D>),
}

impl<D: Deflate, C: Checksum + Default> Encoder<D, C> {
    /// An encoder with what `protocol` and `coding` take.
    #[must_use]
    pub fn new(protocol: Protocol, coding: Coding) -> Self {
        let coder = match coding {
            Coding::Identity => Coder::Identity,
            Coding::Gzip if protocol != Protocol::HttpJson => {
                Coder::Spans(Box::new(SpanGzip::new(C::default())))
            }
            Coding::Gzip => Coder::Library(Gzip::new(JSON_LEVEL)),
            Coding::GzipLevel(level) => Coder::Library(Gzip::new(level)),
        };
        Self {
            coder,
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
        !matches!(self.coder, Coder::Identity)
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
        clear(output);
        if !self.is_json() {
            return self.coder.code(source, output);
        }
        clear(&mut self.protobuf);
        pull(&mut source, &mut self.protobuf);
        self.json.clear();
        self.json.shrink_to(KEPT_CAPACITY);
        json::export_request(&self.protobuf, &mut self.json).map_err(EncodeError::Json)?;
        let mut left = self.json.as_bytes();
        self.coder.code(|target| give(&mut left, target), output)?;
        if !self.is_gzip() {
            // A line of JSON Lines, which is white space to anybody else.
            output.push(b'\n');
        }
        Ok(())
    }
}

impl<D: Deflate, C: Checksum> Coder<D, C> {
    /// Appends everything that `source` gives.
    fn code(
        &mut self,
        mut source: impl FnMut(&mut [u8]) -> usize,
        output: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        match self {
            Self::Identity => pull(&mut source, output),
            Self::Spans(gzip) => gzip.compress(source, output),
            Self::Library(gzip) => return gzip.compress(source, output),
        }
        Ok(())
    }
}

/// Moves what fits from the front of `left` to the front of `target`.
fn give(left: &mut &[u8], target: &mut [u8]) -> usize {
    let (given, rest) = left.split_at_checked(target.len()).unwrap_or((left, &[]));
    if let Some(target) = target.get_mut(..given.len()) {
        target.copy_from_slice(given);
    }
    *left = rest;
    given.len()
}

impl<D, C> fmt::Debug for Encoder<D, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder")
            .field("protocol", &self.protocol)
            .field("gzip", &!matches!(self.coder, Coder::Identity))
            .finish_non_exhaustive()
    }
}

/// Pulls bodies through a compressor.
pub struct Gzip<D> {
    state: D,
    chunk: Vec<u8>,
}

impl<D: Deflate> Gzip<D> {
    /// One of `level`, as [`Deflate::new`] takes it.
    #[must_use]
    pub fn new(level: u32) -> Self {
        Self {
            state: D::new(level),
            chunk: vec![0; CHUNK],
        }
    }

    /// Appends one member of everything that `source` gives to `output`: it writes to the front of
    /// the slice and returns how much it wrote, 0 at the end.
    ///
    /// # Errors
    ///
    /// What the compressor says; it can be used again.
    pub fn compress(
        &mut self,
        mut source: impl FnMut(&mut [u8]) -> usize,
        output: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
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

/// Empties a buffer, and gives memory back that one large body needed.
pub fn clear(buffer: &mut Vec<u8>) {
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
        fn new(_level: u32) -> Self {
            Self::default()
        }

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

    /// A checksum that is easy to see.
    #[derive(Default)]
    struct Sum(u32);

    impl Checksum for Sum {
        fn reset(&mut self) {
            self.0 = 0;
        }

        fn update(&mut self, bytes: &[u8]) {
            self.0 += bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
        }

        fn value(&self) -> u32 {
            self.0
        }
    }

    fn encoder(protocol: Protocol, coding: Coding) -> Encoder<Copier, Sum> {
        Encoder::new(protocol, coding)
    }

    fn in_pieces(mut left: &[u8], most: usize) -> impl FnMut(&mut [u8]) -> usize + '_ {
        move |target| {
            let len = target.len().min(most);
            give(&mut left, &mut target[..len])
        }
    }

    #[test]
    fn the_whole_body_comes_out_whatever_the_pieces() {
        let data: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
        let mut plain = encoder(Protocol::HttpProtobuf, Coding::Identity);
        let mut gzip = encoder(Protocol::HttpProtobuf, Coding::GzipLevel(1));
        assert!(gzip.is_gzip() && !plain.is_gzip());
        let mut output = Vec::new();
        for most in [1000, CHUNK, usize::MAX] {
            plain.encode(in_pieces(&data, most), &mut output).unwrap();
            assert!(output == data);
            gzip.encode(in_pieces(&data, most), &mut output).unwrap();
            assert!(output.strip_suffix(b".") == Some(&data));
        }
        gzip.encode(|_| 0, &mut output).unwrap();
        assert_eq!(output, b".");
    }

    #[test]
    fn protobuf_without_a_level_is_compressed_here_and_everything_else_by_the_library() {
        let mut output = Vec::new();
        let mut spans = encoder(Protocol::HttpProtobuf, Coding::Gzip);
        spans.encode(in_pieces(b"abc", 1), &mut output).unwrap();
        assert_eq!(output[..3], [0x1f, 0x8b, 8]);
        assert_eq!(output[output.len() - 8..], [38, 1, 0, 0, 3, 0, 0, 0]);
        let mut level = encoder(Protocol::HttpProtobuf, Coding::GzipLevel(6));
        level.encode(in_pieces(b"abc", 1), &mut output).unwrap();
        assert_eq!(output, b"abc.");
        let mut json = encoder(Protocol::HttpJson, Coding::Gzip);
        json.encode(|_| 0, &mut output).unwrap();
        assert_eq!(output, b"{}.");
    }

    #[test]
    fn json_is_a_line_or_a_member() {
        let mut output = Vec::new();
        let mut plain = encoder(Protocol::HttpJson, Coding::Identity);
        plain.encode(|_| 0, &mut output).unwrap();
        assert_eq!(output, b"{}\n");
        let mut gzip = encoder(Protocol::HttpJson, Coding::GzipLevel(9));
        gzip.encode(|_| 0, &mut output).unwrap();
        assert_eq!(output, b"{}.");
        assert_eq!(gzip.content_type(), "application/json");
        let error = gzip.encode(in_pieces(b"\xff", 1), &mut output).unwrap_err();
        assert!(matches!(error, EncodeError::Json(_)), "{error}");
    }

    #[test]
    fn a_failure_of_the_compressor_is_told_and_it_begins_anew() {
        let mut gzip = Gzip::<Copier>::new(1);
        let mut output = Vec::new();
        gzip.state.is_broken = true;
        let broken = gzip.compress(in_pieces(b"abc", 3), &mut output);
        assert_eq!(broken, Err(EncodeError::Compression));
        gzip.state.is_broken = false;
        gzip.compress(in_pieces(b"abc", 3), &mut output).unwrap();
        assert_eq!((output.as_slice(), gzip.state.resets), (&b"abc."[..], 2));
    }

    #[test]
    fn a_large_body_does_not_hold_its_memory_for_ever() {
        let mut encoder = encoder(Protocol::HttpProtobuf, Coding::Identity);
        let mut output = Vec::new();
        let large = vec![0; 4 * KEPT_CAPACITY];
        encoder
            .encode(in_pieces(&large, CHUNK), &mut output)
            .unwrap();
        encoder.encode(|_| 0, &mut output).unwrap();
        assert!(output.capacity() < 2 * KEPT_CAPACITY);
    }

    #[test]
    fn a_source_that_claims_too_much_does_no_harm() {
        for coding in [Coding::Identity, Coding::GzipLevel(1)] {
            let mut encoder = encoder(Protocol::HttpProtobuf, coding);
            let mut output = Vec::new();
            let mut calls = 0;
            let liar = |_: &mut [u8]| {
                calls += 1;
                if calls == 1 { usize::MAX } else { 0 }
            };
            encoder.encode(liar, &mut output).unwrap();
            assert_eq!(output.len(), CHUNK + usize::from(encoder.is_gzip()));
        }
    }
}
