use std::vec::Vec;

use super::*;
use crate::buffer::{Buffer, Record, RecordFlags};

const THRESHOLD: u32 = 5;

const fn at(secs: u64) -> Instant {
    Instant::from_secs(secs)
}

/// Batches of one span each, with the numbers 0, 1, 2.
fn three() -> [Batch; 3] {
    let mut buffer = Buffer::new([0; 64]);
    core::array::from_fn(|number| {
        let record = Record {
            scope: ScopeId::default(),
            flags: RecordFlags::NONE,
            body: &[0; 4],
        };
        buffer.push(&record).unwrap();
        let lease = buffer.lease(&mut |_| true).unwrap();
        Batch::new(lease, number as u64, 1, None, BackoffConfig::DEFAULT)
    })
}

fn fail(batch: &mut Batch, times: u32, is_probe: bool) {
    for _ in 0..times {
        batch.start_attempt(at(1));
        batch.count_failure(is_probe);
        batch.wait_until(at(2), THRESHOLD);
    }
}

fn suspect(mut batch: Batch) -> Batch {
    fail(&mut batch, THRESHOLD, false);
    batch
}

fn numbers(batches: &Batches) -> Vec<u64> {
    batches.iter().map(Batch::first_number).collect()
}

#[test]
fn the_thresholds_failures_or_two_failed_probes_make_a_suspect() {
    let [mut plain, mut probe, _] = three();
    fail(&mut plain, THRESHOLD - 1, false);
    fail(&mut probe, 1, true);
    assert!(!plain.is_suspect() && !probe.is_suspect());
    fail(&mut plain, 1, false);
    fail(&mut probe, 1, true);
    assert!(plain.is_suspect() && probe.is_suspect());
}

#[test]
fn a_healthy_destination_gets_the_suspect_first_and_an_unhealthy_one_the_queue() {
    let [first, second, _] = three();
    let mut batches = Batches::none();
    assert_eq!(batches.choose(at(9), true, false), None);
    assert_eq!(batches.choose(at(9), true, true), Some(Choice::Queue));
    assert!(batches.park(suspect(first)).is_none());
    for (now, healthy, queue_is_due, choice) in [
        (at(2), true, true, Some(Choice::Suspect)),
        (at(2), false, true, Some(Choice::Queue)),
        (at(2), false, false, Some(Choice::Suspect)),
        (at(1), true, true, Some(Choice::Queue)),
        (at(1), true, false, None),
    ] {
        assert_eq!(batches.choose(now, healthy, queue_is_due), choice);
    }
    batches.put_in_hand(second);
    assert_eq!(batches.choose(at(2), true, true), Some(Choice::InHand));
}

/// While nothing gets through, the destination is at fault.
#[test]
fn a_third_suspect_stays_in_hand_as_long_as_none_is_proven() {
    let [first, second, third] = three().map(suspect);
    let mut batches = Batches::none();
    assert!(batches.park(first).is_none());
    assert!(batches.park(second).is_none());
    assert!(batches.park(third).is_none());
    assert_eq!(numbers(&batches), [0, 1, 2]);
    assert_eq!(batches.in_hand().map(Batch::first_number), Some(2));
    assert!(batches.park_suspect_in_hand().is_none());
    assert_eq!(batches.in_hand().map(Batch::first_number), Some(2));
}

#[test]
fn a_third_suspect_takes_the_place_of_the_one_that_is_proven_guilty() {
    let [first, second, third] = three().map(suspect);
    let mut batches = Batches::none();
    assert!(batches.park(first).is_none());
    assert!(batches.park(second).is_none());
    batches.prove(at(7));
    batches.put_in_hand(third);
    let guilty = batches.park_suspect_in_hand().expect("the oldest");
    assert_eq!(guilty.first_number(), 0);
    assert!(guilty.is_proven());
    assert_eq!(numbers(&batches), [1, 2]);
    assert!(batches.in_hand().is_none());
}

#[test]
fn only_a_suspect_in_hand_is_parked() {
    let [first, ..] = three();
    let mut batches = Batches::none();
    batches.put_in_hand(first);
    assert!(batches.park_suspect_in_hand().is_none());
    assert!(batches.in_hand().is_some() && !batches.has_parked());
}

