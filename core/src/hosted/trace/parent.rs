//! The parent of a new span, and what the span takes over from it.

use std::string::String;

use super::span::Span;
use crate::context::{Link, ParentContext, SpanContext};
use crate::hosted::current::Context;
use crate::propagation::Extracted;

/// The parent of a new span. There is no need to name it: everything that can be a parent becomes one.
///
/// A [`Context`] brings more than a parent: the values in it, such as baggage, become current when the
/// span is entered, and if it was extracted with [`Incoming::Link`], the span links to the caller.
///
/// [`Incoming::Link`]: crate::hosted::propagation::Incoming::Link
#[derive(Clone, Copy, Debug)]
pub struct Parent<'a> {
    pub(in crate::hosted) span: ParentContext<'a>,
    /// If there is more in it than the parent.
    pub(in crate::hosted) context: Option<&'a Context>,
}

impl<'a> From<ParentContext<'a>> for Parent<'a> {
    fn from(span: ParentContext<'a>) -> Self {
        Self {
            span,
            context: None,
        }
    }
}

/// A parent without tracestate.
impl From<SpanContext> for Parent<'_> {
    fn from(span: SpanContext) -> Self {
        ParentContext::from(span).into()
    }
}

impl<'a> From<&'a Span> for Parent<'a> {
    fn from(span: &'a Span) -> Self {
        ParentContext::from(span).into()
    }
}

/// The parent that a propagator of span contexts found.
impl<'a> From<&'a Extracted> for Parent<'a> {
    fn from(extracted: &'a Extracted) -> Self {
        ParentContext::from(extracted).into()
    }
}

/// The parent that was found, or none.
impl<'a> From<Option<&'a Extracted>> for Parent<'a> {
    fn from(extracted: Option<&'a Extracted>) -> Self {
        ParentContext::from(extracted).into()
    }
}

impl<'a> From<&'a Context> for Parent<'a> {
    fn from(context: &'a Context) -> Self {
        let brings_more = context.has_values() || context.caller().is_some();
        Self {
            span: context.as_parent(),
            context: brings_more.then_some(context),
        }
    }
}

/// Gives `span`, which starts under `context`, a link to the caller and the entries of baggage that
/// are to be `attributes`.
#[cold]
#[inline(never)]
pub(in crate::hosted) fn take_over(span: &mut Span, context: &Context, attributes: &[String]) {
    if let Some(caller) = context.caller() {
        span.add_link(&Link {
            span_context: caller.span_context(),
            trace_state: caller.trace_state(),
            attributes: &[],
        });
    }
    for name in attributes {
        if let Some(value) = context.baggage().get(name) {
            span.set_attribute(name, value);
        }
    }
}
