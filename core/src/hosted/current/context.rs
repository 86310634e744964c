//! The context: a span, and what travels beside it.

use core::any::Any;
use core::fmt;
use std::sync::Arc;
use std::vec::Vec;

use super::ContextKey;
use crate::context::{ParentContext, SpanContext};

/// A span's context with its tracestate, and values under [keys](ContextKey). This is what is current
/// on a thread.
///
/// A context never changes: the `with_` methods return a new one. Cloning allocates nothing, and a
/// context with nothing but a span without tracestate has no memory on the heap.
///
/// <https://opentelemetry.io/docs/specs/otel/context/>
///
/// ```
/// use spandrel_core::hosted::current::{self, Context, ContextKey};
///
/// static RETRIES: ContextKey<u32> = ContextKey::new("retries");
///
/// let context = current::current().unwrap_or_default();
/// let _guard = current::attach(context.with_value(&RETRIES, 3));
/// let retries = current::current().and_then(|context| context.value(&RETRIES).copied());
/// assert_eq!(retries, Some(3));
/// ```
#[derive(Clone, Default)]
pub struct Context {
    pub(in crate::hosted) span_context: SpanContext,
    pub(in crate::hosted) beside: Option<Arc<Beside>>,
}

/// Everything but the span. Never empty: then there is no `Beside`.
pub(in crate::hosted) struct Beside {
    trace_state: Option<Arc<str>>,
    values: Option<Arc<[Entry]>>,
    /// The context to which the next span links. There is no span then: it starts a new trace.
    caller: Option<Arc<Context>>,
}

#[derive(Clone)]
struct Entry {
    key: usize,
    name: &'static str,
    value: Arc<dyn Any + Send + Sync>,
}

impl Beside {
    /// The tracestate `state` beside the values of `around`. Shares its memory if they are equal.
    pub(in crate::hosted) fn with_trace_state(
        around: Option<&Arc<Self>>,
        state: &str,
    ) -> Option<Arc<Self>> {
        let values = match around {
            Some(around) if around.trace_state() == state && around.caller.is_none() => {
                return Some(Arc::clone(around));
            }
            Some(around) => around.values.clone(),
            None => None,
        };
        let trace_state = (!state.is_empty()).then(|| state.into());
        Self::of(trace_state, values)
    }

    /// The tracestate of `own` beside the values of `around`.
    pub(super) fn with_values_of(own: Option<&Arc<Self>>, around: &Arc<Self>) -> Option<Arc<Self>> {
        let own = own.and_then(|own| own.trace_state.clone());
        if own.is_none() && around.trace_state.is_none() && around.caller.is_none() {
            return Some(Arc::clone(around));
        }
        Self::of(own, around.values.clone())
    }

    fn of(trace_state: Option<Arc<str>>, values: Option<Arc<[Entry]>>) -> Option<Arc<Self>> {
        (trace_state.is_some() || values.is_some()).then(|| {
            Arc::new(Self {
                trace_state,
                values,
                caller: None,
            })
        })
    }

    #[inline]
    pub(in crate::hosted) const fn has_values(&self) -> bool {
        self.values.is_some()
    }

    fn trace_state(&self) -> &str {
        self.trace_state.as_deref().unwrap_or_default()
    }

    fn names(&self) -> Vec<&str> {
        self.entries().iter().map(|entry| entry.name).collect()
    }

    fn entries(&self) -> &[Entry] {
        self.values.as_deref().unwrap_or_default()
    }
}

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beside")
            .field("trace_state", &self.trace_state())
            .field("values", &self.names())
            .finish_non_exhaustive()
    }
}

