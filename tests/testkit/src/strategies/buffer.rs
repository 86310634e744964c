//! For the [model of the ring](crate::models::buffer).

use proptest::prelude::*;
use spandrel_core::buffer::Overflow;

use crate::models::buffer::{Op, Shape};

/// Operations, weighted so that a small buffer is full most of the time.
pub fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        8 => (0..40_u8).prop_map(Op::Push),
        1 => (0..200_u8).prop_map(Op::Push),
        3 => (0..6_u8).prop_map(Op::Lease),
        2 => any::<u8>().prop_map(Op::Release),
        2 => (any::<u8>(), 0..6_u8).prop_map(|(which, count)| Op::ReleaseFirst(which, count)),
        1 => Just(Op::PopFront),
    ];
    prop::collection::vec(op, 0..80)
}

/// Capacities of 0 to 200 bytes, both policies, with and without a limit of records.
pub fn shapes() -> impl Strategy<Value = Shape> {
    let overflow = prop_oneof![Just(Overflow::DropNewest), Just(Overflow::DropOldest)];
    let max_records = prop::option::weighted(0.3, 0..8_u32);
    (0..=200_usize, overflow, max_records).prop_map(|(capacity, overflow, max_records)| Shape {
        capacity,
        overflow,
        max_records,
    })
}
