//! Spans as a text for snapshots.

use core::fmt;
use std::string::String;
use std::time::SystemTime;
use std::vec::Vec;

use crate::hosted::export::{AttributeValue, SpanData};
use crate::span::SpanKind;

/// Captured spans as a tree, one span in a line, in the order of their starts:
///
/// ```text
/// order.place (server) order.items=3
/// ├─ ◆ stock.reserved warehouse="north"
/// ├─ stock.reserve ✓
/// └─ payment.charge (client) ✗ declined
/// mail.send → order.place
/// ```
///
/// `◆` is an event, `→` a link, `✓` and `✗` the status; a kind that is internal is left out. A span
/// whose parent is not among the spans begins with `…`.
#[derive(Clone, Copy, Debug)]
pub struct Tree<'a> {
    spans: &'a [SpanData],
    times: Times,
}

/// How times are shown.
#[derive(Clone, Copy, Debug)]
enum Times {
    Never,
    Numbered,
    FromFirst,
}

impl<'a> Tree<'a> {
    pub(super) const fn new(spans: &'a [SpanData]) -> Self {
        Self {
            spans,
            times: Times::Never,
        }
    }

    /// Shows starts, ends and events as numbers in their order, such as `t0..t3`: the same for the
    /// same order, however long it took.
    #[must_use]
    pub const fn with_times(mut self) -> Self {
        self.times = Times::Numbered;
        self
    }

    /// Shows starts, ends and events as times after the first start, such as `5ms..25ms`: the same
    /// each time with a [virtual clock](super::Capture::virtual_clock).
    #[must_use]
    pub const fn with_offsets(mut self) -> Self {
        self.times = Times::FromFirst;
        self
    }

    fn write_time(
        &self,
        f: &mut fmt::Formatter<'_>,
        times: &[SystemTime],
        at: SystemTime,
    ) -> fmt::Result {
        match self.times {
            Times::Never => Ok(()),
            Times::Numbered => write!(f, "t{}", place(times, at)),
            Times::FromFirst => {
                let first = times.first().copied().unwrap_or(at);
                write!(f, "{:?}", at.duration_since(first).unwrap_or_default())
            }
        }
    }

    const fn has_times(&self) -> bool {
        !matches!(self.times, Times::Never)
    }

    fn write_span(
        &self,
        f: &mut fmt::Formatter<'_>,
        times: &[SystemTime],
        span: &SpanData,
        first: &str,
        rest: &str,
    ) -> fmt::Result {
        write!(f, "{first}{}", span.name)?;
        match span.kind {
            SpanKind::Internal => {}
            kind => write!(f, " ({})", word(kind))?,
        }
        if self.has_times() {
            f.write_str(" ")?;
            self.write_time(f, times, span.start_time)?;
            f.write_str("..")?;
            self.write_time(f, times, span.end_time)?;
        }
        write_attributes(f, &span.attributes)?;
        match &span.status {
            None => {}
            Some(Ok(())) => f.write_str(" ✓")?,
            Some(Err(text)) if text.is_empty() => f.write_str(" ✗")?,
            Some(Err(text)) => write!(f, " ✗ {text}")?,
        }
        for link in &span.links {
            let target = self.spans.iter().find(|other| {
                other.context.span_id() == link.context.span_id()
                    && other.context.trace_id() == link.context.trace_id()
            });
            let name = target.map_or("another trace", |target| target.name.as_str());
            write!(f, " → {name}")?;
            write_attributes(f, &link.attributes)?;
        }
        f.write_str("\n")?;
        let children: Vec<_> = self.children(span).collect();
        let lines = span.events.len() + children.len();
        for (number, event) in (1..).zip(&span.events) {
            let branch = if number == lines {
                "└─ "
            } else {
                "├─ "
            };
            write!(f, "{rest}{branch}◆ {}", event.name)?;
            if self.has_times() {
                f.write_str(" ")?;
                self.write_time(f, times, event.time)?;
            }
            write_attributes(f, &event.attributes)?;
            f.write_str("\n")?;
        }
        for (number, child) in (span.events.len() + 1..).zip(children) {
            let is_last = number == lines;
            let (branch, below) = if is_last {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            let first = std::format!("{rest}{branch}");
            let below = std::format!("{rest}{below}");
            self.write_span(f, times, child, &first, &below)?;
        }
        Ok(())
    }

    fn children(&self, parent: &'a SpanData) -> impl Iterator<Item = &'a SpanData> {
        self.spans.iter().filter(move |span| {
            self.parent(span)
                .is_some_and(|it| core::ptr::eq(it, parent))
        })
    }

    /// The parent, if it is among the spans.
    fn parent(&self, span: &SpanData) -> Option<&'a SpanData> {
        let id = span.parent_span_id?;
        let trace_id = span.context.trace_id();
        self.spans.iter().find(|other| {
            // A span that is its own parent must not end in a circle.
            other.context.span_id() == id
                && other.context.trace_id() == trace_id
                && other.context.span_id() != span.context.span_id()
        })
    }
}

impl fmt::Display for Tree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut times = Vec::new();
        for span in self.spans {
            times.extend([span.start_time, span.end_time]);
            times.extend(span.events.iter().map(|event| event.time));
        }
        times.sort_unstable();
        times.dedup();
        for span in self.spans {
            match (self.parent(span), span.parent_span_id) {
                (Some(_), _) => {}
                (None, Some(_)) => self.write_span(f, &times, span, "… ", "")?,
                (None, None) => self.write_span(f, &times, span, "", "")?,
            }
        }
        Ok(())
    }
}

fn place(times: &[SystemTime], at: SystemTime) -> usize {
    times.iter().take_while(|time| **time < at).count()
}

const fn word(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Internal => "internal",
        SpanKind::Server => "server",
        SpanKind::Client => "client",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
    }
}

fn write_attributes(
    f: &mut fmt::Formatter<'_>,
    attributes: &[(String, AttributeValue)],
) -> fmt::Result {
    for (key, value) in attributes {
        write!(f, " {key}={value:?}")?;
    }
    Ok(())
}
