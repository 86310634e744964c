//! Extra request headers, checked and decoded while they are read (checklist B.3).
//!
//! The grammar is that of W3C Baggage: `key=value` members between commas, blanks around each
//! part ignored, values percent-encoded, keys not. A member that cannot become a header is
//! skipped and the others stay (checklist B-028).
//!
//! ```
//! use spandrel_core::env::Headers;
//!
//! let headers = Headers::new("api-key=YWJj==, Authorization = Basic%20QUFB ,oops");
//! let mut read = headers.iter().map(|(key, value)| (key, value.to_string()));
//! assert_eq!(read.next(), Some(("api-key", "YWJj==".into())));
//! assert_eq!(read.next(), Some(("Authorization", "Basic QUFB".into())));
//! assert_eq!(read.next(), None);
//! assert_eq!(headers.problems().next().map(|problem| problem.number()), Some(3));
//! assert!(!format!("{headers:?}").contains("YWJj"));
//! ```

use core::fmt;

use super::percent::PercentDecoded;

/// The most members that are read; the limit of W3C Baggage (checklist E-046). It bounds the
/// work that a hostile list of duplicates can ask for.
pub const MAX_HEADERS: usize = 64;

/// A list of headers as text. Nothing is checked before it is iterated.
///
/// Values may be secrets: `Debug` shows the keys only (checklist B-030).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Headers<'a> {
    text: &'a str,
}

impl<'a> Headers<'a> {
    /// The headers in `text`.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self { text }
    }

    /// The good members in order, decoded. Of keys that are equal in any case only the last one
    /// is there (checklist B-029).
    ///
    /// Every key is an RFC 7230 token and every value consists of visible ASCII characters and
    /// spaces, so that neither can end a line of an HTTP head.
    #[must_use]
    pub const fn iter(&self) -> HeaderIter<'a> {
        HeaderIter {
            members: Members::of(self.text),
        }
    }

    /// What is wrong with the members that are skipped.
    pub fn problems(&self) -> impl Iterator<Item = HeaderProblem<'a>> + use<'a> {
        let too_many = Members {
            rest: Some(self.text),
            number: 0,
            last: u32::MAX,
        };
        let too_many = too_many.skip(MAX_HEADERS).take(1).map(|(number, _)| {
            let kind = HeaderProblemKind::TooMany;
            HeaderProblem::new(number, None, kind)
        });
        Members::of(self.text)
            .filter_map(|(number, member)| {
                let (key, kind) = parse_member(member).err()?;
                Some(HeaderProblem::new(number, key, kind))
            })
            .chain(too_many)
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = (&'a str, PercentDecoded<'a>);
    type IntoIter = HeaderIter<'a>;

    fn into_iter(self) -> HeaderIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let redacted = format_args!("(redacted)");
        f.debug_map()
            .entries(self.iter().map(|(key, _)| (key, redacted)))
            .finish()
    }
}

/// The keys, as `Debug` shows them.
#[cfg(feature = "defmt")]
impl defmt::Format for Headers<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{{");
        for (key, _) in self.iter() {
            defmt::write!(f, " {=str}: (redacted)", key);
        }
        defmt::write!(f, " }}");
    }
}

/// The good members of [`Headers`].
#[derive(Clone)]
pub struct HeaderIter<'a> {
    members: Members<'a>,
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = (&'a str, PercentDecoded<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (_, member) = self.members.next()?;
            let Ok((key, value)) = parse_member(member) else {
                continue;
            };
            let replaces = |(_, later)| {
                parse_member(later).is_ok_and(|(later, _)| later.eq_ignore_ascii_case(key))
            };
            if !self.members.clone().any(replaces) {
                return Some((key, value));
            }
        }
    }
}

/// Does not show what is left: it has values in it.
impl fmt::Debug for HeaderIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeaderIter(..)")
    }
}

/// A member that is not used, named by its place and, where it has one, its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HeaderProblem<'a> {
    number: u32,
    key: Option<&'a str>,
    kind: HeaderProblemKind,
}

impl<'a> HeaderProblem<'a> {
    const fn new(number: u32, key: Option<&'a str>, kind: HeaderProblemKind) -> Self {
        Self { number, key, kind }
    }

    /// The place of the member, the first being 1; empty members do not count.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// The key, if it is a good one: what stands in the place of a bad key may be a piece of a
    /// secret (`Authorization: Bearer abc=`).
    #[must_use]
    pub const fn key(&self) -> Option<&'a str> {
        self.key
    }

    /// What is wrong.
    #[must_use]
    pub const fn kind(&self) -> HeaderProblemKind {
        self.kind
    }
}

/// Why a member is not used. `Display` gives a phrase to follow the name of the member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum HeaderProblemKind {
    /// It has no `=`.
    NoEqualsSign,
    /// Nothing is before the `=`.
    EmptyKey,
    /// The key is not an RFC 7230 token.
    BadKey,
    /// The key belongs to the protocol, whose own header wins (checklist A-029).
    Reserved,
    /// A `%` is not followed by two hexadecimal digits.
    BadPercent,
    /// The value has `;` in it; metadata is not supported, and a semicolon in a value is written
    /// `%3B` (checklist B-012).
    Metadata,
    /// The decoded value has something else than visible ASCII and spaces in it: a control
    /// character, a line break, or text that is not ASCII (checklist B-027).
    BadValue,
    /// It comes after [`MAX_HEADERS`] others, and so do any further ones.
    TooMany,
}

