//! The span processors of a provider, called one after the other.

use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::boxed::Box;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, RwLock};
use std::time::Instant as StdInstant;

use super::recorder::{HOOKED, Recorder, UNSTARTED};
use crate::buffer::Record;
use crate::context::SpanContext;
use crate::hosted::current::Context;
use crate::hosted::diagnostics::{self, Kind, Severity};
use crate::hosted::process;
use crate::hosted::processor::{LiveSpan, SpanFate, SpanProcessor};
use crate::hosted::shards::Hub;
use crate::hosted::text::panic_message;
use crate::resource::Registry;
use crate::span::finished::FinishedSpan;
use crate::time::{Instant, WallClock};

pub(super) type Origin = Registry<Box<[u8]>>;

/// The processors of a provider.
pub(super) struct Hooks {
    processors: Box<[Processor]>,
    /// A copy of the hub's registry. It is copied again when it lacks a scope, so that no lock is held
    /// while a processor reads.
    origin: RwLock<Arc<Origin>>,
    panics: AtomicU64,
    is_shut_down: AtomicBool,
}

struct Processor {
    hooks: Arc<dyn SpanProcessor>,
    /// Its first panic was reported.
    has_panicked: AtomicBool,
}

impl Hooks {
    /// `None` without processors.
    pub(super) fn new(processors: &[Arc<dyn SpanProcessor>], hub: &Hub) -> Option<Self> {
        if processors.is_empty() {
            return None;
        }
        let with_state = |hooks: &Arc<dyn SpanProcessor>| Processor {
            hooks: Arc::clone(hooks),
            has_panicked: AtomicBool::new(false),
        };
        Some(Self {
            processors: processors.iter().map(with_state).collect(),
            origin: RwLock::new(Arc::new(hub.registry().to_compact())),
            panics: AtomicU64::new(0),
            is_shut_down: AtomicBool::new(false),
        })
    }

    /// The number of calls that panicked.
    pub(super) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Shows a span that has started. From now on its end is shown, too.
    pub(super) fn start(
        &self,
        context: SpanContext,
        recorder: &mut Recorder,
        parent: &Context,
        origin: &Origin,
    ) {
        recorder.provider = recorder.provider & !UNSTARTED | HOOKED;
        for processor in &self.processors {
            let mut span = LiveSpan::new(context, &mut recorder.recording, origin);
            self.call("on_start", processor, (), || {
                processor.hooks.on_start(&mut span, parent);
            });
        }
    }

    /// Shows a span that is about to end at `end`.
    pub(super) fn ending(&self, recorder: &mut Recorder, end: Instant, origin: &Origin) {
        let Some((context, parent)) = identity(&recorder.recording.so_far()) else {
            return;
        };
        if recorder.provider & UNSTARTED != 0 {
            self.start(context, recorder, &parent, origin);
        }
        recorder.recording.set_end(end);
        for processor in &self.processors {
            let mut span = LiveSpan::new(context, &mut recorder.recording, origin);
            self.call("on_ending", processor, (), || {
                processor.hooks.on_ending(&mut span);
            });
        }
    }

    /// Shows a span that has ended.
    pub(super) fn end(&self, record: &Record<'_>, clock: WallClock, origin: &Origin) -> SpanFate {
        let Some(span) = FinishedSpan::new(record) else {
            return SpanFate::Keep;
        };
        let span = span.with_registry(origin).with_clock(clock);
        for processor in &self.processors {
            let fate = self.call("on_end", processor, SpanFate::Keep, || {
                processor.hooks.on_end(&span)
            });
            if fate == SpanFate::Drop {
                return fate;
            }
        }
        SpanFate::Keep
    }

    /// Returns true if all processors have done everything by `deadline`.
    pub(super) fn force_flush(&self, deadline: StdInstant) -> bool {
        self.is_shut_down.load(Ordering::Relaxed)
            || self.each("force_flush", |hooks| hooks.force_flush(deadline))
    }

