//! The ids of spans that do not start on the usual way: random ones, or the program's.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::hosted::diagnostics::{Kind, Severity, report};
use crate::hosted::rng::ThreadRng;
use crate::hosted::sampling::SharedIdGenerator;
use crate::id::{IdGenerator, RandomIdGenerator, SpanId, TraceId};

/// The generator of the program, with what became of its ids.
pub(super) struct OwnIds {
    generator: Arc<dyn SharedIdGenerator>,
    is_random: bool,
    replaced: AtomicU64,
    reported: AtomicBool,
}

impl OwnIds {
    pub(super) fn new(generator: Arc<dyn SharedIdGenerator>) -> Self {
        Self {
            is_random: generator.is_random(),
            generator,
            replaced: AtomicU64::new(0),
            reported: AtomicBool::new(false),
        }
    }

    /// The number of ids that were replaced.
    pub(super) fn replaced(&self) -> u64 {
        self.replaced.load(Ordering::Relaxed)
    }

    /// What `draw` gives, or what `instead` gives for an id that is not valid.
    fn checked<T>(
        &self,
        draw: impl FnOnce(&dyn SharedIdGenerator) -> T,
        is_valid: impl FnOnce(&T) -> bool,
        instead: impl FnOnce(&mut RandomIdGenerator<ThreadRng>) -> T,
    ) -> T {
        let drawn = catch_unwind(AssertUnwindSafe(|| draw(&*self.generator))).ok();
        let did_panic = drawn.is_none();
        drawn.filter(is_valid).unwrap_or_else(|| {
            self.note(did_panic);
            instead(&mut RandomIdGenerator::new(ThreadRng))
        })
    }

    #[cold]
    fn note(&self, did_panic: bool) {
        self.replaced.fetch_add(1, Ordering::Relaxed);
        if self.reported.swap(true, Ordering::Relaxed) {
            return;
        }
        let what = if did_panic {
            "panicked"
        } else {
            "gave a zero id"
        };
        report(
            Kind::Misuse,
            Severity::Warn,
            format_args!(
                "the id_generator of the configuration {what}; such ids are replaced by random ones \
                 and counted in ids_replaced, so mend the generator"
            ),
        );
    }
}

/// Ids without the state of a thread.
pub(super) struct AnyIds<'a>(pub(super) Option<&'a OwnIds>);

impl IdGenerator for AnyIds<'_> {
    const RANDOM: bool = true;
    const NEVER_ZERO: bool = true;

    fn is_random(&self) -> bool {
        self.0.is_none_or(|own| own.is_random)
    }

    fn trace_id(&mut self) -> TraceId {
        match self.0 {
            Some(own) => own.checked(
                |own| own.trace_id(),
                |id| id.is_valid(),
                IdGenerator::trace_id,
            ),
            None => RandomIdGenerator::new(ThreadRng).trace_id(),
        }
    }

    fn span_id(&mut self) -> SpanId {
        match self.0 {
            Some(own) => own.checked(
                |own| own.span_id(),
                |id| id.is_valid(),
                IdGenerator::span_id,
            ),
            None => RandomIdGenerator::new(ThreadRng).span_id(),
        }
    }
}
