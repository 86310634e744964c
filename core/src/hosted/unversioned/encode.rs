//! From the pulled body to the bytes that are sent: gzip, or JSON, or neither.
//!
//! Protobuf is compressed by [`SpanGzip`]. JSON, and anything with an explicit level, goes through
//! flate2. At steady state nothing is allocated.
//!
//! ```
//! use spandrel_core::env::Protocol;
//! use spandrel_core::hosted::unversioned::encode::{Coding, EncodeError, RequestEncoder};
//!
//! let mut encoder = RequestEncoder::new(Protocol::HttpProtobuf, Coding::Identity);
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
use std::collections::TryReserveError;
use std::string::String;
use std::vec;
use std::vec::Vec;

use flate2::{Compress, FlushCompress, Status};

use crate::env::{Compression, Protocol};
use crate::hosted::config::Settings;
use crate::hosted::span_gzip::SpanGzip;
use crate::json::{self, JsonError};
use crate::response::TransportError;

/// Bytes pulled at a time.
const CHUNK: usize = 16 * 1024;
/// Room made for output when there is none left.
const GROWTH: usize = 8 * 1024;
/// Capacity that is kept for the next request; what a single large one needed beyond it is given
/// back.
const KEPT_CAPACITY: usize = 1024 * 1024;
/// The window of zlib, 2^15 bytes.
const WINDOW_BITS: u8 = 15;

/// The level for JSON unless another is configured. Above it each byte saved costs more time than
/// the one before.
const JSON_LEVEL: u32 = 1;

/// The content coding of bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    /// Not compressed.
    #[default]
    Identity,
    /// gzip, by [`SpanGzip`]; JSON by flate2 at level 1.
    Gzip,
    /// gzip, by flate2 at this level: 0 stores, 1 is fastest, 9 is smallest; more is taken as 9.
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
    /// flate2 refused to go on. It cannot happen with the states used here, but an impossible error
    /// of a library must not become a panic of an application.
    Compression,
    /// The body cannot be written as JSON.
    Json(JsonError),
    /// There is no memory for the body.
    OutOfMemory,
}

impl EncodeError {
    /// The failure that it is to the exporter: what there is no memory for is dropped, because a
    /// retry would need as much; anything else can be tried again.
    #[must_use]
    pub const fn class(&self) -> TransportError {
        match self {
            Self::OutOfMemory => TransportError::OutOfMemory,
            Self::Compression | Self::Json(_) => TransportError::Other,
        }
    }
}

impl From<TryReserveError> for EncodeError {
    fn from(_: TryReserveError) -> Self {
        Self::OutOfMemory
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compression => f.write_str("compression failed"),
            Self::Json(error) => error.fmt(f),
            Self::OutOfMemory => f.write_str("memory could not be allocated"),
        }
    }
}

impl core::error::Error for EncodeError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Compression | Self::OutOfMemory => None,
            Self::Json(error) => Some(error),
        }
    }
}

/// Makes the bytes of requests. All memory is used again.
pub struct RequestEncoder {
    coder: Coder,
    /// Bodies go as they are, whatever the coder.
    is_plain: bool,
    protocol: Protocol,
    protobuf: Vec<u8>,
    json: String,
}

enum Coder {
    Identity,
    Spans(Box<SpanGzip>),
    Level(Deflate),
}

impl RequestEncoder {
    /// An encoder of `protocol` in `coding`, with the memory that both need.
    #[must_use]
    pub fn new(protocol: Protocol, coding: Coding) -> Self {
        let coder = match coding {
            Coding::Identity => Coder::Identity,
            Coding::Gzip if protocol != Protocol::HttpJson => Coder::Spans(Box::default()),
            Coding::Gzip => Coder::Level(Deflate::new(JSON_LEVEL)),
            Coding::GzipLevel(level) => Coder::Level(Deflate::new(level)),
        };
        Self {
            coder,
            is_plain: false,
            protocol,
            protobuf: Vec::new(),
            json: String::new(),
        }
    }

