//! What was found.

use core::fmt;
use std::time::Duration;

/// What became of one rule.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Verdict {
    /// The name of the scenario.
    pub scenario: &'static str,
    /// The rule in words.
    pub rule: &'static str,
    /// What was wrong, one text each; none if the rule is met.
    pub violations: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl Verdict {
    /// Returns true if the rule is met.
    #[must_use]
    pub const fn is_met(&self) -> bool {
        self.violations.is_empty()
    }
}

/// One line, and one more for each violation.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.is_met() { "✓" } else { "✗" };
        let (name, rule) = (self.scenario, self.rule);
        write!(f, "{mark} {name:<28} {rule}")?;
        for violation in &self.violations {
            write!(f, "\n    {violation}")?;
        }
        Ok(())
    }
}

/// The verdicts of a whole suite. Its text is a list of them, one in a line.
#[derive(Clone, Debug)]
pub struct Report(Vec<Verdict>);

impl Report {
    pub(super) const fn new(verdicts: Vec<Verdict>) -> Self {
        Self(verdicts)
    }

    /// All verdicts, in the order of [`SCENARIOS`](super::SCENARIOS).
    #[must_use]
    pub fn verdicts(&self) -> &[Verdict] {
        &self.0
    }

    /// The names of the scenarios whose rules are broken.
    pub fn violated(&self) -> impl Iterator<Item = &'static str> + '_ {
        let broken = self.0.iter().filter(|verdict| !verdict.is_met());
        broken.map(|verdict| verdict.scenario)
    }

    /// Returns true if all rules are met.
    #[must_use]
    pub fn is_conformant(&self) -> bool {
        self.0.iter().all(Verdict::is_met)
    }

    /// Fails a test unless all rules are met.
    ///
    /// # Panics
    ///
    /// A rule is broken; the message shows the whole report.
    #[track_caller]
    pub fn assert_conformant(&self) {
        assert!(self.is_conformant(), "the transport breaks rules:\n{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for verdict in &self.0 {
            writeln!(f, "{verdict}")?;
        }
        let met = self.0.iter().filter(|verdict| verdict.is_met()).count();
        write!(f, "{met} of {} rules are met", self.0.len())
    }
}
