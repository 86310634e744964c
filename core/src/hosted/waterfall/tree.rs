//! Who is whose child, and in which order they are drawn.

use std::collections::{BTreeMap, BTreeSet};
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use super::bar::Axis;
use super::view::SpanView;

/// Levels that are indented; deeper ones are drawn below each other. It bounds what a trace of
/// one long chain takes, and no terminal has room for more.
const MAX_INDENT: usize = 32;

/// The part of a trace's length by which a span may lie outside its parent. Clocks are compared
/// again and again, so equal moments in spans that were sent at different times become dates that
/// differ by a microsecond. Durations are shown with three digits, and a column is far wider.
const SLACK: u64 = 1_000;

/// A span's place in the drawing.
#[derive(Debug)]
pub(super) struct Node {
    /// Its index among the spans of the trace.
    pub(super) span: usize,
    /// The lines of the tree on its own row.
    pub(super) first: String,
    /// The lines of the tree on the rows of its details.
    pub(super) below: String,
    /// Whether it names a parent that is not there.
    pub(super) orphan: bool,
    /// Whether it begins before its parent or ends after it, by more than can be seen.
    pub(super) outside: bool,
}

/// The spans of one trace, parents before children, siblings by start.
///
/// Every span is drawn exactly once, whatever the ids say: one without its parent is a root, the
/// children of an id that came twice belong to the first, and a ring of parents is opened at its
/// earliest span.
pub(super) fn forest(spans: &[&SpanView<'_>], axis: &Axis) -> Vec<Node> {
    let slack = axis.length() / SLACK;
    let mut order: Vec<usize> = (0..spans.len()).collect();
    // Of those that start together the longest first; then by id, to be the same every time.
    order.sort_by_key(|&i| {
        spans.get(i).map(|span| {
            let end = std::cmp::Reverse(span.end);
            (span.start, end, span.span_id, span.name)
        })
    });
    let span = |i: usize| spans.get(i).copied();

    let mut by_id = BTreeMap::<&[u8], usize>::new();
    for &i in &order {
        if let Some(span) = span(i).filter(|span| !span.span_id.is_empty()) {
            by_id.entry(span.span_id).or_insert(i);
        }
    }
    let parent_of = |i: usize| span(i).and_then(|s| by_id.get(s.parent_span_id).copied());
    let mut children = BTreeMap::<usize, Vec<usize>>::new();
    let mut roots = Vec::new();
    for &i in &order {
        match parent_of(i) {
            Some(parent) => children.entry(parent).or_default().push(i),
            None => roots.push(i),
        }
    }

    let mut nodes = Vec::new();
    let mut drawn = BTreeSet::new();
    // The roots, then whatever no root leads to: rings.
    for root in roots.into_iter().chain(order.iter().copied()) {
        // A stack and not recursion: the depth is the sender's to choose.
        let mut stack = vec![(root, 0, String::new(), String::new())];
        while let Some((i, depth, first, base)) = stack.pop() {
            if !drawn.insert(i) {
                continue;
            }
            let Some(own) = span(i) else { continue };
            let parent = parent_of(i);
            let orphan = parent.is_none() && !own.parent_span_id.is_empty();
            let below: Vec<usize> = children
                .get(&i)
                .into_iter()
                .flatten()
                .copied()
                .filter(|child| !drawn.contains(child))
                .collect();
            nodes.push(Node {
                span: i,
                first: if orphan { "╌".into() } else { first },
                below: base.clone() + if below.is_empty() { " " } else { "│" },
                orphan,
                outside: parent
                    .and_then(span)
                    .is_some_and(|p| is_outside(own, p, slack)),
            });
            for (n, &child) in below.iter().rev().enumerate() {
                let (fork, line) = if n == 0 {
                    ("└─", "  ")
                } else {
                    ("├─", "│ ")
                };
                let line = if depth < MAX_INDENT { line } else { "" };
                let place = (format!("{base}{fork}"), format!("{base}{line}"));
                stack.push((child, depth + 1, place.0, place.1));
            }
        }
    }
    nodes
}

fn is_outside(span: &SpanView<'_>, parent: &SpanView<'_>, slack: u64) -> bool {
    parent.start.saturating_sub(span.start) > slack || span.end.saturating_sub(parent.end) > slack
}
