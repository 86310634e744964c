//! The exporter by itself, on a virtual clock: its invariants by their numbers, over random lives.

mod clocks;
mod export_time;
mod faults;
mod guide;
mod invariants;
mod reproducers;
mod rules;
mod sometimes;
