//! The host's end of the line: from bytes in any chunks to records, with every loss counted.

use super::frame::{HELLO, MORE, RECORDS, VERSION};
use super::recorder::{BEGIN, EVENT, SPAN};
use super::{LeanValue, Text};
use crate::context::SpanKind;
use crate::link::deframe::{Deframer, FrameError};
use crate::time::Instant;

/// Times up to so many ticks ahead of their frame are later than it, not a turn earlier.
const AHEAD: u32 = 1 << 24;
const NANOS_PER_SEC: u64 = 1_000_000_000;

/// Reads the frames of one device. `F` is memory for one frame; nothing is allocated, whatever the
/// bytes are.
#[derive(Clone, Debug)]
pub struct LeanDecoder<F> {
    frames: Deframer<F>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
struct State {
    /// `None` before the first frame.
    boot: Option<u32>,
    next_sequence: u32,
    build: Option<u64>,
    hertz: Option<u32>,
    stats: LeanStats,
}

/// The counts of a [`LeanDecoder`], which only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct LeanStats {
    /// Frames that were whole and new.
    pub frames: u64,
    /// Frames that did not arrive whole, by the gaps in their numbers.
    pub lost_frames: u64,
    /// Runs of bytes that were not a frame.
    pub corrupt: u64,
    /// Frames larger than the decoder's memory.
    pub too_long: u64,
    /// Frames with a good checksum that cannot be used.
    pub malformed: u64,
    /// Frames with a number that was used before; they are ignored.
    pub repeated_frames: u64,
    /// Runs of the device.
    pub boots: u64,
}

/// A frame.
#[derive(Clone, Debug)]
pub struct Frame<'a> {
    /// The run of the device that sent it.
    pub boot: u32,
    /// The device's time at which it was made.
    pub now: Instant,
    /// True if this decoder sees the run for the first time.
    pub is_new_boot: bool,
    /// Frames lost just before this one.
    pub lost_frames: u64,
    /// The device's build, which names the ELF file with the texts; `None` before the first frame that
    /// says it.
    pub build: Option<u64>,
    /// The content.
    pub body: FrameBody<'a>,
}

/// The content of a frame.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FrameBody<'a> {
    /// The build, and the ticks of a second.
    Hello(u64, u32),
    /// Spans, events and totals.
    Records(Records<'a>),
}

/// The records of a frame, which have been checked.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    /// Spans that have ended in this run, modulo 2^32, when the frame was begun.
    pub ended: u32,
    /// Of these, spans that were dropped for lack of room.
    pub dropped: u32,
    rest: Reader<'a>,
    clock: FrameClock,
    /// Number and time of the record before.
    last: (u32, u32),
}

/// The ticks of a frame as device time.
#[derive(Clone, Copy, Debug)]
struct FrameClock {
    now: Instant,
    ticks: u32,
    hertz: Option<u32>,
}

/// A record.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Entry<'a> {
    /// A finished span.
    Span(SpanEntry, LeanAttributes<'a>),
    /// A span that has begun, and may never end.
    Begin(SpanEntry, LeanAttributes<'a>),
    /// Something that happened in a span.
    Event {
        /// The number of the span.
        number: u32,
        /// The name.
        name: Text,
        /// When; `None` as long as the ticks of a second are not known.
        at: Option<Instant>,
        /// The attributes.
        attributes: LeanAttributes<'a>,
    },
}

/// A span without its attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SpanEntry {
    /// The name.
    pub name: Text,
    /// The number within the run; 0 is never used by a device.
    pub number: u32,
    /// The number of the parent.
    pub parent: Option<u32>,
    /// The number of the root of the trace.
    pub root: u32,
    /// The kind.
    pub kind: SpanKind,
    /// `Some(true)` if the status is error, `Some(false)` if it is ok.
    pub is_error: Option<bool>,
    /// The start, in device time; `None` as long as the ticks of a second are not known.
    pub start: Option<Instant>,
    /// The end; `None` for a span that has only begun, too.
    pub end: Option<Instant>,
}

/// The attributes of a record, in the order in which they were set: the last of a key counts.
#[derive(Clone, Debug)]
pub struct LeanAttributes<'a> {
    rest: Reader<'a>,
    left: u32,
}

