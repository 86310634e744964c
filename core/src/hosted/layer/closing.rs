//! The subscriber of a thread while processors see a span of the layer that closes.
//!
//! A registry of `tracing-subscriber` 0.3 never forgets a span that is closed while another one
//! closes, nor the parents of that span. So a processor may log meanwhile, but makes no spans.

use core::cell::RefCell;
use std::sync::OnceLock;

use ::tracing::level_filters::LevelFilter;
use ::tracing::span::{Attributes, Id, Record};
use ::tracing::subscriber::Interest;
use ::tracing::{Dispatch, Event, Metadata, Subscriber, dispatcher};

std::thread_local! {
    /// The subscriber that events go on to.
    static OUTER: RefCell<Option<Dispatch>> = const { RefCell::new(None) };
}

/// Runs `work`, within which the macros of `tracing` make events only.
#[cold]
pub(super) fn without_spans<T>(work: impl FnOnce() -> T) -> T {
    static EVENTS: OnceLock<Dispatch> = OnceLock::new();
    /// Puts back what was there.
    struct Restore(Option<Dispatch>);
    impl Drop for Restore {
        fn drop(&mut self) {
            let _ = OUTER.try_with(|outer| outer.replace(self.0.take()));
        }
    }
    let here = dispatcher::get_default(Clone::clone);
    if here.is::<EventsOnly>() {
        return work();
    }
    let before = OUTER.try_with(|outer| outer.replace(Some(here)));
    let _restore = Restore(before.ok().flatten());
    dispatcher::with_default(EVENTS.get_or_init(|| Dispatch::new(EventsOnly)), work)
}

fn outer<T>(work: impl FnOnce(&Dispatch) -> T) -> Option<T> {
    // A copy, because what is logged may come back here.
    let outer = OUTER.try_with(|outer| outer.try_borrow().ok()?.clone());
    outer.ok().flatten().map(|outer| work(&outer))
}

/// Hands events on, and wants no spans.
struct EventsOnly;

impl Subscriber for EventsOnly {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        match metadata.is_event() {
            true => Interest::sometimes(),
            false => Interest::never(),
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && outer(|outer| outer.enabled(metadata)).unwrap_or(false)
    }

    /// Leaves the level to the others.
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::OFF)
    }

    fn event(&self, event: &Event<'_>) {
        outer(|outer| outer.event(event));
    }

    // None is ever enabled.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(u64::MAX)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
