//! Where every span went: the [`Ledger`].
//!
//! At every moment `ended = exported + dropped(reason) + buffered + in_flight`: no span disappears
//! without a reason. The ledger is a copy of counters: reading it costs no allocation and no I/O.
//!
//! ```
//! use spandrel_core::response::DropReason;
//! use spandrel_core::stats::Ledger;
//!
//! let mut ledger = Ledger::default();
//! ledger.ended = 3;
//! ledger.exported = 1;
//! ledger.buffered = 1;
//! assert!(!ledger.is_balanced());
//! ledger.drop_spans(DropReason::QueueFull, 1);
//! assert!(ledger.is_balanced());
//! ```

use core::fmt;
use core::ops::AddAssign;

use crate::response::DropReason;

/// Counts of spans, by where they ended up. All except `buffered` and `in_flight` only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Ledger {
    /// Sampled spans that were ended.
    pub ended: u64,
    /// Spans that a collector accepted.
    pub exported: u64,
    dropped: [u64; DropReason::COUNT],
    /// Spans that wait for a batch or for another attempt.
    pub buffered: u64,
    /// Spans in a request that has not been answered.
    pub in_flight: u64,
}

impl Ledger {
    pub(crate) const ZERO: Self = Self {
        ended: 0,
        exported: 0,
        dropped: [0; DropReason::COUNT],
        buffered: 0,
        in_flight: 0,
    };

    /// Counts `spans` as lost for `reason`.
    pub fn drop_spans(&mut self, reason: DropReason, spans: u64) {
        if let Some(count) = self.dropped.get_mut(reason.index()) {
            *count = count.saturating_add(spans);
        }
    }

    /// Spans lost for `reason`.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped.get(reason.index()).copied().unwrap_or(0)
    }

    /// Spans dropped, for any reason.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().fold(0, |sum, &n| sum.saturating_add(n))
    }

    /// Spans lost that the program did not [choose to drop](DropReason::is_intended) itself.
    #[must_use]
    pub fn lost_total(&self) -> u64 {
        self.dropped_reasons()
            .filter(|(reason, _)| !reason.is_intended())
            .fold(0, |sum, (_, count)| sum.saturating_add(count))
    }

    /// The reasons for which spans were dropped, with their counts.
    pub fn dropped_reasons(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL
            .into_iter()
            .map(|reason| (reason, self.dropped(reason)))
            .filter(|(_, count)| *count > 0)
    }

    /// The reason for which most spans were lost, and not dropped on purpose, since `before`, an earlier copy of this ledger.
    pub(crate) fn main_reason_since(&self, before: &Self) -> Option<DropReason> {
        let mut most = (None, 0);
        for (reason, count) in self.dropped_reasons() {
            if reason.is_intended() {
                continue;
            }
            let since = count.saturating_sub(before.dropped(reason));
            if since > most.1 {
                most = (Some(reason), since);
            }
        }
        most.0
    }

    /// Returns true if the loss equation holds.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        let settled = self.exported.saturating_add(self.dropped_total());
        let held = self.buffered.saturating_add(self.in_flight);
        self.ended == settled.saturating_add(held)
    }

    /// Returns true if the loss equation holds and no span is held any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_balanced() && self.buffered == 0 && self.in_flight == 0
    }
}

/// Adds up the ledgers of parts that each count different spans.
impl AddAssign for Ledger {
    fn add_assign(&mut self, other: Self) {
        self.ended = self.ended.saturating_add(other.ended);
        self.exported = self.exported.saturating_add(other.exported);
        self.buffered = self.buffered.saturating_add(other.buffered);
        self.in_flight = self.in_flight.saturating_add(other.in_flight);
        for (reason, count) in other.dropped_reasons() {
            self.drop_spans(reason, count);
        }
    }
}

/// `ended 7 = exported 5 + dropped 2 (queue_full 2) + buffered 0 + in flight 0`.
impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let equals = if self.is_balanced() { "=" } else { "!=" };
        write!(
            f,
            "ended {} {equals} exported {} + dropped {}",
            self.ended,
            self.exported,
            self.dropped_total()
        )?;
        for (i, (reason, count)) in self.dropped_reasons().enumerate() {
            let before = if i == 0 { " (" } else { ", " };
            write!(f, "{before}{} {count}", reason.as_str())?;
        }
        let close = if self.dropped_total() > 0 { ")" } else { "" };
        write!(
            f,
            "{close} + buffered {} + in flight {}",
            self.buffered, self.in_flight
        )
    }
}

/// Counts of requests and answers, beside the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DeliveryStats {
    /// Requests sent, retries included.
    pub attempts: u64,
    /// Requests that a collector accepted.
    pub accepted: u64,
    /// Bytes of the accepted requests before compression.
    pub body_bytes: u64,
    /// Spans that may have arrived twice, because an attempt failed or was cancelled after its whole
    /// body had been sent, or may have been. Each span counts once.
    pub possible_duplicates: u64,
    /// Successful answers that could not be understood.
    pub responses_invalid: u64,
    /// How often the circuit breaker has opened.
    pub circuit_opened: u64,
    /// Events that made room for newer ones before they were fetched.
    pub events_lost: u64,
    /// Finished traces that a hosted pipeline with `keep` decided before all was known of them, for
    /// lack of room or of time, or at its shutdown. Always 0 without it.
    pub decided_early: u64,
}

impl DeliveryStats {
    pub(crate) const ZERO: Self = Self {
        attempts: 0,
        accepted: 0,
        body_bytes: 0,
        possible_duplicates: 0,
        responses_invalid: 0,
        circuit_opened: 0,
        events_lost: 0,
        decided_early: 0,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn it_reads_as_the_loss_equation() {
        let mut ledger = Ledger {
            ended: 9,
            exported: 5,
            buffered: 1,
            ..Ledger::default()
        };
        ledger.drop_spans(DropReason::QueueFull, 2);
        assert_eq!(
            ledger.to_string(),
            "ended 9 != exported 5 + dropped 2 (queue_full 2) + buffered 1 + in flight 0"
        );
        ledger.drop_spans(DropReason::Shutdown, 1);
        assert!(ledger.is_balanced() && !ledger.is_closed());
    }

    #[test]
    fn the_main_reason_is_the_most_frequent_one_since_the_copy() {
        let mut before = Ledger::default();
        before.drop_spans(DropReason::QueueFull, 9);
        let mut after = before;
        assert_eq!(after.main_reason_since(&before), None);
        after.drop_spans(DropReason::Expired, 2);
        after.drop_spans(DropReason::QueueFull, 1);
        assert_eq!(after.main_reason_since(&before), Some(DropReason::Expired));
        let all = after.main_reason_since(&Ledger::ZERO);
        assert_eq!(all, Some(DropReason::QueueFull));
    }

    #[test]
    fn counters_saturate_and_ledgers_add_up() {
        let mut ledger = Ledger::default();
        ledger.drop_spans(DropReason::Poison, u64::MAX);
        ledger.drop_spans(DropReason::Poison, 1);
        assert_eq!(ledger.dropped(DropReason::Poison), u64::MAX);
        let mut sum = Ledger {
            ended: 1,
            buffered: 1,
            ..Ledger::default()
        };
        sum += sum;
        assert_eq!((sum.ended, sum.buffered), (2, 2));
    }
}