    /// As [`Self::force_flush`], for the last time.
    pub(super) fn shutdown(&self, deadline: StdInstant) -> bool {
        self.is_shut_down.swap(true, Ordering::Relaxed)
            || self.each("shutdown", |hooks| hooks.shutdown(deadline))
    }

    fn each(&self, method: &str, work: impl Fn(&dyn SpanProcessor) -> bool) -> bool {
        let mut all = true;
        for processor in &self.processors {
            all &= self.call(method, processor, false, || work(&*processor.hooks));
        }
        all
    }

    /// A registry that has the scope of `recorder`; `None` in a forked child that cannot have it.
    pub(super) fn origin(&self, recorder: &Recorder, hub: &Hub) -> Option<Arc<Origin>> {
        let scope = recorder.recording.so_far().scope;
        let known = process::read(&self.origin)?;
        if known.has(scope) {
            return Some(Arc::clone(&known));
        }
        drop(known);
        let copy = Arc::new(hub.with_registry(|registry| registry.to_compact())?);
        *process::write(&self.origin)? = Arc::clone(&copy);
        Some(copy)
    }

    /// The result of `work`, or `otherwise` if it panics.
    fn call<T>(
        &self,
        method: &str,
        processor: &Processor,
        otherwise: T,
        work: impl FnOnce() -> T,
    ) -> T {
        let panic = match catch_unwind(AssertUnwindSafe(work)) {
            Ok(result) => return result,
            Err(panic) => panic,
        };
        self.panics.fetch_add(1, Ordering::Relaxed);
        if !processor.has_panicked.swap(true, Ordering::Relaxed) {
            let number = self
                .processors
                .iter()
                .position(|other| core::ptr::eq(other, processor))
                .map_or(0, |at| at + 1);
            // Each processor is a cause of its own, so that none is kept quiet for another.
            diagnostics::report_cause(
                Kind::Internal,
                Severity::Error,
                core::ptr::from_ref(processor).addr(),
                format_args!(
                    "span processor {number} of {} panicked in {method}: {}; the span goes on \
                     without it; mend the processor; its next panics are counted and not said",
                    self.processors.len(),
                    panic_message(&*panic)
                ),
            );
        }
        // What was thrown may panic itself when it is dropped.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            core::mem::forget(again);
        }
        otherwise
    }
}

/// The span of a record, and its parent.
fn identity(record: &Record<'_>) -> Option<(SpanContext, Context)> {
    let span = FinishedSpan::new(record)?;
    let parent = span.parent().unwrap_or(SpanContext::INVALID);
    Some((span.context(), Context::from(parent)))
}

std::thread_local! {
    /// A processor is running on this thread. No destructor, so it works to the end of the thread.
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
    /// Spans that ended meanwhile, with their ends.
    static DEFERRED: RefCell<VecDeque<(Box<Recorder>, Instant)>> =
        const { RefCell::new(VecDeque::new()) };
}

/// Returns true while a processor runs on this thread.
#[cfg(feature = "tracing")]
pub(super) fn is_inside() -> bool {
    IS_INSIDE.get()
}

/// The time in which processors run on a thread.
pub(super) struct Inside(());

impl Inside {
    /// `None` if it is that time already.
    pub(super) fn enter() -> Option<Self> {
        (!IS_INSIDE.replace(true)).then(|| Self(()))
    }

    /// The next span that ended meanwhile.
    pub(super) fn next_deferred(&self) -> Option<(Box<Recorder>, Instant)> {
        let next = DEFERRED.try_with(|list| list.try_borrow_mut().ok()?.pop_front());
        next.ok().flatten()
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        IS_INSIDE.set(false);
    }
}

/// Keeps a span that ends while a processor runs. Gives it back if the thread has no place for it any
/// more.
pub(super) fn defer(recorder: Box<Recorder>, end: Instant) -> Result<(), Box<Recorder>> {
    let mut left = Some(recorder);
    let _ = DEFERRED.try_with(|list| {
        if let Ok(mut list) = list.try_borrow_mut() {
            list.extend(left.take().map(|recorder| (recorder, end)));
        }
    });
    left.map_or(Ok(()), Err)
}
