//! What a spool knows of its batches and segments.

use super::files::SegmentId;
use crate::spool::BodyEncoding;
use crate::time::UnixNanos;

/// The spans of a spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpoolCounts {
    /// Spans that wait now, also those of the batch that was taken.
    pub stored: u64,
    /// Spans that earlier processes had left here.
    pub recovered: u64,
    /// Spans that were given up because the spool was full.
    pub dropped_full: u64,
    /// Spans that were given up because of their age.
    pub dropped_expired: u64,
    /// Spans that the disk damaged or could not read again.
    pub dropped_damaged: u64,
    /// Bytes in which blocks were damaged so that the number of their spans is not known.
    pub damaged_bytes: u64,
    /// The bytes of all segments.
    pub bytes: u64,
    /// Operations on files that failed.
    pub failures: u64,
}

/// A batch that was taken out to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBatch {
    /// Its spans.
    pub spans: u32,
    /// How its body is encoded.
    pub encoding: BodyEncoding,
    /// When it was stored.
    pub stored: UnixNanos,
    /// It comes from an earlier process.
    pub is_recovered: bool,
}

/// A batch that waits.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) instance: [u8; 16],
    pub(super) sequence: u64,
    pub(super) segment: SegmentId,
    pub(super) at: u64,
    pub(super) len: usize,
    pub(super) batch: StoredBatch,
}

pub(super) struct Segment {
    pub(super) id: SegmentId,
    pub(super) bytes: u64,
    /// Batches in it that are not settled.
    pub(super) live: u32,
}
