//! What surrounds the start of a span, for samplers that ask.

use core::any::Any;
use core::cell::OnceCell;
use std::sync::Arc;

use super::inner::ProviderInner;
use crate::hosted::current::{self, Context};
use crate::resource::{InstrumentationScope, ScopeId, ScopeText};
use crate::sampler::SamplingContext;

/// Where the values beside the parent are.
#[derive(Clone, Copy)]
pub(super) enum Around<'a> {
    /// In the thread's current context, which has the parent.
    Current,
    /// Here; `None` if the parent came without a context.
    Given(Option<&'a Context>),
}

/// Looks things up when they are asked for, and then only once.
pub(super) struct Surroundings<'a> {
    inner: &'a ProviderInner,
    scope: ScopeId,
    scope_text: OnceCell<Option<Arc<ScopeText>>>,
    around: Around<'a>,
    current: OnceCell<Option<Context>>,
}

impl<'a> Surroundings<'a> {
    pub(super) const fn new(inner: &'a ProviderInner, scope: ScopeId, around: Around<'a>) -> Self {
        Self {
            inner,
            scope,
            scope_text: OnceCell::new(),
            around,
            current: OnceCell::new(),
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
        let context = match self.around {
            Around::Given(context) => context,
            Around::Current => self.current.get_or_init(current::current).as_ref(),
        };
        context.map(|context| -> &dyn Any { context })
    }
}