#[test]
fn a_proven_suspect_has_its_retries_once_more_and_no_second_time() {
    let [first, ..] = three();
    let mut batches = Batches::none();
    let mut first = suspect(first);
    while first.backoff_mut().next_attempt(at(1), 0).is_ok() {}
    assert!(batches.park(first).is_none());
    batches.prove(at(50));
    assert_eq!(batches.parked_until(), at(50));
    batches.take_up_suspect();
    let retries = |batches: &mut Batches| batches.in_hand_mut().unwrap().backoff_mut().retries();
    assert_eq!(retries(&mut batches), 0);
    let batch = batches.in_hand_mut().unwrap();
    assert!(batch.backoff_mut().next_attempt(at(50), 0).is_ok());
    assert!(batches.park_suspect_in_hand().is_none());
    batches.prove(at(60));
    batches.take_up_suspect();
    assert_eq!(retries(&mut batches), 1);
}

#[test]
fn batches_expire_by_the_age_of_their_first_attempt() {
    let [mut first, mut second, third] = three();
    first.start_attempt(at(10));
    second.start_attempt(at(20));
    second.start_attempt(at(40));
    let mut batches = Batches::none();
    assert_eq!(batches.first_attempt(), Instant::MAX);
    assert!(batches.park(first).is_none());
    assert!(batches.park(third).is_none());
    batches.put_in_hand(second);
    assert_eq!(batches.first_attempt(), at(10));
    let age = 10_000_000_000;
    assert!(batches.take_expired(at(19), age).is_none());
    let mut expired = |now| batches.take_expired(now, age).map(|b| b.first_number());
    assert_eq!(expired(at(20)), Some(0));
    assert_eq!(expired(at(29)), None);
    assert_eq!(expired(at(30)), Some(1));
    // The third has never been tried.
    assert_eq!(expired(Instant::MAX), None);
    assert_eq!(numbers(&batches), [2]);
}

#[test]
fn a_wait_without_an_end_is_never_over() {
    let [mut first, ..] = three();
    let mut batches = Batches::none();
    first.wait_until(Instant::MAX, THRESHOLD);
    batches.put_in_hand(first);
    assert!(batches.ready(Instant::MAX).is_none());
    batches.hurry();
    assert!(batches.ready(Instant::ZERO).is_some());
}

#[test]
fn an_attempt_is_repeated_for_free_once_until_it_has_failed() {
    let [mut batch, ..] = three();
    batch.start_attempt(at(1));
    assert!(batch.repeat_attempt());
    batch.start_attempt(at(1));
    assert!(!batch.repeat_attempt());
    assert_eq!(batch.attempts(), 1);
    batch.wait_until(at(2), THRESHOLD);
    batch.start_attempt(at(2));
    assert!(batch.repeat_attempt());
}

#[test]
fn the_rest_of_a_split_batch_starts_afresh_without_what_was_known_of_the_whole() {
    let totals = Totals {
        records: 8,
        field_bytes: 80,
        scope: Some(ScopeId::default()),
        dated: true,
    };
    let [batch, ..] = three();
    let config = BackoffConfig::DEFAULT;
    let mut batch = Batch::new(batch.into_lease(), 100, 8, Some(totals), config);
    assert_eq!(batch.fields(), Some((ScopeId::default(), 80)));
    assert!(batch.is_dated());
    fail(&mut batch, THRESHOLD, true);
    batch.halve(at(3));
    assert_eq!((batch.window(), batch.fields()), (4, None));
    batch.keep_rest(at(4), 4, 3);
    assert_eq!((batch.window(), batch.first_number()), (3, 104));
    assert_eq!((batch.attempts(), batch.is_suspect()), (0, false));
    assert!(batch.is_dated());
}

#[test]
fn any_batch_is_taken_once() {
    let [first, second, third] = three();
    let mut batches = Batches::none();
    batches.put_in_hand(third);
    assert!(batches.park(first).is_none());
    assert!(batches.park(second).is_none());
    let taken: Vec<_> =
        core::iter::from_fn(|| batches.take_any().map(|b| b.first_number())).collect();
    assert_eq!(taken, [0, 1, 2]);
}
