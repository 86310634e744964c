//! gzip with a state that is made once and used for every request.
//!
//! The body is pulled (design rule R5): of one however large, 128 KiB at most lie here uncompressed.
//! The output buffer keeps its capacity: at steady state compressing allocates nothing.
//!
//! By default it is [`SpanGzip`], which knows what spans look like; the levels are those of flate2,
//! with zlib-rs behind it. The fastest rounds of `benches/run.sh`, on batches of 512 spans of 166
//! bytes, of traces of ten spans with four attributes:
//!
//! | | time a span | size a span |
//! |---|---|---|
//! | default | 189 ns | 29.7 B |
//! | level 1 | 253 ns | 37.1 B |
//! | level 2 | 399 ns | 32.6 B |
//! | level 4 | 677 ns | 30.2 B |
//! | level 6 | 1,182 ns | 29.0 B |
//!
//! About 14 bytes of a span are news that no encoder can leave out: 9.6 of random ids, 3 of
//! attributes, 1.2 of times.

use std::{error, fmt};

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use spandrel_core::hosted::span_gzip::{Checksum, SpanGzip};
use spandrel_core::hosted::unversioned::encode::{self, Deflate, EncodeError, Step};

/// The window of zlib, 2^15 bytes.
const WINDOW_BITS: u8 = 15;

/// The compressor refused to go on. It cannot happen with the states used here, but what a
/// library calls impossible must not become a panic in an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GzipError;

impl fmt::Display for GzipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("compression failed")
    }
}

impl error::Error for GzipError {}

/// A reusable gzip encoder.
///
/// ```
/// use spandrel_transport_std::Gzip;
///
/// let mut gzip = Gzip::default();
/// let mut left = [7_u8; 100_000].as_slice();
/// let compressed = gzip.compress(|chunk| {
///     let n = left.len().min(chunk.len());
///     chunk[..n].copy_from_slice(&left[..n]);
///     left = &left[n..];
///     n
/// })?;
/// assert!(compressed.len() < 1_000);
/// # Ok::<(), spandrel_transport_std::GzipError>(())
/// ```
pub struct Gzip {
    coder: Coder,
    output: Vec<u8>,
}

enum Coder {
    Spans(Box<SpanGzip<Crc32>>),
    Level(encode::Gzip<Flate>),
}

impl Gzip {
    /// An encoder of `level`: 0 stores, 1 is fastest, 9 is smallest; more is taken as 9.
    #[must_use]
    pub fn new(level: u32) -> Self {
        Self {
            coder: Coder::Level(encode::Gzip::new(level)),
            output: Vec::new(),
        }
    }

    /// What the last [`Gzip::compress`] made.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// Compresses everything that `source` gives: it writes to the front of the slice and returns
    /// how much it wrote, 0 at the end. The result is one gzip member and stays until the next
    /// call.
    ///
    /// # Errors
    ///
    /// [`GzipError`]; the encoder can be used again.
    pub fn compress(&mut self, source: impl FnMut(&mut [u8]) -> usize) -> Result<&[u8], GzipError> {
        encode::clear(&mut self.output);
        match &mut self.coder {
            Coder::Spans(gzip) => gzip.compress(source, &mut self.output),
            Coder::Level(gzip) => gzip
                .compress(source, &mut self.output)
                .map_err(|_| GzipError)?,
        }
        Ok(&self.output)
    }
}

/// The step of flate2.
pub(crate) struct Flate(Compress);

impl Deflate for Flate {
    fn new(level: u32) -> Self {
        let level = Compression::new(level.min(9));
        Self(Compress::new_gzip(level, WINDOW_BITS))
    }

    fn reset(&mut self) {
        self.0.reset();
    }

    fn step(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
        finish: bool,
    ) -> Result<Step, EncodeError> {
        let before = self.0.total_in();
        let flush = if finish {
            FlushCompress::Finish
        } else {
            FlushCompress::None
        };
        let status = self.0.compress_vec(input, output, flush);
        let status = status.map_err(|_| EncodeError::Compression)?;
        Ok(Step {
            taken: usize::try_from(self.0.total_in() - before).unwrap_or(usize::MAX),
            is_end: status == Status::StreamEnd,
        })
    }
}

/// The checksum of flate2.
#[derive(Default)]
pub(crate) struct Crc32(Crc);

impl Checksum for Crc32 {
    fn reset(&mut self) {
        self.0.reset();
    }

    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn value(&self) -> u32 {
        self.0.sum()
    }
}

/// The encoder made for spans.
impl Default for Gzip {
    fn default() -> Self {
        Self {
            coder: Coder::Spans(Box::new(SpanGzip::new(Crc32::default()))),
            output: Vec::new(),
        }
    }
}

impl fmt::Debug for Gzip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gzip").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    use spandrel_core::hosted::unversioned::encode::KEPT_CAPACITY;

    /// Bytes pulled at a time.
    const CHUNK: usize = 16 * 1024;

    fn pull(mut left: &[u8], most: usize) -> impl FnMut(&mut [u8]) -> usize + '_ {
        move |chunk| {
            let n = left.len().min(chunk.len()).min(most);
            chunk[..n].copy_from_slice(&left[..n]);
            left = &left[n..];
            n
        }
    }

    fn gunzip(data: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        let mut decoder = flate2::bufread::GzDecoder::new(data);
        decoder.read_to_end(&mut plain).unwrap();
        assert!(
            decoder.into_inner().is_empty(),
            "one member, nothing after it"
        );
        plain
    }

    /// Text that neither compresses to nothing nor not at all.
    fn sample(len: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8 & 0x1f
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn what_goes_in_comes_out_whatever_the_chunks() {
        let data = sample(100_000);
        let levels = [0, 1, 6, 9, 99].map(Gzip::new);
        for mut gzip in levels.into_iter().chain([Gzip::default()]) {
            for most in [1000, CHUNK, usize::MAX] {
                let compressed = gzip.compress(pull(&data, most)).unwrap();
                assert_eq!(gunzip(compressed), data);
            }
        }
        let mut gzip = Gzip::default();
        assert_eq!(gunzip(gzip.compress(|_| 0).unwrap()), b"");
        assert_eq!(
            gunzip(gzip.compress(pull(&data[..5], 1)).unwrap()),
            &data[..5]
        );
    }

    #[test]
    fn the_state_is_clean_after_each_use() {
        let mut gzip = Gzip::default();
        let first = gzip.compress(pull(&sample(5000), 512)).unwrap().to_vec();
        gzip.compress(pull(&sample(70_000), 512)).unwrap();
        assert_eq!(gzip.compress(pull(&sample(5000), 512)).unwrap(), first);
    }

    #[test]
    fn a_large_body_does_not_hold_its_memory_for_ever() {
        let mut gzip = Gzip::new(0);
        gzip.compress(pull(&vec![0; 4 * KEPT_CAPACITY], usize::MAX))
            .unwrap();
        gzip.compress(|_| 0).unwrap();
        assert!(gzip.output.capacity() < 2 * KEPT_CAPACITY);
    }
}
