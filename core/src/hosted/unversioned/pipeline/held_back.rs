//! Draining when finished traces are held until they are decided.

use super::{Collector, Pipeline};
use crate::buffer::{Fill, Record, Run};
use crate::hosted::diagnostics::{Kind, Severity, report};
use crate::hosted::shards::{Drain, DrainLimit, DrainOutcome};
use crate::hosted::unversioned::tail::{Tail, TailCounts};
use crate::time::Instant;

/// How often a step drains at most: once more to decide what came, and again for what came meanwhile.
const MOST_PASSES: usize = 4;

impl Pipeline {
    /// Counts of the decisions about finished traces, if there are any.
    #[must_use]
    pub fn tail_counts(&self) -> Option<TailCounts> {
        self.tail.as_deref().map(Tail::counts)
    }

    /// Moves spans from the shards to the exporter by way of `tail`.
    pub(super) fn collect_held_back(
        &mut self,
        tail: &mut Tail,
        limit: DrainLimit,
        now: Instant,
    ) -> DrainOutcome {
        let early = tail.counts().early;
        let mut limit = limit;
        let mut sum = DrainOutcome::default();
        for _ in 0..MOST_PASSES {
            self.release(tail);
            let is_all = matches!(limit, DrainLimit::All);
            tail.begin_pass();
            let pass = self.hub.drain(
                limit,
                &mut HoldingBack {
                    tail: &mut *tail,
                    now,
                },
            );
            tail.end_pass(is_all && pass.is_complete);
            sum = DrainOutcome {
                taken: sum.taken + pass.taken,
                ..pass
            };
            // A pass for a batch has not seen all, but if it took something, this is the time.
            if !tail.has_due() && (is_all || sum.taken == 0) {
                break;
            }
            limit = DrainLimit::All;
        }
        tail.time_out(now);
        if self.closing.is_some() && sum.is_complete {
            tail.finish();
        }
        self.release(tail);
        if tail.counts().early > early {
            note_early(tail);
        }
        // Spans that are held here must not make a batch due as soon as they come.
        sum.oldest = None;
        sum.awaited += tail.kept();
        let must_end = self.closing.is_some() && !tail.is_empty();
        sum.is_complete &= tail.kept() == 0 && !must_end;
        sum
    }

    /// Hands kept spans to the exporter, as long as there is room.
    fn release(&mut self, tail: &mut Tail) {
        if tail.kept() == 0 {
            return;
        }
        let mut collector = Collector {
            exporter: &mut self.exporter,
            branches: &self.branches,
            unsendable: 0,
        };
        tail.offer(&mut |record| collector.take(record));
        self.unsendable += collector.unsendable;
        self.exporter.observe_oldest(self.clock.now());
    }
}

#[cold]
fn note_early(tail: &Tail) {
    report(
        Kind::SpansDropped,
        Severity::Warn,
        format_args!(
            "{} traces were decided before their local root ended, for lack of room or time, or at the \
             shutdown: raise max_bytes, max_trace_spans or max_wait of `keep` if that is often",
            tail.counts().early
        ),
    );
}

/// Moves spans from the shards into the tail.
struct HoldingBack<'a> {
    tail: &'a mut Tail,
    now: Instant,
}

impl Drain for HoldingBack<'_> {
    fn take_run(&mut self, _: &mut Fill<'_>) -> Option<Run> {
        // Each span must be looked at.
        None
    }

    fn take(&mut self, record: &Record<'_>) -> bool {
        self.tail.push(record, self.now)
    }
}