    /// Returns true if it makes JSON, false if protobuf.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.protocol == Protocol::HttpJson
    }

    /// Returns true if bodies need `Content-Encoding: gzip`.
    #[must_use]
    pub const fn is_gzip(&self) -> bool {
        !self.is_plain && !matches!(self.coder, Coder::Identity)
    }

    /// Leaves bodies uncompressed from now on, or no longer.
    pub const fn set_plain(&mut self, is_plain: bool) {
        self.is_plain = is_plain;
    }

    /// The value of `Content-Type` that
    /// [OTLP/HTTP](https://opentelemetry.io/docs/specs/otlp/#otlphttp-request) asks for.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        if self.is_json() {
            "application/json"
        } else {
            "application/x-protobuf"
        }
    }

    /// Pulls the whole protobuf body and replaces `output` by the bytes to send. `source` writes to
    /// the front of the slice that it is given and returns how much it wrote, 0 at the end.
    ///
    /// # Errors
    ///
    /// Why the body cannot be sent, quoting nothing of it; `output` must not be sent then. What a
    /// body took for which the memory is not enough is given back.
    pub fn encode(
        &mut self,
        source: impl FnMut(&mut [u8]) -> usize,
        output: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let encoded = self.try_encode(source, output);
        if encoded == Err(EncodeError::OutOfMemory) {
            *output = Vec::new();
            self.protobuf = Vec::new();
            self.json = String::new();
        }
        encoded
    }

    fn try_encode(
        &mut self,
        mut source: impl FnMut(&mut [u8]) -> usize,
        output: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        clear(output);
        let mut plain = Coder::Identity;
        if !self.is_json() {
            let coder = if self.is_plain {
                &mut plain
            } else {
                &mut self.coder
            };
            return coder.code(source, output);
        }
        clear(&mut self.protobuf);
        pull(&mut source, &mut self.protobuf)?;
        self.json.clear();
        self.json.shrink_to(KEPT_CAPACITY);
        json::export_request(&self.protobuf, &mut Growing(&mut self.json))?;
        let mut left = self.json.as_bytes();
        let coder = if self.is_plain {
            &mut plain
        } else {
            &mut self.coder
        };
        coder.code(|target| give(&mut left, target), output)?;
        if !self.is_gzip() {
            // Ends a line of JSON Lines; to other readers it is white space.
            output.try_reserve(1)?;
            output.push(b'\n');
        }
        Ok(())
    }
}

impl Coder {
    /// Appends everything that `source` gives.
    fn code(
        &mut self,
        mut source: impl FnMut(&mut [u8]) -> usize,
        output: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        match self {
            Self::Identity => pull(&mut source, output),
            Self::Spans(gzip) => Ok(gzip.compress(source, output)?),
            Self::Level(gzip) => gzip.compress(source, output),
        }
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

impl fmt::Debug for RequestEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestEncoder")
            .field("protocol", &self.protocol)
            .field("gzip", &self.is_gzip())
            .finish_non_exhaustive()
    }
}

/// flate2's gzip, with a state that is made once.
struct Deflate {
    state: Compress,
    chunk: Vec<u8>,
}

impl Deflate {
    fn new(level: u32) -> Self {
        let level = flate2::Compression::new(level.min(9));
        Self {
            state: Compress::new_gzip(level, WINDOW_BITS),
            chunk: vec![0; CHUNK],
        }
    }

    /// Appends one member of everything that `source` gives. After an error it can be used again.
    fn compress(
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

/// Ends because each turn has room for output, and so makes progress.
fn feed(state: &mut Compress, mut bytes: &[u8], output: &mut Vec<u8>) -> Result<(), EncodeError> {
    while !bytes.is_empty() {
        if output.capacity() - output.len() < GROWTH {
            output.try_reserve(GROWTH)?;
        }
        let before = state.total_in();
        state
            .compress_vec(bytes, output, FlushCompress::None)
            .map_err(|_| EncodeError::Compression)?;
        let taken = usize::try_from(state.total_in() - before).unwrap_or(usize::MAX);
        bytes = bytes.get(taken..).unwrap_or_default();
    }
    Ok(())
}

fn finish(state: &mut Compress, output: &mut Vec<u8>) -> Result<(), EncodeError> {
    loop {
        output.try_reserve(GROWTH)?;
        let status = state
            .compress_vec(&[], output, FlushCompress::Finish)
            .map_err(|_| EncodeError::Compression)?;
        if status == Status::StreamEnd {
            return Ok(());
        }
    }
}

/// Empties a buffer, and gives back the memory that one large body needed.
fn clear(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.shrink_to(KEPT_CAPACITY);
}

/// Appends everything that `source` gives.
fn pull(
    source: &mut impl FnMut(&mut [u8]) -> usize,
    target: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    loop {
        let start = target.len();
        target.try_reserve(CHUNK)?;
        target.resize(start + CHUNK, 0);
        let free = target.get_mut(start..).unwrap_or_default();
        let pulled = source(free).min(CHUNK);
        target.truncate(start + pulled);
        if pulled == 0 {
            return Ok(());
        }
    }
}

/// Text that ends where memory does.
struct Growing<'a>(&'a mut String);

impl fmt::Write for Growing<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.try_reserve(text.len()).map_err(|_| fmt::Error)?;
        self.0.push_str(text);
        Ok(())
    }
}

