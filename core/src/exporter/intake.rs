//! Taking finished spans in: one by one, or many in one step.

use super::Exporter;
use super::books::Books;
use super::event::Event;
#[cfg(any(test, feature = "std"))]
use crate::buffer::{Fill, Run};
use crate::buffer::{PushError, Record, RecordSink};
use crate::request::{request_overhead, scope_overhead};
use crate::response::DropReason;
use crate::wire::field_len;

/// Room for the tags and lengths around a record, whatever their values.
const AROUND: usize = 64;

/// Numbers the spans taken in, and watches for losses.
#[derive(Debug)]
pub(super) struct Intake {
    taken_in: u64,
    /// Spans lost for lack of room since that began.
    losing: u64,
}

impl Intake {
    pub(super) const fn new(held: u64) -> Self {
        Self {
            taken_in: held,
            losing: 0,
        }
    }

    /// Spans ever taken in: the number of the next one.
    pub(super) const fn next_number(&self) -> u64 {
        self.taken_in
    }

    /// The number of the first of `queued` spans, which are the latest.
    pub(super) const fn first_queued(&self, queued: usize) -> u64 {
        self.taken_in.saturating_sub(queued as u64)
    }

    const fn count(&mut self, spans: u64) {
        self.taken_in = self.taken_in.saturating_add(spans);
    }

    fn lost_room(&mut self, spans: u64, books: &mut Books) {
        books.count_dropped(spans, DropReason::QueueFull);
        if self.losing == 0 {
            books.report(Event::LossStarted);
        }
        self.losing = self.losing.saturating_add(spans);
    }

    fn found_room(&mut self, books: &mut Books) {
        if self.losing > 0 {
            let dropped = core::mem::take(&mut self.losing);
            books.report(Event::LossEnded { dropped });
        }
    }
}

impl<B, R> Exporter<B, R>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    R: AsRef<[u8]> + AsMut<[u8]>,
{
    /// Returns true if a push of `record` would succeed now, or be refused for good.
    #[must_use]
    pub fn has_room_for(&self, record: &Record<'_>) -> bool {
        self.closing.intake_has_ended()
            || !self.can_be_sent(record)
            || self.buffer.has_room_for(record)
    }

    /// Takes in a run of records that `fill` writes into the buffer. Returns `None` and changes
    /// nothing when there is no room for it: its records may still fit one by one.
    #[cfg(any(test, feature = "std"))]
    pub(crate) fn push_run(&mut self, fill: &mut Fill<'_>) -> Option<Run> {
        if self.closing.intake_has_ended() {
            return None;
        }
        // No record is larger than all of them and the whole registry.
        let around = self.registry.used_bytes() + AROUND;
        let most = self.config.max_request_bytes.saturating_sub(around);
        let run = self.buffer.push_run(most, self.wall_clock, fill)?;
        let spans = u64::from(run.records);
        self.books.count_ended(spans);
        self.intake.count(spans);
        self.intake.found_room(&mut self.books);
        Some(run)
    }

    /// Returns true if a request could ever carry this record.
    fn can_be_sent(&self, record: &Record<'_>) -> bool {
        let limit = self.config.max_request_bytes;
        // Nearly always: even with everything in the registry around it the record is far below.
        if record.body.len() + self.registry.used_bytes() + AROUND <= limit {
            return true;
        }
        let entries = self.registry.view();
        let around = request_overhead(entries) + scope_overhead(entries, record.scope);
        around + field_len(record.body.len()) <= limit
    }
}

/// Takes finished spans in. Every span is counted in the ledger, also one that is refused.
impl<B, R> RecordSink for Exporter<B, R>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    R: AsRef<[u8]> + AsMut<[u8]>,
{
    fn has_room_for(&self, record: &Record<'_>) -> bool {
        // The inherent method.
        Self::has_room_for(self, record)
    }

    fn count_refused(&mut self, reason: PushError, spans: u64) -> bool {
        self.books.count_ended(spans);
        let reason = match reason {
            PushError::Full => DropReason::QueueFull,
            PushError::TooLarge => DropReason::TooLarge,
            PushError::Shutdown => DropReason::Shutdown,
        };
        self.books.count_dropped(spans, reason);
        true
    }

