//! The device's end of the line: takes records out of the ring and writes frames.

use super::recorder::{BEGIN, EVENT, Recorder, SPAN, Slot, TickClock, Totals};
use crate::link::enframe::Enframer;
use crate::time::Instant;

/// The version of the link's frames.
pub(super) const VERSION: u8 = 1;
/// Kinds of bodies, behind those of the link.
pub(super) const RECORDS: u8 = 5;
pub(super) const HELLO: u8 = 6;
/// Set in the first byte of a record that has attributes.
pub(super) const MORE: u8 = 0x80;

/// The smallest memory for a frame; with less, nothing is ever written.
pub const MIN_LEAN_FRAME_BYTES: usize = 80;

/// Frames between two that name the build.
const HELLO_EVERY: u8 = 32;
/// The most bytes of a record without attributes, and of an attribute.
const RECORD_BYTES: usize = 31;
const ATTRIBUTE_BYTES: usize = 8;

/// Writes the frames of one run of a device.
#[derive(Clone, Debug)]
pub struct FrameWriter {
    boot: u32,
    build: u64,
    hertz: u32,
    sequence: u32,
    until_hello: u8,
    told: Totals,
}

impl FrameWriter {
    /// For run `boot` of the device: a random number, or a counter in memory that outlives the runs.
    /// `build` names the ELF file; the timer counts `hertz` times a second.
    #[must_use]
    pub const fn new(boot: u32, build: u64, hertz: u32) -> Self {
        Self {
            boot,
            build,
            hertz,
            sequence: 0,
            until_hello: 0,
            told: Totals {
                ended: 0,
                dropped: 0,
            },
        }
    }

    /// Writes the next frame to the start of `target` and returns its length, or `None` if there is
    /// nothing to send. `now` is the device's time.
    ///
    /// `target` has [`MIN_LEAN_FRAME_BYTES`], and 8 bytes more for each attribute that a span may
    /// have; a span that does not fit into an empty frame is dropped and counted. A damaged byte on
    /// the line costs a frame, so a smaller frame loses fewer spans by it.
    pub fn next<C: TickClock, const SLOTS: usize>(
        &mut self,
        recorder: &Recorder<C, SLOTS>,
        now: Instant,
        target: &mut [u8],
    ) -> Option<usize> {
        let totals = recorder.totals();
        if target.len() < MIN_LEAN_FRAME_BYTES
            || (recorder.front().is_none() && totals == self.told)
        {
            return None;
        }
        if self.until_hello == 0 {
            return self.hello(now, target);
        }
        self.until_hello -= 1;
        self.told = totals;
        let ticks = C::ticks();
        let mut frame = self.begin(now, RECORDS, target);
        for number in [ticks, totals.ended, totals.dropped] {
            frame.put_number(number.into());
        }
        let (mut last, mut is_empty) = ((0, ticks), true);
        while let Some(head) = recorder.front() {
            let attributes = head.attributes();
            let fits = frame.room() >= RECORD_BYTES + ATTRIBUTE_BYTES * attributes as usize;
            if !fits && !is_empty {
                break;
            }
            let mut fields = [recorder.take()?, recorder.take()?, [0; 2]];
            if head.record() != EVENT {
                fields[2] = recorder.take()?;
            }
            if fits {
                frame.put_byte(head.tag() | if attributes > 0 { MORE } else { 0 });
                if attributes > 0 {
                    frame.put_number(attributes.into());
                }
                frame.put_number(head.name().into());
                last = put_record(&mut frame, head.record(), fields, last);
            } else if head.record() == SPAN {
                recorder.count_dropped();
            }
            is_empty &= !fits;
            for _ in 0..attributes {
                let slot = recorder.take()?;
                if fits {
                    put_attribute(&mut frame, slot);
                }
            }
        }
        frame.finish()
    }

    /// Names the build again with the next frame, for a new host at the other end.
    pub const fn announce(&mut self) {
        self.until_hello = 0;
    }

    fn hello(&mut self, now: Instant, target: &mut [u8]) -> Option<usize> {
        self.until_hello = HELLO_EVERY;
        let (build, hertz) = (self.build, self.hertz);
        let mut frame = self.begin(now, HELLO, target);
        frame.put_number(build);
        frame.put_number(hertz.into());
        frame.finish()
    }

    fn begin<'a>(&mut self, now: Instant, kind: u8, target: &'a mut [u8]) -> Enframer<'a> {
        let mut frame = Enframer::new(target);
        frame.put_byte(VERSION);
        frame.put_number(self.boot.into());
        frame.put_number(self.sequence.into());
        frame.put_number(now.as_nanos());
        frame.put_byte(kind);
        // 0 is kept for the first frame of a boot.
        self.sequence = self.sequence.checked_add(1).unwrap_or(1);
        frame
    }
}

/// The fields of a record behind its name; `last` are number and time of the one before.
fn put_record(
    frame: &mut Enframer<'_>,
    record: u32,
    fields: [Slot; 3],
    last: (u32, u32),
) -> (u32, u32) {
    let [[_, number], second, third] = fields;
    put_signed(frame, number.wrapping_sub(last.0));
    if record == EVENT {
        put_signed(frame, second[0].wrapping_sub(last.1));
        return (number, second[0]);
    }
    let ([parent, root], [start, duration]) = (second, third);
    if parent == 0 {
        frame.put_byte(0);
    } else {
        frame.put_number(number.wrapping_sub(parent).into());
        frame.put_number(number.wrapping_sub(root).into());
    }
    put_signed(frame, start.wrapping_sub(last.1));
    if record != BEGIN {
        frame.put_number(duration.into());
    }
    (number, start)
}

fn put_attribute(frame: &mut Enframer<'_>, [key, value]: Slot) {
    let kind = key >> 16;
    frame.put_number(u64::from((key & 0xffff) << 3 | kind));
    if kind == 1 {
        put_signed(frame, value);
    } else {
        frame.put_number(value.into());
    }
}

/// Small for numbers near 0 on either side.
fn put_signed(frame: &mut Enframer<'_>, number: u32) {
    let number = number as i32;
    frame.put_number(u64::from((number << 1 ^ number >> 31) as u32));
}
