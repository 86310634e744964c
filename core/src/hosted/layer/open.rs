//! The open spans of a layer, and what can be done to one by its id.

use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::vec::Vec;

use ::tracing::dispatcher::WeakDispatch;
use ::tracing::span::Id;
use ::tracing::{Dispatch, Metadata};
use tracing_subscriber::registry::{LookupSpan as _, Registry};

use super::entered::{self, Key, SpanState};
use super::error::SetParentError;
use super::span::LayerSpan;
use super::table::Table;
use crate::hosted::current::Context;
use crate::hosted::process;
use crate::hosted::trace::{Parent, Span, Tracer, UndecidedStart};

pub(super) struct OpenSpans {
    pub(super) tracer: Tracer,
    /// Distinguishes the layer from others of the thread.
    pub(super) number: u32,
    pub(super) table: Table<LayerSpan>,
    /// The subscriber that the layer was installed with; none if it came later, in a slot of a
    /// `reload::Layer`.
    pub(super) home: OnceLock<WeakDispatch>,
}

/// The layers that exist. A `reload::Layer` may replace one while threads are in its spans.
static ALIVE: Mutex<Alive> = Mutex::new(Vec::new());

/// Layers by their numbers.
type Alive = Vec<(u32, Weak<OpenSpans>)>;

fn alive() -> Option<MutexGuard<'static, Alive>> {
    process::lock(&ALIVE)
}

/// Returns true if the layer of this number was dropped.
pub(super) fn is_gone(number: u32) -> bool {
    alive().is_some_and(|alive| !alive.iter().any(|(alive, _)| *alive == number))
}

/// The layers that `wanted` selects by their numbers.
fn layers(wanted: impl Fn(u32) -> bool) -> Vec<Arc<OpenSpans>> {
    let Some(alive) = alive() else {
        return Vec::new();
    };
    let wanted = alive.iter().filter(|(number, _)| wanted(*number));
    wanted.filter_map(|(_, open)| open.upgrade()).collect()
}

/// Makes the parent of the innermost `tracing` span of this thread final: its ids are about to be
/// used.
pub(in crate::hosted) fn settle_innermost() {
    let Some((key, SpanState::Fresh)) = entered::innermost() else {
        return;
    };
    for open in layers(|number| number == key.layer) {
        if open.tracer.enabled() {
            open.settle_top();
        }
    }
}

/// The context of the span `id` of a registry, described by `metadata`, or of its nearest recorded
/// ancestor. Its parent is final from now on.
#[cfg(feature = "tracing-fmt")]
pub(in crate::hosted) fn context_of(id: &Id, metadata: &Metadata<'_>) -> Option<Context> {
    layers(|_| true)
        .iter()
        .filter(|open| open.has_span(id, metadata))
        .find_map(|open| open.settled(open.nearest(id)?))
}

impl Drop for OpenSpans {
    fn drop(&mut self) {
        if let Some(mut alive) = alive() {
            alive.retain(|(number, _)| *number != self.number);
        }
        // No exit and no close will come.
        entered::leave_all(self.number);
        self.table.take_all(|live| live.end(&self.tracer));
    }
}

