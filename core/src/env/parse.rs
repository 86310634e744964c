//! The rules that all variables share: white space, empty values, booleans, words, numbers.

use super::diagnostic::{Diagnostic, DiagnosticKind, Diagnostics};
use super::variable::{Pair, Variable};

/// The names of an enumeration. `None` marks a name that the specification knows and this
/// pipeline does not have.
pub(super) type Names<T> = &'static [(&'static str, Option<T>)];

/// Reads variables and notes what is wrong with them.
pub(super) struct Reader<'l, 'a> {
    // A trait object, so that the rules exist once in flash and not once per closure.
    lookup: &'l dyn Fn(&str) -> Option<&'a str>,
    pub(super) diagnostics: Diagnostics<'a>,
}

impl<'l, 'a> Reader<'l, 'a> {
    pub(super) fn new(lookup: &'l dyn Fn(&str) -> Option<&'a str>) -> Self {
        Self {
            lookup,
            diagnostics: Diagnostics::new(),
        }
    }

    pub(super) fn warn(
        &mut self,
        variable: &'static Variable,
        kind: DiagnosticKind,
        value: Option<&'a str>,
    ) {
        self.diagnostics
            .push(Diagnostic::new(variable, kind, value));
    }

    /// The specific variable of a pair if it is set and good, else the generic one.
    pub(super) fn either<T>(
        &mut self,
        pair: &Pair,
        read: impl Fn(&mut Self, &'static Variable) -> Option<T>,
    ) -> Option<T> {
        pair.iter().find_map(|variable| read(self, variable))
    }

    /// The text as it is; empty is unset.
    pub(super) fn text(&self, variable: &'static Variable) -> Option<&'a str> {
        (self.lookup)(variable.name).filter(|text| !text.is_empty())
    }

    /// The text without the white space around it, which a shell or a secrets file easily leaves.
    pub(super) fn word(&self, variable: &'static Variable) -> Option<&'a str> {
        self.text(variable)
            .map(str::trim_ascii)
            .filter(|text| !text.is_empty())
    }

    /// Only `true`, in any case, is true. Any other word counts as false, and is a diagnostic
    /// unless it is `false`.
    pub(super) fn boolean(&mut self, variable: &'static Variable) -> Option<bool> {
        let text = self.word(variable)?;
        let is_true = text.eq_ignore_ascii_case("true");
        if !is_true && !text.eq_ignore_ascii_case("false") {
            self.warn(variable, DiagnosticKind::NotABoolean, Some(text));
        }
        Some(is_true)
    }

    /// The entry of `names` that the text names, in any case.
    pub(super) fn choice<T: Copy>(
        &mut self,
        variable: &'static Variable,
        names: Names<T>,
    ) -> Option<T> {
        let text = self.word(variable)?;
        let found = names
            .iter()
            .find(|(name, _)| text.eq_ignore_ascii_case(name));
        match found {
            Some(&(_, Some(choice))) => return Some(choice),
            Some((_, None)) => self.warn(variable, DiagnosticKind::Unsupported, Some(text)),
            None => self.warn(variable, DiagnosticKind::Unknown, Some(text)),
        }
        None
    }

    /// A number from zero, of milliseconds for one.
    pub(super) fn number(&mut self, variable: &'static Variable) -> Option<u64> {
        let text = self.word(variable)?;
        match parse_number(text) {
            Ok(number) => Some(number),
            Err(kind) => {
                self.warn(variable, kind, Some(text));
                None
            }
        }
    }

    /// A number from zero that counts things.
    pub(super) fn count(&mut self, variable: &'static Variable) -> Option<u32> {
        let number = self.number(variable)?;
        let count = u32::try_from(number).ok();
        if count.is_none() {
            let text = self.word(variable);
            self.warn(variable, DiagnosticKind::TooLarge, text);
        }
        count
    }

    /// A number from one.
    pub(super) fn positive(&mut self, variable: &'static Variable) -> Option<u32> {
        let count = self.count(variable)?;
        if count == 0 {
            let text = self.word(variable);
            self.warn(variable, DiagnosticKind::Zero, text);
        }
        Some(count).filter(|&count| count != 0)
    }
}

/// Decimal digits and nothing else: the standard parser would take `+1`.
pub(super) fn parse_number(text: &str) -> Result<u64, DiagnosticKind> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(DiagnosticKind::NotANumber);
    }
    if digits.len() != text.len() {
        return Err(DiagnosticKind::Negative);
    }
    text.parse().map_err(|_| DiagnosticKind::TooLarge)
}

/// A finite number from 0 to 1. The standard parser would take `+0.5`, `nan` and `inf` too.
pub(super) fn parse_ratio(text: &str) -> Option<f64> {
    let is_plain = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+');
    if !text.bytes().all(is_plain) || text.starts_with(['+', '-']) {
        return None;
    }
    text.parse()
        .ok()
        .filter(|ratio| (0.0..=1.0).contains(ratio))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_only() {
        assert_eq!(parse_number("0"), Ok(0));
        assert_eq!(parse_number("007"), Ok(7));
        assert_eq!(parse_number("18446744073709551615"), Ok(u64::MAX));
        for text in [
            "", "+1", "1.5", "1e3", "0x10", "1 000", "١", "abc", "-", "--1",
        ] {
            assert_eq!(
                parse_number(text),
                Err(DiagnosticKind::NotANumber),
                "{text}"
            );
        }
        assert_eq!(parse_number("-1"), Err(DiagnosticKind::Negative));
        assert_eq!(
            parse_number("18446744073709551616"),
            Err(DiagnosticKind::TooLarge)
        );
    }

    #[test]
    fn ratios_are_finite_and_within_zero_and_one() {
        assert_eq!(parse_ratio("0"), Some(0.0));
        assert_eq!(parse_ratio("0.25"), Some(0.25));
        assert_eq!(parse_ratio("1e-3"), Some(0.001));
        assert_eq!(parse_ratio("1.0"), Some(1.0));
        for text in [
            "", "1.5", "abc", "-0.1", "-0", "+0.5", "nan", "inf", "1e999", ".",
        ] {
            assert_eq!(parse_ratio(text), None, "{text}");
        }
    }
}