impl Context {
    /// A context without a span and without values.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            span_context: SpanContext::INVALID,
            beside: None,
        }
    }

    /// The context of a span, beside which `beside` is.
    pub(in crate::hosted) const fn of(
        span_context: SpanContext,
        beside: Option<Arc<Beside>>,
    ) -> Self {
        Self {
            span_context,
            beside,
        }
    }

    /// The span. [`SpanContext::INVALID`] means "no span": a child becomes a root.
    #[inline]
    #[must_use]
    pub const fn span_context(&self) -> SpanContext {
        self.span_context
    }

    /// The span's tracestate as header text; empty for none.
    #[must_use]
    pub fn trace_state(&self) -> &str {
        self.beside
            .as_deref()
            .map_or("", |beside| beside.trace_state())
    }

    /// This context with another span: a [`Span`](crate::hosted::trace::Span), a [`SpanContext`], or
    /// anything else that can be a parent. The tracestate is the span's, and the values stay.
    #[must_use]
    pub fn with_span_context<'a>(&self, span: impl Into<ParentContext<'a>>) -> Self {
        let span = span.into();
        Self {
            span_context: span.span_context,
            beside: Beside::with_trace_state(self.beside.as_ref(), span.trace_state),
        }
    }

    /// Returns the value of `key`.
    #[must_use]
    pub fn value<T: Send + Sync + 'static>(&self, key: &ContextKey<T>) -> Option<&T> {
        let entries = self.beside.as_deref()?.entries();
        let id = key.id();
        let entry = entries.iter().find(|entry| entry.key == id)?;
        entry.value.downcast_ref()
    }

    /// This context with `value` under `key`, in place of the value that is there.
    #[must_use]
    pub fn with_value<T: Send + Sync + 'static>(&self, key: &ContextKey<T>, value: T) -> Self {
        self.with_entry(
            key.id(),
            Some(Entry {
                key: key.id(),
                name: key.name(),
                value: Arc::new(value),
            }),
        )
    }

    /// This context without a value under `key`.
    #[must_use]
    pub fn without_value<T: Send + Sync + 'static>(&self, key: &ContextKey<T>) -> Self {
        match self.value(key) {
            Some(_) => self.with_entry(key.id(), None),
            None => self.clone(),
        }
    }

    fn with_entry(&self, key: usize, entry: Option<Entry>) -> Self {
        let beside = self.beside.as_deref();
        let entries = beside.map_or(&[][..], Beside::entries);
        let others = entries.iter().filter(|entry| entry.key != key).cloned();
        let entries: Vec<Entry> = others.chain(entry).collect();
        let values = (!entries.is_empty()).then(|| entries.into());
        let trace_state = beside.and_then(|beside| beside.trace_state.clone());
        let caller = beside.and_then(|beside| beside.caller.clone());
        let beside = match caller {
            None => Beside::of(trace_state, values),
            caller => Some(Arc::new(Beside {
                trace_state,
                values,
                caller,
            })),
        };
        Self {
            span_context: self.span_context,
            beside,
        }
    }

    /// This context as the start of a new trace, whose first span links to this one's span.
    pub(in crate::hosted) fn restarted(&self) -> Self {
        let beside = Beside {
            trace_state: None,
            values: self.beside.as_deref().and_then(|it| it.values.clone()),
            caller: Some(Arc::new(self.as_parent().into())),
        };
        Self::of(SpanContext::INVALID, Some(Arc::new(beside)))
    }

    /// The context to which the next span links.
    pub(in crate::hosted) fn caller(&self) -> Option<&Self> {
        self.beside.as_deref()?.caller.as_deref()
    }

    /// As the parent of a new span.
    #[must_use]
    pub fn as_parent(&self) -> ParentContext<'_> {
        ParentContext {
            span_context: self.span_context,
            trace_state: self.trace_state(),
        }
    }

    /// Returns true if there are values in it.
    #[inline]
    pub(in crate::hosted) fn has_values(&self) -> bool {
        self.beside.as_deref().is_some_and(Beside::has_values)
    }
}

/// The same span and tracestate, and the same values: each the very one that was put in, because
/// values of any type cannot be compared.
impl PartialEq for Context {
    fn eq(&self, other: &Self) -> bool {
        let entries = |context: &Self| -> Option<Arc<[Entry]>> {
            context.beside.as_deref().and_then(|it| it.values.clone())
        };
        let (own, others) = (entries(self), entries(other));
        let (own, others) = (
            own.as_deref().unwrap_or_default(),
            others.as_deref().unwrap_or_default(),
        );
        let is_there = |entry: &Entry| {
            let same =
                |other: &Entry| entry.key == other.key && Arc::ptr_eq(&entry.value, &other.value);
            others.iter().any(same)
        };
        self.as_parent() == other.as_parent()
            && self.caller() == other.caller()
            && own.len() == others.len()
            && own.iter().all(is_there)
    }
}

impl Eq for Context {}

/// As [`Context::as_parent`] does.
impl<'a> From<&'a Context> for ParentContext<'a> {
    fn from(context: &'a Context) -> Self {
        context.as_parent()
    }
}

/// A span without tracestate.
impl From<SpanContext> for Context {
    fn from(span_context: SpanContext) -> Self {
        Self::of(span_context, None)
    }
}

/// As cloning does.
impl From<&Self> for Context {
    fn from(context: &Self) -> Self {
        context.clone()
    }
}

