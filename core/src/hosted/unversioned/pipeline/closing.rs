//! The end of a pipeline.

use super::{Pipeline, report_between};
use crate::exporter::FlushReport;
use crate::stats::Ledger;
use crate::time::Instant;

#[derive(Debug)]
pub(super) struct Closing {
    /// When it began.
    begun: Instant,
    /// When a request that was under way then is given up, so that another one has its time.
    half: Instant,
    pub(super) deadline: Instant,
    before: Ledger,
    /// Set when it is over.
    pub(super) report: Option<FlushReport>,
    pub(super) totals_are_taken: bool,
}

impl Pipeline {
    /// Ends the intake and asks for everything held to be sent by `deadline`; see
    /// [`Exporter::shutdown`](crate::exporter::Exporter::shutdown). Spans that end from now on are counted as lost.
    pub fn shutdown(&mut self, deadline: Instant) {
        let now = self.clock.now();
        let half = now.saturating_add(deadline.saturating_since(now) / 2);
        match &mut self.closing {
            Some(closing) => {
                closing.deadline = closing.deadline.min(deadline);
                closing.half = closing.half.min(half);
            }
            None => {
                if !self.is_branch {
                    self.hub.close();
                }
                self.closing = Some(Closing {
                    begun: now,
                    half,
                    deadline,
                    before: self.ledger(),
                    report: None,
                    totals_are_taken: false,
                });
            }
        }
        self.step();
    }

    /// The shutdown's report; `None` before it is over. Spans that are lost later do not change it.
    /// Of earlier losses it tells all, whether a flush has reported them or not.
    #[must_use]
    pub fn poll_shutdown(&self) -> Option<FlushReport> {
        self.closing.as_ref()?.report
    }

    /// When the requests under way must be given up, beside its own deadline: half-way through a shutdown
    /// that began meanwhile. [`Instant::MAX`] if there is none.
    #[must_use]
    pub fn request_deadline(&self) -> Instant {
        match (&self.closing, self.exporter.oldest_flight()) {
            (Some(closing), Some(asked)) if asked <= closing.begun => closing.half,
            _ => Instant::MAX,
        }
    }

    /// Hands the shutdown on to the exporter, which goes on taking in what had no room, and keeps
    /// its report.
    pub(super) fn close(&mut self, now: Instant) {
        let Some(closing) = &mut self.closing else {
            return;
        };
        if closing.report.is_some() {
            return;
        }
        self.exporter.expect_more(self.left_in_shards);
        self.exporter.shutdown(now, closing.deadline);
        if let Some(report) = self.exporter.poll_shutdown() {
            if !self.is_branch {
                self.hub.abandon();
            }
            if let Some(tail) = &mut self.tail {
                tail.abandon();
            }
            let before = closing.before;
            let report = report_between(report.outcome, 0, &before, 0, &self.ledger());
            if let Some(closing) = &mut self.closing {
                closing.report = Some(report);
            }
        }
    }
}
