//! Finds the bytes that a span has in common with earlier spans.
//!
//! A general compressor searches at every byte. Here the layout tells where a search pays, and
//! where to look:
//!
//! ```text
//!           ┌─ as in the last span of the trace ─┐      ┌─ as in any span ─┐┌─ as the key was ─┐
//!  12 len │ flags  ID  start-lo start-hi end-lo end-hi kind trace parent name attribute  key value ...
//!                  ▲▲▲▲▲▲▲▲▲▲▲          ▲▲▲▲▲▲                                               ▲▲▲▲▲
//!                  new                  new                                                  new
//! ```
//!
//! - The fixed start is compared with the last span of the same trace, or else with the span before.
//!   Ids and the low bytes of times are new in every span and are not searched.
//! - A root comes after its children, so its id is looked up among their parents.
//! - Each field after the fixed start is looked up as a whole. If the whole field is new, the last
//!   one with the same key matches up to its value.
//! - Long values that are still unmatched are searched byte by byte, and so are all bytes outside of
//!   spans.
//!
//! Tables hold places modulo 2^16, and an entry may be stale. Every byte of a copy is compared, so
//! the tables decide how small the output is, never whether it is right.

use std::boxed::Box;

use super::tokens::{MAX_DISTANCE, MAX_MATCH, MIN_MATCH, Tokens};
use super::window::{CAPACITY, Window};
use crate::span::stored::{END, FIXED_LEN, SPAN_ID, START, TRACE_ID};

/// Bits of the index of the large tables.
const BITS: u32 = 12;
/// 2^64 by the golden ratio, which spreads what differs in a few bits.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
/// Shorter rests of a field are not searched.
const MIN_SEARCH: usize = 8;
/// The most bytes compared ahead, so that a copy with the bytes before it is never too long.
const AHEAD: usize = MAX_MATCH - size_of::<u64>();
const PARENT_TAG: u8 = 0x22;

/// Tables of what has been seen, by a hash of its bytes.
pub(super) struct Finder {
    /// Fields as a whole, and the last field of a span together with what follows the span.
    fields: Box<[u16; 1 << BITS]>,
    /// Bytes outside of spans, and long values.
    bytes: Box<[u16; 1 << BITS]>,
    /// Fields by their first bytes, which hold the key.
    keys: Box<[u16; 256]>,
    /// Ids of parents.
    parents: Box<[u16; 1024]>,
    /// Spans by their trace.
    traces: Box<[u16; 256]>,
    /// The span before; 0 where there was none.
    last_span: usize,
    /// The next byte that no token covers.
    next: usize,
    /// The place of the first byte of the data.
    base: u16,
    pub(super) tokens: Tokens,
}

impl Finder {
    pub(super) fn new() -> Self {
        Self {
            fields: Box::new([0; 1 << BITS]),
            bytes: Box::new([0; 1 << BITS]),
            keys: Box::new([0; 256]),
            parents: Box::new([0; 1024]),
            traces: Box::new([0; 256]),
            last_span: 0,
            next: 0,
            base: 0,
            tokens: Tokens::new(),
        }
    }

    /// Forgets everything. Old entries would do no harm, but the output would depend on them.
    pub(super) fn reset(&mut self) {
        self.fields.fill(0);
        self.bytes.fill(0);
        self.keys.fill(0);
        self.parents.fill(0);
        self.traces.fill(0);
        self.last_span = 0;
        self.next = 0;
        self.base = 0;
        self.tokens.clear();
    }

    /// The next byte that no token covers.
    pub(super) const fn next(&self) -> usize {
        self.next
    }

    /// Adds the bytes before `end` that no token covers as literals.
    pub(super) fn take(&mut self, data: &Window, end: usize) {
        self.tokens.push_literals(data, self.next, end);
        self.next = self.next.max(end);
    }

    /// Adjusts all places after `count` bytes have left the front of the data.
    pub(super) const fn forget(&mut self, count: usize) {
        self.base = self.base.wrapping_add(count as u16);
        self.next = self.next.saturating_sub(count);
        self.last_span = self.last_span.saturating_sub(count);
    }

