//! Traces as text: a tree of spans, and a bar for each on a common time axis.
//!
//! ```text
//! trace 5b8efff798038103d269b633813fc60c · 4 spans · 1.20 s · 2 errors
//!                                               0         300 ms    600 ms    900 ms
//! shop     ✗ POST /orders (server)      1.20 s  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
//!          │    http.request.method=POST  http.route=/orders
//!          ├─✓ reserve stock            300 ms  ┊╺━━━━━━━━━╸        ┊         ┊
//!          │ └─• SELECT stock (client)  200 ms  ┊  ━━━━━━━┊         ┊         ┊
//!          │        db.system.name=postgresql
//! payment  └─✗ charge (client)          750 ms  ┊         ┊  ━━━━━━━◆━━━━━━━━━━━━━━━━━◆
//!                 ✗ card declined
//!                 ◆ retry +600 ms  ◆ exception +1.14 s
//! ```
//!
//! `✓` ok, `✗` error, `•` no status; `◆` an event, on the bar and by name below with the time
//! since the start of the trace. A service is named where it changes. What is odd is drawn and
//! explained below the trace: a parent that did not arrive, a span outside its parent. Text from
//! spans is cleaned of control characters, so that a name cannot drive the terminal.

mod bar;
mod text;
mod tree;

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::ReceivedSpan;
use bar::{Axis, Lane};
use text::{attributes, cell, clean, duration, fit, right, width_of};
use tree::{Node, forest};

/// The narrowest drawing that can be read.
const MIN_WIDTH: usize = 60;
/// Columns of the durations, with their mark.
const DURATION: usize = 9;
/// Columns that the service names can take.
const MAX_SERVICE: usize = 14;

/// The spans as one waterfall for each trace, oldest first, in lines of at most `width` columns
/// (at least 60), without colour. The order of `spans` does not matter.
#[must_use]
pub fn waterfall(spans: &[ReceivedSpan], width: usize) -> String {
    draw(spans, width, Palette { colour: false })
}

/// [`waterfall`] with ANSI colours: errors red, details faint.
#[must_use]
pub fn waterfall_in_colour(spans: &[ReceivedSpan], width: usize) -> String {
    draw(spans, width, Palette { colour: true })
}

fn draw(spans: &[ReceivedSpan], width: usize, palette: Palette) -> String {
    let mut traces = BTreeMap::<&[u8], Vec<&ReceivedSpan>>::new();
    for span in spans {
        traces.entry(&span.span.trace_id).or_default().push(span);
    }
    let mut traces: Vec<Trace<'_>> = traces.into_values().map(Trace::new).collect();
    // Stable: traces that start together stay in the order of their ids.
    traces.sort_by_key(|trace| trace.axis.start);
    let mut out = Output {
        text: String::new(),
        palette,
    };
    for (i, trace) in traces.iter().enumerate() {
        if i > 0 {
            out.line("");
        }
        trace.draw(width.max(MIN_WIDTH), &mut out);
    }
    out.text
}

/// One trace, ready to be drawn.
struct Trace<'a> {
    spans: Vec<&'a ReceivedSpan>,
    nodes: Vec<Node>,
    axis: Axis,
}

/// The columns of a trace.
struct Layout {
    service: usize,
    label: usize,
    lane: Lane,
    width: usize,
}

impl<'a> Trace<'a> {
    fn new(spans: Vec<&'a ReceivedSpan>) -> Self {
        let nodes = forest(&spans);
        let axis = Axis::around(spans.iter().map(|span| &span.span));
        Self { spans, nodes, axis }
    }

    fn draw(&self, width: usize, out: &mut Output) {
        let layout = self.layout(width);
        out.line(&fit(&self.title(), layout.width));
        let indent = layout.service + layout.label + DURATION;
        let ticks = layout.lane.ticks(&self.axis);
        out.line(&out.palette.faint(&format!("{:indent$} {ticks}", "")));
        let mut service = None;
        for node in &self.nodes {
            let Some(received) = self.spans.get(node.span) else {
                continue;
            };
            let name = Some(received.service()).filter(|name| service != Some(*name));
            service = Some(received.service());
            self.draw_span(node, received, name.unwrap_or_default(), &layout, out);
        }
        for (seen, mark, note) in [
            (
                self.nodes.iter().any(|node| node.orphan),
                "╌",
                "its parent has not arrived",
            ),
            (
                self.nodes.iter().any(|node| node.outside),
                "!",
                "outside its parent: it outlived it, or the clocks differ",
            ),
        ] {
            if seen {
                out.line(&out.palette.faint(&format!("{mark} {note}")));
            }
        }
    }

    fn title(&self) -> String {
        let count = |n: usize, what: &str| match n {
            1 => format!("1 {what}"),
            n => format!("{n} {what}s"),
        };
        let id = self.spans.first().map_or(&[][..], |s| &s.span.trace_id);
        let errors = self.spans.iter().filter(|s| code(&s.span) == 2).count();
        let mut parts = vec![
            format!("trace {}", text::hex(id)),
            count(self.spans.len(), "span"),
            duration(self.axis.length().into()),
        ];
        if errors > 0 {
            parts.push(count(errors, "error"));
        }
        parts.join(" · ")
    }

