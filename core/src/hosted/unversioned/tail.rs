//! Which finished traces are kept: a pure state machine between the shards and the exporter.
//!
//! ```text
//!  shards ─▶ push ─▶ undecided traces ─ local root has ended ─▶ kept ─▶ offer ─▶ exporter
//!                                             └─▶ dropped
//! ```
//!
//! Shards are drained one after the other, so a local root may come before a child that ended earlier
//! on another thread. Therefore a trace is decided at the end of the first whole pass over all shards
//! that began after its local root had come: by then all that ended before it is here.
//!
//! When a trace is dropped, only the spans below the local roots that have ended go. Spans whose
//! parent is not known may belong to another local root of the same trace; they stay undecided.

mod trace;

use core::time::Duration;
use std::boxed::Box;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use crate::buffer::{Record, RecordFlags};
use crate::hosted::config::Keep;
use crate::id::TraceId;
use crate::resource::ScopeId;
use crate::response::DropReason;
use crate::sampler::{Randomness, Threshold};
use crate::span::stored::StoredSpan;
use crate::stats::Ledger;
use crate::time::Instant;

use trace::Trace;

/// The decisions that are remembered for spans that come late.
const MAX_DECISIONS: usize = 8192;
/// How long a local root waits for another pass.
const SOON: Duration = Duration::from_millis(100);
/// What a held span takes besides its bytes.
const SPAN_COST: usize = size_of::<Held>() + 2 * size_of::<usize>();
/// What an undecided trace takes besides its spans.
const TRACE_COST: usize = 2 * (size_of::<Trace>() + size_of::<TraceId>() + 3 * size_of::<Queued>());

/// A held span.
#[derive(Debug)]
struct Held {
    scope: ScopeId,
    flags: RecordFlags,
    body: Box<[u8]>,
}

impl Held {
    fn of(record: &Record<'_>) -> Self {
        Self {
            scope: record.scope,
            flags: record.flags,
            body: record.body.into(),
        }
    }

    fn record(&self) -> Record<'_> {
        Record {
            scope: self.scope,
            flags: self.flags,
            body: &self.body,
        }
    }

    fn cost(&self) -> usize {
        SPAN_COST + self.body.len()
    }
}

/// What became of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Kept,
    /// Dropped for what is below its local roots. Another local root has a decision of its own.
    Dropped,
    /// Dropped before all was known. What comes later would not be whole, so it follows.
    DroppedEarly,
}

/// A place in a queue of traces; it is stale if the trace has another number by now, or is gone.
#[derive(Clone, Copy, Debug)]
struct Queued {
    number: u64,
    trace_id: TraceId,
}

/// Counts of the tail decision. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TailCounts {
    /// Traces that were kept, one for each decision.
    pub kept: u64,
    /// Traces that were dropped, one for each decision.
    pub dropped: u64,
    /// Decisions before all was known, for lack of room or of time, or at the shutdown.
    pub early: u64,
}

/// Holds the spans of traces until they are decided.
#[derive(Debug)]
pub struct Tail {
    errors: bool,
    slower_than: Option<Duration>,
    share: Option<Threshold>,
    max_trace_spans: usize,
    max_bytes: usize,
    max_wait: Duration,

    undecided: HashMap<TraceId, Trace>,
    /// In the order in which their first spans came.
    by_age: VecDeque<Queued>,
    /// Those whose local root has ended.
    due: VecDeque<Queued>,
    /// The decisions of late.
    decisions: HashMap<TraceId, Decision>,
    decisions_by_age: VecDeque<TraceId>,
    kept: VecDeque<Held>,

    bytes: usize,
    undecided_spans: u64,
    dropped_spans: u64,
    abandoned_spans: u64,
    counts: TailCounts,
    pass: u64,
    next_number: u64,
}

impl Tail {
    /// A machine that keeps what `keep` says.
    #[must_use]
    pub fn new(keep: &Keep) -> Self {
        Self {
            errors: keep.errors,
            slower_than: keep.slower_than,
            share: Threshold::from_ratio_with_precision(keep.share, 14),
            max_trace_spans: keep.max_trace_spans,
            max_bytes: keep.max_bytes,
            max_wait: keep.max_wait,
            undecided: HashMap::new(),
            by_age: VecDeque::new(),
            due: VecDeque::new(),
            decisions: HashMap::new(),
            decisions_by_age: VecDeque::new(),
            kept: VecDeque::new(),
            bytes: 0,
            undecided_spans: 0,
            dropped_spans: 0,
            abandoned_spans: 0,
            counts: TailCounts::default(),
            pass: 0,
            next_number: 0,
        }
    }

