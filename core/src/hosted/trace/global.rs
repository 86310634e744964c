//! The process-wide provider.
//!
//! <https://opentelemetry.io/docs/specs/otel/trace/api/#tracerprovider>

use super::place;
use super::provider::TracerProvider;
use super::tracer::Tracer;

/// Makes `provider` the process-wide one, unless another one is that is enabled and not shut down.
/// Returns true if it is the process-wide one now.
pub fn set_global(provider: &TracerProvider) -> bool {
    match &provider.inner {
        Some(inner) => place::take(inner),
        None => place::get().is_none(),
    }
}

/// Leaves the process without a provider, if `provider` is the process-wide one.
pub fn clear_global(provider: &TracerProvider) {
    if let Some(inner) = &provider.inner {
        place::leave(inner);
    }
}

/// The process-wide provider: the one of a transport's `init`, until its shutdown.
///
/// Before `init`, what it gives waits for `init`; see [`tracer`].
#[must_use]
pub fn global() -> TracerProvider {
    match place::get() {
        Some(inner) => inner.into(),
        None => TracerProvider::PROCESS_WIDE,
    }
}

/// A tracer of the process-wide provider.
///
/// It may be made before `init`, in a `LazyLock` or for the [`tracing`
/// layer](crate::hosted::layer). Until `init` it records nothing, and its spans stand for their
/// parents; from then on it records. A tracer stays with its first provider: after the shutdown it
/// records nothing, even if there is another `init`.
///
/// ```
/// use std::sync::LazyLock;
/// use spandrel_core::hosted::trace::{Tracer, tracer};
///
/// static TRACER: LazyLock<Tracer> = LazyLock::new(|| tracer("shop"));
///
/// TRACER.start("order.place").end(); // recorded after `init`
/// ```
#[must_use]
pub fn tracer(name: &str) -> Tracer {
    global().tracer(name)
}
