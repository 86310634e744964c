//! What a device records is what a host reads, and every loss is counted.

use core::cell::Cell;
use std::collections::BTreeMap;
use std::thread_local;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::context::SpanKind;
use crate::test_support::TestRng;
use crate::time::Instant;
use rand_core::Rng as _;

thread_local! {
    static TICKS: Cell<u64> = const { Cell::new(0) };
}

/// A megahertz.
struct Timer;

impl TickClock for Timer {
    fn ticks() -> u32 {
        TICKS.get() as u32
    }
}

fn now() -> Instant {
    Instant::from_nanos(TICKS.get() * 1_000)
}

fn pass(ticks: u64) {
    TICKS.set(TICKS.get() + ticks);
}

fn text(rng: &mut TestRng) -> Text {
    Text::new(rng.next_u32() as u16)
}

fn value(rng: &mut TestRng) -> LeanValue {
    let bits = rng.next_u32();
    match rng.next_u32() % 5 {
        0 => LeanValue::Unsigned(bits >> (bits % 32)),
        1 => LeanValue::Signed(bits as i32 >> (bits % 32)),
        2 => LeanValue::Bool(bits.is_multiple_of(2)),
        3 => LeanValue::Float(bits as f32 / 7.0),
        _ => LeanValue::Text(text(rng)),
    }
}

/// What a record says.
#[derive(Clone, Debug, PartialEq)]
enum Told {
    Span(SpanEntry, Vec<(Text, LeanValue)>),
    Begin(SpanEntry),
    Event(u32, Text, Instant, Vec<(Text, LeanValue)>),
}

#[derive(Default)]
struct Host {
    told: Vec<Told>,
    ended: u32,
    dropped: u32,
    lost_frames: u64,
}

impl Host {
    fn read(&mut self, decoder: &mut LeanDecoder<Vec<u8>>, mut bytes: &[u8]) {
        while let Some(frame) = decoder.next(&mut bytes) {
            self.lost_frames += frame.lost_frames;
            let FrameBody::Records(records) = frame.body else {
                continue;
            };
            (self.ended, self.dropped) = (records.ended, records.dropped);
            for entry in records {
                self.told.push(match entry {
                    Entry::Span(span, attributes) => Told::Span(span, attributes.collect()),
                    Entry::Begin(span, _) => Told::Begin(span),
                    Entry::Event {
                        number,
                        name,
                        at,
                        attributes,
                    } => Told::Event(number, name, at.unwrap(), attributes.collect()),
                });
            }
        }
    }
}

/// A program of random spans, and what it must come to.
struct Program<const SLOTS: usize> {
    recorder: Recorder<Timer, SLOTS>,
    rng: TestRng,
    expected: Vec<Told>,
    ended: u32,
}

impl<const SLOTS: usize> Program<SLOTS> {
    fn new(seed: u64) -> Self {
        Self {
            recorder: Recorder::new(),
            rng: TestRng::new(seed),
            expected: Vec::new(),
            ended: 0,
        }
    }

    /// A span with children inside it.
    fn span(&mut self, depth: u32, parent: Option<SpanEntry>) {
        let rng = &mut self.rng;
        let name = text(rng);
        let current = self.recorder.current();
        let detached = rng.next_u32().is_multiple_of(4);
        let mut span: LeanSpan<4> = if detached {
            self.recorder.start_child(name, current)
        } else {
            self.recorder.start(name)
        };
        let context = span.context();
        let mut entry = SpanEntry {
            name,
            number: context.number(),
            parent: parent.map(|parent| parent.number),
            root: parent.map_or(context.number(), |parent| parent.root),
            kind: SpanKind::Internal,
            is_error: None,
            start: Some(now()),
            end: None,
        };
        assert_eq!(context.root(), entry.root);
        let kinds = [
            SpanKind::Server,
            SpanKind::Client,
            SpanKind::Producer,
            SpanKind::Consumer,
        ];
        if let Some(kind) = kinds.get(rng.next_u32() as usize % 8) {
            span.set_kind(*kind);
            entry.kind = *kind;
        }
        if rng.next_u32().is_multiple_of(5) {
            self.recorder.report_begin(&span);
            self.expected.push(Told::Begin(entry));
        }
        pass(u64::from(rng.next_u32() % 5_000));
        let mut attributes = Vec::new();
        for _ in 0..rng.next_u32() % 6 {
            let (key, value) = (text(rng), value(rng));
            span.set(key, value);
            attributes.push((key, value));
        }
        // There is room for four.
        attributes.truncate(4);
        if rng.next_u32().is_multiple_of(4) {
            let (name, attribute) = (text(rng), (text(rng), value(rng)));
            self.recorder.event(&span, name, &[attribute]);
            self.expected
                .push(Told::Event(entry.number, name, now(), vec![attribute]));
        }
        let children = rng.next_u32() % 3;
        for _ in 0..if depth > 0 && !detached { children } else { 0 } {
            self.span(depth - 1, Some(entry));
        }
        match self.rng.next_u32() % 4 {
            0 => {
                span.set_error();
                entry.is_error = Some(true);
            }
            1 => {
                span.set_ok();
                entry.is_error = Some(false);
            }
            _ => {}
        }
        entry.end = Some(now());
        self.recorder.end(span);
        self.ended += 1;
        self.expected.push(Told::Span(entry, attributes));
    }
}