    /// The bars get what the names leave, and at least half.
    fn layout(&self, width: usize) -> Layout {
        let services = self
            .spans
            .iter()
            .map(|span| width_of(&clean(span.service())));
        let service = match services.max() {
            None | Some(0) => 0,
            Some(longest) => longest.min(MAX_SERVICE) + 2,
        };
        let labels = self.nodes.iter().filter_map(|node| {
            let received = self.spans.get(node.span)?;
            Some(width_of(&node.first) + 2 + width_of(&label(&received.span)))
        });
        let label = labels.max().unwrap_or(0);
        let most = (width - service - DURATION) / 2;
        let label = label.clamp(12, most.max(12));
        Layout {
            service,
            label,
            lane: Lane::new(width - service - label - DURATION - 1),
            width,
        }
    }

    fn draw_span(
        &self,
        node: &Node,
        received: &ReceivedSpan,
        service: &str,
        layout: &Layout,
        out: &mut Output,
    ) {
        let span = &received.span;
        let palette = out.palette;
        let service = match layout.service {
            0 => String::new(),
            columns => cell(&fit(&clean(service), columns - 2), columns),
        };
        let (mark, error) = match code(span) {
            1 => ("✓", false),
            2 => ("✗", true),
            _ => ("•", false),
        };
        // A deep tree keeps room for a name: the lines nearest to it are shown.
        let tree = text::fit_end(&node.first, layout.label / 2);
        let name = fit(&label(span), layout.label - width_of(&tree) - 2);
        let name = cell(&name, layout.label - width_of(&tree) - 2);
        let time = span.end_time_unix_nano as i128 - span.start_time_unix_nano as i128;
        let time = duration(time) + if node.outside { "!" } else { " " };
        let bar = layout.lane.bar(&self.axis, span);
        let line = format!(
            "{service}{}{} {}{} {}",
            palette.faint(&tree),
            palette.mark(mark, error),
            palette.mark(&name, error),
            right(&time, DURATION),
            palette.bar(&bar, error),
        );
        out.line(&line);

        let tree = text::fit_end(&node.below, layout.label / 2);
        let indent = format!("{:1$}{tree}    ", "", layout.service);
        let room = layout.width.saturating_sub(width_of(&indent));
        let message = span.status.as_ref().map_or("", |status| &status.message);
        let events = span.events.iter().map(|event| {
            let since = event.time_unix_nano as i128 - i128::from(self.axis.start);
            let sign = if since < 0 { "" } else { "+" };
            format!("◆ {} {sign}{}", clean(&event.name), duration(since))
        });
        let mut details = attributes(&span.attributes, room);
        if !message.is_empty() {
            details.push(fit(&format!("{mark} {}", clean(message)), room));
        }
        details.push(text::joined(events, room));
        for detail in details.iter().filter(|detail| !detail.is_empty()) {
            out.line(&palette.faint(&format!("{indent}{detail}")));
        }
    }
}

/// Name and kind; the kind of most spans, internal, is not worth the room.
fn label(span: &Span) -> String {
    let kind = match SpanKind::try_from(span.kind) {
        Ok(SpanKind::Server) => " (server)",
        Ok(SpanKind::Client) => " (client)",
        Ok(SpanKind::Producer) => " (producer)",
        Ok(SpanKind::Consumer) => " (consumer)",
        _ => "",
    };
    clean(&span.name) + kind
}

fn code(span: &Span) -> i32 {
    span.status.as_ref().map_or(0, |status| status.code)
}

/// Lines without blanks at their ends.
struct Output {
    text: String,
    palette: Palette,
}

impl Output {
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }
}

#[derive(Clone, Copy)]
struct Palette {
    colour: bool,
}

impl Palette {
    fn faint(self, text: &str) -> String {
        self.paint(text, "2")
    }

    fn mark(self, text: &str, error: bool) -> String {
        if error {
            self.paint(text, "31")
        } else {
            text.to_owned()
        }
    }

    /// The guides beside the bar stay as they are.
    fn bar(self, bar: &str, error: bool) -> String {
        let is_guide = |c| c == ' ' || c == bar::GUIDE;
        let inked = bar.trim_matches(is_guide);
        match bar.split_once(inked) {
            Some((before, after)) if !inked.is_empty() => {
                format!("{before}{}{after}", self.mark(inked, error))
            }
            _ => bar.to_owned(),
        }
    }

    /// Blanks at the end stay outside, where they can be trimmed.
    fn paint(self, text: &str, code: &str) -> String {
        let inked = text.trim_end();
        if !self.colour || inked.is_empty() {
            return text.to_owned();
        }
        let blanks = &text[inked.len()..];
        format!("\x1b[{code}m{inked}\x1b[0m{blanks}")
    }
}

#[cfg(test)]
mod tests;
