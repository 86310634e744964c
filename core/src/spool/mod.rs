//! The format of a spool: batches that wait on a disk for their collector.
//!
//! A spool is a set of *segments*. A segment is a header and, behind it, *blocks*. A block is either
//! a batch, which is the body of one request as it will be sent, or a note that batches are settled.
//! Everything that a request needs is in its block, so each batch stands alone: it can be sent by
//! another process, another version, or a tool, without what this process knew.
//!
//! ```text
//! segment   64 bytes                        block      40 bytes      len     to a multiple of 8
//!  ┌──────────┬────────────┬────────────┬┈   ┌──────────┬──────────────────┬────────┐
//!  │  header  │   block    │   block    │    │  header  │     content      │ zeros  │
//!  └──────────┴────────────┴────────────┴┈   └──────────┴──────────────────┴────────┘
//! ```
//!
//! All numbers are little-endian.
//!
//! | segment header | bytes | | block header | bytes |
//! |---|---:|---|---|---:|
//! | `SPANDREL` | 8 | | `blok` | 4 |
//! | version, 1 | 4 | | kind: 1 batch, 2 settled | 1 |
//! | zero | 4 | | encoding: bit 0 gzip, bit 1 JSON | 1 |
//! | number of the segment | 8 | | zero | 2 |
//! | instance of the writer | 16 | | spans | 4 |
//! | creation, Unix nanoseconds | 8 | | length of the content | 4 |
//! | zero | 12 | | sequence | 8 |
//! | CRC-32 of the 60 bytes before | 4 | | stored at, Unix nanoseconds | 8 |
//! | | | | CRC-32 of the content | 4 |
//! | | | | CRC-32 of instance, segment number and the 36 bytes before | 4 |
//!
//! The sum of a block's header begins with the segment's identity, so a block that was left on the
//! disk by another file is never taken for one of this file. The content has a sum of its own: if it
//! is damaged, the header still tells how many spans are lost.
//!
//! Reading never fails as a whole. [`Blocks`] hands out what is intact, skips what is not, and says
//! how much that was; what it reads may be hostile.
//!
//! ```
//! use spandrel_core::spool::{
//!     Block, BlockKind, Blocks, BodyEncoding, Scanned, SegmentHeader, BLOCK_HEADER_BYTES,
//!     SEGMENT_HEADER_BYTES,
//! };
//! use spandrel_core::time::UnixNanos;
//!
//! let segment = SegmentHeader {
//!     number: 1,
//!     instance: [7; 16],
//!     created: UnixNanos::from_secs(1_700_000_000),
//! };
//! let block = Block {
//!     kind: BlockKind::Batch,
//!     encoding: BodyEncoding::GZIP,
//!     spans: 512,
//!     sequence: 1,
//!     stored: UnixNanos::from_secs(1_700_000_001),
//!     content: b"the body of a request",
//! };
//!
//! let mut file = Vec::new();
//! file.extend_from_slice(&segment.to_bytes());
//! file.extend_from_slice(&block.header_bytes(&segment));
//! file.extend_from_slice(block.content);
//! file.resize(SEGMENT_HEADER_BYTES + block.stored_len(), 0);
//!
//! let (segment, mut blocks) = Blocks::of(&file)?;
//! assert_eq!(segment.number, 1);
//! assert!(matches!(blocks.next(), Some(Scanned::Block(found)) if found == block));
//! assert!(blocks.next().is_none());
//! # assert_eq!(BLOCK_HEADER_BYTES, 40);
//! # Ok::<(), spandrel_core::spool::SegmentError>(())
//! ```

mod block;
mod scan;
mod segment;
#[cfg(test)]
mod tests;

pub use block::{BLOCK_HEADER_BYTES, Block, BlockKind, BodyEncoding, MAX_CONTENT_BYTES};
pub use scan::{Blocks, Damage, Scanned};
pub use segment::{SEGMENT_HEADER_BYTES, SEGMENT_VERSION, SegmentError, SegmentHeader};
