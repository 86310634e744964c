//! The process-wide provider.
//!
//! <https://opentelemetry.io/docs/specs/otel/trace/api/#tracerprovider>

use std::sync::{PoisonError, RwLock};

use super::provider::TracerProvider;
use super::tracer::Tracer;

static GLOBAL: RwLock<TracerProvider> = RwLock::new(TracerProvider::disabled());

/// Makes `provider` the process-wide one, unless another enabled one is. Returns true if it is the
/// process-wide one now.
pub fn set_global(provider: &TracerProvider) -> bool {
    let mut global = GLOBAL.write().unwrap_or_else(PoisonError::into_inner);
    if global.is_enabled() && !global.same(provider) {
        return false;
    }
    *global = provider.clone();
    true
}

/// Makes the disabled provider the process-wide one, if `provider` is.
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

/// A tracer of the process-wide provider.
///
/// Call it after `init`: a tracer stays with the provider that it came from, so one from before
/// `init` never records.
#[must_use]
pub fn tracer(name: &str) -> Tracer {
    GLOBAL
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .tracer(name)
}
