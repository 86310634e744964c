use std::collections::{BTreeMap, BTreeSet};
use std::vec;

use core::time::Duration;

use super::*;
use crate::batch::BatchConfig;
use crate::breaker::State;
use crate::exporter::{ExporterConfig, OnTooLarge, Transmit};
use crate::prelude::*;
use crate::resource::ScopeId;
use crate::test_support::TestRng;
use rand_core::Rng;

type Machine = Exporter<Vec<u8>, Vec<u8>>;

const OK: Outcome<'static> = Outcome::Response(Response::new(200));
const BUSY: Outcome<'static> = Outcome::Response(Response::new(503));

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn machine(config: ExporterConfig, most: usize) -> Machine {
    let buffer = Buffer::new(vec![0; 1 << 16]).with_leases(most + 2);
    let registry = Registry::empty(vec![0; 64]);
    let mut machine = Exporter::clamped(config, buffer, registry);
    machine.set_concurrency(most);
    machine
}

/// Batches of one span, sent at once.
fn one_by_one(most: usize) -> Machine {
    let batch = BatchConfig {
        max_export_batch_size: 1,
        scheduled_delay: Duration::ZERO,
        ..BatchConfig::DEFAULT
    };
    let config = ExporterConfig {
        batch,
        ..ExporterConfig::DEFAULT
    };
    machine(config, most)
}

/// A span whose bytes tell its number.
fn push(machine: &mut Machine, number: u32) {
    let [a, b, c, d] = number.to_le_bytes();
    let record = crate::buffer::Record {
        scope: ScopeId::default(),
        flags: crate::buffer::RecordFlags::DATED,
        body: &[0xA7, 0x5C, a, b, c, d, 0xE1, 0x93],
    };
    machine.push_record(&record).unwrap();
}

/// The numbers of the spans in a request.
fn numbers(machine: &Machine, transmit: &mut Transmit) -> Vec<u32> {
    let mut body = vec![0; transmit.content_length()];
    assert_eq!(machine.read_body(transmit, &mut body), body.len());
    let found = body.windows(8).filter_map(|bytes| match bytes {
        [0xA7, 0x5C, a, b, c, d, 0xE1, 0x93] => Some(u32::from_le_bytes([*a, *b, *c, *d])),
        _ => None,
    });
    found.collect()
}

#[test]
fn as_many_requests_as_allowed_are_under_way_and_answered_in_any_order() {
    let mut machine = one_by_one(3);
    (0..5).for_each(|number| push(&mut machine, number));
    let mut out: Vec<_> = core::iter::from_fn(|| machine.poll_transmit(at(1))).collect();
    assert_eq!(out.len(), 3);
    let read: Vec<_> = out.iter_mut().map(|it| numbers(&machine, it)).collect();
    assert_eq!(read, [[0], [1], [2]]);
    let ledger = machine.ledger();
    assert_eq!((ledger.in_flight, ledger.buffered), (3, 2));
    assert!(
        machine.poll_timeout().unwrap() > at(1),
        "it waits for an answer"
    );
    let middle = out.remove(1);
    machine.handle_response(at(2), middle, &OK);
    let mut fourth = machine.poll_transmit(at(2)).unwrap();
    assert_eq!(numbers(&machine, &mut fourth), [3]);
    assert!(machine.poll_transmit(at(2)).is_none());
    for transmit in out.into_iter().rev().chain([fourth]) {
        machine.handle_response(at(3), transmit, &OK);
    }
    let last = machine.poll_transmit(at(3)).unwrap();
    machine.handle_response(at(4), last, &OK);
    assert_eq!(machine.ledger().exported, 5);
    assert!(machine.ledger().is_closed());
}

