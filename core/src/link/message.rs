//! The content of a frame, and its bytes.
//!
//! ```text
//!  00  COBS( postcard(Message)  crc32 )  00
//! ```
//!
//! The zero in front ends anything that a receiver took for the start of a frame: noise of the
//! line, the output of a boot loader.

use serde::Deserialize;
#[cfg(test)]
use serde::Serialize;

use super::enframe::Enframer;
use crate::wire::varint_len;

/// The version of this protocol; a receiver counts frames of other versions and ignores them.
pub(super) const VERSION: u8 = 1;

/// The smallest memory for a frame: with less,
/// [`LinkExporter::next_frame`](super::LinkExporter::next_frame) makes no progress.
pub const MIN_FRAME_BYTES: usize = 72;

/// Stands behind the message in the frames of a device whose clock has stood still. A decoder that
/// does not know it reads the message all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct Resumed {
    /// Counts how often, from 1; after the last number comes 1.
    pub(super) times: u8,
    /// How long the clock has run since the last time.
    pub(super) millis: u32,
}

impl Resumed {
    fn len(&self) -> usize {
        1 + varint_len(self.millis.into())
    }
}

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
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

/// The content of a frame. The order is part of the protocol: new variants go to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
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
        /// The number of earlier spans that are not acknowledged; `None` without acknowledgements.
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
    /// Host to device: please send the resource and the scopes.
    Announce,
}

/// A piece of something that may be larger than a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct Part<'a> {
    /// Bytes of the whole.
    pub(super) total: u32,
    /// The offset of this piece.
    pub(super) offset: u32,
    #[serde(borrow)]
    #[cfg_attr(test, serde(serialize_with = "as_bytes"))]
    pub(super) bytes: &'a [u8],
}

/// Without this each byte would go through the serializer by itself.
#[cfg(test)]
fn as_bytes<S: serde::Serializer>(bytes: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

impl Message<'_> {
    /// Writes the frame to the start of `target`, with as much of its fragment as fits. Returns the
    /// frame's length and the fragment's, or `None` if there is no room.
    ///
    /// Field by field as postcard would, without its serializer: see [`enframe`](super::enframe).
    pub(super) fn encode(
        &self,
        resumed: Option<Resumed>,
        target: &mut [u8],
    ) -> Option<(usize, usize)> {
        let behind = resumed.map_or(0, |resumed| resumed.len());
        let mut frame = Enframer::new(target);
        frame.put_byte(self.version);
        frame.put_number(self.boot.into());
        frame.put_number(self.sequence.into());
        frame.put_number(self.now);
        let mut taken = 0;
        match &self.body {
            Body::Entry { index, part } => {
                frame.put_byte(0);
                frame.put_number((*index).into());
                taken = part.put(&mut frame, behind);
            }
            Body::Span {
                number,
                unacknowledged,
                scope,
                flags,
                part,
            } => {
                frame.put_byte(1);
                frame.put_number(*number);
                frame.put_byte(unacknowledged.is_some().into());
                if let Some(spans) = unacknowledged {
                    frame.put_byte(*spans);
                }
                frame.put_number((*scope).into());
                frame.put_byte(*flags);
                taken = part.put(&mut frame, behind);
            }
            Body::Counts {
                ended,
                queue_full,
                too_large,
            } => {
                frame.put_byte(2);
                for count in [ended, queue_full, too_large] {
                    frame.put_number(*count);
                }
            }
            Body::Ack { next } => {
                frame.put_byte(3);
                frame.put_number(*next);
            }
            Body::Announce => frame.put_byte(4),
        }
        if let Some(resumed) = resumed {
            frame.put_byte(resumed.times);
            frame.put_number(resumed.millis.into());
        }
        Some((frame.finish()?, taken))
    }
}

