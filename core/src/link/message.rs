//! What a frame says, and its bytes.
//!
//! ```text
//!  00  COBS( postcard(Message)  crc32 )  00
//! ```
//!
//! The zero in front ends whatever a receiver took for the start of a frame: the noise of a line,
//! the output of a boot loader.

use postcard::ser_flavors::{Cobs, Slice};
use serde::{Deserialize, Serialize};

use super::crc::{CRC_BYTES, WithCrc};
use crate::wire::varint_len;

/// The version of this protocol; a receiver ignores frames of another one and counts them.
pub(super) const VERSION: u8 = 1;

/// The smallest memory for a frame: [`LinkExporter::next_frame`](super::LinkExporter::next_frame) needs it
/// to make progress.
pub const MIN_FRAME_BYTES: usize = 72;

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Message<'a> {
    pub(super) version: u8,
    /// Which run of the device this is.
    pub(super) boot: u32,
    /// 0 for the first frame of a boot, then 1 and up; after the last number comes 1.
    pub(super) sequence: u32,
    /// The sender's monotonic time in nanoseconds when it made the frame.
    pub(super) now: u64,
    #[serde(borrow)]
    pub(super) body: Body<'a>,
}

/// What a frame is for. The order is part of the protocol: new ones go to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Body<'a> {
    /// Device to host: a piece of the resource (index 0) or of a scope (index 1 and up).
    Entry {
        index: u16,
        #[serde(borrow)]
        part: Part<'a>,
    },
    /// Device to host: a piece of a span's record.
    Span {
        /// Counts the spans of this boot, in the order of sending, from 0.
        number: u64,
        /// How many spans before this one have not been acknowledged; nothing when nobody is
        /// asked to.
        unacknowledged: Option<u8>,
        scope: u16,
        flags: u8,
        #[serde(borrow)]
        part: Part<'a>,
    },
    /// Device to host: the totals of this boot.
    Counts {
        ended: u64,
        queue_full: u64,
        too_large: u64,
    },
    /// Host to device: all spans below this number have arrived.
    Ack { next: u64 },
    /// Host to device: the resource and the scopes are wanted.
    Announce,
}

/// A piece of something that may be larger than a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part<'a> {
    /// Bytes of the whole.
    pub(super) total: u32,
    /// Where this piece belongs.
    pub(super) offset: u32,
    #[serde(borrow, serialize_with = "as_bytes")]
    pub(super) bytes: &'a [u8],
}

impl Part<'_> {
    fn len_of_numbers(&self) -> usize {
        let len = varint_len(self.bytes.len() as u64);
        varint_len(self.total.into()) + varint_len(self.offset.into()) + len
    }
}

/// Without this each byte would go through the serializer on its own.
fn as_bytes<S: serde::Serializer>(bytes: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

impl<'a> Message<'a> {
    /// This message with the first bytes of its fragment, as many as a frame of `frame` bytes has
    /// room for.
    pub(super) fn cut(mut self, frame: usize) -> Self {
        // A zero at each end, and one byte of COBS per 254 begun.
        let around = 2 + frame / 254 + 1 + CRC_BYTES + self.len_without_part();
        let room = frame.saturating_sub(around);
        if let Body::Entry { part, .. } | Body::Span { part, .. } = &mut self.body {
            part.bytes = part.bytes.get(..room).unwrap_or(part.bytes);
        }
        self
    }

    /// Bytes of the message beside those of its fragment, as postcard writes them.
    fn len_without_part(&self) -> usize {
        let body = match &self.body {
            Body::Entry { index, part } => varint_len((*index).into()) + part.len_of_numbers(),
            Body::Span {
                number,
                unacknowledged,
                scope,
                flags: _,
                part,
            } => {
                let unacknowledged = 1 + usize::from(unacknowledged.is_some());
                let scope = varint_len((*scope).into());
                varint_len(*number) + unacknowledged + scope + 1 + part.len_of_numbers()
            }
            // Nothing to cut.
            Body::Counts { .. } | Body::Ack { .. } | Body::Announce => 0,
        };
        let sequence = varint_len(self.sequence.into());
        1 + varint_len(self.boot.into()) + sequence + varint_len(self.now) + 1 + body
    }

    /// Writes the frame to the start of `target`; its length, or `None` when it does not fit.
    pub(super) fn encode(&self, target: &mut [u8]) -> Option<usize> {
        let (first, rest) = target.split_first_mut()?;
        *first = 0;
        let flavor = WithCrc::new(Cobs::try_new(Slice::new(rest)).ok()?);
        let written = postcard::serialize_with_flavor(self, flavor).ok()?;
        Some(1 + written.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn largest(bytes: &[u8]) -> Message<'_> {
        Message {
            version: VERSION,
            boot: u32::MAX,
            sequence: u32::MAX,
            now: u64::MAX,
            body: Body::Span {
                number: u64::MAX,
                unacknowledged: Some(u8::MAX),
                scope: u16::MAX,
                flags: u8::MAX,
                part: Part {
                    total: u32::MAX,
                    offset: u32::MAX,
                    bytes,
                },
            },
        }
    }

    fn smallest(bytes: &[u8]) -> Message<'_> {
        Message {
            version: VERSION,
            boot: 0,
            sequence: 0,
            now: 0,
            body: Body::Entry {
                index: 0,
                part: Part {
                    total: 0,
                    offset: 0,
                    bytes,
                },
            },
        }
    }

    fn part_len(message: &Message<'_>) -> usize {
        match message.body {
            Body::Entry { part, .. } | Body::Span { part, .. } => part.bytes.len(),
            _ => 0,
        }
    }

    #[test]
    fn what_was_cut_fits_and_wastes_little() {
        for frame in MIN_FRAME_BYTES..1_000 {
            for fill in [0, 1, 0xff] {
                let bytes = vec![fill; 1_000];
                for message in [largest(&bytes), smallest(&bytes)] {
                    let cut = message.cut(frame);
                    assert!(part_len(&cut) >= 8);
                    let mut target = vec![0; frame];
                    let len = cut.encode(&mut target).unwrap();
                    assert!(target[1..len - 1].iter().all(|&byte| byte != 0));
                    assert_eq!((target[0], target[len - 1]), (0, 0));
                    assert!(len + 8 > frame, "{len} of {frame}");
                }
            }
        }
        let short = largest(b"short").cut(MIN_FRAME_BYTES);
        assert_eq!(part_len(&short), 5);
    }

    #[test]
    fn a_frame_that_does_not_fit_is_refused() {
        let mut target = [0; 40];
        assert_eq!(largest(&[1; 8]).encode(&mut target), None);
        assert_eq!(largest(&[]).encode(&mut []), None);
    }
}
