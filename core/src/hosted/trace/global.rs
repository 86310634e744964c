//! The process-wide provider.
//!
//! <https://opentelemetry.io/docs/specs/otel/trace/api/#tracerprovider>

use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::{PoisonError, RwLock};

use super::provider::TracerProvider;
use super::tracer::Tracer;

static GLOBAL: RwLock<TracerProvider> = RwLock::new(TracerProvider::disabled());

/// The tracers and layers that were made without a provider and will never record.
static EARLY: AtomicU32 = AtomicU32::new(0);

/// Counts a tracer or a layer that will never record, because nothing was started yet.
pub(in crate::hosted) fn note_early() {
    EARLY.fetch_add(1, Ordering::Relaxed);
}

/// The number of tracers and layers that were made too early since the last call.
pub(in crate::hosted) fn take_early() -> u32 {
    EARLY.swap(0, Ordering::Relaxed)
}

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
/// `init` never records, and the next `init` reports that there is one.
#[must_use]
pub fn tracer(name: &str) -> Tracer {
    let global = GLOBAL.read().unwrap_or_else(PoisonError::into_inner);
    if !global.is_enabled() {
        note_early();
    }
    global.tracer(name)
}
