//! A trace that is not decided.

use core::time::Duration;
use std::collections::HashSet;
use std::vec::Vec;

use super::Held;
use crate::buffer::RecordFlags;
use crate::id::SpanId;
use crate::span::stored::{StoredSpan, length_prefixed};
use crate::time::Instant;
use crate::wire::{BYTES, tag};

/// OTLP's flag of a span whose parent is in another process.
const HAS_REMOTE_PARENT: u32 = 0x200;

/// The spans of a trace that have come, and what matters about them.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) number: u64,
    /// When the first span came.
    pub(super) came: Instant,
    pub(super) spans: Vec<Held>,
    pub(super) has_error: bool,
    /// A part of it was dropped before.
    pub(super) is_late: bool,
    /// The pass in which the latest local root came.
    pub(super) due_in: u64,
    /// The local roots that have ended.
    roots: Vec<SpanId>,
    /// The longest duration of a local root, in nanoseconds.
    longest: u64,
    /// From the first start to the last end, in nanoseconds of the spans' clock.
    first_start: u64,
    last_end: u64,
}

impl Trace {
    pub(super) const fn new(number: u64, came: Instant, is_late: bool) -> Self {
        Self {
            number,
            came,
            is_late,
            spans: Vec::new(),
            has_error: false,
            due_in: 0,
            roots: Vec::new(),
            longest: 0,
            first_start: u64::MAX,
            last_end: 0,
        }
    }

    pub(super) fn add(&mut self, held: Held, span: &StoredSpan<'_>, is_root: bool) {
        let (start, end) = (span.start_nanos(), span.end_nanos());
        self.has_error |= held.flags.contains(RecordFlags::ERROR);
        self.first_start = self.first_start.min(start);
        self.last_end = self.last_end.max(end);
        if is_root {
            self.longest = self.longest.max(end.saturating_sub(start));
            self.roots.push(span.span_id());
        }
        self.spans.push(held);
    }

    pub(super) const fn has_root(&self) -> bool {
        !self.roots.is_empty()
    }

    /// The longest local root's duration; without one, the time that the known spans took.
    pub(super) fn duration(&self) -> Duration {
        Duration::from_nanos(match self.has_root() {
            true => self.longest,
            false => self.last_end.saturating_sub(self.first_start),
        })
    }

    /// Takes out the spans that are not known to be below the local roots: another one's, which may
    /// have ended or not. `number` is for what is taken out.
    pub(super) fn split_off_others(&mut self, number: u64) -> Option<Self> {
        let mut below: HashSet<SpanId> = self.roots.iter().copied().collect();
        loop {
            let before = below.len();
            // Backwards, because children mostly end before their parents.
            for held in self.spans.iter().rev() {
                let Some(span) = StoredSpan::new(&held.body) else {
                    continue;
                };
                if parent_of(&span).is_some_and(|parent| below.contains(&parent)) {
                    below.insert(span.span_id());
                }
            }
            if below.len() == before || below.len() >= self.spans.len() {
                break;
            }
        }
        if below.len() >= self.spans.len() {
            return None;
        }
        let mut others = Self::new(number, self.came, true);
        let (own, rest): (Vec<Held>, Vec<Held>) = self
            .spans
            .drain(..)
            .partition(|held| id_of(held).is_none_or(|id| below.contains(&id)));
        self.spans = own;
        for held in rest {
            let body = held.body.clone();
            if let Some(span) = StoredSpan::new(&body) {
                others.add(held, &span, false);
            }
        }
        (!others.spans.is_empty()).then_some(others)
    }
}

fn id_of(held: &Held) -> Option<SpanId> {
    StoredSpan::new(&held.body).map(|span| span.span_id())
}

/// Returns true for a span without a parent, or with one in another process.
pub(super) fn is_local_root(span: &StoredSpan<'_>) -> bool {
    span.flags() & HAS_REMOTE_PARENT != 0 || parent_of(span).is_none()
}

/// The parent's id. Usually it is the first field behind the fixed ones.
fn parent_of(span: &StoredSpan<'_>) -> Option<SpanId> {
    let mut rest = span.rest();
    while let Some((found, content, end)) = length_prefixed(rest) {
        if found == tag(4, BYTES) {
            let id = rest.get(content..end)?.first_chunk::<8>()?;
            return Some(SpanId::from_bytes(*id)).filter(|id| id.is_valid());
        }
        rest = rest.get(end..)?;
    }
    None
}
