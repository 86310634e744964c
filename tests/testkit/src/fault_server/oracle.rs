//! The ledger of a test: which spans were issued, which arrived, and how often.
//!
//! "Nothing was lost" is a statement about sets of spans, not about the counters of the
//! sender. So the test issues each span here, the server adds what it keeps and what it
//! acknowledges, and the sets are compared at the end. The sender's own counters are then checked
//! against them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use crate::loopback::locked;

use super::request::Request;

/// A span as the ledger knows it: trace id, then span id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanKey {
    /// The trace id.
    pub trace: [u8; 16],
    /// The span id.
    pub span: [u8; 8],
}

/// The ledger; see the module.
#[derive(Debug, Default)]
pub struct Oracle {
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    issued: BTreeSet<SpanKey>,
    stored: BTreeMap<SpanKey, u64>,
    acked: BTreeMap<SpanKey, u64>,
    malformed: u64,
}

impl Oracle {
    /// Notes a span that the test ended and expects to be delivered.
    pub fn issue(&self, trace: [u8; 16], span: [u8; 8]) {
        locked(&self.book).issued.insert(SpanKey { trace, span });
    }

    /// Notes that the server keeps the spans of `request`.
    pub(super) fn store(&self, request: &Request) {
        let mut book = locked(&self.book);
        for span in request.spans() {
            match key(&span.trace_id, &span.span_id) {
                Some(key) => *book.stored.entry(key).or_default() += 1,
                None => book.malformed += 1,
            }
        }
    }

    /// Notes that the answer says so. This precedes the answer, so that a test that has
    /// the answer finds the note; [`Oracle::retract`] follows if the answer could not be written.
    pub(super) fn acknowledge(&self, request: &Request) {
        let mut book = locked(&self.book);
        for key in keys(request) {
            *book.acked.entry(key).or_default() += 1;
        }
    }

    pub(super) fn retract(&self, request: &Request) {
        let mut book = locked(&self.book);
        for key in keys(request) {
            if let Some(count) = book.acked.get_mut(&key) {
                *count = count.saturating_sub(1);
            }
        }
        book.acked.retain(|_, count| *count > 0);
    }

    /// Spans issued so far.
    #[must_use]
    pub fn issued(&self) -> BTreeSet<SpanKey> {
        locked(&self.book).issued.clone()
    }

    /// Distinct spans that the server keeps.
    #[must_use]
    pub fn stored(&self) -> BTreeSet<SpanKey> {
        locked(&self.book).stored.keys().copied().collect()
    }

    /// Distinct spans for which the server wrote a whole, well-formed 2xx.
    #[must_use]
    pub fn acked(&self) -> BTreeSet<SpanKey> {
        locked(&self.book).acked.keys().copied().collect()
    }

    /// Spans kept more than once, with how often.
    #[must_use]
    pub fn duplicated(&self) -> BTreeMap<SpanKey, u64> {
        let mut stored = locked(&self.book).stored.clone();
        stored.retain(|_, count| *count > 1);
        stored
    }

    /// Issued and not kept: lost, or still on the way.
    #[must_use]
    pub fn missing(&self) -> BTreeSet<SpanKey> {
        let book = locked(&self.book);
        let kept = |key: &&SpanKey| !book.stored.contains_key(key);
        book.issued.iter().filter(kept).copied().collect()
    }

    /// Kept and never issued: a sender that makes spans up, or a test that forgot to issue them.
    #[must_use]
    pub fn unknown(&self) -> BTreeSet<SpanKey> {
        let book = locked(&self.book);
        let made_up = |key: &&SpanKey| !book.issued.contains(key);
        book.stored.keys().filter(made_up).copied().collect()
    }

    /// Spans kept, each copy counted, those with malformed ids left out.
    #[must_use]
    pub fn copies_stored(&self) -> u64 {
        locked(&self.book).stored.values().sum()
    }

    /// Spans whose trace id has not 16 or whose span id has not 8 bytes.
    #[must_use]
    pub fn malformed(&self) -> u64 {
        locked(&self.book).malformed
    }
}

fn key(trace: &[u8], span: &[u8]) -> Option<SpanKey> {
    Some(SpanKey {
        trace: trace.try_into().ok()?,
        span: span.try_into().ok()?,
    })
}

fn keys(request: &Request) -> impl Iterator<Item = SpanKey> {
    request
        .spans()
        .filter_map(|span| key(&span.trace_id, &span.span_id))
}