    /// Searches the bytes from `from` to `to`, of any content. Bytes up to `known` may be compared.
    pub(super) fn anything(&mut self, data: &Window, from: usize, to: usize, known: usize) {
        let mut at = from.max(self.next);
        while at < to && at + size_of::<u64>() <= known {
            let word = load(data, at);
            // The first four bytes decide where to look.
            let hash = ((word << 32).wrapping_mul(SPREAD) >> (64 - BITS)) as usize;
            let distance = self.distance(at, self.bytes[hash]);
            self.bytes[hash] = self.place(at);
            if distance != 0 && (load(data, at - distance) ^ word) << 32 == 0 {
                let len = matching(data, at, distance, known.min(at + AHEAD));
                self.copy(data, at, len, distance);
                at = self.next;
            } else {
                at += 1;
            }
        }
    }

    /// Searches a span, whose body is from `body` to `end`, behind a tag and a length. Bytes up to
    /// `known` may be compared.
    #[inline]
    pub(super) fn span(&mut self, data: &Window, body: usize, end: usize, known: usize) {
        if end - body < FIXED_LEN || known - body < FIXED_LEN + size_of::<u64>() {
            return self.anything(data, self.next, end, known);
        }
        self.fixed_start(data, body, known);
        let mut field = body + FIXED_LEN;
        while field < end {
            let Some(after) = after_field(data, field).filter(|&after| after <= end) else {
                return self.anything(data, field, end, known);
            };
            if data.get(field) == Some(&PARENT_TAG) {
                let id = load(data, field + 2);
                self.parents[id as usize & 1023] = self.place(field + 2);
            } else {
                self.field(data, field, after, after == end, known);
            }
            field = after;
        }
    }

    #[inline(always)]
    fn fixed_start(&mut self, data: &Window, body: usize, known: usize) {
        let trace = (load(data, body + TRACE_ID), load(data, body + TRACE_ID + 8));
        let place = self.place(body);
        let seen = core::mem::replace(&mut self.traces[trace.0 as usize & 255], place);
        let distance = self.distance(body, seen);
        let like = body - distance;
        let same = (load(data, like + TRACE_ID), load(data, like + TRACE_ID + 8)) == trace;
        let like = if same & (distance != 0) {
            like
        } else {
            self.last_span
        };
        self.last_span = body;
        let distance = body - like;
        if like == 0 || distance > MAX_DISTANCE {
            return;
        }
        // Flags and the tag of the id.
        if self.next <= body && load(data, body) == load(data, like) {
            self.copy(data, body, 8, distance);
        }
        let at = body + SPAN_ID;
        let id = load(data, at);
        let child = self.distance(at, self.parents[id as usize & 1023]);
        if (child != 0) & (load(data, at - child) == id) & (self.next <= at) {
            self.copy(data, at, 8, child);
        }
        let same_high = |time: usize| {
            let differs = load(data, time) ^ load(data, time - distance);
            differs.leading_zeros() as usize / 8
        };
        // The high bytes of the start, and the tag after them.
        let high = same_high(body + START);
        let (at, after) = (body + START + 8 - high, body + START + 8);
        let len = high + usize::from(data.get(after) == data.get(after - distance));
        if len >= MIN_MATCH && self.next <= at {
            self.copy(data, at, len, distance);
        }
        // The high bytes of the end, and whatever follows.
        let at = body + END + 8 - same_high(body + END);
        if self.next <= at {
            self.try_copy(data, at, distance, known);
        }
    }

    /// Searches the field from `field` to `after`, unless a copy covers it already.
    #[inline(always)]
    fn field(&mut self, data: &Window, field: usize, after: usize, is_last: bool, known: usize) {
        let (first, last) = (load(data, field), load(data, after - 8));
        let hash = first.wrapping_mul(SPREAD) ^ last;
        let index = |hash: u64| (hash.wrapping_mul(SPREAD) >> (64 - BITS)) as usize;
        let place = self.place(field);
        let mut seen = core::mem::replace(&mut self.fields[index(hash)], place);
        if is_last {
            // Preferably where the next span had the same length: the copy then goes on into it.
            let next = load(data, after) << 40;
            let with_next = &mut self.fields[index(hash ^ next)];
            let seen_with_next = core::mem::replace(with_next, place);
            let distance = self.distance(field, seen_with_next);
            if distance != 0 && load(data, after - distance) << 40 == next {
                seen = seen_with_next;
            }
        }
        let key = ((first >> 16).wrapping_mul(SPREAD) >> 56) as usize;
        let seen_key = core::mem::replace(&mut self.keys[key], place);
        if self.next >= after {
            return;
        }
        let at = self.next.max(field);
        let distance = self.distance(field, seen);
        let is_seen = (distance != 0) & (load(data, after.wrapping_sub(8 + distance)) == last);
        if !(is_seen && self.try_copy(data, at, distance, known)) && at == field {
            let distance = self.distance(field, seen_key);
            if distance != 0 {
                self.try_copy(data, at, distance, known);
            }
        }
        if self.next.max(field) + MIN_SEARCH <= after {
            self.anything(data, field, after, known);
        }
    }