fn frames<const SLOTS: usize>(
    writer: &mut FrameWriter,
    recorder: &Recorder<Timer, SLOTS>,
    size: usize,
) -> Vec<Vec<u8>> {
    let (mut frames, mut frame) = (Vec::new(), vec![0; size]);
    while let Some(len) = writer.next(recorder, now(), &mut frame) {
        frames.push(frame[..len].to_vec());
    }
    frames
}

#[test]
fn what_is_recorded_is_what_is_read_whatever_the_frames_and_the_turns_of_the_timer() {
    for seed in 0..60 {
        // Just before a turn, or anywhere.
        TICKS.set(u64::from(u32::MAX) - 20_000 + seed * 10_000);
        let mut program = Program::<4096>::new(seed);
        let mut writer = FrameWriter::new(seed as u32, 0x1234_5678_9abc, 1_000_000);
        let mut decoder = LeanDecoder::new(vec![0; 1024]);
        let mut host = Host::default();
        for _ in 0..20 {
            program.span(3, None);
            pass(1_000);
            let size = MIN_LEAN_FRAME_BYTES + 32 + (seed as usize * 17) % 400;
            let line = frames(&mut writer, &program.recorder, size).concat();
            for piece in line.chunks(1 + seed as usize % 90) {
                host.read(&mut decoder, piece);
            }
        }
        assert_eq!(host.told, program.expected, "seed {seed}");
        assert_eq!((host.ended, host.dropped), (program.ended, 0));
        let stats = decoder.stats();
        assert_eq!(
            (
                stats.lost_frames,
                stats.malformed,
                stats.corrupt,
                stats.boots
            ),
            (0, 0, 0, 1)
        );
    }
}

#[test]
fn what_has_no_room_is_counted_and_the_books_are_closed() {
    for seed in 0..40 {
        let mut program = Program::<64>::new(seed);
        let mut writer = FrameWriter::new(1, 2, 1_000_000);
        let (mut decoder, mut host) = (LeanDecoder::new(vec![0; 1024]), Host::default());
        for _ in 0..20 {
            program.span(3, None);
            if program.rng.next_u32().is_multiple_of(2) {
                // With 80 bytes there is no room for four attributes.
                let line = frames(&mut writer, &program.recorder, MIN_LEAN_FRAME_BYTES).concat();
                host.read(&mut decoder, &line);
            }
        }
        let line = frames(&mut writer, &program.recorder, 200).concat();
        host.read(&mut decoder, &line);
        let spans = host
            .told
            .iter()
            .filter(|told| matches!(told, Told::Span(..)));
        assert_eq!(spans.count() as u32 + host.dropped, host.ended);
        assert_eq!(host.ended, program.ended);
        assert!(host.dropped > 0);
        let mut rest = program.expected.iter();
        assert!(host.told.iter().all(|told| rest.any(|other| other == told)));
    }
}

#[test]
fn a_damaged_byte_costs_one_frame_which_is_counted() {
    let mut program = Program::<1024>::new(3);
    for _ in 0..6 {
        program.span(2, None);
    }
    let mut writer = FrameWriter::new(1, 2, 1_000_000);
    let all = frames(&mut writer, &program.recorder, 120);
    program.span(0, None);
    let last = frames(&mut writer, &program.recorder, 120).concat();
    for place in 1..all.len() {
        for at in 1..all[place].len() - 1 {
            let mut damaged = all.clone();
            damaged[place][at] ^= 1 << (at % 8);
            let (mut decoder, mut host) = (LeanDecoder::new(vec![0; 1024]), Host::default());
            host.read(&mut decoder, &damaged.concat());
            host.read(&mut decoder, &last);
            // Damage that makes a zero cuts a frame in two.
            assert_eq!(host.lost_frames, 1, "byte {at} of frame {place}");
            assert_eq!(decoder.stats().frames as usize, all.len());
        }
    }
}