/// A parent's context, made owned.
impl From<ParentContext<'_>> for Context {
    fn from(parent: ParentContext<'_>) -> Self {
        Self::new().with_span_context(parent)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self
            .beside
            .as_deref()
            .map(Beside::names)
            .unwrap_or_default();
        f.debug_struct("Context")
            .field("span_context", &self.span_context)
            .field("trace_state", &self.trace_state())
            .field("values", &names)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::TraceFlags;
    use crate::id::{SpanId, TraceId};
    use std::format;
    use std::string::{String, ToString};

    static TENANT: ContextKey<String> = ContextKey::new("tenant");
    static RETRIES: ContextKey<u32> = ContextKey::new("retries");

    fn span(n: u8) -> SpanContext {
        let trace = TraceId::from_bytes([n; 16]);
        SpanContext::new(trace, SpanId::from_bytes([n; 8]), TraceFlags::SAMPLED)
    }

    #[test]
    fn a_context_never_changes() {
        let none = Context::new();
        let one = none.with_value(&TENANT, "acme".to_string());
        let two = one.with_value(&RETRIES, 3);
        let other = two.with_value(&TENANT, "globex".to_string());
        let without = other.without_value(&TENANT);
        let read = |context: &Context| {
            let tenant = context.value(&TENANT).cloned().unwrap_or_default();
            (tenant, context.value(&RETRIES).copied())
        };
        assert_eq!(read(&none), (String::new(), None));
        assert_eq!(read(&one), ("acme".into(), None));
        assert_eq!(read(&two), ("acme".into(), Some(3)));
        assert_eq!(read(&other), ("globex".into(), Some(3)));
        assert_eq!(read(&without), (String::new(), Some(3)));
        assert!(without.without_value(&RETRIES).beside.is_none());
        assert_eq!(none.without_value(&RETRIES), none);
    }

    #[test]
    fn a_key_is_like_no_other_of_its_name() {
        let keys = [(); 3].map(|()| ContextKey::<u8>::new("same"));
        let context = Context::new()
            .with_value(&keys[0], 1)
            .with_value(&keys[1], 2);
        let values = keys.each_ref().map(|key| context.value(key).copied());
        assert_eq!(values, [Some(1), Some(2), None]);
        assert_eq!(context.value(&keys[1].clone()), Some(&2));
        assert_eq!(format!("{:?}", keys[0]), r#"ContextKey("same")"#);
        assert_eq!(keys[0].name(), "same");
    }

    #[test]
    fn threads_that_use_a_key_first_agree_on_it() {
        static KEY: ContextKey<u8> = ContextKey::new("contended");
        let ids: Vec<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| KEY.id())).collect();
            threads.into_iter().map(|it| it.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0] && *id != 0), "{ids:?}");
    }

    #[test]
    fn the_tracestate_is_the_spans_and_the_values_stay() {
        let parent = ParentContext {
            span_context: span(1),
            trace_state: "vendor=1",
        };
        let context = Context::from(parent).with_value(&RETRIES, 3);
        assert_eq!(context.as_parent(), parent);
        let next = context.with_span_context(span(2));
        assert_eq!((next.span_context(), next.trace_state()), (span(2), ""));
        assert_eq!(next.value(&RETRIES), Some(&3));
        let back = next.with_span_context(&context);
        assert_eq!((back.as_parent(), back.value(&RETRIES)), (parent, Some(&3)));
    }

    #[test]
    fn contexts_are_equal_if_their_values_are_the_same_ones() {
        let plain = Context::from(span(1));
        let with = |value| plain.with_value(&RETRIES, value);
        let one = with(1);
        assert_eq!(one, one.clone());
        assert_ne!(one, with(1), "each is a value of its own");
        assert_ne!(one, plain);
        assert_ne!(one, one.with_span_context(span(2)));
        let (ab, ba) = (one.with_value(&TENANT, String::new()), &TENANT);
        assert_ne!(ab, one);
        assert_eq!(ab.without_value(ba), one);
    }

    #[test]
    fn nothing_but_a_span_needs_no_memory() {
        assert!(Context::from(span(1)).beside.is_none());
        assert_eq!(
            size_of::<Context>(),
            size_of::<SpanContext>() + size_of::<usize>()
        );
        let child = Context::from(span(1)).with_value(&RETRIES, 1);
        let (a, b) = (
            child.with_span_context(span(2)),
            child.with_span_context(span(3)),
        );
        let shared = |context: &Context| Arc::as_ptr(context.beside.as_ref().unwrap());
        assert_eq!(shared(&a), shared(&b));
    }

    #[test]
    fn a_context_prints_the_names_of_its_values() {
        let context = Context::from(span(1)).with_value(&TENANT, "secret".to_string());
        let text = format!("{context:?}");
        assert!(
            text.contains(r#"values: ["tenant"]"#) && !text.contains("secret"),
            "{text}"
        );
    }
}
