//! In place of `lanes`, where one request at most is under way: nothing is ever aside.

use super::Exporter;
use super::batches::Batch;
use crate::time::Instant;

#[derive(Debug)]
pub(super) struct Lanes;

impl Lanes {
    pub(super) const fn one() -> Self {
        Self
    }

    pub(super) const fn most(&self) -> usize {
        1
    }

    pub(super) const fn in_flight(&self) -> usize {
        0
    }

    pub(super) const fn spans_in_flight(&self) -> usize {
        0
    }

    pub(super) const fn expires(&self) -> Instant {
        Instant::MAX
    }

    pub(super) const fn next_at(&self) -> Option<Instant> {
        None
    }

    pub(super) const fn first_attempt(&self) -> Instant {
        Instant::MAX
    }

    pub(super) const fn batches(&self) -> core::iter::Empty<&Batch> {
        core::iter::empty()
    }

    pub(super) const fn batches_mut(&mut self) -> core::iter::Empty<&mut Batch> {
        core::iter::empty()
    }

    pub(super) const fn find(&self, _: u32) -> Option<&Batch> {
        None
    }

    pub(super) const fn take_expired(&mut self, _: Instant, _: u64) -> Option<Batch> {
        None
    }

    pub(super) const fn take_waiting(&mut self) -> Option<Batch> {
        None
    }
}

impl<B, R> Exporter<B, R> {
    pub(super) const fn step_aside(&mut self) {}

    pub(super) const fn bring_generation(&mut self, _: u32) -> bool {
        false
    }

    pub(super) const fn bring_expired(&mut self, _: Instant) -> bool {
        false
    }

    pub(super) const fn bring_any(&mut self) -> bool {
        false
    }
}
