//! HTTP/1.1 as far as an OTLP POST needs it: the head of a request written, the head of an answer
//! read. Pure functions over slices.

use core::ops::Range;

/// The most headers of an answer.
const MAX_HEADERS: usize = 32;

/// The answer is not HTTP/1.1, or not in a way that can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Where the body of an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// Where its chunks say.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// The headers that are looked at.
#[derive(Clone, Copy)]
enum Name {
    Connection,
    ContentEncoding,
    ContentLength,
    ContentType,
    Date,
    RetryAfter,
    TransferEncoding,
}

/// A table and not a chain of comparisons: it takes half the flash.
const NAMES: [(&str, Name); 7] = [
    ("connection", Name::Connection),
    ("content-encoding", Name::ContentEncoding),
    ("content-length", Name::ContentLength),
    ("content-type", Name::ContentType),
    ("date", Name::Date),
    ("retry-after", Name::RetryAfter),
    ("transfer-encoding", Name::TransferEncoding),
];

/// The used part of an answer's head; ranges are places in the bytes that were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// Bytes of the head.
    pub(super) len: usize,
    pub(super) framing: Framing,
    /// Whether the connection stays open after the body.
    pub(super) keep_alive: bool,
    /// Whether the body has a coding, although none was asked for.
    pub(super) is_coded: bool,
    pub(super) retry_after: Option<Range<usize>>,
    pub(super) date: Option<Range<usize>>,
    pub(super) content_type: Option<Range<usize>>,
}

impl Head {
    /// Reads a head; `None` when more bytes are needed.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut answer = httparse::Response::new(&mut headers);
        let len = match answer.parse(bytes) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(Malformed),
        };
        let status = answer.code.ok_or(Malformed)?;
        let mut head = Self {
            status,
            len,
            framing: Framing::UntilClose,
            keep_alive: answer.version == Some(1),
            is_coded: false,
            retry_after: None,
            date: None,
            content_type: None,
        };
        let mut length = None;
        let mut is_chunked = false;
        for header in answer.headers.iter() {
            let mut names = NAMES.iter();
            let Some((_, name)) = names.find(|(text, _)| header.name.eq_ignore_ascii_case(text))
            else {
                continue;
            };
            let value = header.value.trim_ascii();
            let place = place_in(bytes, value)?;
            match name {
                Name::ContentLength => {
                    let value = decimal(value)?;
                    if length.is_some_and(|earlier| earlier != value) {
                        return Err(Malformed);
                    }
                    length = Some(value);
                }
                Name::TransferEncoding => {
                    if !value.eq_ignore_ascii_case(b"chunked") || is_chunked {
                        return Err(Malformed);
                    }
                    is_chunked = true;
                }
                Name::Connection => {
                    let mut options = value.split(|&b| b == b',').map(<[u8]>::trim_ascii);
                    if options.any(|option| option.eq_ignore_ascii_case(b"close")) {
                        head.keep_alive = false;
                    }
                }
                Name::ContentEncoding => {
                    head.is_coded = !value.eq_ignore_ascii_case(b"identity");
                }
                Name::RetryAfter => {
                    head.retry_after.get_or_insert(place);
                }
                Name::Date => {
                    head.date.get_or_insert(place);
                }
                Name::ContentType => {
                    head.content_type.get_or_insert(place);
                }
            }
        }
        head.framing = match (length, is_chunked) {
            // Two opinions about where the body ends: the classic of request smuggling.
            (Some(_), true) => return Err(Malformed),
            (None, true) => Framing::Chunked,
            _ if status == 204 || status == 304 || is_interim(status) => Framing::Length(0),
            (Some(length), false) => Framing::Length(length),
            (None, false) => Framing::UntilClose,
        };
        Ok(Some(head))
    }

    /// Returns true if another head follows.
    pub(super) const fn is_interim(&self) -> bool {
        is_interim(self.status)
    }
}

const fn is_interim(status: u16) -> bool {
    status >= 100 && status < 200 && status != 101
}

fn place_in(bytes: &[u8], part: &[u8]) -> Result<Range<usize>, Malformed> {
    let start = (part.as_ptr() as usize)
        .checked_sub(bytes.as_ptr() as usize)
        .ok_or(Malformed)?;
    Ok(start..start.saturating_add(part.len()))
}

fn decimal(text: &[u8]) -> Result<u64, Malformed> {
    if text.is_empty() {
        return Err(Malformed);
    }
    text.iter().try_fold(0_u64, |value, &digit| {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return Err(Malformed);
        }
        value
            .checked_mul(10)
            .and_then(|value| value.checked_add(u64::from(digit)))
            .ok_or(Malformed)
    })
}

