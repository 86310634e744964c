//! The encoder of the core over flate2, with output that is lent to the client without a copy: its
//! memory comes back when the client is done with it.
//!
//! Compressing a full batch takes a fraction of a millisecond, so it is done in place and not on a
//! thread of its own.

use std::sync::Arc;
use std::vec::Vec;

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use spandrel_core::env::Protocol;
use spandrel_core::hosted::span_gzip::Checksum;
use spandrel_core::hosted::unversioned::encode::{self, Coding, Deflate, EncodeError, Step};

use crate::Body;

/// The window of zlib, 2^15 bytes.
const WINDOW_BITS: u8 = 15;

/// Makes requests. All memory is used again.
pub(super) struct Encoder {
    encoder: encode::Encoder<Flate, Crc32>,
    output: Arc<Vec<u8>>,
}

impl Encoder {
    pub(super) fn new(protocol: Protocol, coding: Coding) -> Self {
        Self {
            encoder: encode::Encoder::new(protocol, coding),
            output: Arc::default(),
        }
    }

    /// The value of `Content-Type` (checklist ).
    pub(super) fn content_type(&self) -> &'static str {
        self.encoder.content_type()
    }

    /// Whether what [`encode`](Self::encode) makes is gzipped (checklist A-016).
    pub(super) const fn is_gzip(&self) -> bool {
        self.encoder.is_gzip()
    }

    /// Pulls the whole body and makes it what is sent.
    ///
    /// # Errors
    ///
    /// Why it cannot be sent, without a byte of it.
    pub(super) fn encode<B: Body>(&mut self, body: &mut B) -> Result<Bytes, EncodeError> {
        // The client still has the last body only when its future was dropped.
        if Arc::get_mut(&mut self.output).is_none() {
            self.output = Arc::default();
        }
        let mut spare = Vec::new();
        let target = Arc::get_mut(&mut self.output).unwrap_or(&mut spare);
        self.encoder.encode(|chunk| body.read(chunk), target)?;
        Ok(Bytes::from_owner(Shared(Arc::clone(&self.output))))
    }
}

/// The output, lent to the client.
struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The step of flate2.
struct Flate(Compress);

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
struct Crc32(Crc);

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
