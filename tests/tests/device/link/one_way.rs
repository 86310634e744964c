//! Without a way back: what arrives is right, and what does not is counted exactly.

use std::time::Duration;

use proptest::prelude::*;
use spandrel_core::buffer::RECORD_HEADER_BYTES;
use spandrel_core::link::{Anchor, Content, Decoder, LinkConfig, MIN_FRAME_BYTES};
use spandrel_core::span::stored::StoredSpan;
use spandrel_core::time::{Instant, UnixNanos, WallClock};
use spandrel_tests::device::Device;

use super::support::Host;

/// What the line does to one frame.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Passes,
    Vanishes,
    /// One bit is turned over, at this share of its length.
    Damaged(u16, u8),
    /// Only the first bytes arrive.
    Cut(u16),
    /// It arrives behind the next one.
    Overtaken,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Passes),
        1 => Just(Fate::Vanishes),
        1 => (any::<u16>(), 0_u8..8).prop_map(|(at, bit)| Fate::Damaged(at, bit)),
        1 => any::<u16>().prop_map(Fate::Cut),
        1 => Just(Fate::Overtaken),
    ]
}

fn at(share: u16, len: usize) -> usize {
    usize::from(share) * len / (usize::from(u16::MAX) + 1)
}

/// The bytes that arrive.
fn over_the_line(frames: &[Vec<u8>], fates: &[Fate]) -> Vec<u8> {
    let mut line = Vec::new();
    let mut late: Option<&[u8]> = None;
    for (frame, fate) in frames.iter().zip(fates.iter().cycle()) {
        let delayed = late.take();
        match *fate {
            Fate::Passes => line.extend(frame),
            Fate::Vanishes => {}
            Fate::Damaged(share, bit) => {
                let mut frame = frame.clone();
                let at = at(share, frame.len());
                frame[at] ^= 1 << bit;
                line.extend(frame);
            }
            Fate::Cut(share) => line.extend(&frame[..at(share, frame.len())]),
            Fate::Overtaken => late = Some(frame),
        }
        line.extend(delayed.unwrap_or_default());
    }
    line.extend(late.unwrap_or_default());
    line
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_good_line_carries_everything_whatever_the_chunks(
        sizes in prop::collection::vec(0_usize..1_500, 1..40),
        frame in MIN_FRAME_BYTES..600,
        chunk in 1_usize..300,
        noise in prop::collection::vec(1_u8.., 0..40),
    ) {
        let mut device = Device::new(LinkConfig::DEFAULT, 3, 100_000);
        let mut host = Host::new();
        host.read(&noise);
        for &size in &sizes {
            prop_assert!(device.span(size));
        }
        let line = device.frames(Instant::from_secs(1), frame).concat();
        for piece in line.chunks(chunk) {
            host.read(piece);
        }
        let expected: Vec<u64> = (0..sizes.len() as u64).collect();
        prop_assert_eq!(host.starts(), expected);
        prop_assert_eq!((host.resources, host.scopes), (1, 1));
        prop_assert_eq!(host.counts.ended, sizes.len() as u64);
        let stats = host.stats();
        prop_assert_eq!((stats.lost_frames, stats.lost_spans, stats.malformed), (0, 0, 0));
        prop_assert_eq!(stats.corrupt + stats.too_long, u64::from(!noise.is_empty()));
        prop_assert!(device.link.ledger().is_closed());
    }

    #[test]
    fn on_a_bad_line_every_frame_and_span_is_there_or_counted(
        sizes in prop::collection::vec(0_usize..400, 1..60),
        frame in MIN_FRAME_BYTES..600,
        fates in prop::collection::vec(fate(), 1..50),
    ) {
        let mut device = Device::new(LinkConfig::DEFAULT, 3, 100_000);
        let mut host = Host::new();
        // The edges arrive, so that the host sees the first and the last number.
        let now = Instant::from_secs(1);
        device.span(0);
        let first = device.frames(now, frame);
        host.read(&first.concat());
        for &size in &sizes {
            device.span(size);
        }
        let frames = device.frames(now, frame);
        host.read(&over_the_line(&frames, &fates));
        host.read(&[0]);
        device.span(0);
        let last = device.frames(now, frame);
        host.read(&last.concat());

        let stats = host.stats();
        let sent = (first.len() + frames.len() + last.len()) as u64;
        prop_assert_eq!(stats.frames + stats.lost_frames, sent);
        prop_assert_eq!(host.lost_frames, stats.lost_frames);
        prop_assert_eq!(stats.spans + stats.lost_spans, device.made);
        prop_assert_eq!(host.spans.len() as u64, stats.spans);
        // The same device on a line without faults.
        let mut twin = Device::new(LinkConfig::DEFAULT, 3, 100_000);
        let mut whole = Host::new();
        for &size in [0].iter().chain(&sizes).chain(&[0]) {
            twin.span(size);
        }
        whole.read(&twin.frames(now, 1_000).concat());
        for (key, span) in &host.spans {
            prop_assert_eq!(span, &whole.spans[key]);
        }
        prop_assert_eq!(host.counts.ended, device.made);
    }

    #[test]
    fn what_the_device_drops_is_told_in_band(
        bursts in prop::collection::vec(0_usize..30, 1..20),
        capacity in 200_usize..2_000,
    ) {
        let mut device = Device::new(LinkConfig::DEFAULT, 3, capacity);
        let mut host = Host::new();
        for (second, &burst) in bursts.iter().enumerate() {
            for _ in 0..burst {
                device.span(20);
            }
            if burst % 3 == 0 {
                device.span(capacity);
            }
            for frame in device.frames(Instant::from_secs(second as u64), 128) {
                host.read(&frame);
            }
        }
        let ledger = device.link.ledger();
        prop_assert!(ledger.is_closed());
        prop_assert_eq!(host.counts.ended, ledger.ended);
        prop_assert_eq!(host.counts.dropped(), ledger.dropped_total());
        prop_assert_eq!(host.stats().spans, ledger.exported);
    }
}