/// Writes text into a slice; all or nothing is checked at the end.
pub(super) struct Text<'a> {
    target: &'a mut [u8],
    len: Option<usize>,
}

impl<'a> Text<'a> {
    pub(super) const fn new(target: &'a mut [u8]) -> Self {
        Self {
            target,
            len: Some(0),
        }
    }

    /// Not inlined: it is called a dozen times for each head.
    #[inline(never)]
    pub(super) fn push(&mut self, text: &str) -> &mut Self {
        let end = self.len.and_then(|len| len.checked_add(text.len()));
        let place = match (self.len, end) {
            (Some(start), Some(end)) => self.target.get_mut(start..end),
            _ => None,
        };
        self.len = place.and_then(|place| {
            place.copy_from_slice(text.as_bytes());
            end
        });
        self
    }

    pub(super) fn push_decimal(&mut self, mut number: usize) -> &mut Self {
        let mut digits = [0_u8; 20];
        let mut start = digits.len();
        for place in digits.iter_mut().rev() {
            *place = b'0' + (number % 10) as u8;
            number /= 10;
            start -= 1;
            if number == 0 {
                break;
            }
        }
        let digits = digits.get(start..).unwrap_or_default();
        self.push(core::str::from_utf8(digits).unwrap_or_default())
    }

    /// The number of bytes written; `None` if there was no room for all.
    pub(super) const fn len(&self) -> Option<usize> {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<Head>, Malformed> {
        Head::parse(text.as_bytes())
    }

    #[test]
    fn a_head_says_where_the_body_ends() {
        for (headers, framing) in [
            ("content-length: 5\r\n", Framing::Length(5)),
            (
                "Content-Length: 5\r\ncontent-length: 5\r\n",
                Framing::Length(5),
            ),
            ("Transfer-Encoding: Chunked\r\n", Framing::Chunked),
            ("", Framing::UntilClose),
        ] {
            let text = std::format!("HTTP/1.1 200 OK\r\n{headers}\r\n");
            let head = parse(&text).unwrap().unwrap();
            assert_eq!(head.framing, framing, "{headers}");
            assert_eq!((head.status, head.len), (200, text.len()));
            assert!(head.keep_alive);
        }
        let none = parse("HTTP/1.1 204 No Content\r\n\r\n").unwrap().unwrap();
        assert_eq!(none.framing, Framing::Length(0));
    }

    #[test]
    fn two_opinions_about_the_end_are_none() {
        for headers in [
            "content-length: 5\r\ntransfer-encoding: chunked\r\n",
            "content-length: 5\r\ncontent-length: 6\r\n",
            "content-length: -1\r\n",
            "content-length: 99999999999999999999\r\n",
            "content-length: \r\n",
            "transfer-encoding: gzip, chunked\r\n",
        ] {
            let text = std::format!("HTTP/1.1 200 OK\r\n{headers}\r\n");
            assert_eq!(parse(&text), Err(Malformed), "{headers}");
        }
        assert_eq!(parse("SSH-2.0-x\r\n\r\n"), Err(Malformed));
    }

    #[test]
    fn headers_are_found_where_they_are() {
        let text = "HTTP/1.1 503 no\r\nRetry-After:  7 \r\nDate: Sun\r\nretry-after: 9\r\n\
                    Connection: x, Close\r\ncontent-encoding: gzip\r\n\r\nrest";
        let head = parse(text).unwrap().unwrap();
        assert_eq!(&text[head.retry_after.unwrap()], "7");
        assert_eq!(&text[head.date.unwrap()], "Sun");
        assert_eq!(&text[head.len..], "rest");
        assert!(!head.keep_alive && head.is_coded && head.content_type.is_none());
        for cut in 0..head.len {
            assert_eq!(parse(&text[..cut]), Ok(None), "{cut}");
        }
    }

    #[test]
    fn text_that_does_not_fit_is_none() {
        let mut target = [0; 8];
        assert_eq!(
            Text::new(&mut target)
                .push("abc")
                .push_decimal(20_480)
                .len(),
            Some(8)
        );
        assert_eq!(&target, b"abc20480");
        assert_eq!(
            Text::new(&mut target)
                .push("12345678")
                .push("9")
                .push("")
                .len(),
            None
        );
        assert_eq!(Text::new(&mut target).push_decimal(0).len(), Some(1));
    }
}
