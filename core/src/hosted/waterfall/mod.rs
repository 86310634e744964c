//! Traces as text: a tree of spans, and a bar for each on a common time axis.
//!
//! ```text
//! trace 5b8efff798038103d269b633813fc60c · 4 spans · 1.20 s · 2 errors
//!                                               0              500 ms         1 s
//! shop     ✗ POST /orders (server)      1.20 s  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
//!          │    http.request.method=POST  http.route=/orders
//!          ├─✓ reserve stock            300 ms  ┊╺━━━━━━━━╸    ┊              ┊
//!          │ └─• SELECT stock (client)  200 ms  ┊  ━━━━━━      ┊              ┊
//!          │        db.system.name=postgresql
//! payment  └─✗ charge (client)          750 ms  ┊           ━━━━━━◆━━━━━━━━━━━━━━━━◆
//!                 ✗ card declined
//!                 ◆ retry +600 ms  ◆ exception +1.14 s
//! ```
//!
//! `✓` ok, `✗` error, `•` no status; `◆` an event, on the bar and by name below with the time
//! since the start of the trace. A service is named where it changes. What is odd is drawn and
//! explained below the trace: a parent that did not arrive, a span outside its parent. Text from
//! spans is cleaned of control characters, so that a name cannot drive the terminal.

mod bar;
mod request;
mod style;
mod text;
mod tree;
mod view;

use std::borrow::ToOwned;
use std::collections::BTreeMap;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use bar::{Axis, Lane};
pub use style::Style;
use text::{attributes, cell, clean, duration, fit, right, width_of};
use tree::{Node, forest};
pub use view::SpanView;

/// The narrowest drawing that can be read.
const MIN_WIDTH: usize = 40;
/// Columns of the durations, with their mark.
const DURATION: usize = 9;
/// Columns that the service names can take, at most a sixth of the width.
const MAX_SERVICE: usize = 14;

