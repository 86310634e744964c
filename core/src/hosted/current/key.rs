//! Keys of values in a context.

use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicUsize, Ordering};

/// The key of a value of type `T` in a [`Context`](super::Context).
///
/// A key is itself: two keys are different even if they have the same name and type, so no module can
/// read or replace what another one keeps under its own key. Keep a key in a `static`.
///
/// <https://opentelemetry.io/docs/specs/otel/context/#create-a-key>
///
/// ```
/// use spandrel_core::hosted::current::{Context, ContextKey};
///
/// static TENANT: ContextKey<String> = ContextKey::new("tenant");
///
/// let context = Context::new().with_value(&TENANT, "acme".to_owned());
/// assert_eq!(context.value(&TENANT).map(String::as_str), Some("acme"));
/// ```
pub struct ContextKey<T> {
    name: &'static str,
    /// 0 until the first use: a constructor that runs at compile time cannot draw a number.
    id: AtomicUsize,
    value: PhantomData<fn() -> T>,
}

impl<T> ContextKey<T> {
    /// A new key. The name is for debugging only.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            id: AtomicUsize::new(0),
            value: PhantomData,
        }
    }

    /// Returns the name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn id(&self) -> usize {
        static LAST: AtomicUsize = AtomicUsize::new(0);
        let known = self.id.load(Ordering::Relaxed);
        if known != 0 {
            return known;
        }
        let new = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        // The first of two threads decides.
        match (self.id).compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => new,
            Err(other) => other,
        }
    }
}

/// The same key: the copy reads and replaces the same value.
impl<T> Clone for ContextKey<T> {
    fn clone(&self) -> Self {
        Self {
            name: self.name,
            id: AtomicUsize::new(self.id()),
            value: PhantomData,
        }
    }
}

impl<T> fmt::Debug for ContextKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ContextKey").field(&self.name).finish()
    }
}
