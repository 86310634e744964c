//! Records as words: a header and a body, each padded to whole words.

use std::vec::Vec;

use super::atomic::{AtomicUsize, Ordering};
use crate::buffer::record::Header;
use crate::buffer::{RECORD_HEADER_BYTES, Record};

pub(super) const WORD: usize = size_of::<usize>();
pub(super) const HEADER_WORDS: usize = RECORD_HEADER_BYTES / WORD;

/// A record that lies in words.
pub(super) struct StoredRecord<'r> {
    /// Header and body.
    pub(super) words: &'r [AtomicUsize],
    pub(super) header: Header,
}

impl<'r> StoredRecord<'r> {
    /// Reads the header of the record that `words` begin with.
    #[inline]
    pub(super) fn read(words: &'r [AtomicUsize]) -> Option<Self> {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        load(words.get(..HEADER_WORDS)?, &mut bytes);
        let header = Header::from_bytes(bytes);
        let body_words = (header.len as usize).div_ceil(WORD);
        Some(Self {
            words: words.get(..HEADER_WORDS + body_words)?,
            header,
        })
    }

    pub(super) fn copy_to<'b>(&self, scratch: &'b mut Vec<u8>) -> Record<'b> {
        let need = self.words.len() * WORD;
        if scratch.len() < need {
            scratch.resize(need, 0);
        }
        load(self.words, scratch);
        let end = RECORD_HEADER_BYTES + self.header.len as usize;
        Record {
            scope: self.header.scope,
            flags: self.header.flags,
            body: scratch.get(RECORD_HEADER_BYTES..end).unwrap_or_default(),
        }
    }
}

/// Stores `bytes` in `words`, the last one filled up with zeros.
#[inline(always)]
pub(super) fn store(words: &[AtomicUsize], bytes: &[u8]) {
    let (whole, rest) = (bytes.len() / WORD, bytes.len() % WORD);
    // Cut, so that the compiler knows that both have the same length.
    let Some((words, last)) = words.split_at_checked(whole) else {
        return;
    };
    for (word, chunk) in words.iter().zip(bytes.chunks_exact(WORD)) {
        let chunk = chunk.first_chunk().copied().unwrap_or_default();
        word.store(usize::from_le_bytes(chunk), Ordering::Relaxed);
    }
    if let (Some(word), 1..) = (last.first(), rest) {
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
