//! A record as the words of a ring: a header and a body.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::vec::Vec;

use crate::buffer::{RECORD_HEADER_BYTES, Record, RecordFlags};
use crate::resource::ScopeId;

pub(super) const WORD: usize = size_of::<usize>();
pub(super) const HEADER_WORDS: usize = RECORD_HEADER_BYTES / WORD;
/// Offset of the flags in a header.
pub(super) const FLAGS: usize = 6;

/// A record in the ring.
pub(super) struct Stored<'r> {
    /// Header and body.
    pub(super) words: &'r [AtomicUsize],
    header: [u8; RECORD_HEADER_BYTES],
    /// Of the body, in bytes.
    pub(super) len: usize,
}

impl<'r> Stored<'r> {
    /// The record that `words` begin with.
    #[inline]
    pub(super) fn read(words: &'r [AtomicUsize]) -> Option<Self> {
        let mut header = [0; RECORD_HEADER_BYTES];
        load(words.get(..HEADER_WORDS)?, &mut header);
        let [a, b, c, d, ..] = header;
        let len = u32::from_le_bytes([a, b, c, d]) as usize;
        Some(Self {
            words: words.get(..HEADER_WORDS + len.div_ceil(WORD))?,
            header,
            len,
        })
    }

    pub(super) fn scope(&self) -> ScopeId {
        let [_, _, _, _, a, b, _, _] = self.header;
        ScopeId(u16::from_le_bytes([a, b]))
    }

    pub(super) fn flags(&self) -> RecordFlags {
        RecordFlags::from_bits(self.header[FLAGS])
    }

    pub(super) fn copy_to<'b>(&self, scratch: &'b mut Vec<u8>) -> Record<'b> {
        let need = self.words.len() * WORD;
        if scratch.len() < need {
            scratch.resize(need, 0);
        }
        load(self.words, scratch);
        let end = RECORD_HEADER_BYTES + self.len;
        Record {
            scope: self.scope(),
            flags: self.flags(),
            body: scratch.get(RECORD_HEADER_BYTES..end).unwrap_or_default(),
        }
    }
}

/// What stands before the body of `record`.
#[inline(always)]
pub(super) fn header(record: &Record<'_>) -> [u8; RECORD_HEADER_BYTES] {
    let [a, b, c, d] = (record.body.len() as u32).to_le_bytes();
    let [e, f] = record.scope.0.to_le_bytes();
    [a, b, c, d, e, f, record.flags.bits(), 0]
}

/// Stores `bytes` in `words`, the last one filled up with zeros.
#[inline(always)]
pub(super) fn store(words: &[AtomicUsize], bytes: &[u8]) {
    let chunks = bytes.chunks_exact(WORD);
    let rest = chunks.remainder().len();
    for (word, chunk) in words.iter().zip(chunks) {
        let chunk = chunk.first_chunk().copied().unwrap_or_default();
        word.store(usize::from_le_bytes(chunk), Ordering::Relaxed);
    }
    if let (Some(word), 1..) = (words.last(), rest) {
        // The end of the bytes as a word, without those that were stored already; no body is
        // shorter than a word.
        let end = bytes.last_chunk().copied().unwrap_or_default();
        let value = usize::from_le_bytes(end) >> (8 * (WORD - rest));
        word.store(value, Ordering::Relaxed);
    }
}

/// Loads as many `bytes` as `words` hold.
#[inline(always)]
pub(super) fn load(words: &[AtomicUsize], bytes: &mut [u8]) {
    for (word, chunk) in words.iter().zip(bytes.chunks_exact_mut(WORD)) {
        chunk.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
    }
}
