//! A format of `tracing-subscriber` with the ids of the event's span.

use core::any::TypeId;
use core::fmt;

use ::tracing::{Event, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{Compact, Format, FormatEvent, FormatFields, Full, Writer};
use tracing_subscriber::registry::LookupSpan;

use super::TraceIds;
use super::writer::{Adding, Ids};
use crate::context::SpanContext;
use crate::hosted::layer;

/// A format of `tracing-subscriber`'s `fmt`, and the ids of the event's span in each line; see the
/// [module](super).
///
/// Colours follow the `fmt` layer's `with_ansi`.
#[derive(Clone, Debug)]
pub struct LogIds<F> {
    format: F,
    /// The same with colours: the writer does not pass on by itself that they are wanted.
    coloured: Option<F>,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// Behind the text, like fields: ` trace_id=.. span_id=..`.
    Behind,
    /// The first two members of an object. If there is none, a line of their own, like a span:
    /// `    with trace_id: .., span_id: ..`.
    MembersOrLine,
}

impl<L: Clone + 'static, T: Clone> LogIds<Format<L, T>> {
    /// Puts the ids into the lines of a format that `tracing-subscriber` brings: behind the text for full
    /// and compact, in a line of their own for pretty, as the first members of the object for JSON.
    ///
    /// ```
    /// use spandrel_core::hosted::log_ids::LogIds;
    /// use tracing_subscriber::fmt;
    ///
    /// let layer = fmt::layer::<tracing_subscriber::Registry>()
    ///     .compact()
    ///     .map_event_format(LogIds::new);
    /// # drop(layer);
    /// ```
    #[must_use]
    pub fn new(format: Format<L, T>) -> Self {
        let form = TypeId::of::<L>();
        let is_line = form == TypeId::of::<Full>() || form == TypeId::of::<Compact>();
        Self {
            coloured: Some(format.clone().with_ansi(true)),
            format,
            // The types of the forms pretty and JSON have no names without features that the program may
            // not want. They write blanks and a brace first.
            place: match is_line {
                true => Place::Behind,
                false => Place::MembersOrLine,
            },
        }
    }
}

impl<F> LogIds<F> {
    /// Puts the ids behind the text of a format of the program's own. It writes without colours.
    #[must_use]
    pub const fn text(format: F) -> Self {
        Self {
            format,
            coloured: None,
            place: Place::Behind,
        }
    }

    /// Puts the ids into the JSON of a format of the program's own, which writes one object: they become
    /// its first members.
    #[must_use]
    pub const fn json(format: F) -> Self {
        Self {
            format,
            coloured: None,
            place: Place::MembersOrLine,
        }
    }
}

/// The ids of the event's span.
fn ids_of<S, N>(event: &Event<'_>, ctx: &FmtContext<'_, S, N>) -> Option<SpanContext>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    if event.is_contextual() {
        return TraceIds::current().span_context();
    }
    let parent = event.parent()?;
    let context = layer::context_of(parent, ctx.metadata(parent)?)?;
    TraceIds::from(context.span_context()).span_context()
}

impl<S, N, F> FormatEvent<S, N> for LogIds<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(span) = ids_of(event, ctx) else {
            return self.format.format_event(ctx, writer, event);
        };
        let has_colours = writer.has_ansi_escapes();
        let format = match &self.coloured {
            Some(coloured) if has_colours => coloured,
            _ => &self.format,
        };
        let ids = Ids {
            span,
            has_colours: has_colours && self.coloured.is_some(),
        };
        let mut adding = Adding::new(&mut writer, &ids);
        if let Place::MembersOrLine = self.place {
            adding.look_for_an_object();
        }
        format.format_event(ctx, Writer::new(&mut adding), event)?;
        adding.end(match self.place {
            Place::Behind => Ids::write_behind,
            Place::MembersOrLine => Ids::write_line,
        })
    }
}
