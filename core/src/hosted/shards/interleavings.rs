//! The queue, and the wait for room in it, under Loom: every interleaving of writers and a reader, with
//! every value that a relaxed load may return.
//!
//! `RUSTFLAGS="--cfg spandrel_loom" cargo test -p spandrel-core --features std --lib interleavings`
#![allow(clippy::unwrap_used, reason = "only tests are in here")]

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

use loom::thread;

use super::room::Room;
use super::spsc::SpscQueue;
use crate::buffer::{Buffer, PushError, Record, RecordFlags};
use crate::resource::ScopeId;

/// Bytes of a queue that wraps around within a few records: it has 13 words, a record of one word
/// takes two, and one of two words three.
const SMALL: usize = 48;

/// Runs `model` in every order that takes a thread's turn away at most `preemptions` times.
fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let orders = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&orders);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        counted.fetch_add(1, Relaxed);
        model();
    });
    let orders = orders.load(Relaxed);
    assert!(orders > 100, "{orders} orders prove little");
}

/// The body of record `n`, of one or two words that say which one it is.
fn body(n: u16) -> Vec<u8> {
    vec![n as u8 + 1; 8 + 8 * usize::from(n % 2)]
}

fn push(queue: &SpscQueue, n: u16) -> Result<bool, PushError> {
    queue.push(
        &Record {
            scope: ScopeId(n),
            flags: RecordFlags::DATED,
            body: &body(n),
        },
        2,
    )
}

/// Takes what is there now; all of it is whole.
fn drain(queue: &SpscQueue, into: &mut Vec<u16>) {
    queue.drain(&mut Vec::new(), &mut |record| {
        assert_eq!(record.body, body(record.scope.0));
        into.push(record.scope.0);
        true
    });
}

/// As [`drain`], with runs of at most two records, as the pipeline takes them.
fn drain_runs(queue: &SpscQueue, into: &mut Vec<u16>) {
    let mut target = Buffer::new(vec![0; 256]);
    queue.drain_runs(2, &mut |fill| target.push_run(usize::MAX, None, fill));
    target.drain(|record| {
        assert_eq!(record.body, body(record.scope.0));
        into.push(record.scope.0);
        true
    });
}

/// A writer of `count` records beside a reader that looks twice, after `before` records were pushed
/// and all but `kept` of them taken. What was taken in comes out, whole and in order.
fn writer_and_reader(before: u16, kept: u16, count: u16, drain: fn(&SpscQueue, &mut Vec<u16>)) {
    check(2, move || {
        let queue = Arc::new(SpscQueue::new(SMALL).unwrap());
        let mut got = Vec::new();
        for n in 0..before {
            assert!(push(&queue, n).is_ok());
        }
        queue.drain(&mut Vec::new(), &mut |_| {
            let room = got.len() < usize::from(before - kept);
            if room {
                got.push(got.len() as u16);
            }
            room
        });
        let writer = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let taken = |n: &u16| match push(&queue, *n) {
                    Ok(_) => true,
                    Err(error) => {
                        assert_eq!(error, PushError::Full);
                        false
                    }
                };
                (before..before + count).filter(taken).collect::<Vec<_>>()
            })
        };
        for _ in 0..2 {
            // Loom does not try a writer before a reader that only looks, unless it is asked to.
            thread::yield_now();
            drain(&queue, &mut got);
            assert!(queue.len() <= usize::from(kept + count));
        }
        let mut pushed: Vec<_> = (0..before).collect();
        pushed.extend(writer.join().unwrap());
        while queue.len() > 0 {
            drain(&queue, &mut got);
        }
        assert_eq!(got, pushed);
        assert_eq!((queue.len(), queue.bytes()), (0, 0));
    });
}

#[test]
fn what_a_writer_pushes_a_reader_drains_whole_and_in_order() {
    // The queue is empty: the writer goes back to the start behind the reader's back, and leaves a
    // hole. Or it is not: the writer wraps around, and finds the queue full or not.
    for (before, kept) in [(0, 0), (1, 0), (3, 0), (3, 1), (3, 2)] {
        writer_and_reader(before, kept, 4, drain);
    }
}

#[test]
fn what_a_writer_pushes_a_reader_drains_in_runs() {
    for (before, kept) in [(0, 0), (1, 0), (3, 0), (3, 1), (3, 2)] {
        writer_and_reader(before, kept, 4, drain_runs);
    }
}

#[test]
fn a_count_by_a_third_thread_is_never_more_than_was_pushed() {
    check(1, || {
        let queue = Arc::new(SpscQueue::new(SMALL).unwrap());
        let writer = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                for n in 0..2 {
                    assert!(push(&queue, n).is_ok());
                }
            })
        };
        let counter = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let _ = (queue.is_filling(), queue.is_half_full());
                queue.pushed()
            })
        };
        let mut got = Vec::new();
        drain(&queue, &mut got);
        assert!(counter.join().unwrap() <= 2);
        writer.join().unwrap();
        drain(&queue, &mut got);
        assert_eq!(got, [0, 1]);
    });
}

/// Waits for room as [`Backpressure`](super::backpressure::Backpressure) does, but without an end: Loom's
/// clock stands still, so a wake-up that is lost is a deadlock, which Loom reports.
fn push_later(queue: &SpscQueue, room: &Room, n: u16) {
    let waiting = room.enter();
    loop {
        let heard = waiting.heard();
        if push(queue, n).is_ok() {
            return;
        }
        waiting.sleep(heard, Duration::MAX);
    }
}

/// A queue without room, and the number of records in it.
fn full() -> (SpscQueue, u16) {
    let queue = SpscQueue::new(SMALL).unwrap();
    let mut n = 0;
    while push(&queue, n).is_ok() {
        n += 1;
    }
    (queue, n)
}

/// As the drainer does for all queues: it moves their heads, and then it rings once. It comes again only
/// after the writers are done.
#[test]
fn writers_that_wait_for_room_hear_of_it() {
    // The records that the first writer has to place, with one ring.
    for more in [1, 2] {
        check(3, move || {
            let (queues, room) = (Arc::new([full(), full()]), Arc::new(Room::new()));
            let writers = [more, 1].into_iter().enumerate().map(|(at, more)| {
                let (queues, room) = (Arc::clone(&queues), Arc::clone(&room));
                thread::spawn(move || {
                    let (queue, n) = &queues[at];
                    (*n..n + more).for_each(|n| push_later(queue, &room, n));
                })
            });
            let writers: Vec<_> = writers.collect();
            let mut got = [Vec::new(), Vec::new()];
            for (at, got) in got.iter_mut().enumerate() {
                drain(&queues[at].0, got);
            }
            room.ring();
            for writer in writers {
                writer.join().unwrap();
            }
            for (at, got) in got.iter_mut().enumerate() {
                drain(&queues[at].0, got);
                let all = queues[at].1 + [more, 1][at];
                assert_eq!(*got, (0..all).collect::<Vec<_>>());
            }
        });
    }
}