    /// Adds a copy of the bytes that match `distance` before `at`, if they are enough.
    #[inline(always)]
    fn try_copy(&mut self, data: &Window, at: usize, distance: usize, known: usize) -> bool {
        let len = matching(data, at, distance, known.min(at + AHEAD));
        let enough = len >= MIN_MATCH;
        if enough {
            self.copy(data, at, len, distance);
        }
        enough
    }

    /// Adds a copy of `len` bytes, and of the matching bytes before them.
    #[inline(always)]
    fn copy(&mut self, data: &Window, at: usize, len: usize, distance: usize) {
        let mut before = 0;
        if let Some(start) = at.checked_sub(8).filter(|&start| start >= distance) {
            let differs = load(data, start) ^ load(data, start - distance);
            before = (differs.leading_zeros() as usize / 8).min(at - self.next);
        }
        let start = at - before;
        self.tokens
            .push(data, self.next, start, len + before, distance);
        self.next = at + len;
    }

    #[inline(always)]
    const fn place(&self, at: usize) -> u16 {
        (at as u16).wrapping_add(self.base)
    }

    /// The distance from `at` back to the place of an entry; 0 if no copy can come from there.
    #[inline(always)]
    const fn distance(&self, at: usize, entry: u16) -> usize {
        let distance = self.place(at).wrapping_sub(entry) as usize;
        if distance > MAX_DISTANCE || distance > at {
            0
        } else {
            distance
        }
    }
}

/// The end of the field that begins at `field`. It has a length, as all fields of a span after the
/// fixed start.
#[inline(always)]
fn after_field(data: &Window, field: usize) -> Option<usize> {
    let head = load(data, field) as usize;
    if head & 7 != 2 {
        return None;
    }
    let (low, high) = (head >> 8 & 255, head >> 16 & 255);
    if low < 128 {
        Some(field + 2 + low)
    } else if high < 128 {
        Some(field + 3 + (low - 128 + high * 128))
    } else {
        None
    }
}

/// Eight bytes, the first one lowest. Behind the data it wraps around, which is cheaper than a
/// check and harmless, because loaded bytes are compared before they are used.
#[inline(always)]
fn load(data: &Window, at: usize) -> u64 {
    let at = at & (CAPACITY - 1);
    let eight = data.get(at..).and_then(<[u8]>::first_chunk);
    eight.map_or(0, |eight| u64::from_le_bytes(*eight))
}

/// Four times eight bytes, as [`load`] loads them.
#[inline(always)]
fn load_four(data: &Window, at: usize) -> [u64; 4] {
    let at = at & (CAPACITY - 1);
    let all: &[u8; 32] = match data.get(at..).and_then(<[u8]>::first_chunk) {
        Some(all) => all,
        None => return [0; 4],
    };
    core::array::from_fn(|n| {
        let eight = all.get(8 * n..).and_then(<[u8]>::first_chunk);
        eight.map_or(0, |eight| u64::from_le_bytes(*eight))
    })
}

/// The number of bytes from `at` up to `end` that match the bytes `distance` before.
///
/// Each turn compares 32 bytes, so that most copies take one or two: a mispredicted end of the loop
/// costs more than the comparison.
#[inline(always)]
fn matching(data: &Window, at: usize, distance: usize, end: usize) -> usize {
    let mut here = at;
    while here < end {
        let (ahead, before) = (load_four(data, here), load_four(data, here - distance));
        let words: [u64; 4] = core::array::from_fn(|n| ahead[n] ^ before[n]);
        if words[0] | words[1] | words[2] | words[3] != 0 {
            let equal = |word: u64| word.trailing_zeros() as usize / 8;
            let mut same = 24 + equal(words[3]);
            for n in [2, 1, 0] {
                same = if words[n] == 0 {
                    same
                } else {
                    8 * n + equal(words[n])
                };
            }
            here += same;
            break;
        }
        here += 32;
    }
    here.min(end).saturating_sub(at)
}

#[cfg(test)]
mod tests {
    use super::super::window::boxed;
    use super::*;
    use crate::span::stored::{FLAGS, TEMPLATE};
    use std::vec::Vec;