impl Part<'_> {
    /// As many of the bytes as there is room for, with `behind` more behind them.
    fn put(&self, frame: &mut Enframer<'_>, behind: usize) -> usize {
        frame.put_number(self.total.into());
        frame.put_number(self.offset.into());
        // Room for the longest length that the bytes may need.
        let room = frame.room().saturating_sub(behind);
        let most = self.bytes.len().min(room);
        let len = most.min(room.saturating_sub(varint_len(most as u64)));
        let bytes = self.bytes.get(..len).unwrap_or_default();
        frame.put_number(len as u64);
        frame.put(bytes);
        len
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::deframe::Deframer;
    use std::vec;
    use std::vec::Vec;

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

    #[test]
    fn what_is_cut_fits_wastes_little_and_is_what_postcard_writes() {
        for size in MIN_FRAME_BYTES..1_000 {
            for fill in [0, 1, 0xff] {
                let bytes = vec![fill; 1_000];
                for message in [largest(&bytes), smallest(&bytes)] {
                    let mut target = vec![0; size];
                    let (len, taken) = message.encode(None, &mut target).unwrap();
                    assert!(taken >= 8);
                    assert!(target[1..len - 1].iter().all(|&byte| byte != 0));
                    assert_eq!((target[0], target[len - 1]), (0, 0));
                    assert!(len + 8 > size, "{len} of {size}");
                    assert_eq!(content(&target[..len]), by_postcard(message, taken));
                }
            }
        }
        let mut target = [0; MIN_FRAME_BYTES];
        assert!(matches!(
            largest(b"short").encode(None, &mut target),
            Some((_, 5))
        ));
    }

    #[test]
    fn what_stands_behind_a_message_leaves_room_for_a_piece_of_it() {
        let bytes = vec![7; 1_000];
        for millis in [0, 127, 128, u32::MAX] {
            let resumed = Resumed { times: 3, millis };
            for size in MIN_FRAME_BYTES..400 {
                for message in [largest(&bytes), smallest(&bytes)] {
                    let mut target = vec![0; size];
                    let (len, taken) = message.encode(Some(resumed), &mut target).unwrap();
                    assert!(taken > 0);
                    assert!(len + 8 > size, "{len} of {size}");
                    let mut expected = by_postcard(message, taken);
                    expected.extend(postcard::to_slice(&resumed, &mut [0; 8]).unwrap().iter());
                    assert_eq!(content(&target[..len]), expected);
                }
            }
        }
    }

    #[test]
    fn messages_without_a_fragment_are_what_postcard_writes() {
        let counts = Body::Counts {
            ended: 300,
            queue_full: u64::MAX,
            too_large: 0,
        };
        for body in [counts, Body::Ack { next: 128 }, Body::Announce] {
            let message = Message {
                body,
                ..smallest(&[])
            };
            let mut target = [0; 64];
            let (len, taken) = message.encode(None, &mut target).unwrap();
            assert_eq!(taken, 0);
            assert_eq!(content(&target[..len]), by_postcard(message, 0));
        }
    }

    #[test]
    fn a_frame_that_does_not_fit_is_refused() {
        let mut target = [0; 40];
        assert_eq!(largest(&[1; 8]).encode(None, &mut target), None);
        assert_eq!(largest(&[]).encode(None, &mut []), None);
    }

    fn content(frame: &[u8]) -> Vec<u8> {
        let mut deframer = Deframer::new(vec![0; frame.len()]);
        let found = frame.iter().find_map(|&byte| deframer.push(byte));
        deframer.content(found.unwrap().unwrap()).to_vec()
    }

    /// The definition of the format: postcard, of the message with `taken` bytes of its fragment.
    fn by_postcard(mut message: Message<'_>, taken: usize) -> Vec<u8> {
        if let Body::Entry { part, .. } | Body::Span { part, .. } = &mut message.body {
            part.bytes = &part.bytes[..taken];
        }
        let mut target = vec![0; 1_100];
        postcard::to_slice(&message, &mut target).unwrap().to_vec()
    }
}
