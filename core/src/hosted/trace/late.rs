//! The scope of a tracer that was made before there was a process-wide provider.

use core::fmt;
use std::boxed::Box;
use std::string::String;
use std::sync::{Arc, OnceLock};
use std::vec;

use super::inner::ProviderInner;
use super::place;
use crate::resource::{InstrumentationScope, Registry, Resource, ScopeId};

/// The most bytes that a scope may take.
const MAX_BYTES: usize = 64 * 1024;

/// A scope that waits for the process-wide provider, and stays with the first one.
pub(super) struct Late {
    name: String,
    /// The scope, encoded behind an empty resource.
    scope: Registry<Box<[u8]>>,
    found: OnceLock<(Arc<ProviderInner>, ScopeId)>,
}

impl Late {
    /// A scope that is too large is kept by its name; one whose name is too large, without it.
    pub(super) fn new(scope: &InstrumentationScope<'_>) -> Self {
        Self {
            name: scope.name.into(),
            scope: encoded(scope)
                .or_else(|| encoded(&InstrumentationScope::new(scope.name)))
                .unwrap_or_else(|| Registry::empty(Box::default())),
            found: OnceLock::new(),
        }
    }

    /// The provider, once there is one, and the number of the scope there.
    #[inline(never)]
    pub(super) fn provider(&self) -> Option<(&Arc<ProviderInner>, ScopeId)> {
        let (inner, scope) = match self.found.get() {
            Some(found) => found,
            None => {
                let inner = place::get()?;
                self.found.get_or_init(|| {
                    let scope = inner.adopt_scope(&self.scope, &self.name);
                    (inner, scope)
                })
            }
        };
        Some((inner, *scope))
    }
}

fn encoded(scope: &InstrumentationScope<'_>) -> Option<Registry<Box<[u8]>>> {
    let mut bytes = 128;
    while bytes <= MAX_BYTES {
        let storage = vec![0; bytes].into_boxed_slice();
        let mut registry = Registry::new(storage, &Resource::default()).ok()?;
        if registry.scope(scope).is_ok() {
            return Some(registry);
        }
        bytes *= 2;
    }
    None
}

impl fmt::Debug for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Late")
            .field("name", &self.name)
            .field("is_found", &self.found.get().is_some())
            .finish_non_exhaustive()
    }
}