/// The spans as one waterfall for each trace, oldest first, in lines of at most `style.width`
/// columns (at least 40). The order of `spans` does not matter.
#[must_use]
pub fn draw(spans: &[SpanView<'_>], style: Style) -> String {
    draw_with(spans, style, "its parent has not arrived")
}

/// As [`draw`], of the spans in an encoded OTLP request. The request is one batch, so the rest of a
/// trace may be in others, which is said where a parent is missing.
#[must_use]
pub fn draw_request(request: &[u8], style: Style) -> String {
    let note = "its parent is not in this batch (more of this trace may follow)";
    draw_with(&request::spans(request), style, note)
}

fn draw_with(spans: &[SpanView<'_>], style: Style, orphan_note: &str) -> String {
    let mut traces = BTreeMap::<&[u8], Vec<&SpanView<'_>>>::new();
    for span in spans {
        traces.entry(span.trace_id).or_default().push(span);
    }
    let mut traces: Vec<Trace<'_>> = traces.into_values().map(Trace::new).collect();
    // Stable: traces that start together stay in the order of their ids.
    traces.sort_by_key(|trace| trace.axis.start);
    let mut out = Output {
        text: String::new(),
        ascii: style.ascii,
        palette: Palette {
            colour: style.colour,
        },
    };
    for (i, trace) in traces.iter().enumerate() {
        if i > 0 {
            out.line("");
        }
        trace.draw(style.width.max(MIN_WIDTH), orphan_note, &mut out);
    }
    out.text
}

/// One trace, ready to be drawn.
struct Trace<'a> {
    spans: Vec<&'a SpanView<'a>>,
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
    fn new(spans: Vec<&'a SpanView<'a>>) -> Self {
        let axis = Axis::around(spans.iter().copied());
        let nodes = forest(&spans, &axis);
        Self { spans, nodes, axis }
    }

    fn draw(&self, width: usize, orphan_note: &str, out: &mut Output) {
        let layout = self.layout(width);
        self.title(layout.width, out);
        let indent = layout.service + layout.label + DURATION;
        let ticks = layout.lane.ticks();
        out.line(&out.palette.faint(&format!("{:indent$} {ticks}", "")));
        let mut service = None;
        for node in &self.nodes {
            let Some(span) = self.spans.get(node.span) else {
                continue;
            };
            let name = Some(span.service).filter(|name| service != Some(*name));
            service = Some(span.service);
            self.draw_span(node, span, name.unwrap_or_default(), &layout, out);
        }
        for (seen, mark, note) in [
            (self.nodes.iter().any(|node| node.orphan), "╌", orphan_note),
            (
                self.nodes.iter().any(|node| node.outside),
                "!",
                "outside its parent: it outlived it, or the clocks differ",
            ),
        ] {
            let lines = text::wrap(note, layout.width - 2);
            for (n, line) in lines.iter().enumerate().filter(|_| seen) {
                let mark = if n == 0 { mark } else { " " };
                out.line(&out.palette.faint(&format!("{mark} {line}")));
            }
        }
    }

    /// On one line, or on two where the width asks for it: the id must stay whole.
    fn title(&self, width: usize, out: &mut Output) {
        let count = |n: usize, what: &str| match n {
            1 => format!("1 {what}"),
            n => format!("{n} {what}s"),
        };
        let id = self.spans.first().map_or(&[][..], |span| span.trace_id);
        let errors = self.spans.iter().filter(|span| span.status == 2).count();
        let mut parts = vec![
            count(self.spans.len(), "span"),
            duration(self.axis.length().into()),
        ];
        if errors > 0 {
            parts.push(count(errors, "error"));
        }
        let (id, parts) = (format!("trace {}", text::hex(id)), parts.join(" · "));
        if width_of(&id) + 3 + width_of(&parts) <= width {
            out.line(&format!("{id} · {parts}"));
        } else {
            out.line(&fit(&id, width));
            out.line(&fit(&format!("  {parts}"), width));
        }
    }

    /// The bars get what the names leave, and at least half.
    fn layout(&self, width: usize) -> Layout {
        let services = self.spans.iter().map(|span| width_of(&clean(span.service)));
        let service = match services.max() {
            None | Some(0) => 0,
            Some(longest) => longest.min(MAX_SERVICE).min(width / 6) + 2,
        };
        let labels = self.nodes.iter().filter_map(|node| {
            let span = self.spans.get(node.span)?;
            Some(width_of(&node.first) + 2 + width_of(&label(span)))
        });
        let label = labels.max().unwrap_or(0);
        let most = (width - service - DURATION) / 2;
        let label = label.clamp(12, most.max(12));
        Layout {
            service,
            label,
            lane: Lane::new(width - service - label - DURATION - 1, &self.axis),
            width,
        }
    }

    fn draw_span(
        &self,
        node: &Node,
        span: &SpanView<'_>,
        service: &str,
        layout: &Layout,
        out: &mut Output,
    ) {
        let palette = out.palette;
        let service = match layout.service {
            0 => String::new(),
            columns => cell(&fit(&clean(service), columns - 2), columns),
        };
        let (mark, error) = match span.status {
            1 => ("✓", false),
            2 => ("✗", true),
            _ => ("•", false),
        };
        // A deep tree keeps room for a name: the lines nearest to it are shown.
        let tree = text::fit_end(&node.first, layout.label / 2);
        let room = layout.label - width_of(&tree) - 2;
        let name = match label(span) {
            label if width_of(&label) <= room => label,
            _ => fit(&clean(span.name), room),
        };
        let name = cell(&name, room);
        let time = i128::from(span.end) - i128::from(span.start);
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
        let events = span.events.iter().map(|&(name, time)| {
            let since = i128::from(time) - i128::from(self.axis.start);
            let sign = if since < 0 { "" } else { "+" };
            format!("◆ {} {sign}{}", clean(name), duration(since))
        });
        let mut details = attributes(&span.attributes, room);
        let message = text::paragraph(&clean(span.message), room.saturating_sub(2));
        for (n, line) in message.iter().enumerate() {
            let mark = if n == 0 { mark } else { " " };
            details.push(format!("{mark} {line}"));
        }
        details.push(text::joined(events, room));
        for detail in details.iter().filter(|detail| !detail.is_empty()) {
            out.line(&palette.faint(&format!("{indent}{detail}")));
        }
    }
}

/// Name and kind; the kind of most spans, internal, is not worth the room.
fn label(span: &SpanView<'_>) -> String {
    let kind = match span.kind {
        2 => " (server)",
        3 => " (client)",
        4 => " (producer)",
        5 => " (consumer)",
        _ => "",
    };
    clean(span.name) + kind
}

/// Lines without blanks at their ends.
struct Output {
    text: String,
    ascii: bool,
    palette: Palette,
}

impl Output {
    fn line(&mut self, line: &str) {
        let line = line.trim_end();
        if self.ascii {
            self.text.push_str(&text::ascii(line));
        } else {
            self.text.push_str(line);
        }
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