#[test]
fn the_bytes_that_arrive_are_those_of_the_record() {
    let mut device = Device::new(LinkConfig::DEFAULT, 3, 4_000);
    device.span(700);
    let stored = device.link.buffer().front().unwrap();
    assert!(stored.stored_len() > 700 + RECORD_HEADER_BYTES);
    let body = stored.body.to_vec();
    let mut host = Host::new();
    host.read(&device.frames(Instant::ZERO, MIN_FRAME_BYTES).concat());
    assert_eq!(host.spans[&(3, 0)].1, body);
}

#[test]
fn a_host_that_comes_late_gets_the_announcement_in_time() {
    let mut device = Device::new(LinkConfig::DEFAULT, 3, 4_000);
    device.span(0);
    device.frames(Instant::from_secs(1), 128);
    let mut host = Host::new();
    device.span(0);
    host.read(&device.frames(Instant::from_secs(20), 128).concat());
    assert_eq!((host.resources, host.spans.len()), (0, 1));
    device.span(0);
    host.read(&device.frames(Instant::from_secs(40), 128).concat());
    assert_eq!((host.resources, host.scopes, host.spans.len()), (1, 1, 2));
    assert_eq!(host.counts.ended, 3);
    assert_eq!(host.stats().lost_spans, 0, "what came before it is unknown");
}

#[test]
fn a_reboot_starts_the_numbers_anew() {
    let mut host = Host::new();
    for boot in [8, 5, 5] {
        let mut device = Device::new(LinkConfig::DEFAULT, boot, 4_000);
        device.span(0);
        device.span(0);
        host.read(&device.frames(Instant::from_secs(1), 256).concat());
    }
    let stats = host.stats();
    assert_eq!((stats.boots, stats.spans, stats.lost_spans), (3, 6, 0));
    assert_eq!(stats.lost_frames, 0);
}

#[test]
fn nothing_is_written_into_too_small_a_frame_and_nothing_is_lost_by_it() {
    let mut device = Device::new(LinkConfig::DEFAULT, 3, 4_000);
    device.span(0);
    let mut small = [0; MIN_FRAME_BYTES - 1];
    assert_eq!(device.link.next_frame(Instant::ZERO, &mut small), None);
    assert_eq!(device.link.ledger().buffered, 1);
    assert_eq!(device.link.poll_timeout(), Some(Instant::ZERO));
}

#[test]
fn a_span_over_the_hosts_memory_is_counted_and_the_next_one_arrives() {
    let mut device = Device::new(LinkConfig::DEFAULT, 3, 4_000);
    device.span(1_000);
    device.span(0);
    let mut host = Host::new();
    host.decoder = Decoder::new(vec![0; 256], vec![0; 512]);
    host.read(&device.frames(Instant::ZERO, 128).concat());
    assert_eq!(host.starts(), [1]);
    assert_eq!(host.stats().lost_spans, 1);
}

#[test]
fn a_device_whose_clock_stops_in_sleep_is_dated_to_the_second() {
    let mut device = Device::new(LinkConfig::DEFAULT, 3, 4_000);
    let mut decoder = Decoder::new(vec![0; 2048], vec![0; 4096]);
    let (mut anchor, mut former) = (Anchor::new(), None);
    let host = WallClock::from_pair(Instant::ZERO, UnixNanos::from_nanos(0));
    let mut worst = Duration::ZERO;
    // Awake for half a second each minute, for ten hours; the last span of each minute is sent in
    // the next one.
    for minute in 0..600_u64 {
        let awake = |millis| Instant::from_millis(minute * 500 + millis);
        let truth = |millis: u64| Duration::from_millis(minute * 60_000 + millis);
        if minute > 0 {
            device.link.clock_resumed(awake(0));
        }
        device.span_at(awake(100), awake(200));
        let arrived = Instant::ZERO + truth(300);
        for frame in device.frames(awake(290), 256) {
            let mut input = frame.as_slice();
            while let Some(event) = decoder.next(&mut input) {
                if let Some(since) = event.new_clock {
                    former = Some((std::mem::take(&mut anchor), since));
                }
                anchor.observe(event.now, arrived);
                let Content::Span(mut span) = event.content else {
                    continue;
                };
                let ended = StoredSpan::new(span.record(span.scope).body).unwrap();
                let ended = Instant::from_nanos(ended.end_nanos());
                let by = match &former {
                    Some((former, since)) if ended <= *since => former,
                    _ => &anchor,
                };
                // A span late by a minute was recorded in the minute before.
                let slept = ended < awake(0);
                span.date(by.clock(host).unwrap());
                let told = StoredSpan::new(span.record(span.scope).body).unwrap();
                let told = Duration::from_nanos(told.end_nanos());
                let expected = if slept {
                    truth(450) - Duration::from_secs(60)
                } else {
                    truth(200)
                };
                worst = worst.max(told.abs_diff(expected));
            }
        }
        device.span_at(awake(400), awake(450));
    }
    assert!(worst < Duration::from_secs(1), "{worst:?}");
    assert_eq!(decoder.stats().spans, 1_199);
}
