use super::super::drain::{Drain, DrainLimit};
use super::super::set::{MAX_SHARDS, ShardSet};
use super::*;
use crate::buffer::RecordFlags;
use crate::buffer::{Fill, Run};
use crate::resource::ScopeId;
use core::time::Duration;
use std::sync::Arc;

fn shards(bytes: usize, wake_at: usize) -> ShardSet {
    ShardSet::new(bytes, wake_at, Arc::new(Backpressure::new(Duration::ZERO)))
}

fn push(shard: &Shard) -> Result<bool, PushError> {
    shard.push(&Record {
        scope: ScopeId(0),
        flags: RecordFlags::NONE,
        body: &[0; 64],
    })
}

struct Taker;

impl Drain for Taker {
    fn take_run(&mut self, _: &mut Fill<'_>) -> Option<Run> {
        None
    }

    fn take(&mut self, _: &Record<'_>) -> bool {
        true
    }
}

#[test]
fn threads_beyond_the_last_shard_share_one_and_no_span_of_theirs_is_lost() {
    const THREADS: usize = 8;
    let shards = shards(64 * 1024, 1 << 20);
    let own: Vec<_> = (1..MAX_SHARDS).map(|_| shards.claim()).collect();
    let all: Vec<_> = (0..THREADS).map(|_| shards.claim()).collect();
    assert!(all.iter().all(|shard| Arc::ptr_eq(shard, &all[0])));
    assert_eq!(shards.len(), MAX_SHARDS);
    std::thread::scope(|scope| {
        for shard in &all {
            scope.spawn(|| {
                for _ in 0..100 {
                    shard.count(SamplingDecision::RecordAndSample, Origin::Local);
                    push(shard).unwrap();
                }
            });
        }
    });
    let counts = all[0].counts();
    assert_eq!(
        (counts.started.record_and_sample.local, counts.ended),
        (800, 800)
    );
    assert_eq!(all[0].ledger().buffered, 800);
    // One that is given back is taken before the common one.
    own[5].disown();
    assert!(Arc::ptr_eq(&shards.claim(), &own[5]));
}

/// Fault X29.
#[test]
fn without_memory_for_a_shard_the_spans_are_counted_as_lost() {
    // More than any machine has.
    let shards = shards(1 << (usize::BITS - 4), 1);
    let all: Vec<_> = (0..3).map(|_| shards.claim()).collect();
    assert!(all.iter().all(|shard| Arc::ptr_eq(shard, &all[0])));
    assert_eq!(push(&all[0]), Err(PushError::Full));
    let drained = shards.drain(DrainLimit::All, &mut Taker);
    assert_eq!((drained.taken, drained.is_complete), (0, true));
    shards.close();
    assert_eq!(push(&all[1]), Err(PushError::Shutdown));
    let ledger = all[2].ledger();
    assert_eq!(ledger.dropped(DropReason::QueueFull), 1);
    assert_eq!(ledger.dropped(DropReason::Shutdown), 1);
    assert!(ledger.is_balanced());
}

#[test]
fn a_span_that_comes_after_the_end_counts_as_lost_for_it() {
    let shards = shards(1024, 1 << 20);
    let shard = shards.claim();
    push(&shard).unwrap();
    shards.close();
    assert_eq!(push(&shard), Err(PushError::Shutdown));
    assert_eq!(shard.ledger().buffered, 1);
    shard.abandon();
    let ledger = shard.ledger();
    assert_eq!(
        (ledger.buffered, ledger.dropped(DropReason::Shutdown)),
        (0, 2)
    );
    assert!(ledger.is_balanced());
}

#[test]
fn the_drainer_is_woken_once_until_it_comes() {
    for wake_at in [1, 3] {
        let shard = Shard::new(
            4096,
            wake_at,
            false,
            false,
            &Arc::new(Backpressure::new(Duration::ZERO)),
        )
        .unwrap();
        for _ in 0..2 {
            let woken: Vec<_> = (0..6).map(|_| push(&shard).unwrap()).collect();
            let expected: Vec<_> = (1..=6).map(|n| n == wake_at).collect();
            assert_eq!(woken, expected);
            let drained = shard.drain(&mut Vec::new(), usize::MAX, &mut Taker);
            assert!(drained.is_complete);
        }
    }
}

