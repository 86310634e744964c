//! Any bytes into the host's decoder: nothing panics, nothing is made up, and good frames behind
//! them are read.

use spandrel_core::link::{CommandReader, Content, Decoder, LinkConfig};
use spandrel_core::span::stored::StoredSpan;
use spandrel_core::time::{Instant, UnixNanos, WallClock};

use crate::device::Device;

const MEMORY: usize = 1024;

/// Feeds `data` in pieces, whose size its first byte says, and then a device that works. With an
/// odd first byte the rest is cut into messages, which get the sums and the coding of good frames:
/// no fuzzer would guess those.
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
    let mut decoder = Decoder::new([0; 512], [0; MEMORY]);
    let mut reader = CommandReader::new();
    let (mut frames, mut spans, mut lost) = (0, 0, 0);
    for piece in framed.chunks(usize::from(chunk) + 1) {
        for &byte in piece {
            let _ = reader.push(byte);
        }
        let mut input = piece;
        while let Some(event) = decoder.next(&mut input) {
            frames += 1;
            lost += event.lost_frames;
            if let Content::Span(mut span) = event.content {
                spans += 1;
                span.date(WallClock::from_pair(Instant::ZERO, UnixNanos::from_secs(1)));
                let record = span.record(span.scope);
                assert!(record.body.len() <= MEMORY);
                assert!(StoredSpan::new(record.body).is_some(), "not a span");
            }
        }
        assert!(input.is_empty());
    }
    let stats = decoder.stats();
    assert_eq!((stats.frames, stats.spans), (frames, spans));
    assert_eq!(stats.lost_frames, lost);
    assert!(stats.boots <= frames);

    // The zero in front of the first frame ends whatever the bytes left open.
    let mut device = Device::new(LinkConfig::DEFAULT, 0x0ddb_a115, 2_000);
    device.span(10);
    let line = device.frames(Instant::ZERO, 200).concat();
    let mut input = line.as_slice();
    let mut found = 0;
    while let Some(event) = decoder.next(&mut input) {
        found += u32::from(matches!(event.content, Content::Span(_)));
    }
    assert_eq!(found, 1, "a good span behind the bytes");
}

/// Each message is a length byte and that many bytes.
pub(super) fn frames_of(mut bytes: &[u8]) -> Vec<u8> {
    let mut line = Vec::new();
    while let Some((&len, rest)) = bytes.split_first() {
        let (message, rest) = rest.split_at(usize::from(len).min(rest.len()));
        bytes = rest;
        let mut crc = flate2::Crc::new();
        crc.update(message);
        let mut content = message.to_vec();
        content.extend(crc.sum().to_le_bytes());
        line.extend(cobs(&content));
        line.push(0);
    }
    line
}

/// Consistent Overhead Byte Stuffing, in the plainest way.
fn cobs(content: &[u8]) -> Vec<u8> {
    let mut coded = Vec::new();
    for run in content.split(|&byte| byte == 0) {
        let mut blocks = run.chunks(254).peekable();
        if run.is_empty() {
            coded.push(1);
        }
        while let Some(block) = blocks.next() {
            coded.push(block.len() as u8 + 1);
            coded.extend(block);
            if blocks.peek().is_none() && block.len() == 254 {
                // A full block owes no zero, so the run's own one needs a block of its own.
                coded.push(1);
            }
        }
    }
    coded
}
