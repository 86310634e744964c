//! A writer that adds ids to what passes.

use core::fmt::{self, Write};

use tracing_subscriber::fmt::format::Writer;

use crate::context::SpanContext;

/// The ids of a line.
pub(super) struct Ids {
    pub(super) span: SpanContext,
    pub(super) has_colours: bool,
}

impl Ids {
    /// As `fmt` shows fields.
    pub(super) fn write_behind(&self, to: &mut Writer<'_>) -> fmt::Result {
        let (name, dim, end) = self.styles();
        let (trace, span) = (self.span.trace_id(), self.span.span_id());
        write!(to, " {name}trace_id{end}{dim}={end}{trace}")?;
        write!(to, " {name}span_id{end}{dim}={end}{span}")
    }

    /// As `fmt` shows spans in its pretty form.
    pub(super) fn write_line(&self, to: &mut Writer<'_>) -> fmt::Result {
        let (name, dim, end) = self.styles();
        let (trace, span) = (self.span.trace_id(), self.span.span_id());
        write!(to, "\n    {dim}with{end} {name}trace_id{end}: {trace}")?;
        write!(to, ", {name}span_id{end}: {span}")
    }

    /// As members of an object that has just begun.
    fn write_members(&self, to: &mut Writer<'_>) -> fmt::Result {
        let (trace, span) = (self.span.trace_id(), self.span.span_id());
        write!(to, "\"trace_id\":\"{trace}\",\"span_id\":\"{span}\"")
    }

    /// For names, for what is between them, and the end of both.
    const fn styles(&self) -> (&'static str, &'static str, &'static str) {
        match self.has_colours {
            true => ("\u{1b}[3m", "\u{1b}[2m", "\u{1b}[0m"),
            false => ("", "", ""),
        }
    }
}

/// Passes text on, but line feeds only once more text follows.
pub(super) struct Adding<'a, 'w> {
    writer: &'a mut Writer<'w>,
    ids: &'a Ids,
    state: State,
    line_feeds: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The first text may begin an object.
    Start,
    /// An object has begun, and the ids are its first members.
    Begun,
    /// The ids have been written.
    Done,
    /// The ids come at the end.
    Text,
}

impl<'a, 'w> Adding<'a, 'w> {
    pub(super) const fn new(writer: &'a mut Writer<'w>, ids: &'a Ids) -> Self {
        Self {
            writer,
            ids,
            state: State::Text,
            line_feeds: 0,
        }
    }

    /// Has the ids go into an object, if what comes is one.
    pub(super) const fn look_for_an_object(&mut self) {
        self.state = State::Start;
    }

    /// Adds the ids by `write`, if they are not there yet, and the line feeds of the end.
    pub(super) fn end(
        &mut self,
        write: impl FnOnce(&Ids, &mut Writer<'_>) -> fmt::Result,
    ) -> fmt::Result {
        if let State::Start | State::Text = self.state {
            write(self.ids, self.writer)?;
        }
        self.release()
    }

    fn release(&mut self) -> fmt::Result {
        for _ in 0..core::mem::take(&mut self.line_feeds) {
            self.writer.write_char('\n')?;
        }
        Ok(())
    }

    /// Returns what is left of `text`.
    fn begin<'t>(&mut self, text: &'t str) -> Result<&'t str, fmt::Error> {
        let mut text = text;
        if self.state == State::Start && !text.is_empty() {
            self.state = State::Text;
            if let Some(rest) = text.strip_prefix('{') {
                self.writer.write_char('{')?;
                self.ids.write_members(self.writer)?;
                self.state = State::Begun;
                text = rest;
            }
        }
        let next = text.trim_start().chars().next();
        if let (State::Begun, Some(next)) = (self.state, next) {
            self.state = State::Done;
            if next != '}' {
                self.writer.write_char(',')?;
            }
        }
        Ok(text)
    }
}

impl Write for Adding<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let text = self.begin(text)?;
        let body = text.trim_end_matches('\n');
        if !body.is_empty() {
            self.release()?;
            self.writer.write_str(body)?;
        }
        self.line_feeds += text.len() - body.len();
        Ok(())
    }
}
