//! Any bytes into the decoder of lean spans: nothing panics, a record is read from checked frames
//! only, and good frames behind them are read.

use spandrel_core::lean::{Entry, FrameBody, FrameWriter, LeanDecoder, Recorder, Text, TickClock};
use spandrel_core::time::Instant;

use super::link::frames_of;

struct Timer;

impl TickClock for Timer {
    fn ticks() -> u32 {
        7
    }
}

/// Feeds `data` in pieces, whose size its first byte says, and then a device that works. With an
/// odd first byte the rest is cut into messages, which get the sums and the coding of good frames.
///
/// # Panics
///
/// When the decoder's books are not in order.
pub fn run(data: &[u8]) {
    let (&chunk, bytes) = data.split_first().unwrap_or((&0, &[]));
    let framed = if chunk % 2 == 1 {
        frames_of(bytes)
    } else {
        bytes.to_vec()
    };
    let mut decoder = LeanDecoder::new([0; 512]);
    let (mut frames, mut lost) = (0, 0);
    for piece in framed.chunks(usize::from(chunk) + 1) {
        let mut input = piece;
        while let Some(frame) = decoder.next(&mut input) {
            frames += 1;
            lost += frame.lost_frames;
            if let FrameBody::Records(records) = frame.body {
                // A record takes four bytes or more, an attribute two.
                assert!(records.clone().count() <= 512 / 4);
                for entry in records {
                    if let Entry::Span(span, attributes) = entry {
                        assert!(span.end.is_none() || span.end >= span.start);
                        assert!(attributes.count() <= 512 / 2);
                    }
                }
            }
        }
        assert!(input.is_empty());
    }
    let stats = decoder.stats();
    assert_eq!((stats.frames, stats.lost_frames), (frames, lost));
    assert!(stats.boots <= frames);

    // The zero in front of the first frame ends whatever the bytes left open.
    let recorder = Recorder::<Timer, 16>::new();
    recorder.end(recorder.start::<0>(Text::new(3)));
    let mut writer = FrameWriter::new(0x0ddb_a115, 1, 1_000_000);
    let (mut frame, mut found) = ([0; 128], 0);
    while let Some(len) = writer.next(&recorder, Instant::ZERO, &mut frame) {
        let mut input = frame.get(..len).unwrap_or_default();
        while let Some(frame) = decoder.next(&mut input) {
            if let FrameBody::Records(records) = frame.body {
                found += records.count();
            }
        }
    }
    assert_eq!(found, 1, "a good span behind the bytes");
}
