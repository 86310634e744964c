//! The [W3C tracestate]: a list of `key=value` members that vendors pass along a trace.
//!
//! It is kept as the text of its header, validated once, in 512 bytes, the least that W3C asks a
//! participant to carry. Reading and sending it need no further parsing or copy.
//!
//! [W3C tracestate]: https://www.w3.org/TR/trace-context-2/#tracestate-header
//!
//! | received | kept |
//! |---|---|
//! | up to 32 members within 512 characters | all of them, in order |
//! | more than 32 members | nothing |
//! | any member that breaks the grammar of level 2 | nothing |
//! | a key twice | its first value, the most recent |
//! | empty members, blanks around members | the rest without them |
//! | more than 512 characters | whole members: from the right, those over 128 characters go first, then any |
//! | more than 32 KiB of text | nothing; longer than any valid list, so not even read |
//!
//! ```
//! use spandrel_core::context::TraceState;
//!
//! let received = TraceState::from_header_values(["a=1, b=2", "c=3"]);
//! let sent = received.insert("b", "new")?;
//! assert_eq!(sent.as_str(), "b=new,a=1,c=3");
//! assert_eq!(sent.delete("a").as_str(), "b=new,c=3");
//! assert_eq!(received.get("b"), Some("2"));
//! # Ok::<(), spandrel_core::context::TraceStateError>(())
//! ```

use core::fmt;
use core::str::FromStr;

use heapless::String;

/// The reason why a text is not a tracestate, or not a member of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum TraceStateError {
    /// A key is not 1 to 256 of `a-z`, `0-9`, `_`, `-`, `*`, `/`, `@`, with a letter or digit in
    /// front.
    InvalidKey,
    /// A value is missing, ends in a space, or is not 1 to 256 printable ASCII characters without
    /// `,` and `=`.
    InvalidValue,
    /// There are more than 32 members.
    TooManyMembers,
    /// The text is longer than any valid list, or a new member alone is longer than 512 characters.
    TooLong,
}

impl fmt::Display for TraceStateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidKey => "invalid key in tracestate",
            Self::InvalidValue => "invalid value in tracestate",
            Self::TooManyMembers => "more than 32 members in tracestate",
            Self::TooLong => "tracestate is too long",
        })
    }
}

impl core::error::Error for TraceStateError {}

/// A valid tracestate of at most [`TraceState::MAX_LEN`] characters.
///
/// Immutable: changes return a new value. It takes 514 bytes, so prefer to borrow its text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TraceState {
    /// `key=value,key=value`: no blanks around members, no empty member, no key twice.
    text: String<{ TraceState::MAX_LEN }, u16>,
}

impl TraceState {
    /// The most characters kept; all are ASCII, so it is also the number of bytes.
    pub const MAX_LEN: usize = 512;

    /// The most members kept.
    pub const MAX_MEMBERS: usize = 32;

