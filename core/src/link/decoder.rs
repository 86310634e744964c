//! The host's side: from bytes in any chunks to spans, with every loss counted.

use super::command::Command;
use super::deframe::{Deframer, FrameError};
use super::event::{Content, DecoderStats, DeviceCounts, LinkEvent, ReceivedSpan};
use super::message::{Body, Message, Part, VERSION};
use super::transfer::{Kind, Progress, Transfer};
use crate::buffer::RecordFlags;
use crate::resource::{EncodedEntry, ScopeId};
use crate::span::stored;
use crate::time::Instant;

/// Reads the frames of one device: see the [module](super).
///
/// `F` is memory for one frame, `M` for the largest span, resource or scope. Nothing is allocated,
/// whatever the bytes are.
#[derive(Clone, Debug)]
pub struct Decoder<F, M> {
    frames: Deframer<F>,
    memory: M,
    state: State,
}

/// Everything but the memory.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// The boot of the last frame; `None` before the first one.
    boot: Option<u32>,
    next_sequence: u32,
    /// The number of the span that is expected next; `None` before the first one.
    next_number: Option<u64>,
    /// True if the last span wants an acknowledgement.
    acknowledged: bool,
    transfer: Option<Transfer>,
    stats: DecoderStats,
}

/// The result of one frame, without a borrow of the memory.
struct Found {
    boot: u32,
    now: Instant,
    is_new_boot: bool,
    is_first: bool,
    lost_frames: u64,
    what: What,
}

enum What {
    Nothing,
    Counts(DeviceCounts),
    /// A whole item in the first bytes of the memory.
    Complete(Kind, usize),
}

impl<F, M> Decoder<F, M> {
    /// A decoder anywhere in the stream of a device.
    pub const fn new(frame: F, memory: M) -> Self {
        Self {
            frames: Deframer::new(frame),
            memory,
            state: State {
                boot: None,
                next_sequence: 0,
                next_number: None,
                acknowledged: false,
                transfer: None,
                stats: DecoderStats::NONE,
            },
        }
    }

    /// Returns the counts so far.
    #[must_use]
    pub const fn stats(&self) -> DecoderStats {
        self.state.stats
    }

    /// Returns the acknowledgement of all spans returned so far, if the device wants one. It may be
    /// sent as often or as seldom as is convenient.
    #[must_use]
    pub const fn acknowledgement(&self) -> Option<Command> {
        match (self.state.boot, self.state.next_number) {
            (Some(boot), Some(next)) if self.state.acknowledged => {
                Some(Command::Ack { boot, next })
            }
            _ => None,
        }
    }
}

impl<F, M> Decoder<F, M>
where
    F: AsRef<[u8]> + AsMut<[u8]>,
    M: AsRef<[u8]> + AsMut<[u8]>,
{
    /// Takes bytes from the front of `input` up to the end of the next good frame. `None` means
    /// that all bytes were taken and more are needed.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<LinkEvent<'_>> {
        let found = loop {
            let (&byte, rest) = input.split_first()?;
            *input = rest;
            match self.frames.push(byte) {
                None => {}
                Some(Err(FrameError::Corrupt)) => self.state.stats.corrupt += 1,
                Some(Err(FrameError::TooLong)) => self.state.stats.too_long += 1,
                Some(Ok(len)) => {
                    let frame = self.frames.content(len);
                    if let Some(found) = self.state.frame(frame, self.memory.as_mut()) {
                        break found;
                    }
                }
            }
        };
        let content = self.content(found.what);
        Some(LinkEvent {
            boot: found.boot,
            now: found.now,
            is_new_boot: found.is_new_boot,
            is_first: found.is_first,
            lost_frames: found.lost_frames,
            content,
        })
    }

    fn content(&mut self, what: What) -> Content<'_> {
        let (kind, len) = match what {
            What::Nothing => return Content::Nothing,
            What::Counts(counts) => return Content::Counts(counts),
            What::Complete(kind, len) => (kind, len),
        };
        let whole = self.memory.as_mut().get_mut(..len).unwrap_or_default();
        match kind {
            Kind::Entry(index) => {
                let Some(entry) = EncodedEntry::new(whole) else {
                    self.state.stats.malformed += 1;
                    return Content::Nothing;
                };
                match index.checked_sub(1) {
                    None => Content::Resource(entry),
                    Some(scope) => Content::Scope(ScopeId(scope), entry),
                }
            }
            Kind::Span {
                number,
                scope,
                flags,
            } => Content::Span(ReceivedSpan {
                number,
                scope: ScopeId(scope),
                is_kept: self.state.acknowledged,
                flags: RecordFlags::from_bits(flags),
                body: whole,
            }),
        }
    }
}

