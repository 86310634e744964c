//! The exporter's counters, events and the collector's last message.

use heapless::String;

use super::event::{Cause, Event, Events};
use crate::response::{DropReason, MessageText, Response};
use crate::stats::{DeliveryStats, Ledger};

const MESSAGE_BYTES: usize = 256;

#[derive(Debug)]
pub(super) struct Books {
    /// Without the spans that are held: those are counted where they lie.
    ledger: Ledger,
    stats: DeliveryStats,
    events: Events,
    server_message: String<MESSAGE_BYTES>,
}

impl Books {
    #[inline(always)]
    pub(super) const fn new() -> Self {
        Self {
            ledger: Ledger::ZERO,
            stats: DeliveryStats::ZERO,
            events: Events::new(),
            server_message: String::new(),
        }
    }

    pub(super) const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(super) const fn stats(&self) -> DeliveryStats {
        DeliveryStats {
            events_lost: self.events.lost(),
            ..self.stats
        }
    }

    pub(super) fn server_message(&self) -> &str {
        self.server_message.as_str()
    }

    pub(super) fn pop_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    pub(super) fn report(&mut self, event: Event) {
        self.events.push(event);
    }

    pub(super) const fn count_ended(&mut self, spans: u64) {
        self.ledger.ended = self.ledger.ended.saturating_add(spans);
    }

    /// Counts lost spans without an event.
    pub(super) fn count_dropped(&mut self, spans: u64, reason: DropReason) {
        self.ledger.drop_spans(reason, spans);
    }

    pub(super) const fn count_attempt(&mut self) {
        self.stats.attempts = self.stats.attempts.saturating_add(1);
    }

    pub(super) const fn count_possible_duplicates(&mut self, spans: u64) {
        let count = &mut self.stats.possible_duplicates;
        *count = count.saturating_add(spans);
    }

    /// Counts and reports spans of a batch that is given up.
    pub(super) fn give_up(
        &mut self,
        spans: u64,
        reason: DropReason,
        attempts: u32,
        cause: Option<Cause>,
        took_millis: u32,
    ) {
        self.count_dropped(spans, reason);
        self.report(Event::Dropped {
            spans,
            reason,
            attempts,
            cause,
            took_millis,
        });
    }

    /// Counts a successful request of `sent` spans. `response` may say that some were rejected.
    pub(super) fn accept(
        &mut self,
        sent: u64,
        body_bytes: usize,
        attempts: u32,
        took_millis: u32,
        response: Option<&Response<'_>>,
    ) {
        let rejected = response.map_or(0, |response| self.read_success(sent, response));
        let accepted = sent.saturating_sub(rejected);
        self.ledger.exported = self.ledger.exported.saturating_add(accepted);
        self.count_dropped(rejected, DropReason::PartialRejected);
        let stats = &mut self.stats;
        stats.accepted = stats.accepted.saturating_add(1);
        stats.body_bytes = stats.body_bytes.saturating_add(body_bytes as u64);
        self.report(Event::Exported {
            spans: accepted,
            attempts,
            took_millis,
        });
    }

    /// Reports what the body of a success says, and returns how many spans it rejects.
    fn read_success(&mut self, sent: u64, response: &Response<'_>) -> u64 {
        let body = response.success_body();
        let (rejected, out_of_range) = body.rejected(sent);
        if !body.valid || out_of_range {
            self.stats.responses_invalid = self.stats.responses_invalid.saturating_add(1);
            self.report(Event::ResponseInvalid);
        }
        if rejected > 0 || !body.error_message.is_empty() {
            self.keep_message(&body.error_message);
            self.report(Event::PartialSuccess { rejected });
        }
        rejected
    }

    /// Keeps the reason that the body of a refusal gives.
    pub(super) fn read_refusal(&mut self, response: &Response<'_>) {
        let status = response.status_body();
        self.keep_message(&status.message);
    }

    fn keep_message(&mut self, text: &MessageText<'_>) {
        self.server_message.clear();
        for c in text.chars() {
            let c = if c.is_control() { ' ' } else { c };
            if self.server_message.push(c).is_err() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books(ended: u64) -> Books {
        let mut books = Books::new();
        books.count_ended(ended);
        books
    }

    fn drained(books: &mut Books) -> std::vec::Vec<Event> {
        core::iter::from_fn(|| books.pop_event()).collect()
    }

    #[test]
    fn a_partial_success_splits_the_spans_and_keeps_what_the_collector_said() {
        let mut books = books(5);
        let response = Response {
            content_type: Some("application/x-protobuf"),
            body: Some(b"\x0a\x0b\x08\x02\x12\x07too\nold"),
            ..Response::new(200)
        };
        books.accept(5, 900, 1, 0, Some(&response));
        let ledger = books.ledger();
        assert_eq!((ledger.exported, ledger.dropped_total()), (3, 2));
        assert_eq!(ledger.dropped(DropReason::PartialRejected), 2);
        assert!(ledger.is_closed());
        assert_eq!(books.server_message(), "too old");
        assert_eq!((books.stats().accepted, books.stats().body_bytes), (1, 900));
        let exported = Event::Exported {
            spans: 3,
            attempts: 1,
            took_millis: 0,
        };
        let partial = Event::PartialSuccess { rejected: 2 };
        assert_eq!(drained(&mut books), [partial, exported]);
    }

    #[test]
    fn more_rejected_spans_than_were_sent_are_cut_and_reported() {
        let mut books = books(1);
        let response = Response {
            content_type: Some("application/x-protobuf"),
            body: Some(b"\x0a\x02\x08\x09"),
            ..Response::new(200)
        };
        books.accept(1, 90, 2, 0, Some(&response));
        assert_eq!(books.ledger().dropped(DropReason::PartialRejected), 1);
        assert_eq!(books.ledger().exported, 0);
        assert_eq!(books.stats().responses_invalid, 1);
        assert_eq!(drained(&mut books).first(), Some(&Event::ResponseInvalid));
    }

    #[test]
    fn a_long_message_is_cut_to_what_is_kept() {
        let mut books = books(0);
        let mut body = [b'x'; 303];
        body[..3].copy_from_slice(&[0x12, 0xac, 0x02]);
        books.read_refusal(&Response {
            content_type: Some("application/x-protobuf"),
            body: Some(&body),
            ..Response::new(400)
        });
        assert_eq!(books.server_message(), "x".repeat(MESSAGE_BYTES));
    }

    #[test]
    fn events_that_found_no_room_are_counted() {
        let mut books = books(20);
        for _ in 0..20 {
            books.give_up(1, DropReason::Expired, 3, None, 0);
        }
        assert_eq!(drained(&mut books).len(), 16);
        assert_eq!(books.stats().events_lost, 4);
        assert_eq!(books.ledger().dropped(DropReason::Expired), 20);
    }
}
