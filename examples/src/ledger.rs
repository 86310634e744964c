//! The loss equation as a table.

use std::fmt;

/// Where every ended span is: `ended = exported + dropped + buffered + in flight`.
///
/// ```
/// use spandrel_examples::Ledger;
///
/// let ledger = Ledger {
///     ended: 1_000,
///     exported: 900,
///     dropped: vec![("queue_full", 60), ("retry_exhausted", 0)],
///     buffered: 40,
///     in_flight: 0,
/// };
/// assert!(ledger.is_balanced());
/// assert!(ledger.to_string().ends_with("every span accounted for"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Spans that the application ended.
    pub ended: u64,
    /// Spans that the collector accepted.
    pub exported: u64,
    /// Spans given up, by reason.
    pub dropped: Vec<(&'static str, u64)>,
    /// Spans that wait.
    pub buffered: u64,
    /// Spans whose request has no answer yet.
    pub in_flight: u64,
}

impl Ledger {
    /// Spans that have no place in the equation: 0, or something is broken.
    #[must_use]
    pub fn unaccounted(&self) -> i128 {
        let dropped: i128 = self.dropped.iter().map(|&(_, n)| i128::from(n)).sum();
        let known = [self.exported, self.buffered, self.in_flight];
        i128::from(self.ended) - known.map(i128::from).iter().sum::<i128>() - dropped
    }

    /// Whether the equation holds.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        self.unaccounted() == 0
    }
}

impl fmt::Display for Ledger {
    /// A line for each place that has spans, and the verdict.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>12}  ended", self.ended)?;
        writeln!(f, "{:>12}  exported", self.exported)?;
        for (reason, spans) in self.dropped.iter().filter(|(_, spans)| *spans > 0) {
            writeln!(f, "{spans:>12}  dropped: {reason}")?;
        }
        for (spans, place) in [(self.buffered, "buffered"), (self.in_flight, "in flight")] {
            if spans > 0 {
                writeln!(f, "{spans:>12}  {place}")?;
            }
        }
        match self.unaccounted() {
            0 => f.write_str("              every span accounted for"),
            n => write!(f, "{n:>12}  UNACCOUNTED FOR"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_a_surplus_span_shows() {
        let mut ledger = Ledger {
            ended: 10,
            exported: 7,
            dropped: vec![("queue_full", 2), ("refused", 0)],
            ..Ledger::default()
        };
        assert_eq!(ledger.unaccounted(), 1);
        assert_eq!(
            ledger.to_string(),
            "          10  ended\n           7  exported\n           2  dropped: queue_full\n\
             \x20          1  UNACCOUNTED FOR"
        );
        ledger.exported = 9;
        assert_eq!(ledger.unaccounted(), -1);
    }
}