#[test]
fn a_retry_holds_new_requests_back_and_goes_out_while_others_are_under_way() {
    let mut machine = one_by_one(3);
    (0..9).for_each(|number| push(&mut machine, number));
    let first = machine.poll_transmit(at(1)).unwrap();
    let second = machine.poll_transmit(at(1)).unwrap();
    machine.handle_response(at(2), first, &BUSY);
    assert!(machine.poll_transmit(at(2)).is_none(), "it waits");
    let wake = machine.poll_timeout().unwrap();
    assert!(wake >= at(102) && wake <= at(200), "{wake:?}");
    let mut again = machine.poll_transmit(wake).unwrap();
    assert_eq!(
        (numbers(&machine, &mut again), again.attempt()),
        (vec![0], 2)
    );
    let mut third = machine.poll_transmit(wake).unwrap();
    assert_eq!(numbers(&machine, &mut third), [2]);
    for transmit in [second, again, third] {
        machine.handle_response(wake, transmit, &OK);
    }
    assert_eq!(machine.ledger().exported, 3);
}

#[test]
fn a_half_open_circuit_lets_one_probe_through_and_a_recovery_begins_slowly() {
    let mut machine = one_by_one(4);
    (0..40).for_each(|number| push(&mut machine, number));
    let mut now = at(1);
    while machine.circuit() == State::Closed {
        let out: Vec<_> = core::iter::from_fn(|| machine.poll_transmit(now)).collect();
        for transmit in out {
            machine.handle_response(now, transmit, &BUSY);
        }
        now = machine.poll_timeout().unwrap().max(now);
    }
    assert!(machine.poll_transmit(now).is_none() || machine.circuit() == State::HalfOpen);
    let now = now.max(at(40_000));
    machine.cancel_in_flight(now);
    let probe = machine.poll_transmit(now).unwrap();
    assert!(machine.poll_transmit(now).is_none(), "a second probe");
    machine.handle_response(now, probe, &OK);
    assert_eq!(machine.circuit(), State::Closed);
    let next = machine.poll_transmit(now).unwrap();
    assert!(machine.poll_transmit(now).is_none(), "a slow start");
    machine.handle_response(now, next, &OK);
    assert!(machine.ledger().is_balanced());
}

#[test]
fn every_request_has_its_own_time_limit_and_a_late_answer_finds_nothing() {
    let mut machine = one_by_one(2);
    push(&mut machine, 0);
    let first = machine.poll_transmit(at(0)).unwrap();
    push(&mut machine, 1);
    let second = machine.poll_transmit(at(5_000)).unwrap();
    assert_eq!(machine.poll_timeout(), Some(at(11_000)));
    machine.handle_timeout(at(11_000));
    assert_eq!(machine.stats().possible_duplicates, 1);
    machine.handle_response(at(11_001), first, &OK);
    assert_eq!(machine.ledger().exported, 0);
    machine.handle_response(at(11_001), second, &OK);
    assert_eq!(machine.ledger().exported, 1);
}

#[test]
fn a_shutdown_gives_up_all_requests_at_its_deadline() {
    let mut machine = one_by_one(3);
    (0..5).for_each(|number| push(&mut machine, number));
    let out: Vec<_> = core::iter::from_fn(|| machine.poll_transmit(at(1))).collect();
    machine.shutdown(at(2), at(1_000));
    assert!(machine.poll_shutdown().is_none());
    machine.handle_timeout(at(1_000));
    let report = machine.poll_shutdown().unwrap();
    assert_eq!((report.exported, report.dropped, report.left), (0, 5, 0));
    for transmit in out {
        machine.handle_response(at(1_001), transmit, &OK);
    }
    assert_eq!(machine.ledger().dropped(DropReason::Shutdown), 5);
    assert!(machine.ledger().is_closed());
}

#[test]
fn one_of_several_that_fails_in_its_sender_leaves_the_others_alone() {
    let mut machine = one_by_one(2);
    (0..2).for_each(|number| push(&mut machine, number));
    let first = machine.poll_transmit(at(1)).unwrap();
    let second = machine.poll_transmit(at(1)).unwrap();
    machine.fail(at(2), &first, true);
    machine.fail(at(2), &first, true);
    assert_eq!(machine.stats().possible_duplicates, 1);
    assert_eq!(machine.ledger().in_flight, 1);
    machine.handle_response(at(3), second, &OK);
    assert_eq!(machine.ledger().exported, 1);
    let again = machine.poll_timeout().unwrap();
    let again = machine.poll_transmit(again).expect("the failed one");
    machine.handle_response(at(500), again, &OK);
    assert!(machine.ledger().is_closed());
}

