//! What surrounds the start of a span, for samplers that ask.

use core::any::Any;
use core::cell::OnceCell;
use std::sync::Arc;

use super::inner::ProviderInner;
use crate::hosted::current::Context;
use crate::resource::{InstrumentationScope, ScopeId, ScopeText};
use crate::sampler::SamplingContext;

/// The scope, looked up when it is asked for, and the context.
pub(super) struct Surroundings<'a> {
    inner: &'a ProviderInner,
    scope: ScopeId,
    scope_text: OnceCell<Option<Arc<ScopeText>>>,
    context: Option<&'a Context>,
}

impl<'a> Surroundings<'a> {
    pub(super) const fn new(
        inner: &'a ProviderInner,
        scope: ScopeId,
        context: Option<&'a Context>,
    ) -> Self {
        Self {
            inner,
            scope,
            scope_text: OnceCell::new(),
            context,
        }
    }
}

impl SamplingContext for Surroundings<'_> {
    fn scope(&self) -> Option<InstrumentationScope<'_>> {
        let look_up = || self.inner.scope_text(self.scope);
        let text = self.scope_text.get_or_init(look_up).as_deref()?;
        Some(InstrumentationScope {
            name: &text.name,
            version: &text.version,
            schema_url: &text.schema_url,
            attributes: &[],
        })
    }

    fn context(&self) -> Option<&dyn Any> {
        self.context.map(|context| -> &dyn Any { context })
    }
}
