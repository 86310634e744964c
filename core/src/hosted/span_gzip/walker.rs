//! Walks through an export request and finds its spans.
//!
//! ```text
//! request
//! └─ resource_spans = 1
//!    ├─ resource = 1
//!    └─ scope_spans = 2
//!       ├─ scope = 1
//!       └─ spans = 2
//! ```
//!
//! The walk continues across the pieces in which the data come. Bytes of another layout are
//! searched as bytes of any content.

use super::finder::Finder;
use super::tokens::MAX_DISTANCE;
use super::window::{CAPACITY, Window};

const RESOURCE_SPANS: u8 = 0x0a;
/// `scope_spans` in `resource_spans`, and `spans` in them.
const SECOND_FIELD: u8 = 0x12;
/// More than the bytes of a tag and a length.
const MAX_HEADER: usize = 12;
/// A longer span is not searched as one, so that there is always room for a whole span.
const MAX_SPAN: usize = CAPACITY - MAX_DISTANCE - MAX_HEADER;

/// The state of the walk.
#[derive(Debug)]
pub(super) struct Walker {
    /// The next byte to look at.
    at: usize,
    /// Ends of the messages around it, outermost first.
    ends: [usize; 2],
    depth: usize,
    /// The end of a field that is no span, until the walk has passed it.
    passing: usize,
}

impl Walker {
    pub(super) const fn new() -> Self {
        Self {
            at: 0,
            ends: [0; 2],
            depth: 0,
            passing: 0,
        }
    }

    /// The next byte to look at.
    pub(super) const fn position(&self) -> usize {
        self.at
    }

    /// Adjusts all places after `count` bytes have left the front of the data.
    pub(super) fn forget(&mut self, count: usize) {
        self.at = self.at.saturating_sub(count);
        self.passing = self.passing.saturating_sub(count);
        self.ends = self.ends.map(|end| end.saturating_sub(count));
    }

    /// Walks through the data up to `filled`, or, unless they are the last, up to the last whole
    /// field.
    pub(super) fn walk(
        &mut self,
        data: &Window,
        filled: usize,
        is_last: bool,
        finder: &mut Finder,
    ) {
        while self.at < filled {
            if self.at < self.passing {
                let end = self.passing.min(filled);
                finder.anything(data, self.at, end, filled);
                self.at = end;
                continue;
            }
            let end = self
                .depth
                .checked_sub(1)
                .map_or(usize::MAX, |d| self.ends[d]);
            if self.at >= end {
                self.depth -= 1;
                continue;
            }
            if !is_last && filled - self.at < MAX_HEADER {
                return;
            }
            let Some(field) = Field::read(data, self.at).filter(|field| field.end <= end) else {
                self.passing = usize::MAX;
                continue;
            };
            match (self.depth, field.tag) {
                (0, RESOURCE_SPANS) | (1, SECOND_FIELD) => {
                    self.ends[self.depth] = field.end;
                    self.depth += 1;
                    finder.anything(data, self.at, field.body, filled);
                    self.at = field.body;
                }
                (2, SECOND_FIELD) if field.end - self.at <= MAX_SPAN => {
                    if field.end <= filled {
                        finder.span(data, field.body, field.end, filled);
                        self.at = field.end;
                    } else if is_last {
                        self.passing = usize::MAX;
                    } else {
                        return;
                    }
                }
                _ => self.passing = field.end,
            }
        }
    }
}

struct Field {
    tag: u8,
    body: usize,
    end: usize,
}

impl Field {
    /// The field with a length that begins at `at`.
    #[inline]
    fn read(data: &[u8], at: usize) -> Option<Self> {
        let (&tag, rest) = data.get(at..)?.split_first()?;
        let mut len = 0_usize;
        for (n, &byte) in rest.iter().take(MAX_HEADER - 2).enumerate() {
            len |= usize::from(byte & 127).checked_shl(7 * n as u32)?;
            if byte < 128 {
                let body = at + 2 + n;
                let end = body.checked_add(len)?;
                return Some(Self { tag, body, end });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::window::boxed;
    use super::*;
    use std::boxed::Box;

    fn walked(body: &[u8], is_last: bool) -> (usize, usize) {
        let mut data: Box<Window> = boxed();
        data[..body.len()].copy_from_slice(body);
        let mut walker = Walker::new();
        walker.walk(&data, body.len(), is_last, &mut Finder::new());
        (walker.position(), walker.depth)
    }

    /// A request with a resource, and a scope with a span of `span` bytes of which `there` are.
    fn request(span: u8, there: usize) -> std::vec::Vec<u8> {
        let mut body = std::vec![0x0a, 11 + span, 0x0a, 1, 7, 0x12, 6 + span];
        body.extend([0x0a, 2, 8, 8, 0x12, span]);
        body.resize(body.len() + there, 5);
        body
    }

    #[test]
    fn all_that_is_whole_is_passed_and_what_is_not_waits_for_more() {
        assert_eq!(walked(&request(90, 90), true), (13 + 90, 2));
        assert_eq!(walked(&request(90, 60), false), (11, 2));
        assert_eq!(walked(&request(90, 0), false), (2, 1));
    }

    #[test]
    fn at_the_end_everything_is_passed_whatever_it_is() {
        for body in [
            &request(90, 60)[..],
            &[0x12, 100, 1],
            &[0xff; 30],
            &[0x0a, 2, 0x12, 9],
        ] {
            assert_eq!(walked(body, true).0, body.len(), "{body:x?}");
        }
    }

    #[test]
    fn a_field_that_is_longer_than_its_message_ends_the_walk_without_an_error() {
        let mut body = request(90, 90);
        body[12] = 91;
        assert_eq!(walked(&body, true).0, body.len());
    }
}
