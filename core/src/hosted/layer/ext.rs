//! What a `tracing` span can do beyond the macros.

use core::fmt;

use ::tracing::Span;
use ::tracing::span::Id;

use super::error::SetParentError;
use super::subscriber::TracingLayer;
use crate::attribute::{KeyValue, Value};
use crate::context::{Link, ParentContext};
use crate::hosted::clock;
use crate::hosted::current::Context;
use crate::span::Status;

/// Reaches the Spandrel span behind a [`tracing::Span`](Span).
///
/// Everything but [`SpanExt::set_parent`] does nothing when there is none: the `tracing` span is
/// disabled, filtered out, not sampled, or its subscriber has no [`TracingLayer`].
pub trait SpanExt {
    /// Sets the parent, by preference the one extracted from a request; an invalid one makes a
    /// root. The sampler is asked again.
    ///
    /// It may come as late as nothing has happened in the span: no child, no event, no look at its
    /// context. It may have been entered, so that `Span::current().set_parent(..)` works at the
    /// start of an instrumented function. A span that a [`Tracer`](crate::hosted::trace::Tracer)
    /// started in it cannot be seen from here, and stays in the old trace.
    ///
    /// # Errors
    ///
    /// Why the parent stays what it was.
    fn set_parent<'a>(&self, parent: impl Into<ParentContext<'a>>) -> Result<(), SetParentError>;

    /// The context of the span, for spans made elsewhere and for propagation. From now on its
    /// parent is final.
    fn context(&self) -> Option<Context>;

    /// Sets an attribute, whose key need not be a field of the span.
    fn set_attribute<'v>(&self, key: &str, value: impl Into<Value<'v>>);

    /// Sets the status by its total order, `Unset < Error < Ok`.
    fn set_status(&self, status: Status<'_>);

    /// Renames the span.
    fn update_name(&self, name: &str);

    /// Adds a link to another span.
    fn add_link(&self, link: &Link<'_>);

    /// Adds an event that happens now.
    fn add_event(&self, name: &str, attributes: &[KeyValue<'_>]);

    /// Records `error` as an event `exception`. The status is left alone.
    fn record_error<E: fmt::Display + ?Sized>(&self, error: &E);
}

impl SpanExt for Span {
    fn set_parent<'a>(&self, parent: impl Into<ParentContext<'a>>) -> Result<(), SetParentError> {
        let metadata = self.metadata().ok_or(SetParentError::NotRecorded)?;
        with_layer(self, |layer, id| {
            layer.set_parent(id, metadata, parent.into())
        })
        .unwrap_or(Err(SetParentError::NotRecorded))
    }

    fn context(&self) -> Option<Context> {
        with_layer(self, TracingLayer::context)?
    }

    fn set_attribute<'v>(&self, key: &str, value: impl Into<Value<'v>>) {
        let value = value.into();
        with_layer(self, |layer, id| {
            layer.with_span(id, |span| span.set_attribute(key, value));
        });
    }

    fn set_status(&self, status: Status<'_>) {
        with_layer(self, |layer, id| match status {
            Status::Error { description } => layer.fail(id, description),
            status => layer.with_span(id, |span| span.set_status(status)),
        });
    }

    fn update_name(&self, name: &str) {
        with_layer(self, |layer, id| {
            layer.with_span(id, |span| span.update_name(name));
        });
    }

    fn add_link(&self, link: &Link<'_>) {
        with_layer(self, |layer, id| {
            layer.with_span(id, |span| span.add_link(link));
        });
    }

    fn add_event(&self, name: &str, attributes: &[KeyValue<'_>]) {
        with_layer(self, |layer, id| {
            let now = clock::now();
            layer.with_span(id, |span| span.add_event_at(name, attributes, now));
        });
    }

    fn record_error<E: fmt::Display + ?Sized>(&self, error: &E) {
        with_layer(self, |layer, id| {
            let now = clock::now();
            // Its text is the program's business, so it is written before any lock is taken.
            let text = std::format!("{error}");
            let attributes = [
                KeyValue::new("exception.type", core::any::type_name::<E>()),
                KeyValue::new("exception.message", text.as_str()),
            ];
            layer.with_span(id, |span| span.add_event_at("exception", &attributes, now));
        });
    }
}

fn with_layer<T>(span: &Span, work: impl FnOnce(&TracingLayer, &Id) -> T) -> Option<T> {
    span.with_subscriber(|(id, subscriber)| {
        let layer = subscriber.downcast_ref::<TracingLayer>()?;
        Some(work(layer, id))
    })?
}