    /// Begins a pass over the shards.
    pub const fn begin_pass(&mut self) {
        self.pass += 1;
    }

    /// Takes a span. Returns false, and changes nothing, if there is no room for it before some of
    /// what is kept has been taken.
    pub fn push(&mut self, record: &Record<'_>, now: Instant) -> bool {
        if !self.make_room(SPAN_COST + TRACE_COST + record.body.len()) {
            return false;
        }
        let held = Held::of(record);
        let Some(span) = StoredSpan::new(record.body) else {
            // Not a span of ours, so nothing can be said about its trace.
            self.keep(held);
            return true;
        };
        let trace_id = span.trace_id();
        let decision = self.decisions.get(&trace_id);
        let is_late = decision.is_some();
        match decision {
            Some(Decision::Kept) => {
                self.keep(held);
                return true;
            }
            Some(Decision::DroppedEarly) => {
                self.dropped_spans += 1;
                return true;
            }
            Some(Decision::Dropped) | None => {}
        }
        self.bytes += held.cost();
        self.undecided_spans += 1;
        let is_root = trace::is_local_root(&span);
        let trace = match self.undecided.entry(trace_id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                self.bytes += TRACE_COST;
                let number = self.next_number;
                self.next_number += 1;
                self.by_age.push_back(Queued { number, trace_id });
                place.insert(Trace::new(number, now, is_late))
            }
        };
        let number = trace.number;
        let was_due = trace.has_root();
        trace.add(held, &span, is_root);
        let is_full = trace.spans.len() > self.max_trace_spans;
        if is_root {
            trace.due_in = self.pass;
        }
        if is_root && !was_due {
            self.due.push_back(Queued { number, trace_id });
        }
        if is_full {
            self.decide(trace_id, true);
        }
        self.forget_stale();
        true
    }

    /// Ends a pass. If it was whole, the traces are decided whose local roots came in earlier passes.
    pub fn end_pass(&mut self, was_whole: bool) {
        if !was_whole {
            return;
        }
        for _ in 0..self.due.len() {
            let Some(queued) = self.due.pop_front() else {
                break;
            };
            match self.undecided.get(&queued.trace_id) {
                Some(trace) if trace.number != queued.number => {}
                // A local root came in this pass, so a child of it may be missing.
                Some(trace) if trace.due_in >= self.pass => self.due.push_back(queued),
                Some(_) => self.decide(queued.trace_id, false),
                None => {}
            }
        }
    }

    /// Returns true if a local root waits for the end of a whole pass.
    #[must_use]
    pub fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Decides the traces that have waited for too long.
    pub fn time_out(&mut self, now: Instant) {
        while let Some(&queued) = self.by_age.front() {
            let trace = self.undecided.get(&queued.trace_id);
            let trace = trace.filter(|trace| trace.number == queued.number);
            match trace {
                Some(trace) if now < trace.came.saturating_add(self.max_wait) => break,
                Some(_) => self.decide(queued.trace_id, true),
                None => {}
            }
            self.by_age.pop_front();
        }
    }

    /// When to look again, if the shards were last drained whole at `drained`: soon if a local root
    /// waits for another pass, else when a trace has waited for too long. [`Instant::MAX`] if nothing
    /// is undecided.
    #[must_use]
    pub fn look_at(&self, drained: Instant) -> Instant {
        let time_out = self.by_age.front().map_or(Instant::MAX, |queued| {
            let trace = self.undecided.get(&queued.trace_id);
            // A stale one is looked at too early, which does no harm.
            trace.map_or(Instant::ZERO, |trace| {
                trace.came.saturating_add(self.max_wait)
            })
        });
        match self.has_due() {
            true => time_out.min(drained.saturating_add(SOON)),
            false => time_out,
        }
    }

    /// Decides all traces, because no more spans will come.
    pub fn finish(&mut self) {
        while let Some(queued) = self.due.pop_front() {
            if self.is_undecided(&queued) {
                self.decide(queued.trace_id, false);
            }
        }
        while let Some(queued) = self.by_age.pop_front() {
            if self.is_undecided(&queued) {
                self.decide(queued.trace_id, true);
            }
        }
    }

    /// Offers the kept spans in their order to `take`, until it refuses one.
    pub fn offer(&mut self, take: &mut dyn FnMut(&Record<'_>) -> bool) {
        while let Some(held) = self.kept.front() {
            if !take(&held.record()) {
                return;
            }
            self.bytes -= held.cost();
            self.kept.pop_front();
        }
    }

    /// The number of kept spans that have not been taken.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Returns true if nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.undecided.is_empty()
    }

    /// Gives up all that is held, at the end of a shutdown.
    pub fn abandon(&mut self) {
        self.abandoned_spans += self.undecided_spans + self.kept.len() as u64;
        self.undecided_spans = 0;
        self.undecided.clear();
        self.by_age.clear();
        self.due.clear();
        self.kept.clear();
        self.bytes = 0;
    }

    /// The bytes that are held, with what their bookkeeping takes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts of decisions.
    #[must_use]
    pub const fn counts(&self) -> TailCounts {
        self.counts
    }

    /// Adds what is held here and what was dropped here.
    pub fn add_to(&self, ledger: &mut Ledger) {
        let held = self.undecided_spans + self.kept.len() as u64;
        ledger.buffered += held;
        ledger.ended += held + self.dropped_spans + self.abandoned_spans;
        ledger.drop_spans(DropReason::TailDropped, self.dropped_spans);
        ledger.drop_spans(DropReason::Shutdown, self.abandoned_spans);
    }

    fn is_undecided(&self, queued: &Queued) -> bool {
        let trace = self.undecided.get(&queued.trace_id);
        trace.is_some_and(|trace| trace.number == queued.number)
    }

    /// Keeps a span that no trace holds.
    fn keep(&mut self, held: Held) {
        self.bytes += held.cost();
        self.kept.push_back(held);
    }

    /// Decides traces early until there is room for `cost` bytes; first those that are due, then the
    /// oldest. What is too large for all is taken when nothing else is held.
    fn make_room(&mut self, cost: usize) -> bool {
        while self.bytes.saturating_add(cost) > self.max_bytes && self.bytes > 0 {
            let due = self.due.pop_front();
            let Some(queued) = due.or_else(|| self.by_age.pop_front()) else {
                return false;
            };
            if self.is_undecided(&queued) {
                self.decide(queued.trace_id, true);
            }
        }
        true
    }

    /// Decides about what is held of a trace.
    fn decide(&mut self, trace_id: TraceId, is_early: bool) {
        let Some(mut trace) = self.undecided.remove(&trace_id) else {
            return;
        };
        self.bytes -= TRACE_COST;
        // Late spans of a dropped trace follow it, unless they have a local root of their own.
        let follows = !trace.has_root() && trace.is_late;
        self.counts.early += u64::from(is_early && !follows);
        if !follows && self.is_worth_keeping(trace_id, &trace) {
            self.counts.kept += 1;
            self.undecided_spans -= trace.spans.len() as u64;
            self.kept.extend(trace.spans);
            self.remember(trace_id, Decision::Kept);
            return;
        }
        self.counts.dropped += u64::from(!follows);
        let decision = match is_early && !follows {
            true => Decision::DroppedEarly,
            false => Decision::Dropped,
        };
        self.remember(trace_id, decision);
        // Early it goes whole: there is no room, or no time, for what may come.
        let others = match is_early {
            true => None,
            false => trace.split_off_others(self.next_number),
        };
        self.undecided_spans -= trace.spans.len() as u64;
        self.dropped_spans += trace.spans.len() as u64;
        self.bytes -= trace.spans.iter().map(Held::cost).sum::<usize>();
        if let Some(others) = others {
            let number = self.next_number;
            self.next_number += 1;
            self.bytes += TRACE_COST;
            // Not quite by age, but at most one wait later.
            self.by_age.push_back(Queued { number, trace_id });
            self.undecided.insert(trace_id, others);
        }
    }

    fn is_worth_keeping(&self, trace_id: TraceId, trace: &Trace) -> bool {
        let is_slow = || (self.slower_than).is_some_and(|limit| trace.duration() > limit);
        let is_in_share = || {
            self.share
                .is_some_and(|share| share.keeps(Randomness::of_trace_id(trace_id)))
        };
        (self.errors && trace.has_error) || is_slow() || is_in_share()
    }

    fn remember(&mut self, trace_id: TraceId, decision: Decision) {
        if self.decisions.insert(trace_id, decision).is_some() {
            return;
        }
        self.decisions_by_age.push_back(trace_id);
        if self.decisions_by_age.len() > MAX_DECISIONS {
            if let Some(oldest) = self.decisions_by_age.pop_front() {
                self.decisions.remove(&oldest);
            }
        }
    }

    /// Shortens the queues when most of their places are stale.
    fn forget_stale(&mut self) {
        let most = 2 * self.undecided.len() + 64;
        if self.by_age.len() > most || self.due.len() > most {
            let undecided = &self.undecided;
            let is_there = |queued: &Queued| {
                let trace = undecided.get(&queued.trace_id);
                trace.is_some_and(|trace| trace.number == queued.number)
            };
            self.by_age.retain(is_there);
            self.due.retain(is_there);
        }
    }
}

#[cfg(test)]
mod tests;
