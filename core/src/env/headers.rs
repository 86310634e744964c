//! Extra request headers, checked and decoded while they are read.
//!
//! The grammar is [W3C Baggage]'s: `key=value` members between commas, blanks around each part
//! ignored, values percent-encoded, keys not. A member that cannot become a header is skipped;
//! the others stay. The specification leaves open what happens to such a member.
//!
//! The rules for names and values hold for headers from code too, and for every transport:
//! [`is_header_name`], [`is_reserved_header`], [`is_header_value`].
//!
//! [W3C Baggage]: https://www.w3.org/TR/baggage/#header-content
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

/// The most members that are read, as many as [W3C Baggage] guarantees to propagate. The limit
/// bounds the work that a hostile list of duplicates can ask for.
///
/// [W3C Baggage]: https://www.w3.org/TR/baggage/#limits
pub const MAX_HEADERS: usize = 64;

/// The headers that belong to the protocol, in lower case: framing, the coding of bodies, and
/// what concerns the connection alone. A configured header of this name is left out.
///
/// A changed `Content-Length` would move the end of a message; an `Accept-Encoding` would ask for
/// answers that no transport decodes. `User-Agent` is not here: a configured one replaces the
/// transport's.
pub const RESERVED_HEADERS: [&str; 12] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Returns true if `name`, in any case, is one of [`RESERVED_HEADERS`].
#[must_use]
pub fn is_reserved_header(name: &str) -> bool {
    RESERVED_HEADERS
        .iter()
        .any(|reserved| name.eq_ignore_ascii_case(reserved))
}

/// Returns true if `name` can be the name of a header: a token of
/// [RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2), so not empty.
#[must_use]
pub fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(is_token)
}

/// Returns true if every byte of `value` can be part of a header's value: visible ASCII, space
/// and tab, so that no value can end a line of an HTTP head.
///
/// [RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-5.5) tolerates bytes from 0x80 as
/// `obs-text`, whose meaning no receiver knows; they are refused. An empty value is good. Blanks
/// at either end are good too, but receivers do not count them as a part of the value.
#[must_use]
pub fn is_header_value(value: &[u8]) -> bool {
    value.iter().copied().all(is_value_byte)
}

/// A list of headers as text. Nothing is checked before it is iterated.
///
/// Values may be secrets: `Debug` shows the keys only.
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

    /// Returns the good members in order, decoded. Of keys that are equal in any case, only the
    /// last is returned.
    ///
    /// Every key meets [`is_header_name`] and is not [reserved](is_reserved_header); the bytes of
    /// every value meet [`is_header_value`].
    #[must_use]
    pub const fn iter(&self) -> HeaderIter<'a> {
        HeaderIter {
            members: Members::of(self.text),
        }
    }

    /// Returns the problems of the members that are skipped.
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

/// Shows nothing of the rest, which has values in it.
impl fmt::Debug for HeaderIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeaderIter(..)")
    }
}

/// A member that is not used: its position and, if it has one, its key.
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

    /// Returns the position of the member, counted from 1; empty members do not count.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Returns the key if it is a good one. The text in place of a bad key may be part of a secret
    /// (`Authorization: Bearer abc=`).
    #[must_use]
    pub const fn key(&self) -> Option<&'a str> {
        self.key
    }

    /// Returns the kind of the problem.
    #[must_use]
    pub const fn kind(&self) -> HeaderProblemKind {
        self.kind
    }
}

/// The reason why a member is not used. `Display` gives a phrase to follow the name of the member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum HeaderProblemKind {
    /// It has no `=`.
    NoEqualsSign,
    /// Nothing is before the `=`.
    EmptyKey,
    /// The key is not a token ([`is_header_name`]).
    BadKey,
    /// The key belongs to the protocol ([`RESERVED_HEADERS`]), whose own header wins.
    Reserved,
    /// A `%` is not followed by two hexadecimal digits.
    BadPercent,
    /// The value has a `;` in it. OTLP has no metadata of members; a semicolon in a value is
    /// written `%3B`.
    Metadata,
    /// The decoded value is not one that a header can carry ([`is_header_value`]): it has a line
    /// break, another control character, or text that is not ASCII.
    BadValue,
    /// It comes after [`MAX_HEADERS`] others; any further ones are not read either.
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
            Self::BadValue => {
                "has a value with other than visible ASCII characters, spaces and tabs"
            }
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
    // Only the first `=` separates: base64 ends in more of them (spec B-023).
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

/// Checks a name, of a header from code too.
pub(crate) fn check_key(key: &str) -> Result<(), HeaderProblemKind> {
    if key.is_empty() {
        Err(HeaderProblemKind::EmptyKey)
    } else if !is_header_name(key) {
        Err(HeaderProblemKind::BadKey)
    } else if is_reserved_header(key) {
        Err(HeaderProblemKind::Reserved)
    } else {
        Ok(())
    }
}

/// Checks a decoded value, of a header from code too.
pub(crate) fn check_value(mut value: impl Iterator<Item = u8>) -> Result<(), HeaderProblemKind> {
    match value.all(is_value_byte) {
        true => Ok(()),
        false => Err(HeaderProblemKind::BadValue),
    }
}

/// Spaces and tabs, the optional white space of HTTP; a line break is not among them.
fn trim_blanks(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

const fn is_value_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~')
}

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
    fn every_reserved_name_is_refused_in_any_case() {
        for name in RESERVED_HEADERS {
            assert!(is_header_name(name), "{name}");
            for name in [name.to_string(), name.to_ascii_uppercase()] {
                assert!(is_reserved_header(&name), "{name}");
                assert_eq!(check_key(&name), Err(HeaderProblemKind::Reserved), "{name}");
                assert_eq!(read(&format!("{name}=x,a=1")).len(), 1, "{name}");
            }
        }
        for name in ["user-agent", "authorization", "accept", "x-host", "hos", ""] {
            assert!(!is_reserved_header(name), "{name}");
        }
    }

    #[test]
    fn reserved_names_are_sorted_lower_case_and_unique() {
        assert!(RESERVED_HEADERS.is_sorted_by(|a, b| a < b));
        for name in RESERVED_HEADERS {
            assert_eq!(name, name.to_ascii_lowercase());
        }
    }

    #[test]
    fn names_are_tokens() {
        for byte in 0..=u8::MAX {
            let is_token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            let name = String::from(char::from(byte));
            assert_eq!(is_header_name(&name), is_token, "{byte:#04x}");
            assert_eq!(is_header_name(&format!("x{name}")), is_token, "{byte:#04x}");
        }
        assert!(!is_header_name(""));
    }

    #[test]
    fn values_are_visible_ascii_spaces_and_tabs() {
        for byte in 0..=u8::MAX {
            let good = byte == b'\t' || byte == b' ' || byte.is_ascii_graphic();
            assert_eq!(is_header_value(&[b'a', byte, b'b']), good, "{byte:#04x}");
            let problem = (!good).then_some(HeaderProblemKind::BadValue);
            assert_eq!(
                check_value([byte].into_iter()).err(),
                problem,
                "{byte:#04x}"
            );
        }
        assert!(is_header_value(b""));
        assert_eq!(read("k=a%09b")[0].1, "a\tb");
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
