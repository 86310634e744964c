//! Propagators of a whole context.

use crate::context::ParentContext;
use crate::hosted::current::{Context, ContextKey};
use crate::propagation::TraceContextPropagator;
use crate::propagation::{B3Propagator, B3Sampling, Getter, Setter, TextMapPropagator};

/// Moves a [`Context`], or a part of it, into and out of carriers of text.
///
/// <https://opentelemetry.io/docs/specs/otel/context/api-propagators/#textmap-propagator>
pub trait ContextPropagator: Send + Sync {
    /// Sets the fields for what `context` holds.
    fn inject_from(&self, context: &Context, carrier: &mut dyn Setter);

    /// Returns `context` with what was found in `carrier`. What is not found, or not valid, leaves it
    /// as it is.
    fn extract_into(&self, context: &Context, carrier: &dyn Getter) -> Context;

    /// Passes the names of all fields that `inject_from` may set to `visit`.
    fn fields(&self, visit: &mut dyn FnMut(&'static str));
}

/// The span and its tracestate.
impl ContextPropagator for TraceContextPropagator {
    fn inject_from(&self, context: &Context, carrier: &mut dyn Setter) {
        SpanOnly(*self).inject_from(context, carrier);
    }

    fn extract_into(&self, context: &Context, carrier: &dyn Getter) -> Context {
        SpanOnly(*self).extract_into(context, carrier)
    }

    fn fields(&self, visit: &mut dyn FnMut(&'static str)) {
        TextMapPropagator::fields(self, visit);
    }
}

/// A propagator of span contexts, as one of contexts.
#[derive(Clone, Copy, Debug)]
pub struct SpanOnly<P>(pub P);

impl<P: TextMapPropagator + Send + Sync> ContextPropagator for SpanOnly<P> {
    fn inject_from(&self, context: &Context, carrier: &mut dyn Setter) {
        self.0.inject(context.as_parent(), carrier);
    }

    fn extract_into(&self, context: &Context, carrier: &dyn Getter) -> Context {
        match self.0.extract(carrier) {
            Some(found) => context.with_span_context(ParentContext::from(&found)),
            None => context.clone(),
        }
    }

    fn fields(&self, visit: &mut dyn FnMut(&'static str)) {
        self.0.fields(visit);
    }
}

/// The caller asked for debugging.
static DEBUG: ContextKey<()> = ContextKey::new("b3 debug");

/// The span, and whether the caller asked for debugging: then every request that is sent on asks for
/// it too.
impl ContextPropagator for B3Propagator {
    fn inject_from(&self, context: &Context, carrier: &mut dyn Setter) {
        let debug = context.value(&DEBUG).is_some();
        self.inject_with(&context.span_context(), debug, carrier);
    }

    fn extract_into(&self, context: &Context, carrier: &dyn Getter) -> Context {
        let Some(found) = self.read(carrier).filter(|it| it.span_context.is_valid()) else {
            return context.clone();
        };
        let context = context.with_span_context(found.span_context);
        match found.sampling {
            B3Sampling::Debug => context.with_value(&DEBUG, ()),
            _ => context.without_value(&DEBUG),
        }
    }

    fn fields(&self, visit: &mut dyn FnMut(&'static str)) {
        TextMapPropagator::fields(self, visit);
    }
}
