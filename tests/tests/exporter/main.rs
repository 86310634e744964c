//! The exporter by itself, on a virtual clock: its invariants by their numbers, over random lives.

mod invariants;
mod reproducers;
