//! Requests under way besides the one in hand, for [`Exporter::set_concurrency`] on hosts.
//!
//! The machine knows one request: the batch in hand with its flight. Another one begins after that has
//! stepped aside, and what happens to one aside happens after it was brought back. So every rule
//! exists once, whatever the number of requests.
//!
//! ```text
//!              step aside: another request is due
//!   in hand ───────────────────────────────────────▶ aside
//!     ▲ ▲                                             │ │
//!     │ └──────── bring: an answer, a time limit ─────┘ │
//!     └────────── take up: the end of a wait ───────────┘
//! ```

use std::vec::Vec;

use super::Exporter;
use super::batches::Batch;
use super::transmit::Flight;
use crate::time::Instant;

/// The most requests that can be under way at once.
pub(crate) const MAX_CONCURRENT_EXPORTS: u32 = 32;

/// A batch that is not in hand: in flight, or waiting for a retry.
#[derive(Debug)]
struct Aside {
    batch: Batch,
    flight: Option<Flight>,
}

#[derive(Debug)]
pub(super) struct Lanes {
    most: usize,
    aside: Vec<Aside>,
}

impl Lanes {
    /// Everything is in hand.
    pub(super) const fn one() -> Self {
        Self {
            most: 1,
            aside: Vec::new(),
        }
    }

    /// The most requests that may be under way.
    pub(super) const fn most(&self) -> usize {
        self.most
    }

    fn flights(&self) -> impl Iterator<Item = &Flight> {
        self.aside.iter().filter_map(|aside| aside.flight.as_ref())
    }

    fn waiting(&self) -> impl Iterator<Item = &Batch> {
        let waits = |aside: &&Aside| aside.flight.is_none();
        self.aside.iter().filter(waits).map(|aside| &aside.batch)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.flights().count()
    }

    pub(super) fn spans_in_flight(&self) -> usize {
        self.flights().map(|flight| flight.layout.window).sum()
    }

    /// When the first one in flight counts as timed out; [`Instant::MAX`] without any.
    pub(super) fn expires(&self) -> Instant {
        let expires = self.flights().map(|flight| flight.expires);
        expires.fold(Instant::MAX, Instant::min)
    }

    /// When the first wait is over; `None` if nothing waits.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.waiting().map(Batch::next_at).min()
    }

    /// The first attempt of those that wait; [`Instant::MAX`] without any.
    pub(super) fn first_attempt(&self) -> Instant {
        let first = self.waiting().filter_map(Batch::first_attempt);
        first.fold(Instant::MAX, Instant::min)
    }

    pub(super) fn batches(&self) -> impl Iterator<Item = &Batch> {
        self.aside.iter().map(|aside| &aside.batch)
    }

    pub(super) fn batches_mut(&mut self) -> impl Iterator<Item = &mut Batch> {
        self.aside.iter_mut().map(|aside| &mut aside.batch)
    }

    /// The batch of the request of this generation.
    pub(super) fn find(&self, generation: u32) -> Option<&Batch> {
        let mut aside = self.aside.iter();
        let found = aside.find(|aside| aside.is_flight(|it| it.generation == generation));
        found.map(|aside| &aside.batch)
    }

    fn take(&mut self, is_it: impl FnMut(&Aside) -> bool) -> Option<Aside> {
        let at = self.aside.iter().position(is_it)?;
        Some(self.aside.remove(at))
    }

    /// Takes a batch out whose wait is over next.
    fn take_next(&mut self) -> Option<Batch> {
        let next = self.next_at()?;
        let taken = self.take(|aside| aside.flight.is_none() && aside.batch.next_at() == next);
        taken.map(|aside| aside.batch)
    }

    /// Takes a batch out that waits and whose first attempt is at least `nanos` ago.
    pub(super) fn take_expired(&mut self, now: Instant, nanos: u64) -> Option<Batch> {
        let is_old =
            |aside: &Aside| aside.flight.is_none() && aside.batch.is_older_than(nanos, now);
        self.take(is_old).map(|aside| aside.batch)
    }

    /// Takes any batch out that waits.
    pub(super) fn take_waiting(&mut self) -> Option<Batch> {
        self.take(|aside| aside.flight.is_none())
            .map(|aside| aside.batch)
    }
}

impl Aside {
    fn is_flight(&self, is_it: impl FnOnce(&Flight) -> bool) -> bool {
        self.flight.as_ref().is_some_and(is_it)
    }
}

impl<B, R> Exporter<B, R> {
    /// Lets so many requests be under way at once, 1 to [`MAX_CONCURRENT_EXPORTS`]. The buffer must
    /// have as many [leases](crate::buffer::Buffer::with_leases) and two more.
    pub(crate) fn set_concurrency(&mut self, most: usize) {
        self.lanes.most = most.clamp(1, MAX_CONCURRENT_EXPORTS as usize);
    }

    /// When the oldest request under way began.
    pub(crate) fn oldest_flight(&self) -> Option<Instant> {
        let aside = self.lanes.flights();
        let all = aside.chain(self.flights.current());
        all.map(|flight| flight.began).min()
    }

    /// Sets what is in hand aside, so that another request can begin, and takes up the batch whose wait
    /// is over next.
    pub(super) fn step_aside(&mut self) {
        if self.flights.is_any() {
            self.set_aside();
        }
        let next = self.lanes.next_at();
        let in_hand = self.batches.in_hand().map(Batch::next_at);
        if next.is_some_and(|next| in_hand.is_none_or(|at| next < at)) {
            if let Some(batch) = self.lanes.take_next() {
                self.set_aside();
                self.batches.put_in_hand(batch);
            }
        }
    }

    fn set_aside(&mut self) {
        let flight = self.flights.end();
        if let Some(batch) = self.batches.take_in_hand() {
            self.lanes.aside.push(Aside { batch, flight });
        }
    }

    /// Takes the first request aside that `is_it` in hand. Returns false if there is none.
    fn bring_flight(&mut self, is_it: impl Fn(&Flight) -> bool) -> bool {
        let Some(found) = self.lanes.take(|aside| aside.is_flight(&is_it)) else {
            return false;
        };
        self.set_aside();
        self.batches.put_in_hand(found.batch);
        self.flights.resume(found.flight);
        true
    }

    /// Takes the request of this generation in hand, if it is aside.
    pub(super) fn bring_generation(&mut self, generation: u32) -> bool {
        self.bring_flight(|flight| flight.generation == generation)
    }

    /// Takes a request in hand whose time is over.
    pub(super) fn bring_expired(&mut self, now: Instant) -> bool {
        self.bring_flight(|flight| flight.expires <= now)
    }

    /// Takes any request in hand that is under way.
    pub(super) fn bring_any(&mut self) -> bool {
        self.bring_flight(|_| true)
    }
}

#[cfg(test)]
mod tests;