#[test]
fn no_bytes_make_the_decoder_panic_and_a_good_frame_behind_them_is_read() {
    let mut rng = TestRng::new(5);
    for round in 0..20_000_u32 {
        let mut body = vec![1, 9, (round % 7) as u8, 1, 5 + (round % 3) as u8];
        for _ in 0..rng.next_u32() % 40 {
            let byte = rng.next_u32() as u8;
            body.push(if byte.is_multiple_of(3) {
                byte >> 4
            } else {
                byte
            });
        }
        let mut target = vec![0; 128];
        let mut frame = crate::link::enframe::Enframer::new(&mut target);
        frame.put(&body);
        let len = frame.finish().unwrap();
        let mut decoder = LeanDecoder::new(vec![0; 256]);
        let mut host = Host::default();
        let mut input = &target[..len];
        let mut good = 0;
        while let Some(frame) = decoder.next(&mut input) {
            good += 1;
            if let FrameBody::Records(records) = frame.body {
                for entry in records {
                    if let Entry::Span(_, attributes) | Entry::Begin(_, attributes) = entry {
                        assert!(attributes.count() <= 40);
                    }
                }
            }
        }
        let stats = decoder.stats();
        assert_eq!((stats.frames, stats.frames + stats.malformed), (good, 1));
        let mut program = Program::<64>::new(1);
        program.span(0, None);
        let line = frames(
            &mut FrameWriter::new(77, 2, 1_000_000),
            &program.recorder,
            128,
        )
        .concat();
        host.read(&mut decoder, &line);
        assert_eq!(host.told, program.expected);
    }
}

#[test]
fn the_build_is_named_first_and_again() {
    let mut writer = FrameWriter::new(1, 0xb01d, 32_768);
    let recorder = Recorder::<Timer, 64>::new();
    let mut decoder = LeanDecoder::new(vec![0; 256]);
    let mut hellos = 0;
    assert!(
        frames(&mut writer, &recorder, 128).is_empty(),
        "nothing to send"
    );
    for round in 0..100 {
        recorder.end(recorder.start::<0>(Text::new(1)));
        for frame in frames(&mut writer, &recorder, 128) {
            let mut input = frame.as_slice();
            let frame = decoder.next(&mut input).unwrap();
            assert_eq!(
                (frame.build, frame.is_new_boot),
                (Some(0xb01d), round + hellos == 0)
            );
            hellos += u32::from(matches!(frame.body, FrameBody::Hello(0xb01d, 32_768)));
        }
    }
    assert_eq!(hellos, 4);
    // A host that comes late does not know times before.
    let mut late = LeanDecoder::new(vec![0; 256]);
    recorder.end(recorder.start::<0>(Text::new(1)));
    let line = frames(&mut writer, &recorder, 128).concat();
    let frame = late.next(&mut line.as_slice()).unwrap();
    let FrameBody::Records(mut records) = frame.body else {
        panic!("records");
    };
    assert!(matches!(
        records.next(),
        Some(Entry::Span(SpanEntry { start: None, .. }, _))
    ));
}

#[test]
fn spans_of_interrupts_are_children_of_what_they_interrupt() {
    let recorder = Recorder::<Timer, 64>::new();
    let main = recorder.start::<0>(Text::new(1));
    let handler = recorder.start::<0>(Text::new(2));
    assert_eq!(recorder.current(), handler.context());
    let (of_main, of_handler) = (main.context(), handler.context());
    recorder.end(handler);
    assert_eq!(recorder.current(), of_main);
    recorder.end(main);
    assert_eq!(recorder.current(), LeanContext::default());
    assert_eq!(of_handler.root(), of_main.number());
    // A task's span leaves what is current alone.
    let task = recorder.start_child::<0>(Text::new(3), of_handler);
    assert_eq!(recorder.current(), LeanContext::default());
    assert_eq!(task.context().root(), of_main.number());
    recorder.end(task);
}

#[test]
fn ids_are_the_same_each_time_and_no_two_spans_share_one() {
    let mut seen = BTreeMap::new();
    for (device, build, boot) in [(1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4), (0, 0, 0)] {
        let ids = Ids::new(device, build, boot);
        for number in 1..2_000 {
            let both = (ids.span(number), ids.trace(number));
            assert!(both.0.is_valid() && both.1.is_valid());
            assert_eq!(seen.insert(both.0.to_bytes(), both.1), None);
        }
    }
    let traces: std::collections::BTreeSet<_> = seen.values().map(|id| id.to_bytes()).collect();
    assert_eq!(traces.len(), seen.len());
}

#[test]
fn texts_end_with_a_zero() {
    assert_eq!(with_zero::<5>("four"), *b"four\0");
    assert_eq!(with_zero::<1>(""), [0]);
}
