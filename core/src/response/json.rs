//! A pull scanner over JSON: finds a few fields, checks and skips everything else.
//!
//! No tree, no recursion, no heap; the nesting of skipped values is one bit per level in a word.
//! Every method returns `None` for text that is not JSON, or that is nested too deeply.

use super::MessageText;

/// The deepest nesting that is skipped: one bit each in a `u64`.
const MAX_DEPTH: u32 = 64;

pub(super) struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    pub(super) const fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    /// Reads an object and hands each key to `field`, which reads the value, all of it.
    pub(super) fn object(
        &mut self,
        field: &mut dyn FnMut(&mut Self, MessageText<'a>) -> Option<()>,
    ) -> Option<()> {
        self.expect(b'{')?;
        if self.eat(b'}') {
            return Some(());
        }
        loop {
            let key = self.key()?;
            field(self, key)?;
            if !self.eat(b',') {
                return self.expect(b'}');
            }
        }
    }

    /// Reads a null, which stands for the default in proto3 JSON; false if the value is none.
    pub(super) fn null(&mut self) -> bool {
        self.peek() == Some(b'n') && self.literal(b"null").is_some()
    }

    pub(super) fn text(&mut self) -> Option<MessageText<'a>> {
        self.string().map(MessageText::escaped)
    }

    /// An integer as a number or as a string of digits; both are proto3 JSON.
    // spec A-069
    pub(super) fn integer(&mut self) -> Option<i64> {
        let digits = if self.peek()? == b'"' {
            let text = self.string()?;
            let mut inner = Scanner::new(text);
            let digits = inner.number()?;
            // Nothing around the digits, not even space.
            (digits.len() == text.len()).then_some(digits)?
        } else {
            self.number()?
        };
        core::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// Reads over a value of any kind.
    pub(super) fn skip(&mut self) -> Option<()> {
        // The open containers, the innermost in the lowest bit: 1 = object, 0 = array.
        let (mut objects, mut depth) = (0_u64, 0_u32);
        loop {
            // A value starts here.
            let is_object = self.peek()? == b'{';
            if self.eat(b'{') || self.eat(b'[') {
                if !self.eat(closing(is_object)) {
                    if depth == MAX_DEPTH {
                        return None;
                    }
                    depth += 1;
                    objects = objects << 1 | u64::from(is_object);
                    if is_object {
                        self.key()?;
                    }
                    continue;
                }
            } else {
                self.scalar()?;
            }
            // A value ended here, and with it perhaps the containers around it.
            loop {
                if depth == 0 {
                    return Some(());
                }
                let is_object = objects & 1 == 1;
                if self.eat(b',') {
                    if is_object {
                        self.key()?;
                    }
                    break;
                }
                self.expect(closing(is_object))?;
                depth -= 1;
                objects >>= 1;
            }
        }
    }

    /// Checks that nothing follows.
    pub(super) fn end(&mut self) -> Option<()> {
        self.peek().is_none().then_some(())
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
        self.rest.first().copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.expect(byte).is_some()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.peek();
        self.literal(&[byte])
    }

    fn literal(&mut self, text: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(text)?;
        Some(())
    }

    fn key(&mut self) -> Option<MessageText<'a>> {
        let key = self.text()?;
        self.expect(b':')?;
        Some(key)
    }

    fn scalar(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => self.number().map(drop),
        }
    }

    /// The bytes between the quotes, with their escapes checked but not resolved.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.expect(b'"')?;
        let mut at = 0;
        loop {
            at += match *self.rest.get(at)? {
                b'"' => break,
                b'\\' => escape_len(self.rest.get(at + 1..)?)?,
                0..=0x1f => return None,
                _ => 1,
            };
        }
        let text = self.rest.get(..at)?;
        self.rest = self.rest.get(at + 1..)?;
        Some(text)
    }

    /// A number as JSON spells it: no leading zero, no plus sign, no bare point.
    fn number(&mut self) -> Option<&'a [u8]> {
        self.peek();
        let start = self.rest;
        let _ = self.literal(b"-");
        if self.literal(b"0").is_none() {
            self.digits()?;
        }
        if self.literal(b".").is_some() {
            self.digits()?;
        }
        if let [b'e' | b'E', rest @ ..] = self.rest {
            self.rest = rest;
            if let [b'+' | b'-', rest @ ..] = self.rest {
                self.rest = rest;
            }
            self.digits()?;
        }
        start.get(..start.len() - self.rest.len())
    }

    fn digits(&mut self) -> Option<()> {
        let before = self.rest.len();
        while let [b'0'..=b'9', rest @ ..] = self.rest {
            self.rest = rest;
        }
        (self.rest.len() < before).then_some(())
    }
}

const fn closing(is_object: bool) -> u8 {
    if is_object { b'}' } else { b']' }
}

/// Length of an escape, given what follows its backslash.
fn escape_len(rest: &[u8]) -> Option<usize> {
    match rest.first()? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => rest
            .get(1..5)?
            .iter()
            .all(u8::is_ascii_hexdigit)
            .then_some(6),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn skips(text: &str) -> bool {
        let mut scanner = Scanner::new(text.as_bytes());
        scanner.skip().and_then(|()| scanner.end()).is_some()
    }

    #[test]
    fn every_kind_of_value_is_skipped() {
        for text in [
            "null",
            " true ",
            "false",
            "0",
            "-0.5e+10",
            "12E3",
            r#""""#,
            r#""a\"b\\\u00e4""#,
            "[]",
            "{}",
            "[[],{},[1,[2]]]",
            r#"{"a":{"b":[1,{"c":null}]},"d":"}"}"#,
            " [ 1 , { \"a\" : 2 } ]\r\n",
        ] {
            assert!(skips(text), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            " ",
            "nul",
            "nulls",
            "01",
            "-",
            "+1",
            ".5",
            "1.",
            "1e",
            "1 2",
            "\"",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\n\"",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[1}",
            "]",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1,",
            "{\"a\":1,}",
            "{\"a\":1]",
            "{1:2}",
            "{\"a\" 1}",
            "<html>",
        ] {
            assert!(!skips(text), "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded_without_recursion() {
        let nested = |depth: usize| {
            let open: String = core::iter::repeat_n("[", depth).collect();
            let close: String = core::iter::repeat_n("]", depth).collect();
            std::format!("{open}1{close}")
        };
        assert!(skips(&nested(64)));
        assert!(!skips(&nested(65)));
        assert!(!skips(&nested(1_000_000)));
    }

    #[test]
    fn integers_are_numbers_or_strings_of_digits() {
        let read = |text: &str| Scanner::new(text.as_bytes()).integer();
        assert_eq!(read("5"), Some(5));
        assert_eq!(read("\"-5\""), Some(-5));
        assert_eq!(read("\"9223372036854775807\""), Some(i64::MAX));
        for text in [
            "\"9223372036854775808\"",
            "\" 5\"",
            "\"+5\"",
            "\"\"",
            "5.5",
            "true",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