impl<F> LeanDecoder<F> {
    /// A decoder anywhere in the stream of a device.
    pub const fn new(frame: F) -> Self {
        Self {
            frames: Deframer::new(frame),
            state: State {
                boot: None,
                next_sequence: 0,
                build: None,
                hertz: None,
                stats: LeanStats {
                    frames: 0,
                    lost_frames: 0,
                    corrupt: 0,
                    too_long: 0,
                    malformed: 0,
                    repeated_frames: 0,
                    boots: 0,
                },
            },
        }
    }

    /// Returns the counts so far.
    #[must_use]
    pub const fn stats(&self) -> LeanStats {
        self.state.stats
    }
}

impl<F: AsRef<[u8]> + AsMut<[u8]>> LeanDecoder<F> {
    /// Takes bytes from the front of `input` up to the end of the next good frame. `None` means that
    /// all bytes were taken and more are needed.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Frame<'_>> {
        let (len, arrival) = loop {
            let (&byte, rest) = input.split_first()?;
            *input = rest;
            match self.frames.push(byte) {
                None => {}
                Some(Err(FrameError::Corrupt)) => self.state.stats.corrupt += 1,
                Some(Err(FrameError::TooLong)) => self.state.stats.too_long += 1,
                Some(Ok(len)) => {
                    if let Some(arrival) = self.state.take(self.frames.content(len)) {
                        break (len, arrival);
                    }
                }
            }
        };
        let mut reader = Reader(self.frames.content(len));
        let header = Header::read(&mut reader)?;
        Some(Frame {
            boot: header.boot,
            now: header.now,
            is_new_boot: arrival.is_new_boot,
            lost_frames: arrival.lost_frames,
            build: self.state.build,
            body: FrameBody::read(reader, &header, self.state.hertz)?,
        })
    }
}

/// How a frame follows the one before.
struct Arrival {
    is_new_boot: bool,
    lost_frames: u64,
}

impl State {
    /// Checks a frame and notes it; `None` if it is to be ignored.
    fn take(&mut self, content: &[u8]) -> Option<Arrival> {
        let mut reader = Reader(content);
        let header = Header::read(&mut reader);
        let body = header
            .as_ref()
            .and_then(|header| FrameBody::read(reader, header, None).filter(FrameBody::is_whole));
        let (Some(header), Some(body)) = (header, body) else {
            self.stats.malformed += 1;
            return None;
        };
        let is_other_boot = self.boot != Some(header.boot);
        let is_new_boot = is_other_boot || header.sequence == 0;
        let gap = header.sequence.wrapping_sub(self.next_sequence);
        let lost_frames = if is_new_boot {
            // A decoder that came late does not know whether another one received them.
            let is_reboot = self.boot.is_some();
            self.boot = Some(header.boot);
            (self.build, self.hertz) = (None, None);
            self.stats.boots += 1;
            if is_reboot { header.sequence } else { 0 }
        } else if gap > u32::MAX / 2 {
            self.stats.repeated_frames += 1;
            return None;
        } else {
            gap
        };
        if let FrameBody::Hello(build, hertz) = body {
            (self.build, self.hertz) = (Some(build), Some(hertz));
        }
        // After the last number comes 1.
        self.next_sequence = header.sequence.checked_add(1).unwrap_or(1);
        self.stats.frames += 1;
        self.stats.lost_frames = self.stats.lost_frames.saturating_add(lost_frames.into());
        Some(Arrival {
            is_new_boot,
            lost_frames: lost_frames.into(),
        })
    }
}

/// The head of a frame.
struct Header {
    boot: u32,
    sequence: u32,
    now: Instant,
    kind: u8,
}

impl Header {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        if reader.byte()? != VERSION {
            return None;
        }
        Some(Self {
            boot: reader.word()?,
            sequence: reader.word()?,
            now: Instant::from_nanos(reader.number()?),
            kind: reader.byte()?,
        })
    }
}

impl<'a> FrameBody<'a> {
    fn read(mut rest: Reader<'a>, header: &Header, hertz: Option<u32>) -> Option<Self> {
        match header.kind {
            HELLO => Some(Self::Hello(rest.number()?, rest.word()?)),
            RECORDS => {
                let ticks = rest.word()?;
                Some(Self::Records(Records {
                    ended: rest.word()?,
                    dropped: rest.word()?,
                    rest,
                    clock: FrameClock {
                        now: header.now,
                        ticks,
                        // No timer stands still.
                        hertz: hertz.filter(|hertz| *hertz > 0),
                    },
                    last: (0, ticks),
                }))
            }
            _ => None,
        }
    }

