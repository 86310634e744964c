//! The handle of a propagator.

use core::fmt;
use std::sync::Arc;
use std::vec::Vec;

use super::context::ContextPropagator;
use crate::context::ParentContext;
use crate::env::{PropagatorName, Propagators};
use crate::hosted::baggage::BaggagePropagator;
use crate::hosted::config::Incoming;
use crate::hosted::current::{self, Context};
use crate::propagation::{B3Propagator, Getter, Setter, TraceContextPropagator};

/// A propagator, and what it makes of incoming contexts. Cheap to clone.
///
/// The process's own is [`propagator()`](super::propagator).
#[derive(Clone)]
pub struct Propagator {
    parts: Parts,
    incoming: Incoming,
}

#[derive(Clone)]
enum Parts {
    BuiltIn(Propagators),
    Own(Arc<dyn ContextPropagator>),
    Several(Arc<[Propagator]>),
}

impl Propagator {
    /// The propagator that does nothing.
    pub const NONE: Self = Self::of(Propagators::NONE);

    /// Those of `names`, in this order.
    #[must_use]
    pub const fn of(names: Propagators) -> Self {
        Self {
            parts: Parts::BuiltIn(names),
            incoming: Incoming::Continue,
        }
    }

    /// One of the program's own.
    pub fn new(own: impl ContextPropagator + 'static) -> Self {
        Self {
            parts: Parts::Own(Arc::new(own)),
            incoming: Incoming::Continue,
        }
    }

    /// Several in a row: all inject, and what a later one extracts replaces what an earlier one did.
    ///
    /// <https://opentelemetry.io/docs/specs/otel/context/api-propagators/#composite-propagator>
    pub fn composite(parts: impl IntoIterator<Item = Self>) -> Self {
        Self {
            parts: Parts::Several(parts.into_iter().collect::<Vec<_>>().into()),
            incoming: Incoming::Continue,
        }
    }

    /// This propagator with another rule for what it extracts.
    #[must_use]
    pub fn with_incoming(mut self, incoming: Incoming) -> Self {
        self.incoming = incoming;
        self
    }

    /// Returns the context that is current on this thread, with what came in `carrier`: the parent of
    /// a server's span.
    pub fn extract(&self, carrier: &dyn Getter) -> Context {
        self.extract_into(&current::current().unwrap_or_default(), carrier)
    }

    /// Sets the fields for the context that is current on this thread.
    pub fn inject(&self, carrier: &mut dyn Setter) {
        if let Some(context) = current::current() {
            ContextPropagator::inject_from(self, &context, carrier);
        }
    }

    /// Sets the fields for `context`, or for a span beside the values that are current.
    pub fn inject_from(&self, context: impl Into<Context>, carrier: &mut dyn Setter) {
        ContextPropagator::inject_from(self, &context.into(), carrier);
    }

    /// Returns `context` with what came in `carrier`.
    pub fn extract_into(&self, context: &Context, carrier: &dyn Getter) -> Context {
        ContextPropagator::extract_into(self, context, carrier)
    }

    fn for_each(&self, mut work: impl FnMut(&dyn ContextPropagator)) {
        match &self.parts {
            Parts::BuiltIn(names) => names.iter().for_each(|name| match name {
                PropagatorName::TraceContext => work(&TraceContextPropagator),
                PropagatorName::Baggage => work(&BaggagePropagator),
                PropagatorName::B3 => work(&B3Propagator::SINGLE),
                PropagatorName::B3Multi => work(&B3Propagator::MULTI),
            }),
            Parts::Own(own) => work(&**own),
            Parts::Several(parts) => parts.iter().for_each(|part| work(part)),
        }
    }

    fn extract_all(&self, context: &Context, carrier: &dyn Getter) -> Context {
        let mut context = context.clone();
        self.for_each(|part| context = part.extract_into(&context, carrier));
        context
    }
}

impl ContextPropagator for Propagator {
    fn inject_from(&self, context: &Context, carrier: &mut dyn Setter) {
        self.for_each(|part| part.inject_from(context, carrier));
    }

    fn extract_into(&self, context: &Context, carrier: &dyn Getter) -> Context {
        match self.incoming {
            Incoming::Continue => self.extract_all(context, carrier),
            Incoming::Ignore => context.clone(),
            Incoming::Link => {
                // Without a span, so that it shows whether one is found.
                let spanless = context.with_span_context(ParentContext::ROOT);
                let found = self.extract_all(&spanless, carrier);
                match found.span_context().is_valid() {
                    true => found.restarted(),
                    false => found.with_span_context(context),
                }
            }
        }
    }

    fn fields(&self, visit: &mut dyn FnMut(&'static str)) {
        self.for_each(|part| part.fields(visit));
    }
}

impl From<Propagators> for Propagator {
    fn from(names: Propagators) -> Self {
        Self::of(names)
    }
}

impl fmt::Debug for Propagator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = Vec::new();
        self.fields(&mut |name| fields.push(name));
        f.debug_struct("Propagator")
            .field("fields", &fields)
            .field("incoming", &self.incoming)
            .finish()
    }
}