impl State {
    /// Reads a frame with a good checksum; `None` if it is to be ignored.
    fn frame(&mut self, frame: &[u8], memory: &mut [u8]) -> Option<Found> {
        let message = match postcard::from_bytes::<Message<'_>>(frame) {
            Ok(message) if message.version == VERSION => message,
            _ => {
                self.stats.malformed += 1;
                return None;
            }
        };
        if matches!(message.body, Body::Ack { .. } | Body::Announce) {
            self.stats.malformed += 1;
            return None;
        }
        let is_new_boot = self.boot != Some(message.boot) || message.sequence == 0;
        let lost_frames = if is_new_boot {
            self.begin_boot(message.boot, message.sequence)
        } else {
            let gap = message.sequence.wrapping_sub(self.next_sequence);
            if gap > u32::MAX / 2 {
                self.stats.repeated_frames += 1;
                return None;
            }
            u64::from(gap)
        };
        // After the last number comes 1.
        self.next_sequence = message.sequence.checked_add(1).unwrap_or(1);
        self.stats.frames += 1;
        self.stats.lost_frames = self.stats.lost_frames.saturating_add(lost_frames);
        let what = match message.body {
            Body::Entry { index, part } => self.take_part(Kind::Entry(index), &part, memory),
            Body::Span {
                number,
                unacknowledged,
                scope,
                flags,
                part,
            } => {
                let kind = Kind::Span {
                    number,
                    scope,
                    flags,
                };
                self.acknowledged = unacknowledged.is_some();
                if self.wants(number, unacknowledged) {
                    self.take_part(kind, &part, memory)
                } else {
                    What::Nothing
                }
            }
            Body::Counts {
                ended,
                queue_full,
                too_large,
            } => What::Counts(DeviceCounts {
                ended,
                queue_full,
                too_large,
            }),
            Body::Ack { .. } | Body::Announce => What::Nothing,
        };
        Some(Found {
            boot: message.boot,
            now: Instant::from_nanos(message.now),
            is_new_boot,
            is_first: message.sequence == 0,
            lost_frames,
            what,
        })
    }

    /// Forgets the former boot; returns the number of frames lost before this one.
    fn begin_boot(&mut self, boot: u32, sequence: u32) -> u64 {
        let is_reboot = self.boot.is_some();
        self.boot = Some(boot);
        self.transfer = None;
        self.acknowledged = false;
        self.stats.boots += 1;
        // A decoder that came late does not know whether another one received them.
        self.next_number = is_reboot.then_some(0);
        if is_reboot { u64::from(sequence) } else { 0 }
    }

    /// Returns true if a span is the expected one, or comes after a gap that will not be filled.
    fn wants(&mut self, number: u64, unacknowledged: Option<u8>) -> bool {
        let expected = *self
            .next_number
            .get_or_insert_with(|| number.saturating_sub(u64::from(unacknowledged.unwrap_or(0))));
        if number < expected {
            self.stats.repeated_spans += 1;
            return false;
        }
        if number > expected {
            if unacknowledged.is_some_and(|before| number - expected <= u64::from(before)) {
                // The missing spans will be sent again, and this one with them.
                return false;
            }
            self.stats.lost_spans = self.stats.lost_spans.saturating_add(number - expected);
            self.next_number = Some(number);
        }
        true
    }

    fn take_part(&mut self, kind: Kind, part: &Part<'_>, memory: &mut [u8]) -> What {
        match Transfer::take(&mut self.transfer, kind, part, memory) {
            Progress::Pending => What::Nothing,
            Progress::Complete(len) => match kind {
                Kind::Entry(_) => What::Complete(kind, len),
                Kind::Span { number, .. } => {
                    self.next_number = Some(number.saturating_add(1));
                    let body = memory.get(..len).unwrap_or_default();
                    if stored::StoredSpan::new(body).is_none() {
                        return self.refuse();
                    }
                    self.stats.spans += 1;
                    What::Complete(kind, len)
                }
            },
            Progress::TooLarge => {
                if let Kind::Span { number, .. } = kind {
                    self.next_number = Some(number.saturating_add(1));
                }
                self.refuse()
            }
        }
    }

    /// A span that arrived and cannot be kept.
    fn refuse(&mut self) -> What {
        self.stats.malformed += 1;
        self.stats.lost_spans = self.stats.lost_spans.saturating_add(1);
        What::Nothing
    }
}
