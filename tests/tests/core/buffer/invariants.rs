//! Random operations; the model checks everything after every step.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use spandrel_core::buffer::{
    Buffer, MAX_LEASES, Overflow, PushError, RECORD_HEADER_BYTES, Record, RecordFlags,
};
use spandrel_core::resource::ScopeId;
use spandrel_testkit::strategies::buffer::{ops, shapes};
use spandrel_tests::models::buffer::{Coverage, Op, Shape, World};

fn record(body: &[u8]) -> Record<'_> {
    Record {
        scope: ScopeId::default(),
        flags: RecordFlags::NONE,
        body,
    }
}

fn with_overflow(shape: Shape, overflow: Overflow) -> Shape {
    Shape { overflow, ..shape }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn i6_never_holds_more_than_its_memory_and_its_limit(shape in shapes(), ops in ops()) {
        let _ = World::run(shape, &ops);
    }

    #[test]
    fn i7_records_come_out_in_the_order_in_which_they_came(
        capacity in 0..=200_usize,
        sizes in prop::collection::vec((0..30_usize, 1..4_usize), 1..60),
    ) {
        let mut buffer = Buffer::new(vec![0; capacity]);
        let (mut taken, mut seen) = (Vec::new(), Vec::new());
        for (n, (len, most)) in (0_u8..).zip(sizes) {
            if buffer.push(&record(&vec![n; len + 1])).is_ok() {
                taken.push(n);
            }
            if n % 3 == 2 {
                let mut left = most;
                let lease = buffer.lease(&mut |_| { left = left.saturating_sub(1); left > 0 });
                if let Some(lease) = lease {
                    seen.extend(buffer.records(&lease).map(|record| record.body[0]));
                    buffer.release(lease);
                }
            }
        }
        prop_assert!(taken.starts_with(&seen));
    }

    #[test]
    fn i8_drop_newest_refuses_the_new_record_and_nothing_else(shape in shapes(), ops in ops()) {
        let seen = World::run(with_overflow(shape, Overflow::DropNewest), &ops);
        prop_assert_eq!(seen.evicted, 0);
    }

    #[test]
    fn i8_drop_oldest_evicts_exactly_the_oldest_that_are_not_leased(
        shape in shapes(),
        ops in ops(),
    ) {
        let seen = World::run(with_overflow(shape, Overflow::DropOldest), &ops);
        prop_assert!(seen.evicted_beside_lease <= seen.evicted);
    }

    #[test]
    fn i9_a_leased_record_is_neither_evicted_nor_changed_nor_leased_twice(
        capacity in 60..=200_usize,
        sizes in prop::collection::vec(0..40_usize, 1..60),
    ) {
        let mut buffer = Buffer::new(vec![0; capacity]).with_overflow(Overflow::DropOldest);
        prop_assert_eq!(buffer.push(&record(&[1; 20])), Ok(()));
        let lease = buffer.lease(&mut |_| true).expect("one is queued");
        for len in sizes {
            let _ = buffer.push(&record(&vec![2; len]));
            let bodies: Vec<_> = buffer.records(&lease).map(|record| record.body.to_vec()).collect();
            prop_assert_eq!(&bodies, &[vec![1; 20]]);
            if let Some(other) = buffer.lease(&mut |_| true) {
                prop_assert!(buffer.records(&other).all(|record| !record.body.contains(&1)));
                buffer.release(other);
            }
        }
    }

    #[test]
    fn i10_there_are_never_more_leases_than_places_for_them(
        shape in shapes(),
        rounds in prop::collection::vec((0..20_u8, 1..3_u8), 1..40),
    ) {
        let ops: Vec<Op> = rounds
            .into_iter()
            .flat_map(|(len, most)| [Op::Push(len), Op::Lease(most)])
            .collect();
        let _ = World::run(shape, &ops);
    }
}

#[test]
fn i10_a_lease_ends_once_and_its_place_is_free_again() {
    let mut buffer = Buffer::new([0; 200]);
    for n in 0..4 {
        assert_eq!(buffer.push(&record(&[n; 8])), Ok(()));
    }
    let one = |buffer: &mut Buffer<_>| {
        let mut left = 2;
        buffer.lease(&mut |_| {
            left -= 1;
            left > 0
        })
    };
    let leases: Vec<_> = (0..MAX_LEASES).filter_map(|_| one(&mut buffer)).collect();
    assert_eq!(leases.len(), MAX_LEASES);
    assert!(one(&mut buffer).is_none());
    for lease in leases {
        buffer.release(lease);
    }
    let last = one(&mut buffer).expect("the places are free");
    assert_eq!(
        buffer.records(&last).map(|r| r.body[0]).collect::<Vec<_>>(),
        [3]
    );
}

/// Two leases that leave two gaps, each too small: evicting what lies there would help nobody.
#[test]
fn i8_nothing_is_evicted_when_that_would_not_make_room() {
    let mut buffer = Buffer::new([0; 100]).with_overflow(Overflow::DropOldest);
    for len in [50, 10] {
        assert_eq!(
            buffer.push(&record(&vec![0; len - RECORD_HEADER_BYTES])),
            Ok(())
        );
    }
    assert!(buffer.pop_front());
    assert_eq!(buffer.push(&record(&[1; 41 - RECORD_HEADER_BYTES])), Ok(()));
    let lease = buffer.lease(&mut |_| true).expect("two are queued");
    assert_eq!(buffer.push(&record(&[2])), Ok(()));
    assert_eq!(
        buffer.push(&record(&[3; 24 - RECORD_HEADER_BYTES])),
        Err(PushError::Full)
    );
    assert_eq!((buffer.queued(), buffer.evicted()), (1, 0));
    buffer.release(lease);
}

/// Fault M2.
#[test]
fn m2_the_smallest_buffers_refuse_or_hold_one_record() {
    for capacity in 0..RECORD_HEADER_BYTES {
        let mut buffer = Buffer::new(vec![0; capacity]);
        assert_eq!(buffer.push(&record(&[])), Err(PushError::TooLarge));
    }
    for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
        let mut buffer = Buffer::new([0; RECORD_HEADER_BYTES]).with_overflow(overflow);
        assert_eq!(buffer.push(&record(&[])), Ok(()));
        let second = buffer.push(&record(&[]));
        assert_eq!(second.is_ok(), overflow == Overflow::DropOldest);
        assert_eq!(buffer.len(), 1);
    }
}

#[test]
fn sometimes_everything_that_a_buffer_can_do_happens() {
    let mut runner = TestRunner::deterministic();
    let mut seen = Coverage::default();
    for _ in 0..200 {
        let shape = shapes().new_tree(&mut runner).expect("a shape").current();
        let ops = ops().new_tree(&mut runner).expect("operations").current();
        seen.add(&World::run(shape, &ops));
    }
    assert_eq!(seen.missing(), [""; 0], "{seen:?}");
}
