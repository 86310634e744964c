//! The process-wide provider (checklist D-002).

use std::sync::{PoisonError, RwLock};

use super::provider::TracerProvider;
use super::tracer::Tracer;

static GLOBAL: RwLock<TracerProvider> = RwLock::new(TracerProvider::disabled());

/// Makes `provider` the process-wide one, unless another enabled one is; whether it is now.
pub fn set_global(provider: &TracerProvider) -> bool {
    let mut global = GLOBAL.write().unwrap_or_else(PoisonError::into_inner);
    if global.is_enabled() && !global.same(provider) {
        return false;
    }
    *global = provider.clone();
    true
}

/// Takes `provider` back, if it is the process-wide one.
pub fn clear_global(provider: &TracerProvider) {
    let mut global = GLOBAL.write().unwrap_or_else(PoisonError::into_inner);
    if global.same(provider) {
        *global = TracerProvider::disabled();
    }
}

/// The process-wide provider; the disabled one before a transport's `init` and after its shutdown.
#[must_use]
pub fn global() -> TracerProvider {
    GLOBAL
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

/// A tracer of the process-wide provider. Get it after `init`: a tracer stays with the provider
/// that it came from.
#[must_use]
pub fn tracer(name: &str) -> Tracer {
    GLOBAL
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .tracer(name)
}
