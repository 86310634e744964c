//! Methods of a `tracing` span beyond the macros.

use core::fmt;

use std::sync::Arc;

use ::tracing::span::Id;
use ::tracing::{Dispatch, Span};
use tracing_subscriber::registry::{LookupSpan as _, Registry};

use super::error::SetParentError;
use super::open::OpenSpans;
use super::subscriber::{Trace, TracingLayer};
use crate::attribute::{KeyValue, Value};
use crate::context::Link;
use crate::hosted::clock;
use crate::hosted::current::Context;
use crate::hosted::text::capped_text;
use crate::hosted::trace::Parent;
use crate::span::{Status, type_name};

/// Reaches the Spandrel span behind a [`tracing::Span`](Span).
///
/// Everything but [`SpanExt::set_parent`] does nothing when there is none: the `tracing` span is
/// disabled, filtered out, not sampled, or its subscriber has no [`TracingLayer`]. While nothing is
/// recorded, `set_parent` and [`context`](Self::context) pass on what came with a request.
///
/// The layer is found wherever it is in the subscriber, also in a `reload::Layer`. There the methods
/// read the extensions of the span, so a `Debug` that is called while another layer formats the
/// span's fields must not call them.
pub trait SpanExt {
    /// Sets the parent, usually the one extracted from a request; an invalid one makes a root. The
    /// values of a context, such as baggage, become current when the span is entered, and at once if
    /// the thread is in it. The
    /// sampler decides again, asked with the name, the kind and the fields that the span started with.
    ///
    /// It works until something has happened in the span: a child, an event, a call of
    /// [`context`](Self::context). The span may have been entered, so that
    /// `Span::current().set_parent(..)` works at the start of an instrumented function. A child
    /// that a [`Tracer`](crate::hosted::trace::Tracer) started is not noticed, and stays in the old
    /// trace.
    ///
    /// # Errors
    ///
    /// [`SetParentError`] if the span is not recorded, or the call comes too late. The parent stays
    /// as it was.
    fn set_parent<'a>(&self, parent: impl Into<Parent<'a>>) -> Result<(), SetParentError>;

    /// The context of the span, for propagation and as a parent elsewhere. From now on the span's
    /// own parent is final. While nothing is recorded, it is the parent's context, if there is one.
    fn context(&self) -> Option<Context>;

    /// Sets an attribute, whose key need not be a field of the span.
    fn set_attribute<'v>(&self, key: &str, value: impl Into<Value<'v>>);

    /// Sets the status, unless the present one ranks higher: `Unset < Error < Ok`.
    fn set_status(&self, status: Status<'_>);

    /// Renames the span.
    fn update_name(&self, name: &str);

    /// Adds a link to another span.
    fn add_link(&self, link: &Link<'_>);

    /// Adds an event that happens now.
    fn add_event(&self, name: &str, attributes: &[KeyValue<'_>]);

    /// Records `error` as an event `exception`. The status stays as it is.
    fn record_error<E: fmt::Display + ?Sized>(&self, error: &E);
}

impl SpanExt for Span {
    fn set_parent<'a>(&self, parent: impl Into<Parent<'a>>) -> Result<(), SetParentError> {
        let metadata = self.metadata().ok_or(SetParentError::NotRecorded)?;
        with_open(self, |open, id| {
            open.set_parent(id, metadata, parent.into())
        })
        .unwrap_or(Err(SetParentError::NotRecorded))
    }

    fn context(&self) -> Option<Context> {
        with_open(self, OpenSpans::handed_out)?
    }

    fn set_attribute<'v>(&self, key: &str, value: impl Into<Value<'v>>) {
        let value = value.into();
        with_open(self, |open, id| {
            open.with_span(id, |span| span.set_attribute(key, value));
        });
    }

    fn set_status(&self, status: Status<'_>) {
        with_open(self, |open, id| match status {
            Status::Error { description } => open.fail(id, description),
            status => open.with_span(id, |span| span.set_status(status)),
        });
    }

    fn update_name(&self, name: &str) {
        with_open(self, |open, id| {
            open.with_span(id, |span| span.update_name(name));
        });
    }

    fn add_link(&self, link: &Link<'_>) {
        with_open(self, |open, id| {
            open.with_span(id, |span| span.add_link(link));
        });
    }

    fn add_event(&self, name: &str, attributes: &[KeyValue<'_>]) {
        with_open(self, |open, id| {
            let now = clock::now();
            open.with_span(id, |span| span.add_event_at(name, attributes, now));
        });
    }

    fn record_error<E: fmt::Display + ?Sized>(&self, error: &E) {
        with_open(self, |open, id| {
            let now = clock::now();
            // Formatting runs code of the program, so no lock may be held.
            let text = capped_text(open.tracer.max_span_bytes(), format_args!("{error}"));
            let type_name = type_name::<E>();
            let attributes = [
                KeyValue::new("exception.type", type_name.unwrap_or_default()),
                KeyValue::new("exception.message", text.as_str()),
            ];
            // Not the type of a trait object, which is not known.
            let known = usize::from(type_name.is_none());
            let attributes = attributes.get(known..).unwrap_or_default();
            open.with_span(id, |span| span.add_event_at("exception", attributes, now));
        });
    }
}

fn with_open<T>(span: &Span, work: impl FnOnce(&OpenSpans, &Id) -> T) -> Option<T> {
    span.with_subscriber(|(id, subscriber)| {
        if let Some(layer) = subscriber.downcast_ref::<TracingLayer>() {
            return Some(work(layer.open(), id));
        }
        let open = behind_a_wrapper(id, subscriber)?;
        Some(work(&open, id))
    })?
}

/// The layer that left its trace in the span, because something like a `reload::Layer` hides it.
#[cold]
fn behind_a_wrapper(id: &Id, subscriber: &Dispatch) -> Option<Arc<OpenSpans>> {
    let registry = subscriber.downcast_ref::<Registry>()?;
    let span = registry.span(id)?;
    let extensions = span.extensions();
    extensions.get::<Trace>()?.0.upgrade()
}
