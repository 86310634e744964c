//! Resets at every step, and within every step.

use core::cell::RefCell;

use super::*;
use crate::buffer::{Lease, Overflow};
use crate::test_support::TestRng;
use rand_core::Rng as _;
use std::collections::BTreeMap;
use std::thread_local;
use std::vec;
use std::vec::Vec;

/// The memory after each step of the calls that are watched.
type Steps = Vec<Vec<u8>>;

thread_local! {
    static STEPS: RefCell<Option<Steps>> = const { RefCell::new(None) };
}

/// Called at the end of each step.
pub(super) fn note(records: &[u8], book: &[u8]) {
    STEPS.with_borrow_mut(|steps| {
        if let Some(steps) = steps {
            steps.push([records, book].concat());
        }
    });
}

/// The memory before `act`, after each of its steps, and at the end.
fn steps_of(buffer: &mut Memory, act: impl FnOnce(&mut Memory)) -> Steps {
    STEPS.set(Some(vec![buffer.storage.storage.clone()]));
    act(buffer);
    let mut steps = STEPS.take().unwrap_or_default();
    steps.push(buffer.storage.storage.clone());
    steps
}

type Memory = Buffer<Retained<Vec<u8>>>;

/// The memory after a reset within any of the steps: each of the bytes that a step changes is there
/// or not.
fn torn(steps: &Steps, rng: &mut TestRng, mut check: impl FnMut(Vec<u8>)) {
    for pair in steps.windows(2) {
        let [before, after] = pair else { continue };
        let changed: Vec<usize> = (0..before.len())
            .filter(|&i| before[i] != after[i])
            .collect();
        let mut mixed = |takes: &mut dyn FnMut(usize) -> bool| {
            let mut memory = before.clone();
            for (place, &at) in changed.iter().enumerate() {
                if takes(place) {
                    memory[at] = after[at];
                }
            }
            check(memory);
        };
        for some in 0..=changed.len() {
            mixed(&mut |place| place < some);
            mixed(&mut |place| place >= some);
        }
        for _ in 0..8 {
            mixed(&mut |_| rng.next_u32().is_multiple_of(2));
        }
    }
}

fn make(capacity: usize, overflow: Overflow) -> Memory {
    let memory = vec![0; capacity + Retained::BYTES];
    Buffer::retained(memory, &mut |_| true).with_overflow(overflow)
}

fn push(buffer: &mut Memory, id: u16, len: usize) -> bool {
    let record = Record {
        scope: ScopeId(id),
        flags: RecordFlags::NONE,
        body: &vec![id as u8; len],
    };
    buffer.push(&record).is_ok()
}

fn reset(memory: Vec<u8>) -> Memory {
    Buffer::retained(memory, &mut |record| {
        // What comes back must be what was pushed.
        assert!(record.body.iter().all(|&byte| byte == record.scope.0 as u8));
        true
    })
}

/// The ids of all records, leased ones too, and how often each is there.
fn held(mut buffer: Memory) -> BTreeMap<u16, usize> {
    assert_eq!(buffer.leased(), 0);
    let mut found = BTreeMap::new();
    let (queued, mut popped) = (buffer.queued(), 0);
    while let Some(record) = buffer.front() {
        *found.entry(record.scope.0).or_default() += 1;
        buffer.pop_front();
        popped += 1;
    }
    assert_eq!((popped, buffer.queued_bytes()), (queued, 0));
    let all = buffer.capacity_bytes() - 8;
    assert!(push(&mut buffer, 1, all), "all memory is free again");
    found
}

fn ids(buffer: &Memory) -> Vec<u16> {
    held(reset(buffer.storage.storage.clone()))
        .into_keys()
        .collect()
}

fn take(n: usize) -> impl FnMut(&Record<'_>) -> bool {
    let mut left = n;
    move |_| {
        let yes = left > 0;
        left = left.saturating_sub(1);
        yes
    }
}

/// Does `act`; wherever a reset comes, nothing is lost but what `act` itself takes away and adds.
fn survives(buffer: &mut Memory, rng: &mut TestRng, act: impl FnOnce(&mut Memory)) {
    let before = ids(buffer);
    let steps = steps_of(buffer, act);
    let after = ids(buffer);
    torn(&steps, rng, |memory| {
        let found = held(reset(memory.clone()));
        for id in &before {
            assert!(
                !after.contains(id) || found.contains_key(id),
                "{id} is lost"
            );
        }
        for (id, times) in &found {
            assert!(
                before.contains(id) || after.contains(id),
                "{id} has come back"
            );
            assert!(*times <= 2);
        }
        assert!(found.values().filter(|times| **times > 1).count() <= 1);
    });
}

