//! The blocks of a segment.

use super::segment::{SegmentHeader, chunk, put};
use crate::crc::Crc32;
use crate::time::UnixNanos;

/// The length of a block's header.
pub const BLOCK_HEADER_BYTES: usize = 40;

/// The most bytes of content that a block may have. A longer one in a file is damage.
pub const MAX_CONTENT_BYTES: u32 = 128 << 20;

/// Blocks begin at multiples of this.
pub(super) const ALIGNMENT: usize = 8;
pub(super) const MAGIC: [u8; 4] = *b"blok";
const CONTENT_SUM: usize = BLOCK_HEADER_BYTES - 8;
const SUM: usize = BLOCK_HEADER_BYTES - 4;

/// One block of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Block<'a> {
    /// What the content is.
    pub kind: BlockKind,
    /// How the content is encoded.
    pub encoding: BodyEncoding,
    /// The number of spans in the content.
    pub spans: u32,
    /// The number among the blocks of the writer, which grows by one with each.
    pub sequence: u64,
    /// When the block was written.
    pub stored: UnixNanos,
    /// The body of a request, or the identities of the batches that are settled.
    pub content: &'a [u8],
}

/// The kind of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum BlockKind {
    /// The body of a request.
    Batch,
    /// The batches that were delivered or given up: for each the writer's instance, 16 bytes, and
    /// the block's sequence, 8 bytes.
    Settled,
}

/// How the body of a request is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BodyEncoding(u8);

impl BodyEncoding {
    /// Protobuf, not compressed.
    pub const PROTOBUF: Self = Self(0);
    /// Protobuf, compressed with gzip.
    pub const GZIP: Self = Self(1);
    const JSON: u8 = 2;

    /// The encoding of a request's body.
    #[must_use]
    pub const fn new(is_gzip: bool, is_json: bool) -> Self {
        Self(is_gzip as u8 | if is_json { Self::JSON } else { 0 })
    }

    /// Returns true if the body is compressed with gzip.
    #[must_use]
    pub const fn is_gzip(self) -> bool {
        self.0 & Self::GZIP.0 != 0
    }

    /// Returns true if the body is JSON, and false if it is protobuf.
    #[must_use]
    pub const fn is_json(self) -> bool {
        self.0 & Self::JSON != 0
    }
}

impl<'a> Block<'a> {
    /// Reads the block at the start of `bytes`, if one of `segment` is there and intact.
    #[must_use]
    pub fn from_bytes(bytes: &'a [u8], segment: &SegmentHeader) -> Option<Self> {
        let header = BlockHeader::read(bytes, segment)?;
        let content = bytes.get(BLOCK_HEADER_BYTES..)?;
        header.with_content(content.get(..header.len as usize)?)
    }

    /// The bytes in front of the content, for a block of `segment`.
    #[must_use]
    pub fn header_bytes(&self, segment: &SegmentHeader) -> [u8; BLOCK_HEADER_BYTES] {
        let kind = match self.kind {
            BlockKind::Batch => 1,
            BlockKind::Settled => 2,
        };
        let len = self.content.len() as u32;
        let mut bytes = [0; BLOCK_HEADER_BYTES];
        let fields: [(usize, &[u8]); 7] = [
            (0, &MAGIC),
            (4, &[kind, self.encoding.0]),
            (8, &self.spans.to_le_bytes()),
            (12, &len.to_le_bytes()),
            (16, &self.sequence.to_le_bytes()),
            (24, &self.stored.as_nanos().to_le_bytes()),
            (CONTENT_SUM, &content_sum(self.content).to_le_bytes()),
        ];
        for (at, field) in fields {
            put(&mut bytes, at, field);
        }
        let sum = header_sum(&bytes, segment);
        put(&mut bytes, SUM, &sum.to_le_bytes());
        bytes
    }

    /// The bytes that the block takes in a file: header, content, and zeros up to the next block.
    #[must_use]
    pub const fn stored_len(&self) -> usize {
        stored_len(self.content.len())
    }
}

pub(super) const fn stored_len(content: usize) -> usize {
    (BLOCK_HEADER_BYTES + content).next_multiple_of(ALIGNMENT)
}

pub(super) fn content_sum(content: &[u8]) -> u32 {
    let mut crc = Crc32::new();
    crc.update(content);
    crc.value()
}

fn header_sum(header: &[u8; BLOCK_HEADER_BYTES], segment: &SegmentHeader) -> u32 {
    let mut crc = Crc32::new();
    crc.update(&segment.instance);
    crc.update(&segment.number.to_le_bytes());
    crc.update(header.get(..SUM).unwrap_or_default());
    crc.value()
}

/// The header of a block, whose content is not looked at yet.
#[derive(Clone, Copy)]
pub(super) struct BlockHeader {
    kind: BlockKind,
    encoding: BodyEncoding,
    pub(super) spans: u32,
    pub(super) len: u32,
    pub(super) sequence: u64,
    stored: UnixNanos,
    content_sum: u32,
}

impl BlockHeader {
    /// The header at the start of `bytes`, if one of `segment` is there.
    pub(super) fn read(bytes: &[u8], segment: &SegmentHeader) -> Option<Self> {
        let header = bytes.first_chunk::<BLOCK_HEADER_BYTES>()?;
        if header.first_chunk() != Some(&MAGIC)
            || u32::from_le_bytes(chunk(header, SUM)) != header_sum(header, segment)
        {
            return None;
        }
        let [kind, encoding] = chunk(header, 4);
        let len = u32::from_le_bytes(chunk(header, 12));
        let kind = match kind {
            1 => BlockKind::Batch,
            2 => BlockKind::Settled,
            _ => return None,
        };
        let is_known = encoding & !(BodyEncoding::GZIP.0 | BodyEncoding::JSON) == 0;
        (is_known && len <= MAX_CONTENT_BYTES).then_some(Self {
            kind,
            encoding: BodyEncoding(encoding),
            spans: u32::from_le_bytes(chunk(header, 8)),
            len,
            sequence: u64::from_le_bytes(chunk(header, 16)),
            stored: UnixNanos::from_nanos(u64::from_le_bytes(chunk(header, 24))),
            content_sum: u32::from_le_bytes(chunk(header, CONTENT_SUM)),
        })
    }

    /// Returns true if the content is a batch.
    pub(super) const fn is_batch(&self) -> bool {
        matches!(self.kind, BlockKind::Batch)
    }

    /// The block with this `content`, if it is what was written.
    pub(super) fn with_content<'a>(&self, content: &'a [u8]) -> Option<Block<'a>> {
        (content_sum(content) == self.content_sum).then_some(Block {
            kind: self.kind,
            encoding: self.encoding,
            spans: self.spans,
            sequence: self.sequence,
            stored: self.stored,
            content,
        })
    }
}