    /// A tracestate without members.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            text: String::new(),
        }
    }

    /// Joins the values of all received tracestate headers, in order.
    ///
    /// It never fails: an invalid list counts as empty, because a broken tracestate must not harm
    /// the trace. [`str::parse`] gives the reason.
    #[must_use]
    pub fn from_header_values<'v>(values: impl IntoIterator<Item = &'v str>) -> Self {
        let mut parser = HeaderParser::new();
        for value in values {
            if parser.add(value).is_err() {
                return Self::new();
            }
        }
        parser.finish()
    }

    /// Returns this tracestate with `key` at the front, whether it was there before or not.
    ///
    /// The others keep their order. A 33rd member falls off on the right, and so do members that no
    /// longer fit, as if the result had been received.
    ///
    /// # Errors
    ///
    /// `key` or `value` breaks the grammar, or both together exceed [`TraceState::MAX_LEN`].
    pub fn insert(&self, key: &str, value: &str) -> Result<Self, TraceStateError> {
        check_key(key)?;
        check_value(value)?;
        let mut result = Self::new();
        for part in [key, "=", value] {
            result
                .text
                .push_str(part)
                .map_err(|_| TraceStateError::TooLong)?;
        }
        let mut rest = [""; Self::MAX_MEMBERS - 1];
        let others = self.members().filter(|member| !has_key(member, key));
        for (slot, member) in rest.iter_mut().zip(others) {
            *slot = member;
        }
        result.append_what_fits(&mut rest);
        Ok(result)
    }

    /// Returns this tracestate without `key`.
    #[must_use]
    pub fn delete(&self, key: &str) -> Self {
        let mut rest = [""; Self::MAX_MEMBERS];
        let others = self.members().filter(|member| !has_key(member, key));
        for (slot, member) in rest.iter_mut().zip(others) {
            *slot = member;
        }
        let mut result = Self::new();
        result.append_what_fits(&mut rest);
        result
    }

    /// Returns the value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter()
            .find_map(|(candidate, value)| (candidate == key).then_some(value))
    }

    /// Returns keys and values in order, the most recent first.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.members().filter_map(|member| member.split_once('='))
    }

    /// Returns the text of the header; empty if there are no members.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.text.as_str()
    }

    /// Returns true if there are no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    fn members(&self) -> impl Iterator<Item = &str> {
        self.as_str().split(',').filter(|member| !member.is_empty())
    }

    /// Appends the members that fit; large ones are given up first, then the last ones. Empty
    /// entries are no members.
    fn append_what_fits(&mut self, members: &mut [&str]) {
        // Each member is counted with a comma, though the first one has none.
        let mut room = Self::MAX_LEN + 1;
        if !self.text.is_empty() {
            room = room.saturating_sub(self.text.len() + 1);
        }
        let present = members.iter().filter(|member| !member.is_empty());
        let mut wanted: usize = present.map(|member| member.len() + 1).sum();
        for over in [128, 0] {
            for member in members.iter_mut().rev() {
                if wanted <= room {
                    break;
                }
                if member.len() > over {
                    wanted -= member.len() + 1;
                    *member = "";
                }
            }
        }
        for member in members.iter().filter(|member| !member.is_empty()) {
            let comma = if self.text.is_empty() { "" } else { "," };
            if self.text.len() + comma.len() + member.len() <= Self::MAX_LEN {
                // These cannot fail after the check, so no member is torn.
                let _ = self.text.push_str(comma);
                let _ = self.text.push_str(member);
            }
        }
    }
}

impl Default for TraceState {
    fn default() -> Self {
        Self::new()
    }
}

/// The text of the header.
impl fmt::Display for TraceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for TraceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TraceState").field(&self.as_str()).finish()
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for TraceState {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "TraceState({=str:?})", self.as_str());
    }
}

/// Reads one header value, with the reason if it is not valid.
impl FromStr for TraceState {
    type Err = TraceStateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parser = HeaderParser::new();
        parser.add(text)?;
        Ok(parser.finish())
    }
}

/// Returns true if `text` is a list of at least one member, all of them valid.
pub(crate) fn is_trace_state(text: &str) -> bool {
    let mut parser = HeaderParser::new();
    parser.add(text).is_ok() && !parser.is_empty()
}

/// Collects the members of any number of header values, borrowed until the end: which ones to leave
/// out is known only when all have been seen.
pub(crate) struct HeaderParser<'v> {
    members: [&'v str; TraceState::MAX_MEMBERS],
    /// Filled entries of `members`.
    kept: usize,
    /// Members seen, duplicates included.
    seen: usize,
    /// Bytes that may still be looked at.
    budget: usize,
}

impl<'v> HeaderParser<'v> {
    /// 32 members of full length take 16,447 characters; the rest is for blanks. The budget bounds
    /// the work for any input.
    const BUDGET: usize = 32 * 1024;

