//! The report of a flush or of the shutdown.

use crate::exporter::{FlushOutcome, FlushReport};
use crate::stats::Ledger;

/// The report of what happened between two copies of the ledger.
pub(super) fn report_between(
    outcome: FlushOutcome,
    left: u64,
    before: &Ledger,
    reported: u64,
    after: &Ledger,
) -> FlushReport {
    let lost = after.lost_total();
    let dropped = lost.saturating_sub(before.lost_total());
    let dropped_before = before.lost_total().saturating_sub(reported);
    // With an earlier loss the reason is about all of it.
    let since = match dropped_before {
        0 => before,
        _ => &Ledger::ZERO,
    };
    FlushReport {
        outcome,
        exported: after.exported.saturating_sub(before.exported),
        dropped,
        left,
        dropped_before,
        lost,
        reason: after.main_reason_since(since),
    }
}