impl From<JsonError> for EncodeError {
    fn from(error: JsonError) -> Self {
        match error {
            // Text refuses nothing but memory.
            JsonError::Write => Self::OutOfMemory,
            error => Self::Json(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    const CODINGS: [Coding; 7] = [
        Coding::Identity,
        Coding::Gzip,
        Coding::GzipLevel(0),
        Coding::GzipLevel(1),
        Coding::GzipLevel(6),
        Coding::GzipLevel(9),
        Coding::GzipLevel(99),
    ];

    fn protobuf(coding: Coding) -> RequestEncoder {
        RequestEncoder::new(Protocol::HttpProtobuf, coding)
    }

    fn in_pieces(mut left: &[u8], most: usize) -> impl FnMut(&mut [u8]) -> usize + '_ {
        move |target| {
            let len = target.len().min(most);
            give(&mut left, &mut target[..len])
        }
    }

    /// Undoes the coding of `encoder`.
    fn decoded(encoder: &RequestEncoder, output: &[u8]) -> Vec<u8> {
        if !encoder.is_gzip() {
            return output.to_vec();
        }
        let mut plain = Vec::new();
        let mut decoder = flate2::bufread::GzDecoder::new(output);
        decoder.read_to_end(&mut plain).unwrap();
        let rest = decoder.into_inner();
        assert!(rest.is_empty(), "one member, nothing after it");
        plain
    }

    /// Bytes of five random bits each: they compress, but not to nothing.
    fn sample(len: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8 & 0x1f
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn the_whole_body_comes_out_whatever_the_coding_and_the_pieces() {
        let mut output = Vec::new();
        for coding in CODINGS {
            let mut encoder = protobuf(coding);
            assert_eq!(encoder.is_gzip(), coding != Coding::Identity);
            for (len, most) in [
                (100_000, 1000),
                (100_000, CHUNK),
                (100_000, usize::MAX),
                (5, 1),
            ] {
                let data = sample(len);
                encoder.encode(in_pieces(&data, most), &mut output).unwrap();
                assert!(
                    decoded(&encoder, &output) == data,
                    "{coding:?} {len} {most}"
                );
            }
            encoder.encode(|_| 0, &mut output).unwrap();
            assert_eq!(decoded(&encoder, &output), b"");
        }
    }

    #[test]
    fn a_body_does_not_depend_on_the_one_before() {
        for coding in CODINGS {
            let mut encoder = protobuf(coding);
            let [mut first, mut other, mut again] = [(); 3].map(|()| Vec::new());
            for (len, output) in [(5000, &mut first), (70_000, &mut other), (5000, &mut again)] {
                let data = sample(len);
                encoder.encode(in_pieces(&data, 512), output).unwrap();
            }
            assert!(first == again, "{coding:?}");
        }
    }

    #[test]
    fn protobuf_without_a_level_is_compressed_for_spans_and_everything_else_by_flate2() {
        // What the header says of the system: nothing, or the one that flate2 runs on.
        let system = |mut encoder: RequestEncoder| {
            let mut output = Vec::new();
            encoder.encode(|_| 0, &mut output).unwrap();
            assert_eq!(output[..3], [0x1f, 0x8b, 8]);
            output[9]
        };
        assert_eq!(system(protobuf(Coding::Gzip)), 255);
        assert_ne!(system(protobuf(Coding::GzipLevel(1))), 255);
        let json = RequestEncoder::new(Protocol::HttpJson, Coding::Gzip);
        assert_ne!(system(json), 255);
    }

    #[test]
    fn json_is_a_line_or_a_member() {
        let mut output = Vec::new();
        let mut plain = RequestEncoder::new(Protocol::HttpJson, Coding::Identity);
        plain.encode(|_| 0, &mut output).unwrap();
        assert_eq!(output, b"{}\n");
        let mut gzip = RequestEncoder::new(Protocol::HttpJson, Coding::GzipLevel(9));
        gzip.encode(|_| 0, &mut output).unwrap();
        assert_eq!(decoded(&gzip, &output), b"{}");
        assert_eq!(gzip.content_type(), "application/json");
        let error = gzip.encode(in_pieces(b"\xff", 1), &mut output).unwrap_err();
        assert!(matches!(error, EncodeError::Json(_)), "{error}");
        gzip.encode(|_| 0, &mut output).unwrap();
        assert_eq!(decoded(&gzip, &output), b"{}");
    }

    #[test]
    fn a_large_body_does_not_hold_its_memory_for_ever() {
        for coding in [Coding::Identity, Coding::GzipLevel(0)] {
            let mut encoder = protobuf(coding);
            let mut output = Vec::new();
            let large = vec![0; 4 * KEPT_CAPACITY];
            let pieces = in_pieces(&large, usize::MAX);
            encoder.encode(pieces, &mut output).unwrap();
            assert!(output.capacity() >= 4 * KEPT_CAPACITY);
            encoder.encode(|_| 0, &mut output).unwrap();
            assert!(output.capacity() < 2 * KEPT_CAPACITY);
        }
    }

    #[test]
    fn a_source_that_claims_too_much_does_no_harm() {
        for coding in [Coding::Identity, Coding::GzipLevel(1)] {
            let mut encoder = protobuf(coding);
            let mut output = Vec::new();
            let mut calls = 0;
            let liar = |_: &mut [u8]| {
                calls += 1;
                if calls == 1 { usize::MAX } else { 0 }
            };
            encoder.encode(liar, &mut output).unwrap();
            assert_eq!(decoded(&encoder, &output).len(), CHUNK);
        }
    }
}
