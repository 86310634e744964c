//! Reading a segment that may be torn, damaged or hostile.

use super::block::{ALIGNMENT, BLOCK_HEADER_BYTES, Block, BlockHeader, stored_len};
use super::segment::{SEGMENT_HEADER_BYTES, SegmentError, SegmentHeader};

/// The blocks of a segment, in the order in which they were written.
///
/// The iterator ends where nothing but zeros follows. It takes time in proportion to the length of
/// the file, whatever is in it.
#[derive(Clone, Debug)]
pub struct Blocks<'a> {
    segment: SegmentHeader,
    file: &'a [u8],
    at: usize,
}

/// What was found at a place of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Scanned<'a> {
    /// A block that is as it was written.
    Block(Block<'a>),
    /// Bytes that are no block any more.
    Damage(Damage),
}

/// A part of a segment that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Damage {
    /// Where it begins in the file.
    pub at: usize,
    /// Its length.
    pub bytes: usize,
    /// The spans of a batch whose header is intact and whose content is not; otherwise `None`. What
    /// else is lost then shows as a gap in the sequence of the blocks.
    pub spans: Option<u32>,
    /// The sequence of that batch.
    pub sequence: Option<u64>,
}

impl<'a> Blocks<'a> {
    /// The header of a segment, and its blocks.
    ///
    /// # Errors
    ///
    /// [`SegmentError`], if the file does not begin with the header of a segment.
    pub fn of(file: &'a [u8]) -> Result<(SegmentHeader, Self), SegmentError> {
        let segment = SegmentHeader::from_bytes(file)?;
        Ok((segment, Self::after_header(&segment, file)))
    }

    /// The blocks of a file whose header is damaged. Of `segment`, number and instance must be known
    /// from elsewhere, such as the file's name.
    #[must_use]
    pub const fn after_header(segment: &SegmentHeader, file: &'a [u8]) -> Self {
        Self {
            segment: *segment,
            file,
            at: SEGMENT_HEADER_BYTES,
        }
    }

    /// Where the next block begins in the file.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.at
    }

    fn rest(&self, at: usize) -> &'a [u8] {
        self.file.get(at..).unwrap_or_default()
    }

    /// The nearest place behind the present one at which a block's header is, or the end.
    fn next_header(&self) -> usize {
        let mut at = self.at + ALIGNMENT;
        while at + BLOCK_HEADER_BYTES <= self.file.len() {
            if BlockHeader::read(self.rest(at), &self.segment).is_some() {
                return at;
            }
            at += ALIGNMENT;
        }
        self.file.len()
    }

    /// The end of a block whose content cannot be read. Its length is under the header's sum, so it
    /// is believed, unless the file was cut there and goes on with something else.
    fn end_of(&self, header: &BlockHeader) -> usize {
        let end = self.at + stored_len(header.len as usize);
        let rest = self.rest(end);
        let is_plausible = end <= self.file.len()
            && (BlockHeader::read(rest, &self.segment).is_some() || is_unwritten(rest));
        if is_plausible {
            end
        } else {
            self.next_header()
        }
    }

    /// Skips to `end` what cannot be read.
    fn skip(&mut self, end: usize, header: Option<BlockHeader>) -> Scanned<'a> {
        let at = self.at;
        self.at = end;
        let batch = header.filter(BlockHeader::is_batch);
        Scanned::Damage(Damage {
            at,
            bytes: end - at,
            spans: batch.map(|header| header.spans),
            sequence: batch.map(|header| header.sequence),
        })
    }
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Scanned<'a>;

    fn next(&mut self) -> Option<Scanned<'a>> {
        let rest = self.rest(self.at);
        let Some(header) = BlockHeader::read(rest, &self.segment) else {
            if is_unwritten(rest) {
                self.at = self.file.len();
                return None;
            }
            return Some(self.skip(self.next_header(), None));
        };
        let content = rest.get(BLOCK_HEADER_BYTES..).unwrap_or_default();
        let block = content
            .get(..header.len as usize)
            .and_then(|content| header.with_content(content));
        match block {
            Some(block) => {
                let end = self.at + stored_len(header.len as usize);
                self.at = end.min(self.file.len());
                Some(Scanned::Block(block))
            }
            None => Some(self.skip(self.end_of(&header), Some(header))),
        }
    }
}

/// Returns true if `rest` was reserved and not written yet, or is empty.
fn is_unwritten(rest: &[u8]) -> bool {
    rest.iter().all(|byte| *byte == 0)
}