impl fmt::Display for HeaderProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoEqualsSign => "has no '=' between key and value",
            Self::EmptyKey => "has no key before its '='",
            Self::BadKey => "has a key that is not a header name",
            Self::Reserved => "is set by the protocol itself",
            Self::BadPercent => "has a '%' without two hexadecimal digits, write %25 for '%'",
            Self::Metadata => "has a ';' in its value, write %3B for ';'",
            Self::BadValue => "has a value with other than visible ASCII characters",
            Self::TooMany => "and any after it are too many, 64 are read",
        })
    }
}

/// The non-empty members with their numbers, without the blanks around them.
#[derive(Clone)]
struct Members<'a> {
    rest: Option<&'a str>,
    number: u32,
    last: u32,
}

impl<'a> Members<'a> {
    const fn of(text: &'a str) -> Self {
        Self {
            rest: Some(text),
            number: 0,
            last: MAX_HEADERS as u32,
        }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (u32, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        while self.number < self.last {
            let text = self.rest?;
            let (member, rest) = match text.split_once(',') {
                Some((member, rest)) => (member, Some(rest)),
                None => (text, None),
            };
            self.rest = rest;
            let member = trim_blanks(member);
            if !member.is_empty() {
                self.number += 1;
                return Some((self.number, member));
            }
        }
        None
    }
}

type Parsed<'a> = Result<(&'a str, PercentDecoded<'a>), (Option<&'a str>, HeaderProblemKind)>;

fn parse_member(member: &str) -> Parsed<'_> {
    // Only the first `=` separates: base64 ends in more of them (checklist B-023).
    let Some((key, value)) = member.split_once('=') else {
        return Err((None, HeaderProblemKind::NoEqualsSign));
    };
    let (key, value) = (trim_blanks(key), trim_blanks(value));
    let refuse = |kind| Err((Some(key), kind));
    match check_key(key) {
        Ok(()) => {}
        Err(HeaderProblemKind::Reserved) => return refuse(HeaderProblemKind::Reserved),
        Err(kind) => return Err((None, kind)),
    }
    if value.contains(';') {
        return refuse(HeaderProblemKind::Metadata);
    }
    let Some(value) = PercentDecoded::new(value) else {
        return refuse(HeaderProblemKind::BadPercent);
    };
    match check_value(value.bytes()) {
        Ok(()) => Ok((key, value)),
        Err(kind) => refuse(kind),
    }
}

/// Whether a header may be called `key`; the rule for headers from code too.
pub(crate) fn check_key(key: &str) -> Result<(), HeaderProblemKind> {
    if key.is_empty() {
        Err(HeaderProblemKind::EmptyKey)
    } else if !key.bytes().all(is_token) {
        Err(HeaderProblemKind::BadKey)
    } else if RESERVED.iter().any(|name| key.eq_ignore_ascii_case(name)) {
        Err(HeaderProblemKind::Reserved)
    } else {
        Ok(())
    }
}

/// Whether a header may have this decoded value; the rule for headers from code too.
pub(crate) fn check_value(mut value: impl Iterator<Item = u8>) -> Result<(), HeaderProblemKind> {
    match value.all(|b| b.is_ascii_graphic() || b == b' ') {
        true => Ok(()),
        false => Err(HeaderProblemKind::BadValue),
    }
}

/// What the protocol sets itself, or what would change where the message ends.
const RESERVED: [&str; 6] = [
    "content-type",
    "content-encoding",
    "content-length",
    "host",
    "transfer-encoding",
    "connection",
];

/// Spaces and tabs, the optional white space of HTTP; a line break is not among them.
fn trim_blanks(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// A character of an RFC 7230 token.
const fn is_token(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'#'
            | b'$'
            | b'%'
            | b'&'
            | b'\''
            | b'*'
            | b'+'
            | b'-'
            | b'.'
            | b'^'
            | b'_'
            | b'`'
            | b'|'
            | b'~'
    ) || byte.is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};
    use std::vec::Vec;
    use std::{format, vec};

    fn read(text: &str) -> Vec<(String, String)> {
        let pairs = Headers::new(text).into_iter();
        pairs
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect()
    }

    #[test]
    fn a_bad_later_duplicate_does_not_hide_a_good_earlier_one() {
        let one = |value: &str| vec![("a".to_string(), value.to_string())];
        assert_eq!(read("a=1,a=%zz"), one("1"));
        assert_eq!(read("A=0,a=1"), one("1"));
    }

    #[test]
    fn members_beyond_the_limit_are_not_read_and_named_once() {
        let text: String = (0..MAX_HEADERS + 9).map(|i| format!("k{i}=v,")).collect();
        assert_eq!(read(&text).len(), MAX_HEADERS);
        let problems: Vec<_> = Headers::new(&text).problems().collect();
        assert_eq!(
            problems,
            [HeaderProblem::new(65, None, HeaderProblemKind::TooMany)]
        );
        let exactly: String = (0..MAX_HEADERS).map(|i| format!("k{i}=v,")).collect();
        assert_eq!(Headers::new(&exactly).problems().count(), 0);
    }

    #[test]
    fn a_text_without_a_key_is_never_shown() {
        let problems: Vec<_> = Headers::new("s3cret,Authorization: Bearer s3cret=")
            .problems()
            .map(|problem| (problem.key(), problem.kind()))
            .collect();
        assert_eq!(
            problems,
            [
                (None, HeaderProblemKind::NoEqualsSign),
                (None, HeaderProblemKind::BadKey)
            ]
        );
    }
}