#[test]
fn a_reset_within_any_step_of_a_push_loses_no_other_span() {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
        let mut rng = TestRng::new(3);
        let mut buffer = make(230, overflow);
        for id in 0..150 {
            let len = (rng.next_u32() % 60) as usize;
            survives(&mut buffer, &mut rng, |buffer| {
                push(buffer, id, len);
            });
            if rng.next_u32().is_multiple_of(5) {
                survives(&mut buffer, &mut rng, |buffer| {
                    buffer.pop_front();
                });
            }
        }
        assert_eq!(buffer.evicted() > 50, overflow == Overflow::DropOldest);
    }
}

#[test]
fn a_reset_within_any_step_of_a_compaction_loses_no_span() {
    let (mut rng, mut compactions) = (TestRng::new(5), 0);
    for round in 0..20 {
        let overflow = [Overflow::DropNewest, Overflow::DropOldest][round % 2];
        let mut buffer = make(200 + round, overflow);
        let mut leases: Vec<Lease> = Vec::new();
        for id in 0..40 {
            match rng.next_u32() % 4 {
                0 => leases.extend(buffer.lease(&mut take(1 + id as usize % 3))),
                1 if !leases.is_empty() => {
                    let lease = leases.swap_remove(rng.next_u32() as usize % leases.len());
                    survives(&mut buffer, &mut rng, |buffer| buffer.release(lease));
                }
                _ => {
                    let before = buffer.layout();
                    let len = (rng.next_u32() % 50) as usize;
                    survives(&mut buffer, &mut rng, |buffer| {
                        push(buffer, id, len);
                    });
                    compactions += u32::from(buffer.layout() != before);
                    for lease in &leases {
                        for record in buffer.records(lease) {
                            let id = record.scope.0 as u8;
                            assert!(record.body.iter().all(|&byte| byte == id));
                        }
                    }
                }
            }
        }
    }
    assert!(compactions > 40, "{compactions}");
}

#[test]
fn it_does_what_a_buffer_does_that_is_not_retained() {
    let mut rng = TestRng::new(9);
    for round in 0..200 {
        let overflow = [Overflow::DropNewest, Overflow::DropOldest][round % 2];
        let mut kept = make(250, overflow);
        let mut plain = Buffer::new(vec![0; 250]).with_overflow(overflow);
        let mut leases: Vec<(Lease, Lease)> = Vec::new();
        for id in 0..60_u16 {
            match rng.next_u32() % 4 {
                0 => {
                    let n = 1 + (rng.next_u32() % 3) as usize;
                    let both = (kept.lease(&mut take(n)), plain.lease(&mut take(n)));
                    let (Some(one), Some(other)) = both else {
                        assert!(both.0.is_none() && both.1.is_none());
                        continue;
                    };
                    leases.push((one, other));
                }
                1 if !leases.is_empty() => {
                    let (one, other) = leases.remove(rng.next_u32() as usize % leases.len());
                    kept.release(one);
                    plain.release(other);
                }
                _ => {
                    let body = vec![id as u8; (rng.next_u32() % 60) as usize];
                    let record = Record {
                        scope: ScopeId(id),
                        flags: RecordFlags::NONE,
                        body: &body,
                    };
                    assert_eq!(kept.push(&record), plain.push(&record));
                }
            }
            assert_eq!((kept.len(), kept.evicted()), (plain.len(), plain.evicted()));
            for (one, other) in &leases {
                assert!(kept.records(one).eq(plain.records(other)));
            }
            assert_eq!(kept.front(), plain.front());
        }
    }
}

#[test]
fn a_reset_within_a_reset_loses_nothing_more() {
    let mut rng = TestRng::new(7);
    let mut buffer = make(220, Overflow::DropOldest);
    let mut parked = None;
    for id in 0..60 {
        if id % 8 == 0 {
            if let Some(lease) = parked.take() {
                buffer.release(lease);
            }
            parked = buffer.lease(&mut take(1));
        }
        let before = ids(&buffer);
        let steps = steps_of(&mut buffer, |buffer| {
            push(buffer, id, (id % 9 * 7).into());
        });
        let after = ids(&buffer);
        for memory in &steps {
            STEPS.set(Some(vec![memory.clone()]));
            drop(reset(memory.clone()));
            let second = STEPS.take().unwrap_or_default();
            torn(&second, &mut rng, |memory| {
                let found = held(reset(memory));
                let lost = before
                    .iter()
                    .find(|id| after.contains(id) && !found.contains_key(id));
                assert_eq!(lost, None);
            });
        }
    }
}

#[test]
fn queued_and_leased_records_come_back_in_order_and_settled_ones_do_not() {
    let mut buffer = make(256, Overflow::DropNewest);
    for id in 0..6 {
        assert!(push(&mut buffer, id, 10));
    }
    let first = buffer.lease(&mut take(2));
    let second = buffer.lease(&mut |record| record.scope.0 < 4).unwrap();
    buffer.release(second);
    let mut recovered = reset(buffer.storage.storage.clone());
    assert_eq!((recovered.queued(), recovered.leased()), (4, 0));
    let mut order = Vec::new();
    while let Some(record) = recovered.front() {
        order.push(record.scope.0);
        recovered.pop_front();
    }
    assert_eq!(order, [0, 1, 4, 5]);
    assert!(first.is_some());
}

