//! The host's side: from bytes in any chunks to spans, with every loss counted.

use core::time::Duration;

use super::command::Command;
use super::deframe::{Deframer, FrameError};
use super::event::{Content, DecoderStats, DeviceCounts, LinkEvent, ReceivedSpan};
use super::message::{Body, Message, Part, Resumed, VERSION};
use super::transfer::{Kind, Progress, Transfer};
use crate::buffer::RecordFlags;
use crate::crc::Crc32;
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
    /// The device's time in the last frame, and how often its clock had stood still.
    now: Instant,
    resumed: u8,
    /// The ended spans that the device last told.
    ended: u64,
    /// Sums of the last frames, so that one that comes twice is not taken for one of a new boot.
    recent: [u32; RECENT],
    recent_at: usize,
    transfer: Option<Transfer>,
    stats: DecoderStats,
}

/// A clock that goes back by more has been set back, or has begun again.
const CLOCK_STEP: Duration = Duration::from_secs(1);
/// Frames that are known again.
const RECENT: usize = 16;

/// The result of one frame, without a borrow of the memory.
struct Found {
    boot: u32,
    now: Instant,
    is_new_boot: bool,
    is_first: bool,
    new_clock: Option<Instant>,
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
                now: Instant::ZERO,
                resumed: 0,
                ended: 0,
                recent: [0; RECENT],
                recent_at: 0,
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
            new_clock: found.new_clock,
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
        let (message, rest) = match postcard::take_from_bytes::<Message<'_>>(frame) {
            Ok((message, rest)) if message.version == VERSION => (message, rest),
            _ => {
                self.stats.malformed += 1;
                return None;
            }
        };
        if matches!(message.body, Body::Ack { .. } | Body::Announce) {
            self.stats.malformed += 1;
            return None;
        }
        let now = Instant::from_nanos(message.now);
        let gap = message.sequence.wrapping_sub(self.next_sequence);
        let is_other_boot = self.boot != Some(message.boot);
        let is_new_boot =
            is_other_boot || message.sequence == 0 || self.starts_over(&message, gap, now, frame);
        let lost_frames = if is_new_boot {
            self.begin_boot(message.boot, message.sequence)
        } else if gap > u32::MAX / 2 {
            self.stats.repeated_frames += 1;
            return None;
        } else {
            u64::from(gap)
        };
        let new_clock = self.note_clock(now, rest, is_new_boot);
        self.remember(frame);
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
            } => {
                self.ended = ended;
                What::Counts(DeviceCounts {
                    ended,
                    queue_full,
                    too_large,
                })
            }
            Body::Ack { .. } | Body::Announce => What::Nothing,
        };
        Some(Found {
            boot: message.boot,
            now,
            is_new_boot,
            is_first: message.sequence == 0 || (is_new_boot && !is_other_boot),
            new_clock,
            lost_frames,
            what,
        })
    }

    /// Returns true if a frame with the number of this boot can only be of another one: a device
    /// whose number is always the same has started again, and its first frame was lost.
    fn starts_over(&self, message: &Message<'_>, gap: u32, now: Instant, frame: &[u8]) -> bool {
        let went_back = self.now.saturating_since(now) > CLOCK_STEP;
        if gap > u32::MAX / 2 {
            // In one boot an earlier frame is not made later.
            return (went_back || now > self.now) && !self.recent.contains(&sum(frame));
        }
        // A clock that goes back may be a timer that wraps, which leaves all numbers as they are.
        went_back
            && match message.body {
                Body::Span {
                    number,
                    unacknowledged: None,
                    ..
                } => self.next_number.is_some_and(|next| number < next),
                Body::Counts { ended, .. } => ended < self.ended,
                _ => gap > 0,
            }
    }

    /// Takes in the time of a frame, and what stands behind its message.
    fn note_clock(&mut self, now: Instant, rest: &[u8], is_new_boot: bool) -> Option<Instant> {
        let went_back = self.now.saturating_since(now) > CLOCK_STEP;
        let resumed = postcard::from_bytes::<Resumed>(rest).ok();
        let times = resumed.map_or(0, |resumed| resumed.times);
        let stood_still = times != self.resumed;
        (self.now, self.resumed) = (now, times);
        if is_new_boot {
            return None;
        }
        if let Some(resumed) = resumed.filter(|_| stood_still) {
            let since = u64::from(resumed.millis).saturating_mul(1_000_000);
            return Some(Instant::from_nanos(now.as_nanos().saturating_sub(since)));
        }
        self.stats.clock_steps += u64::from(went_back);
        went_back.then_some(Instant::ZERO)
    }

    fn remember(&mut self, frame: &[u8]) {
        if let Some(place) = self.recent.get_mut(self.recent_at % RECENT) {
            *place = sum(frame);
        }
        self.recent_at = (self.recent_at + 1) % RECENT;
    }

    /// Forgets the former boot; returns the number of frames lost before this one.
    fn begin_boot(&mut self, boot: u32, sequence: u32) -> u64 {
        let is_reboot = self.boot.is_some();
        self.boot = Some(boot);
        self.transfer = None;
        self.acknowledged = false;
        self.ended = 0;
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

fn sum(frame: &[u8]) -> u32 {
    let mut crc = Crc32::new();
    frame.iter().for_each(|&byte| crc.push(byte));
    crc.value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{LinkConfig, LinkExporter};
    use crate::prelude::*;
    use crate::test_support::TestRng;
    use std::vec;
    use std::vec::Vec;

    type Host = Decoder<[u8; 512], [u8; 4096]>;

    /// The frames of a device that always has the boot number 7: a span a second from `start` on,
    /// each sent at once.
    fn frames(start: u64, spans: u64) -> Vec<Vec<u8>> {
        let registry = Registry::new([0_u8; 128], &Resource::default()).unwrap();
        let buffer = Buffer::new(vec![0; 4096]);
        let mut link = LinkExporter::new(LinkConfig::DEFAULT, 7, buffer, registry);
        let ids = RandomIdGenerator::new(TestRng::new(start));
        let mut tracer = BareTracer::new(AlwaysOn, ids);
        let (mut frames, mut frame) = (Vec::new(), [0; 160]);
        for second in start..start + spans {
            let at = Instant::from_secs(second);
            let span = tracer.start::<128>(SpanBuilder::new("work"), at);
            span.end(at, &mut link).unwrap();
            while let Some(len) = link.next_frame(at, &mut frame) {
                frames.push(frame[..len].to_vec());
            }
        }
        frames
    }

    /// The spans that arrive, and the clocks that begin.
    fn feed(host: &mut Host, frames: &[Vec<u8>]) -> (u64, Vec<Instant>) {
        let (mut spans, mut clocks) = (0, Vec::new());
        for frame in frames {
            let mut input = frame.as_slice();
            while let Some(event) = host.next(&mut input) {
                clocks.extend(event.new_clock);
                spans += u64::from(matches!(event.content, Content::Span(_)));
            }
        }
        (spans, clocks)
    }

    const fn host() -> Host {
        Decoder::new([0; 512], [0; 4096])
    }

    #[test]
    fn a_boot_with_the_number_of_the_one_before_is_noticed_without_its_first_frames() {
        // The first frames of the second run are lost, which is shorter or longer than the first.
        for (spans, lost) in [(400, 1), (400, 5), (900, 1), (900, 700)] {
            let mut host = host();
            assert_eq!(feed(&mut host, &frames(0, 500)).0, 500);
            let second = frames(3, spans);
            let behind = &second[lost..];
            let (arrived, clocks) = feed(&mut host, behind);
            let stats = host.stats();
            assert_eq!(stats.boots, 2, "{spans} spans without {lost} frames");
            assert_eq!(arrived + stats.lost_spans, spans);
            assert_eq!((stats.repeated_frames, stats.lost_frames), (0, lost as u64));
            assert_eq!((clocks.len(), stats.clock_steps), (0, 0));
        }
    }

    #[test]
    fn frames_that_come_again_are_not_another_boot() {
        let mut host = host();
        let all = frames(0, 40);
        feed(&mut host, &all);
        let last = &all[all.len() - 10..];
        assert_eq!(feed(&mut host, last).0, 0);
        let stats = host.stats();
        assert_eq!((stats.boots, stats.repeated_frames), (1, 10));
    }

    #[test]
    fn a_timer_that_wraps_is_a_new_clock_and_not_a_new_boot() {
        let registry = Registry::new([0_u8; 128], &Resource::default()).unwrap();
        let buffer = Buffer::new(vec![0; 4096]);
        let mut link = LinkExporter::new(LinkConfig::DEFAULT, 7, buffer, registry);
        let mut tracer = BareTracer::new(AlwaysOn, RandomIdGenerator::new(TestRng::new(1)));
        let (mut line, mut frame) = (Vec::new(), [0; 160]);
        for minute in 0..300_u64 {
            let at = Instant::from_nanos(minute * 60_000_000 % (1 << 32) * 1000);
            let span = tracer.start::<128>(SpanBuilder::new("work"), at);
            span.end(at, &mut link).unwrap();
            while let Some(len) = link.next_frame(at, &mut frame) {
                line.push(frame[..len].to_vec());
            }
        }
        let mut whole = host();
        let (spans, clocks) = feed(&mut whole, &line);
        assert_eq!((spans, whole.stats().boots), (300, 1));
        assert_eq!(clocks, [Instant::ZERO; 4]);
        assert_eq!(whole.stats().clock_steps, 4);
    }

    #[test]
    fn a_clock_that_stood_still_is_told_in_every_frame_from_then_on() {
        let registry = Registry::new([0_u8; 128], &Resource::default()).unwrap();
        let buffer = Buffer::new(vec![0; 4096]);
        let mut link = LinkExporter::new(LinkConfig::DEFAULT, 7, buffer, registry);
        let mut tracer = BareTracer::new(AlwaysOn, RandomIdGenerator::new(TestRng::new(1)));
        let (mut line, mut frame) = (Vec::new(), [0; 160]);
        for second in 0..300_u64 {
            let at = Instant::from_secs(second);
            if second > 0 {
                link.clock_resumed(at);
            }
            let span = tracer.start::<128>(SpanBuilder::new("work"), at);
            span.end(at, &mut link).unwrap();
            let now = at + Duration::from_millis(200);
            while let Some(len) = link.next_frame(now, &mut frame) {
                line.push((second, frame[..len].to_vec()));
            }
        }
        // Every third frame is lost.
        let kept = line.iter().enumerate().filter(|(i, _)| i % 3 != 1);
        let (mut host, mut seen) = (host(), None);
        for (_, (second, frame)) in kept {
            let (_, clocks) = feed(&mut host, core::slice::from_ref(frame));
            let is_new = seen.is_some_and(|seen| seen != *second);
            seen = Some(*second);
            let expected = is_new.then_some(Instant::from_secs(*second));
            assert_eq!(clocks, Vec::from_iter(expected));
        }
        assert_eq!((host.stats().boots, host.stats().clock_steps), (1, 0));
    }
}