    /// A span with its tag and length, and with an attribute before the last.
    fn span(trace: u8, id: [u8; 8], times: [u64; 2], parent: [u8; 8], value: &[u8]) -> Vec<u8> {
        let mut body = TEMPLATE.to_vec();
        body[FLAGS] = 3;
        body[SPAN_ID..SPAN_ID + 8].copy_from_slice(&id);
        body[START..START + 8].copy_from_slice(&times[0].to_le_bytes());
        body[END..END + 8].copy_from_slice(&times[1].to_le_bytes());
        body[TRACE_ID..TRACE_ID + 16].fill(trace);
        for (tag, field) in [
            (PARENT_TAG, &parent[..]),
            (0x2a, b"a.name.of.a.span"),
            (0x4a, value),
            (0x4a, b"\x0a\x06app.ok\x12\x02\x10\x01"),
        ] {
            body.extend([tag, field.len() as u8]);
            body.extend(field);
        }
        let mut field = Vec::from([0x12, 0x80 | body.len() as u8, body.len() as u8 >> 7]);
        field.extend(body);
        field
    }

    /// The literals that are left of the last of `spans`.
    fn literals_of_last(spans: &[Vec<u8>]) -> Vec<u8> {
        let mut data: Box<Window> = boxed();
        // Something is before the first one.
        let mut filled = 16;
        for span in spans {
            data[filled..filled + span.len()].copy_from_slice(span);
            filled += span.len();
        }
        let mut finder = Finder::new();
        let mut at = 16;
        let mut known = 0;
        for span in spans {
            finder.take(&data, at);
            known = finder.tokens.literals().len();
            finder.span(&data, at + 3, at + span.len(), filled);
            at += span.len();
        }
        finder.take(&data, filled);
        assert_eq!(finder.next(), filled);
        finder.tokens.literals()[known..].to_vec()
    }

    const START_TIME: u64 = 1_790_000_000_123_456_789;
    const ROUTE: &[u8] = b"\x0a\x05route\x12\x0a\x0a\x08/baskets";
    const OTHER: &[u8] = b"\x0a\x05route\x12\x08\x0a\x06/users";

    fn child(n: u8, value: &[u8]) -> Vec<u8> {
        let start = START_TIME + 0x1_0101 * u64::from(n);
        let times = [start, start + 0x1010 * u64::from(n)];
        span(7, [n, 1, n, 2, n, 3, n, 4], times, [9; 8], value)
    }

    #[test]
    fn of_a_sibling_only_the_id_and_the_times_are_news() {
        let left = literals_of_last(&[child(1, ROUTE), child(2, ROUTE)]);
        // The id, the tag of the start, three bytes of the start and as many of the end.
        assert_eq!(left.len(), 8 + 1 + 3 + 3, "{left:x?}");
    }

    #[test]
    fn a_value_is_found_in_whichever_span_had_it() {
        let spans = [
            child(1, ROUTE),
            child(2, OTHER),
            child(3, OTHER),
            child(4, ROUTE),
        ];
        let left = literals_of_last(&spans);
        assert!(left.len() <= 8 + 1 + 3 + 3 + 3, "{left:x?}");
    }

    #[test]
    fn a_new_value_costs_itself_and_not_its_key() {
        let left = literals_of_last(&[
            child(1, ROUTE),
            child(2, b"\x0a\x05route\x12\x0a\x0a\x08/XYZXYZX"),
        ]);
        assert!(left.ends_with(b"XYZXYZX"), "{left:x?}");
        assert!(left.len() <= 8 + 1 + 3 + 3 + 8, "{left:x?}");
    }

    #[test]
    fn spans_of_traces_that_alternate_are_found_by_their_trace() {
        let of = |trace: u8, n: u8| {
            let start = START_TIME + 0x1_0101 * u64::from(n);
            span(
                trace,
                [n, 1, n, 2, n, 3, n, 4],
                [start, start + 9],
                [trace; 8],
                ROUTE,
            )
        };
        let left = literals_of_last(&[of(1, 1), of(2, 2), of(1, 3), of(2, 4)]);
        assert!(left.len() <= 8 + 1 + 3 + 3, "{left:x?}");
    }

    #[test]
    fn the_id_of_a_root_is_found_with_its_children() {
        let start = START_TIME + 0x5_0505;
        let root = span(7, [9; 8], [start, start + 0x99], [0; 8], ROUTE);
        let left = literals_of_last(&[child(1, ROUTE), child(2, ROUTE), root]);
        assert!(!left.windows(4).any(|four| four == [9; 4]), "{left:x?}");
    }
}
