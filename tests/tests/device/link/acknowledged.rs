//! With a way back: everything arrives, once, whatever the line does to either direction.

use std::time::Duration;

use proptest::prelude::*;
use spandrel_core::link::{Command, CommandReader, LinkConfig};
use spandrel_core::time::Instant;
use spandrel_tests::device::Device;

use super::support::Host;

const RELIABLE: LinkConfig = LinkConfig::DEFAULT.with_acknowledgements(Duration::from_millis(200));

/// The device's frames reach the host, and the host's answer reaches the device, as `passes` says.
fn exchange(device: &mut Device, host: &mut Host, now: Instant, mut passes: impl FnMut() -> bool) {
    let mut frame = [0; 160];
    let mut reader = CommandReader::new();
    while let Some(len) = device.link.next_frame(now, &mut frame) {
        if passes() {
            host.read(&frame[..len]);
        }
    }
    let mut bytes = [0; Command::MAX_BYTES];
    let Some(answer) = host.decoder.acknowledgement() else {
        return;
    };
    let len = answer.encode(&mut bytes).unwrap();
    if passes() {
        for command in bytes[..len].iter().filter_map(|&byte| reader.push(byte)) {
            device.link.handle_command(now, command);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn everything_arrives_exactly_once(
        sizes in prop::collection::vec(0_usize..600, 1..60),
        passes in prop::collection::vec(prop::bool::weighted(0.7), 1..60),
    ) {
        let mut device = Device::new(RELIABLE, 3, 100_000);
        let mut host = Host::new();
        for &size in &sizes {
            device.span(size);
        }
        let mut fates = passes.into_iter();
        let mut now = Instant::from_secs(1);
        let mut rounds = 0;
        while !device.link.buffer().is_empty() {
            // Once the fates are used up, everything passes.
            exchange(&mut device, &mut host, now, || fates.next().unwrap_or(true));
            now = now.max(device.link.poll_timeout().unwrap_or(now));
            rounds += 1;
            prop_assert!(rounds < 1_000, "no progress");
        }
        let expected: Vec<u64> = (0..sizes.len() as u64).collect();
        prop_assert_eq!(host.starts(), expected);
        prop_assert_eq!(host.doubles, 0);
        prop_assert_eq!(host.stats().lost_spans, 0);
        prop_assert!(device.link.ledger().is_closed());
        prop_assert_eq!(device.link.ledger().exported, sizes.len() as u64);
    }
}

#[test]
fn spans_stay_until_they_are_acknowledged_and_pauses_double() {
    let mut device = Device::new(RELIABLE, 3, 4_000);
    device.span(0);
    let mut now = Instant::from_secs(1);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        assert!(!device.frames(now, 160).is_empty());
        let again = device.link.poll_timeout().unwrap();
        pauses.push(again.saturating_since(now).as_millis());
        assert!(device.frames(now, 160).is_empty(), "early calls do nothing");
        now = again;
    }
    assert_eq!(pauses, [200, 400, 800, 1600, 3200, 6400, 6400, 6400]);
    assert_eq!(device.link.ledger().buffered, 1);
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_or_of_another_boot_frees_nothing() {
    let mut device = Device::new(RELIABLE, 3, 4_000);
    let now = Instant::from_secs(1);
    let all = |boot| Command::Ack {
        boot,
        next: u64::MAX,
    };
    device.span(0);
    device.link.handle_command(now, all(3));
    assert_eq!(device.link.ledger().buffered, 1);
    device.frames(now, 160);
    device.span(0);
    device.link.handle_command(now, all(4));
    assert_eq!(device.link.ledger().buffered, 2);
    device.link.handle_command(now, all(3));
    assert_eq!(
        device.link.ledger().buffered,
        1,
        "the second one is not out"
    );
}

#[test]
fn a_new_host_in_the_middle_gets_what_is_not_acknowledged() {
    let mut device = Device::new(RELIABLE, 3, 8_000);
    for _ in 0..5 {
        device.span(0);
    }
    let mut first = Host::new();
    let mut left = 4;
    exchange(&mut device, &mut first, Instant::from_secs(1), || {
        left -= 1;
        left >= 0
    });
    // Four frames arrived (two of them the announcement), and the answer did not.
    assert_eq!(first.starts(), [0, 1]);
    let mut second = Host::new();
    let now = device.link.poll_timeout().unwrap();
    exchange(&mut device, &mut second, now, || true);
    assert_eq!(second.starts(), [0, 1, 2, 3, 4]);
    assert_eq!((second.resources, second.scopes), (1, 1));
    assert!(device.link.ledger().is_closed());
}

#[test]
fn the_host_can_ask_for_an_announcement() {
    let mut device = Device::new(RELIABLE, 3, 4_000);
    let now = Instant::from_secs(1);
    device.frames(now, 160);
    device
        .link
        .handle_command(now, Command::Announce { boot: 3 });
    let mut host = Host::new();
    host.read(&device.frames(now, 160).concat());
    assert_eq!((host.resources, host.scopes), (1, 1));
}

#[test]
fn an_acknowledgement_frees_no_more_of_a_window_than_was_sent() {
    let mut device = Device::new(RELIABLE, 3, 4_000);
    let now = Instant::from_secs(1);
    device.span(0);
    device.span(0);
    let mut host = Host::new();
    let mut frame = [0; 200];
    // The resource, the scope, and the first of the two spans.
    for _ in 0..3 {
        let len = device.link.next_frame(now, &mut frame).unwrap();
        host.read(&frame[..len]);
    }
    let all = Command::Ack {
        boot: 3,
        next: u64::MAX,
    };
    device.link.handle_command(now, all);
    let ledger = device.link.ledger();
    assert_eq!((ledger.exported, ledger.buffered), (1, 1));
    host.read(&device.frames(now, 200).concat());
    assert_eq!(host.starts(), [0, 1]);
}

#[test]
fn an_acknowledgement_in_the_middle_of_a_repetition_ends_it() {
    let mut device = Device::new(RELIABLE, 3, 4_000);
    let mut host = Host::new();
    device.span(500);
    host.read(&device.frames(Instant::from_secs(1), 200).concat());
    // The answer is late: the span is being repeated, and its first piece is out.
    let now = device.link.poll_timeout().unwrap();
    let mut frame = [0; 200];
    for _ in 0..3 {
        let len = device.link.next_frame(now, &mut frame).unwrap();
        host.read(&frame[..len]);
    }
    let answer = host.decoder.acknowledgement().unwrap();
    device.link.handle_command(now, answer);
    assert!(device.link.buffer().is_empty());
    device.span(500);
    host.read(&device.frames(now, 200).concat());
    assert_eq!(host.starts(), [0, 1]);
}

#[test]
fn a_line_slower_than_the_pause_gets_the_whole_window_before_anything_again() {
    let mut device = Device::new(RELIABLE, 3, 4_000);
    let mut host = Host::new();
    for _ in 0..4 {
        device.span(0);
    }
    let mut frame = [0; 200];
    // The resource, the scope and four spans, one frame a second.
    for second in 1..=6 {
        let now = Instant::from_secs(second);
        let len = device.link.next_frame(now, &mut frame).unwrap();
        host.read(&frame[..len]);
    }
    assert_eq!(host.starts(), [0, 1, 2, 3]);
    assert_eq!(host.stats().repeated_spans, 0);
}