#[test]
fn what_the_caller_refuses_is_left_out() {
    let mut buffer = make(128, Overflow::DropNewest);
    for id in 0..4 {
        push(&mut buffer, id, 4);
    }
    let odd = &mut |record: &Record<'_>| record.scope.0 % 2 == 1;
    let recovered = Buffer::retained(buffer.storage.storage, odd);
    assert_eq!(recovered.queued_bytes(), 24);
    assert_eq!(ids(&recovered), [1, 3]);
}

#[test]
fn a_record_that_was_being_dated_is_left_out_and_flags_without_a_meaning_are_cleared() {
    let mut buffer = make(128, Overflow::DropNewest);
    for id in 0..3 {
        push(&mut buffer, id, 4);
    }
    let lease = buffer.lease(&mut take(2)).unwrap();
    let mut seen = Vec::new();
    buffer.update(&lease, &mut |flags, _| {
        seen.push(flags);
        flags.with(RecordFlags::DATED)
    });
    assert_eq!(ids(&buffer), [0, 1, 2]);
    let mut memory = buffer.storage.storage.clone();
    memory[12 + Header::STATE] = State::CHANGING;
    memory[Header::FLAGS] = 0xff;
    let recovered = reset(memory);
    assert_eq!(ids(&recovered), [0, 2]);
    let all = RecordFlags::DATED
        .with(RecordFlags::HAS_EVENTS)
        .with(RecordFlags::ERROR);
    assert_eq!(recovered.front().map(|record| record.flags), Some(all));
}

#[test]
fn memory_of_another_buffer_or_of_none_is_an_empty_one() {
    let mut buffer = make(128, Overflow::DropNewest);
    push(&mut buffer, 1, 4);
    let memory = buffer.storage.storage.clone();
    assert_eq!(reset(memory.clone()).len(), 1);
    let longer = [memory.as_slice(), &[0]].concat();
    assert!(reset(longer).is_empty());
    assert!(reset(vec![0; 300]).is_empty());
    assert!(reset(vec![0xff; 300]).is_empty());
    // Any bit of the places that are in use: the older ones are there.
    for bit in 0..8 * Retained::BYTES {
        let mut memory = memory.clone();
        memory[128 + bit / 8] ^= 1 << (bit % 8);
        assert!(reset(memory).len() <= 1);
    }
    for len in 0..=Retained::BYTES {
        let mut none = reset(vec![0; len]);
        assert_eq!((none.capacity_bytes(), none.len()), (0, 0));
        assert!(!push(&mut none, 1, 0));
    }
}

#[test]
fn records_before_a_decayed_one_come_back() {
    let mut buffer = make(128, Overflow::DropNewest);
    for id in 0..4 {
        push(&mut buffer, id, 4);
    }
    let mut memory = buffer.storage.storage.clone();
    memory[2 * 12 + 3] = 0x80;
    assert_eq!(ids(&reset(memory)), [0, 1]);
}

/// Decayed memory under good places, and places that are made up but pass the check.
#[test]
fn no_bytes_make_recovery_panic_or_the_books_wrong() {
    let mut rng = TestRng::new(11);
    for _ in 0..30_000 {
        let capacity = 40 + (rng.next_u32() % 100) as usize;
        let mut bytes = vec![0; capacity + Retained::BYTES];
        for byte in &mut bytes {
            *byte = (rng.next_u32() % 24) as u8 * u8::from(rng.next_u32().is_multiple_of(4));
        }
        let mut small = || (rng.next_u32() % 150) as usize;
        let (tail, head) = (small(), small());
        let mut ring = Ring::new();
        ring.wrapped = small().is_multiple_of(2);
        (ring.head, ring.tail, ring.end, ring.records) = (head, tail, small(), small() as u32 % 5);
        let moving = Move {
            to: small(),
            gap: small() * (small() % 2),
            len: small(),
            done: small(),
        };
        let mut memory = Retained {
            storage: bytes,
            sequence: 0,
        };
        if let Some((bytes, mut book)) = memory.split() {
            book.write(bytes, &ring, moving);
        }
        let mut buffer = Buffer::retained(memory.storage, &mut |_| true);
        let (queued, mut popped, mut stored) = (buffer.queued(), 0, 0);
        while let Some(record) = buffer.front() {
            stored += record.stored_len();
            buffer.pop_front();
            popped += 1;
        }
        assert_eq!(
            (popped, buffer.len(), buffer.queued_bytes()),
            (queued, 0, 0)
        );
        assert!(stored <= capacity);
        assert!(
            push(&mut buffer, 1, capacity - 8),
            "all memory is free again"
        );
    }
}