impl OpenSpans {
    pub(super) fn new(tracer: &Tracer) -> Arc<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let open = Arc::new(Self {
            tracer: tracer.clone(),
            number,
            table: Table::new(),
            home: OnceLock::new(),
        });
        if let Some(mut alive) = alive() {
            alive.push((number, Arc::downgrade(&open)));
        }
        open
    }

    /// Works on the registry of the subscriber that the layer was installed with.
    fn in_registry<T>(&self, work: impl FnOnce(&Registry) -> Option<T>) -> Option<T> {
        let dispatch = self.home.get().and_then(WeakDispatch::upgrade);
        let registry = dispatch
            .as_ref()
            .and_then(Dispatch::downcast_ref::<Registry>);
        registry.and_then(work)
    }

    /// Returns true if `id` is, as far as can be told, a span of the layer's subscriber: those of two
    /// subscribers may have the same one.
    #[cfg(feature = "tracing-fmt")]
    fn has_span(&self, id: &Id, metadata: &Metadata<'_>) -> bool {
        let same = self.in_registry(|registry| {
            let own = registry.span(id).map(|span| span.metadata());
            Some(own.is_some_and(|own| core::ptr::eq(own, metadata)))
        });
        same.unwrap_or_else(|| self.is_open(id.into_u64()))
    }

    fn is_open(&self, id: u64) -> bool {
        self.table.with(id, |_| ()).is_some()
    }

    /// The nearest open span to `id`, upwards. A filter hides spans from the layer, so the registry is
    /// asked itself.
    #[cold]
    pub(super) fn nearest(&self, id: &Id) -> Option<u64> {
        if self.is_open(id.into_u64()) {
            return Some(id.into_u64());
        }
        self.in_registry(|registry| {
            let mut ids = registry.span(id)?.scope().map(|span| span.id().into_u64());
            ids.find(|id| self.is_open(*id))
        })
    }

    pub(super) fn key(&self, id: &Id) -> Key {
        Key {
            layer: self.number,
            id: id.into_u64(),
        }
    }

    /// The context of a span, which is final from now on.
    pub(super) fn settled(&self, id: u64) -> Option<Context> {
        self.table.with(id, |live| {
            live.settle(&self.tracer);
            live.context()
        })
    }

    /// As [`Self::settled`], for a child that is about to start. Also returns true if the span must
    /// not end before the child does.
    pub(super) fn settled_for_child(&self, id: u64) -> Option<(Context, bool)> {
        self.table.with(id, |live| {
            live.settle(&self.tracer);
            (live.context(), live.is_used_again())
        })
    }

    /// As [`Self::settled`], for a use that is not seen here.
    pub(super) fn handed_out(&self, id: &Id) -> Option<Context> {
        self.table
            .with(id.into_u64(), |live| {
                live.settle(&self.tracer);
                live.end_when_closed();
                live.context()
            })
            // A span that stands for nothing has none.
            .filter(|context| context.span_context().is_valid() || context.has_values())
    }

    /// Settles the innermost span of the thread, because something happens in it. Returns its id
    /// and state.
    pub(super) fn settle_top(&self) -> Option<(u64, SpanState)> {
        let (id, state) = entered::top(self.number)?;
        if state != SpanState::Fresh {
            return Some((id, state));
        }
        let state = self.table.with(id, |live| {
            live.settle(&self.tracer);
            live.state()
        })?;
        let layer = self.number;
        entered::set_state(Key { layer, id }, state);
        Some((id, state))
    }

    /// Works on a span that records.
    pub(super) fn with_span(&self, id: &Id, work: impl FnOnce(&mut Span)) {
        self.table.with(id.into_u64(), |live| {
            live.is_used_again();
            work(live.span());
        });
    }

    pub(super) fn fail(&self, id: &Id, description: &str) {
        self.table.with(id.into_u64(), |live| {
            live.is_used_again();
            live.fail(description);
        });
    }

    pub(super) fn set_parent(
        &self,
        id: &Id,
        metadata: &Metadata<'_>,
        parent: Parent<'_>,
    ) -> Result<(), SetParentError> {
        let Parent {
            span: parent,
            context: more,
        } = parent;
        let copied = self.tracer.baggage_attributes();
        let key = self.key(id);
        let here = entered::count(key);
        let found = self.table.with(key.id, |live| match live.state() {
            SpanState::Fresh => Ok((live.stands_for_parent(), live.description())),
            _ => Err(SetParentError::TooLate),
        });
        let (stands_for_parent, description) = found.ok_or(SetParentError::NotRecorded)??;
        let context = if stands_for_parent {
            self.table.with(key.id, |live| {
                live.change_parent(here, more, copied, |it| it.stand_for(&parent))
            })
        } else {
            // The sampler may be the program's, so no lock is held here.
            description.with(metadata.name(), |name, kind, attributes| {
                let start = UndecidedStart {
                    name,
                    kind,
                    parent,
                    context: None,
                    attributes,
                    keep: true,
                };
                let decided = self.tracer.decide_again(&start, |decision| {
                    self.table.with(key.id, |live| {
                        live.change_parent(here, more, copied, |it| it.reparent(decision))
                    })
                });
                decided.flatten()
            })
        };
        let context = context.ok_or(SetParentError::NotRecorded)?;
        let context = context.ok_or(SetParentError::TooLate)?;
        let brings_values = more.is_some_and(Context::has_values);
        entered::replace(key, &context, brings_values);
        Ok(())
    }
}
