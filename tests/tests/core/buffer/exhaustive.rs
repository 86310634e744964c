//! Every sequence of operations up to a length, on buffers that hold about two records.

use spandrel_core::buffer::Overflow;
use spandrel_tests::models::buffer::{Op, Shape, World};

/// Sizes (with the header) of 8, 13 and 21 bytes: none divides the capacities.
const OPS: [Op; 8] = [
    Op::Push(0),
    Op::Push(5),
    Op::Push(13),
    Op::Lease(1),
    Op::Lease(2),
    Op::Release(0),
    Op::Release(1),
    Op::ReleaseFirst(0, 1),
];

const LENGTH: u32 = 5;

fn run_all(shape: Shape) {
    let count = OPS.len().pow(LENGTH);
    for number in 0..count {
        let mut rest = number;
        let ops: [Op; LENGTH as usize] = std::array::from_fn(|_| {
            let op = OPS[rest % OPS.len()];
            rest /= OPS.len();
            op
        });
        let _ = World::run(shape, &ops);
    }
}

#[test]
fn every_short_sequence_on_a_buffer_that_drops_the_newest() {
    run_all(Shape {
        capacity: 31,
        overflow: Overflow::DropNewest,
        max_records: None,
    });
}

#[test]
fn every_short_sequence_on_a_buffer_that_drops_the_oldest() {
    run_all(Shape {
        capacity: 37,
        overflow: Overflow::DropOldest,
        max_records: None,
    });
}
