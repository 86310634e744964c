//! The buffer against its model: invariants I6 to I10, by proptest and by exhaustion.

mod exhaustive;
mod invariants;