    pub(crate) const fn new() -> Self {
        Self {
            members: [""; TraceState::MAX_MEMBERS],
            kept: 0,
            seen: 0,
            budget: Self::BUDGET,
        }
    }

    /// Adds the members of one header value. After an error the whole list must be given up.
    pub(crate) fn add(&mut self, header: &'v str) -> Result<(), TraceStateError> {
        // One more for the comma that joins it to the one before, so that empty headers count.
        self.budget = header
            .len()
            .checked_add(1)
            .and_then(|len| self.budget.checked_sub(len))
            .ok_or(TraceStateError::TooLong)?;
        for part in header.split(',') {
            let member = part.trim_matches([' ', '\t']);
            if !member.is_empty() {
                self.add_member(member)?;
            }
        }
        Ok(())
    }

    fn add_member(&mut self, member: &'v str) -> Result<(), TraceStateError> {
        let (key, value) = member
            .split_once('=')
            .ok_or(TraceStateError::InvalidValue)?;
        check_key(key)?;
        check_value(value)?;
        self.seen += 1;
        if self.seen > TraceState::MAX_MEMBERS {
            return Err(TraceStateError::TooManyMembers);
        }
        let duplicate = self.kept().iter().any(|kept| has_key(kept, key));
        if let (false, Some(slot)) = (duplicate, self.members.get_mut(self.kept)) {
            *slot = member;
            self.kept += 1;
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> TraceState {
        let mut result = TraceState::new();
        if let Some(kept) = self.members.get_mut(..self.kept) {
            result.append_what_fits(kept);
        }
        result
    }

    /// Returns true if no member was found.
    pub(crate) const fn is_empty(&self) -> bool {
        self.kept == 0
    }

    fn kept(&self) -> &[&'v str] {
        self.members.get(..self.kept).unwrap_or_default()
    }
}

/// Returns true if `member` starts with `key=`.
fn has_key(member: &str, key: &str) -> bool {
    member
        .strip_prefix(key)
        .is_some_and(|rest| rest.starts_with('='))
}

fn check_key(key: &str) -> Result<(), TraceStateError> {
    let key = key.as_bytes();
    let led = matches!(key.first(), Some(b'a'..=b'z' | b'0'..=b'9'));
    let rest = |b: &u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    if led && key.len() <= 256 && key.iter().all(rest) {
        Ok(())
    } else {
        Err(TraceStateError::InvalidKey)
    }
}

fn check_value(value: &str) -> Result<(), TraceStateError> {
    let value = value.as_bytes();
    let ended = matches!(value.last(), Some(b' '..=b'~')) && !value.ends_with(b" ");
    let allowed = |b: &u8| matches!(b, b' '..=b'~') && !matches!(b, b',' | b'=');
    if ended && value.len() <= 256 && value.iter().all(allowed) {
        Ok(())
    } else {
        Err(TraceStateError::InvalidValue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn parse(text: &str) -> Result<String, TraceStateError> {
        text.parse::<TraceState>().map(|state| state.to_string())
    }

    /// `count` members `m00=x`, `m01=x`, ...
    fn list(count: usize) -> String {
        let members: Vec<_> = (0..count).map(|i| format!("m{i:02}=x")).collect();
        members.join(",")
    }

    #[test]
    fn keys_follow_level_2() {
        let longest = "z".repeat(256);
        for key in [
            "foo@",
            "foo@@bar",
            "foo@bar@baz",
            "1a",
            "a",
            "a_-*/@9",
            &longest,
        ] {
            assert_eq!(check_key(key), Ok(()), "{key}");
        }
        let too_long = "z".repeat(257);
        for key in [
            "", "@foo", "_a", "FOO", "fOo", "foo.bar", "foo ", " foo", "é", &too_long,
        ] {
            assert_eq!(check_key(key), Err(TraceStateError::InvalidKey), "{key}");
        }
    }

    #[test]
    fn values_are_printable_and_never_end_in_a_space() {
        let longest = "~".repeat(256);
        for value in ["1", " x", "a b", "!~", &longest] {
            assert_eq!(check_value(value), Ok(()), "{value}");
        }
        let too_long = "~".repeat(257);
        for value in [
            "", " ", "x ", "a,b", "a=b", "a\tb", "a\r\nb", "\0", "\x7f", "é", &too_long,
        ] {
            assert_eq!(
                check_value(value),
                Err(TraceStateError::InvalidValue),
                "{value:?}"
            );
        }
    }

    #[test]
    fn blanks_and_empty_members_are_left_out() {
        assert_eq!(
            parse("foo=1 \t , \t bar=2, \t baz=3").unwrap(),
            "foo=1,bar=2,baz=3"
        );
        assert_eq!(parse("foo=1,,bar=2,").unwrap(), "foo=1,bar=2");
        assert_eq!(parse("foo= x ").unwrap(), "foo= x");
        for blank in ["", " ", ",", " \t,, "] {
            assert_eq!(parse(blank).unwrap(), "");
        }
    }

    #[test]
    fn one_invalid_member_drops_the_list() {
        for (text, error) in [
            ("@foo=1,bar=2", TraceStateError::InvalidKey),
            ("bar=2,foo", TraceStateError::InvalidValue),
            ("bar=2,foo=", TraceStateError::InvalidValue),
            ("foo=bar=baz", TraceStateError::InvalidValue),
            ("bar=2,=1", TraceStateError::InvalidKey),
            ("foo =1", TraceStateError::InvalidKey),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
            assert!(TraceState::from_header_values([text]).is_empty());
        }
    }

    #[test]
    fn headers_are_joined_in_order_and_the_first_of_a_key_is_kept() {
        let state = TraceState::from_header_values(["foo=1,bar=2", "", "rojo=1,foo=9", "baz=3"]);
        assert_eq!(state.as_str(), "foo=1,bar=2,rojo=1,baz=3");
        assert_eq!(state.get("foo"), Some("1"));
        assert_eq!(state.get("fo"), None);
        // A key that is the beginning of another is not the same key.
        assert_eq!(parse("foobar=1,foo=2").unwrap(), "foobar=1,foo=2");
    }

    #[test]
    fn members_are_kept_up_to_32_and_all_dropped_beyond() {
        assert_eq!(parse(&list(32)).unwrap(), list(32));
        assert_eq!(parse(&list(33)), Err(TraceStateError::TooManyMembers));
        // Duplicates are members too: 33 of one key are as unreasonable as 33 keys.
        assert_eq!(
            parse(&["a=1"; 33].join(",")),
            Err(TraceStateError::TooManyMembers)
        );
        let headers = list(33);
        assert!(TraceState::from_header_values(headers.split(',')).is_empty());
    }

    #[test]
    fn beyond_512_characters_large_members_go_first_and_then_the_last() {
        let member = |key: &str, len: usize| format!("{key}={}", "v".repeat(len - key.len() - 1));
        let joined = |members: &[&str]| members.join(",");
        let (a, b) = (member("a", 129), member("b", 128));
        let (c, d, e) = (member("c", 128), member("d", 128), member("e", 128));
        // 128 · 4 + 3 commas are 515: the one of 129 goes although it is the first, then the last.
        let state = parse(&joined(&[&a, &b, &c, &d, &e])).unwrap();
        assert_eq!(state, joined(&[&b, &c, &d]));
        // Exactly 512 stay whole, 513 do not.
        let (f, g) = (member("f", 125), member("g", 126));
        assert_eq!(parse(&joined(&[&b, &c, &d, &f])).unwrap().len(), 512);
        assert_eq!(
            parse(&joined(&[&b, &c, &d, &g])).unwrap(),
            joined(&[&b, &c, &d])
        );
        // Of several large ones the most recent stays.
        let (x, y) = (member("x", 258), member("y", 258));
        assert_eq!(
            parse(&joined(&[&x, "z=1", &y])).unwrap(),
            joined(&[&x, "z=1"])
        );
    }

    #[test]
    fn a_member_longer_than_the_whole_cap_is_left_out_and_cannot_be_inserted() {
        let (key, value) = ("k".repeat(256), "v".repeat(256));
        assert_eq!(parse(&format!("a=1,{key}={value},b=2")).unwrap(), "a=1,b=2");
        assert_eq!(
            TraceState::new().insert(&key, &value),
            Err(TraceStateError::TooLong)
        );
        assert!(TraceState::new().insert(&key, &value[1..]).is_ok());
    }

    #[test]
    fn insertion_moves_the_key_to_the_front_and_keeps_the_order() {
        let state: TraceState = "a=1,b=2,c=3".parse().unwrap();
        assert_eq!(state.insert("b", "9").unwrap().as_str(), "b=9,a=1,c=3");
        assert_eq!(state.insert("d", "4").unwrap().as_str(), "d=4,a=1,b=2,c=3");
        assert_eq!(TraceState::new().insert("a", "1").unwrap().as_str(), "a=1");
        assert_eq!(state.as_str(), "a=1,b=2,c=3");
    }

    #[test]
    fn a_bad_insertion_fails_and_changes_nothing() {
        let state: TraceState = "a=1".parse().unwrap();
        assert_eq!(state.insert("A", "1"), Err(TraceStateError::InvalidKey));
        assert_eq!(
            state.insert("b", "1,c=2"),
            Err(TraceStateError::InvalidValue)
        );
        assert_eq!(
            state.insert("b", "\r\nx"),
            Err(TraceStateError::InvalidValue)
        );
        assert_eq!(state.as_str(), "a=1");
    }

    #[test]
    fn the_33rd_member_falls_off_on_the_right() {
        let full: TraceState = list(32).parse().unwrap();
        let state = full.insert("new", "1").unwrap();
        assert_eq!(state.as_str(), format!("new=1,{}", list(31)));
        // Updating a full list loses nothing.
        assert_eq!(full.insert("m31", "1").unwrap().iter().count(), 32);
    }

    #[test]
    fn deletion_takes_out_one_key() {
        let state: TraceState = "a=1,b=2,c=3".parse().unwrap();
        assert_eq!(state.delete("a").as_str(), "b=2,c=3");
        assert_eq!(state.delete("c").as_str(), "a=1,b=2");
        assert_eq!(state.delete("x"), state);
        assert_eq!(state.delete("").as_str(), state.as_str());
        assert!(state.delete("a").delete("b").delete("c").is_empty());
    }

    #[test]
    fn the_ot_entry_is_carried_unchanged() {
        let text = "ot=th:fd70a;rv:6e6d1a75832a2f;x1:Az.-_9,dd=s:1";
        let state: TraceState = text.parse().unwrap();
        assert_eq!(state.as_str(), text);
        let ot = state.insert("me", "1").unwrap().delete("dd");
        assert_eq!(ot.get("ot"), Some("th:fd70a;rv:6e6d1a75832a2f;x1:Az.-_9"));
    }

    #[test]
    fn text_beyond_any_valid_list_is_not_read() {
        assert_eq!(
            parse(&"a=1,".repeat(250_000)),
            Err(TraceStateError::TooLong)
        );
        let mut parser = HeaderParser::new();
        let accepted = (0..100_000).take_while(|_| parser.add("").is_ok()).count();
        assert_eq!(accepted, HeaderParser::BUDGET);
    }

    #[test]
    fn the_longest_valid_list_is_within_the_budget() {
        let members: Vec<_> = (0..32)
            .map(|i| format!("{i:0>256}={}", "v".repeat(256)))
            .collect();
        // All are over the cap alone, so none stays, but the list itself is valid.
        assert_eq!(parse(&members.join(" ,\t")).unwrap(), "");
    }
}