    fn push_record(&mut self, record: &Record<'_>) -> Result<(), PushError> {
        self.books.count_ended(1);
        let evicted = self.buffer.evicted();
        let result = if self.closing.intake_has_ended() {
            Err(PushError::Shutdown)
        } else if self.can_be_sent(record) {
            self.buffer.push(record)
        } else {
            Err(PushError::TooLarge)
        };
        let Self { books, intake, .. } = self;
        let evicted = self.buffer.evicted() - evicted;
        if evicted > 0 {
            intake.lost_room(evicted, books);
        }
        match result {
            Ok(()) => {
                intake.count(1);
                if evicted == 0 {
                    intake.found_room(books);
                }
            }
            Err(PushError::Full) => intake.lost_room(1, books),
            Err(PushError::TooLarge) => books.count_dropped(1, DropReason::TooLarge),
            Err(PushError::Shutdown) => books.count_dropped(1, DropReason::Shutdown),
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::{Overflow, RecordFlags};
    use crate::prelude::*;
    use crate::resource::ScopeId;

    fn exporter(overflow: Overflow) -> Exporter<[u8; 64], [u8; 64]> {
        let buffer = Buffer::new([0; 64]).with_overflow(overflow);
        Exporter::clamped(ExporterConfig::DEFAULT, buffer, Registry::empty([0; 64]))
    }

    fn push(exporter: &mut Exporter<[u8; 64], [u8; 64]>) -> Result<(), PushError> {
        exporter.push_record(&Record {
            scope: ScopeId::default(),
            flags: RecordFlags::NONE,
            body: &[0; 24],
        })
    }

    fn events(exporter: &mut Exporter<[u8; 64], [u8; 64]>) -> std::vec::Vec<Event> {
        core::iter::from_fn(|| exporter.poll_event()).collect()
    }

    /// One record of 24 bytes, as far as there is room.
    fn one(room: &mut [u8], most: usize, _: Option<WallClock>) -> Run {
        let mut run = Run::NONE;
        if let Some(room) = room.get_mut(..32).filter(|_| most > 0) {
            room.fill(0);
            room[0] = 24;
            run.add(ScopeId::default(), RecordFlags::NONE, 24);
            run.oldest = Some(Instant::from_secs(3));
        }
        run
    }

    #[test]
    fn a_loss_is_reported_when_it_starts_and_when_it_ends() {
        let mut exporter = exporter(Overflow::DropNewest);
        assert_eq!(
            [(); 4].map(|()| push(&mut exporter).is_ok()),
            [true, true, false, false]
        );
        assert_eq!(events(&mut exporter), [Event::LossStarted]);
        assert!(exporter.buffer.pop_front());
        push(&mut exporter).unwrap();
        assert_eq!(events(&mut exporter), [Event::LossEnded { dropped: 2 }]);
        let ledger = exporter.ledger();
        assert_eq!(ledger.dropped(DropReason::QueueFull), 2);
        assert_eq!(exporter.intake.next_number(), 3);
        assert_eq!(exporter.intake.first_queued(2), 1);
    }

    #[test]
    fn evicted_spans_are_lost_and_as_long_as_that_goes_on_there_is_no_room() {
        let mut exporter = exporter(Overflow::DropOldest);
        for _ in 0..4 {
            push(&mut exporter).unwrap();
        }
        assert_eq!(events(&mut exporter), [Event::LossStarted]);
        let ledger = exporter.ledger();
        assert_eq!((ledger.dropped_total(), ledger.buffered), (2, 2));
        assert!(ledger.is_balanced());
    }

    #[test]
    fn a_run_counts_like_its_records_and_is_leased_with_its_totals() {
        let mut exporter = exporter(Overflow::DropNewest);
        let run = exporter.push_run(&mut one).unwrap();
        assert_eq!((run.records, run.oldest), (1, Some(Instant::from_secs(3))));
        assert!(exporter.push_run(&mut one).is_some());
        assert!(exporter.push_run(&mut one).is_none(), "there is no room");
        let ledger = exporter.ledger();
        assert_eq!((ledger.ended, ledger.buffered), (2, 2));
        assert_eq!(push(&mut exporter), Err(PushError::Full));
        let totals = exporter.buffer.lease_queue(2).map(|(_, totals)| totals);
        assert_eq!(totals.map(|totals| totals.records), Some(2));
    }

    #[test]
    fn after_a_shutdown_nothing_is_taken_in_until_more_is_expected() {
        let mut exporter = exporter(Overflow::DropNewest);
        push(&mut exporter).unwrap();
        exporter.expect_more(true);
        exporter.shutdown(Instant::ZERO, Instant::from_secs(9));
        push(&mut exporter).unwrap();
        exporter.expect_more(false);
        assert_eq!(push(&mut exporter), Err(PushError::Shutdown));
        assert!(exporter.push_run(&mut one).is_none());
        assert_eq!(exporter.ledger().dropped(DropReason::Shutdown), 1);
        assert!(exporter.ledger().is_balanced());
    }
}