/// A collector of moods: every rule holds whatever it answers, in whatever order.
#[test]
fn whatever_happens_every_span_has_one_fate() {
    let mut seen = BTreeMap::new();
    for seed in 0..400 {
        let mut rng = TestRng::new(seed);
        let most = 1 + seed as usize % 8;
        let config = ExporterConfig {
            batch: BatchConfig {
                max_export_batch_size: 7,
                scheduled_delay: Duration::from_millis(200),
                ..BatchConfig::DEFAULT
            },
            export_timeout: Duration::from_secs(seed % 2 * 5),
            max_batch_age: Duration::from_secs(40),
            on_too_large: OnTooLarge::Split,
            seed,
            ..ExporterConfig::DEFAULT
        };
        let mut machine = machine(config, most);
        let (mut out, mut arrived) = (Vec::new(), BTreeSet::new());
        let (mut pushed, mut now) = (0, at(0));
        let mut mood = 0;
        while !machine.is_stopped() {
            let draw = rng.next_u64();
            if draw.is_multiple_of(50) {
                mood = draw / 50 % 4;
            }
            if pushed < 300 {
                for _ in 0..draw % 9 {
                    push(&mut machine, pushed);
                    pushed += 1;
                }
            } else if pushed < 1_000 {
                pushed = 1_000;
                machine.shutdown(now, now.saturating_add(Duration::from_secs(60)));
            }
            while let Some(mut transmit) = machine.poll_transmit(now) {
                let spans = numbers(&machine, &mut transmit);
                assert_eq!(spans.len(), transmit.spans());
                assert_ne!(machine.circuit(), State::Open);
                out.push((transmit, spans));
            }
            assert!(machine.ledger().in_flight as usize <= most * 7);
            assert!(machine.poll_timeout().is_none_or(|wake| wake > now), "busy");
            *seen.entry("most").or_insert(0) += u32::from(out.len() == most && most > 1);
            if !out.is_empty() && !(draw >> 8).is_multiple_of(3) {
                let (transmit, spans) = out.remove((draw >> 16) as usize % out.len());
                let before = machine.ledger().exported;
                match (mood, (draw >> 32) % 8) {
                    (_, 0) => machine.cancel(now, transmit),
                    (_, 1) => machine.fail(now, &transmit, true),
                    // It is lost, and times out.
                    (3, 2) => {}
                    (1, 3) => {
                        let large = Outcome::Response(Response::new(413));
                        machine.handle_response(now, transmit, &large);
                    }
                    (2, _) => machine.handle_response(now, transmit, &BUSY),
                    _ => machine.handle_response(now, transmit, &OK),
                }
                if machine.ledger().exported > before {
                    assert_eq!(machine.ledger().exported - before, spans.len() as u64);
                    for span in spans {
                        assert!(arrived.insert(span), "{span} arrived twice");
                    }
                }
            }
            let ledger = machine.ledger();
            assert!(ledger.is_balanced(), "{seed}: {ledger}");
            let step = now.saturating_add(Duration::from_millis(draw >> 40 & 63));
            now = match machine.poll_timeout() {
                Some(wake) if out.is_empty() || draw % 16 == 3 => wake.max(step),
                _ => step,
            };
        }
        let ledger = machine.ledger();
        assert!(ledger.is_closed(), "{seed}: {ledger}");
        assert_eq!(ledger.exported, arrived.len() as u64, "{seed}");
        *seen.entry("opened").or_insert(0) += machine.stats().circuit_opened as u32;
        *seen.entry("exported").or_insert(0) += ledger.exported as u32;
        *seen.entry("dropped").or_insert(0) += ledger.dropped_total() as u32;
    }
    assert!(
        seen.len() == 4 && seen.values().all(|count| *count > 0),
        "{seen:?}"
    );
}