    /// Returns true if all records, with their attributes, can be read.
    fn is_whole(&self) -> bool {
        let Self::Records(records) = self else {
            return true;
        };
        let mut records = records.clone();
        while !records.rest.0.is_empty() {
            if records.read().is_none() {
                return false;
            }
        }
        true
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        self.read()
    }
}

impl<'a> Records<'a> {
    /// The next record; `None` behind the last one, or if it makes no sense.
    fn read(&mut self) -> Option<Entry<'a>> {
        let tag = self.rest.byte()?;
        let count = if tag & MORE == 0 {
            0
        } else {
            self.rest.word()?
        };
        let name = self.rest.text()?;
        let number = self.last.0.wrapping_add(self.rest.signed()?);
        let record = u32::from(tag & 3);
        if record == EVENT {
            let ticks = self.last.1.wrapping_add(self.rest.signed()?);
            self.last = (number, ticks);
            return Some(Entry::Event {
                number,
                name,
                at: self.clock.at(ticks),
                attributes: self.attributes(count)?,
            });
        }
        let parent = match self.rest.word()? {
            0 => None,
            distance => Some(number.wrapping_sub(distance)),
        };
        let root = match parent {
            Some(_) => number.wrapping_sub(self.rest.word()?),
            None => number,
        };
        let ticks = self.last.1.wrapping_add(self.rest.signed()?);
        self.last = (number, ticks);
        let start = self.clock.at(ticks);
        let end = match record {
            SPAN => {
                let duration = self.rest.word()?;
                start.and_then(|start| self.clock.after(start, duration))
            }
            BEGIN => None,
            _ => return None,
        };
        let span = SpanEntry {
            name,
            number,
            parent,
            root,
            kind: match tag >> 2 & 7 {
                0 => SpanKind::Internal,
                1 => SpanKind::Server,
                2 => SpanKind::Client,
                3 => SpanKind::Producer,
                4 => SpanKind::Consumer,
                _ => return None,
            },
            is_error: match tag >> 5 & 3 {
                0 => None,
                1 => Some(false),
                2 => Some(true),
                _ => return None,
            },
            start,
            end,
        };
        let attributes = self.attributes(count)?;
        Some(if record == SPAN {
            Entry::Span(span, attributes)
        } else {
            Entry::Begin(span, attributes)
        })
    }

    /// The next `count` attributes, which are passed over.
    fn attributes(&mut self, count: u32) -> Option<LeanAttributes<'a>> {
        let attributes = LeanAttributes {
            rest: self.rest,
            left: count,
        };
        for _ in 0..count {
            self.rest.attribute()?;
        }
        Some(attributes)
    }
}

impl Iterator for LeanAttributes<'_> {
    type Item = (Text, LeanValue);

    fn next(&mut self) -> Option<(Text, LeanValue)> {
        self.left = self.left.checked_sub(1)?;
        self.rest.attribute()
    }
}

impl FrameClock {
    /// The device time at which the timer showed `ticks`.
    fn at(self, ticks: u32) -> Option<Instant> {
        let ago = self.ticks.wrapping_sub(ticks);
        let ahead = ticks.wrapping_sub(self.ticks);
        if ahead < AHEAD {
            return self.after(self.now, ahead);
        }
        let nanos = u64::from(ago) * NANOS_PER_SEC / u64::from(self.hertz?);
        Some(Instant::from_nanos(
            self.now.as_nanos().saturating_sub(nanos),
        ))
    }

    fn after(self, instant: Instant, ticks: u32) -> Option<Instant> {
        let nanos = u64::from(ticks) * NANOS_PER_SEC / u64::from(self.hertz?);
        Some(Instant::from_nanos(
            instant.as_nanos().saturating_add(nanos),
        ))
    }
}

/// Reads the numbers of a frame.
#[derive(Clone, Copy, Debug)]
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return None;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn word(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    fn signed(&mut self) -> Option<u32> {
        let number = self.word()?;
        Some(number >> 1 ^ (number & 1).wrapping_neg())
    }

    fn text(&mut self) -> Option<Text> {
        self.number()?.try_into().ok().map(Text::new)
    }

    fn attribute(&mut self) -> Option<(Text, LeanValue)> {
        let key = self.word()?;
        let kind = key & 7;
        let value = if kind == 1 {
            self.signed()?
        } else {
            self.word()?
        };
        let text = Text::new(u16::try_from(key >> 3).ok()?);
        Some((text, LeanValue::from_words(kind, value)?))
    }
}
