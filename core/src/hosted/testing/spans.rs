//! Captured spans.

use core::fmt::Debug;
use core::ops::Deref;
use std::string::String;
use std::vec::Vec;

use super::tree::Tree;
use crate::hosted::export::{AttributeValue, SpanData};

/// Captured spans, in the order of their starts. It is a slice of [`SpanData`].
#[derive(Clone, Debug, PartialEq)]
pub struct Spans(Vec<SpanData>);

impl Spans {
    pub(super) fn new(mut spans: Vec<SpanData>) -> Self {
        // Stable, so that spans of one instant stay as they ended.
        spans.sort_by_key(|span| span.start_time);
        Self(spans)
    }

    /// The spans with this name.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a SpanData> {
        self.0.iter().filter(move |span| span.name == name)
    }

    /// The only span with this name.
    ///
    /// # Panics
    ///
    /// There is none, or more than one; the message shows all spans.
    #[must_use]
    #[track_caller]
    #[allow(clippy::panic, reason = "it is an assertion")]
    pub fn one(&self, name: &str) -> &SpanData {
        let mut found = self.0.iter().filter(|span| span.name == name);
        match (found.next(), found.count()) {
            (Some(span), 0) => span,
            (None, _) => panic!("there is no span {name:?}, only\n{}", self.tree()),
            (Some(_), more) => panic!(
                "there are {} spans {name:?}, and not one:\n{}",
                more + 1,
                self.tree()
            ),
        }
    }

    /// The children of a span, in the order of their starts.
    pub fn children<'a>(&'a self, parent: &'a SpanData) -> impl Iterator<Item = &'a SpanData> {
        self.0.iter().filter(move |span| {
            span.parent_span_id == Some(parent.context.span_id())
                && span.context.trace_id() == parent.context.trace_id()
        })
    }

    /// The spans as a text that is the same for the same work: without ids and times.
    #[must_use]
    pub fn tree(&self) -> Tree<'_> {
        Tree::new(&self.0)
    }

    /// Compares the [tree](Self::tree) with a text. An indentation of all its lines, and empty lines at
    /// its start and end, do not count.
    ///
    /// # Panics
    ///
    /// They differ; the message shows both, and marks the first line that differs.
    #[track_caller]
    #[allow(clippy::panic, reason = "it is an assertion")]
    pub fn assert_tree(&self, expected: &str) {
        let actual = std::format!("{}", self.tree());
        let expected = unindented(expected);
        if actual.trim_end() == expected {
            return;
        }
        let differs = actual
            .lines()
            .zip(expected.lines())
            .take_while(|(left, right)| left == right)
            .count();
        let marked = |text: &str| {
            let mut marked = String::new();
            for (number, line) in text.lines().enumerate() {
                let mark = if number == differs { "> " } else { "  " };
                marked.push_str(mark);
                marked.push_str(line);
                marked.push('\n');
            }
            marked
        };
        panic!(
            "the spans are not the ones that are expected; they are\n{}and should be\n{}",
            marked(&actual),
            marked(&expected)
        );
    }
}

impl SpanData {
    /// Checks an attribute: `span.assert_attribute("order.items", 3)`. Returns the span, for more.
    ///
    /// # Panics
    ///
    /// It has another value, or is missing; the message shows all attributes of the span.
    #[track_caller]
    #[allow(clippy::panic, reason = "it is an assertion")]
    pub fn assert_attribute<T>(&self, key: &str, expected: T) -> &Self
    where
        AttributeValue: PartialEq<T>,
        T: Debug,
    {
        match self.attribute(key) {
            Some(value) if *value == expected => self,
            Some(value) => panic!(
                "span {:?}: {key} is {value:?} and not {expected:?}; its attributes are {:?}",
                self.name, self.attributes
            ),
            None => panic!(
                "span {:?} has no attribute {key}, which should be {expected:?}; its attributes are {:?}",
                self.name, self.attributes
            ),
        }
    }
}

impl Deref for Spans {
    type Target = [SpanData];

    fn deref(&self) -> &[SpanData] {
        &self.0
    }
}

impl IntoIterator for Spans {
    type Item = SpanData;
    type IntoIter = std::vec::IntoIter<SpanData>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

fn unindented(text: &str) -> String {
    let lines = || text.lines().skip_while(|line| line.trim().is_empty());
    let indentation = |line: &str| line.len() - line.trim_start().len();
    let common = lines()
        .filter(|line| !line.trim().is_empty())
        .map(indentation)
        .min()
        .unwrap_or(0);
    let mut result = String::new();
    for line in lines() {
        result.push_str(line.get(common..).unwrap_or_default().trim_end());
        result.push('\n');
    }
    result.truncate(result.trim_end().len());
    result
}