#[test]
fn a_batch_is_taken_when_it_is_complete_and_the_rest_stays() {
    let shards = shards(16 * 1024, 1 << 20);
    let (one, two) = (shards.claim(), shards.claim());
    let batch = DrainLimit::Batch {
        spans: 5,
        bytes: usize::MAX,
    };
    let held = || one.queue.len() + two.queue.len();
    for _ in 0..2 {
        push(&one).unwrap();
        push(&two).unwrap();
    }
    assert_eq!(shards.drain(batch, &mut Taker).taken, 0);
    for _ in 0..3 {
        push(&two).unwrap();
    }
    assert_eq!((shards.drain(batch, &mut Taker).taken, held()), (5, 2));
    assert_eq!((shards.drain(batch, &mut Taker).taken, held()), (0, 2));
    // As many bytes are as good as the spans.
    let bytes = 2 * 72;
    let large = DrainLimit::Batch { spans: 5, bytes };
    assert_eq!((shards.drain(large, &mut Taker).taken, held()), (2, 0));
}

#[test]
fn a_busy_thread_does_not_hold_up_a_quiet_one() {
    let shards = shards(16 * 1024, 1 << 20);
    let (busy, quiet) = (shards.claim(), shards.claim());
    for _ in 0..10 {
        push(&busy).unwrap();
    }
    push(&quiet).unwrap();
    let batch = DrainLimit::Batch {
        spans: 4,
        bytes: usize::MAX,
    };
    for held in [1, 0] {
        assert_eq!(shards.drain(batch, &mut Taker).taken, 4);
        assert_eq!(quiet.queue.len(), held);
    }
}

#[test]
fn a_shard_that_fills_is_not_left_to_wait_for_a_batch() {
    let shards = shards(4096, 1 << 20);
    let shard = shards.claim();
    let batch = |spans| DrainLimit::Batch {
        spans,
        bytes: usize::MAX,
    };
    while !shard.queue.is_filling() {
        push(&shard).unwrap();
    }
    let held = shard.queue.len();
    assert_eq!(shards.drain(batch(1 << 20), &mut Taker).taken, held);
    while !shard.queue.is_half_full() {
        push(&shard).unwrap();
    }
    let held = shard.queue.len();
    assert_eq!(shards.drain(batch(1), &mut Taker).taken, held);
    push(&shard).unwrap();
    push(&shard).unwrap();
    assert_eq!(shards.drain(DrainLimit::All, &mut Taker).taken, 2);
}

#[test]
fn while_a_request_hangs_a_shard_still_takes_in_what_it_was_given_room_for() {
    const BYTES: usize = 4096;
    const RECORD: usize = 64 + 8;
    let batch = DrainLimit::Batch {
        spans: 1,
        bytes: usize::MAX,
    };
    // Wherever the queue stands by then.
    for before in 0..100 {
        let shards = shards(BYTES, 1 << 20);
        let shard = shards.claim();
        push(&shard).unwrap();
        for _ in 0..before {
            push(&shard).unwrap();
            shards.drain(batch, &mut Taker);
        }
        while !shard.queue.is_half_full() {
            push(&shard).unwrap();
        }
        // The last drain before a long request leaves the most that may stay.
        shard.drain(&mut Vec::new(), 1, &mut Taker);
        assert!(!shard.queue.is_half_full());
        assert_eq!(shards.drain(batch, &mut Taker).taken, 1);
        // But for what a record loses that does not fit behind the others.
        for n in 0..BYTES / RECORD - 1 {
            assert_eq!(push(&shard).map(|_| ()), Ok(()), "span {n} after {before}");
        }
    }
}

#[test]
fn a_counter_that_wraps_around_loses_nothing() {
    let mut total = Total {
        seen: usize::MAX - 1,
        sum: 10,
    };
    total.update(3);
    assert_eq!(total.sum, 15);
}
