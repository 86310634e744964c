//! The rain gauge: its contact closes a few times during a cycle, and each time an interrupt
//! handler records a span.

use core::cell::RefCell;

use critical_section::Mutex;
use spandrel_core::prelude::*;
use spandrel_core::shared_buffer::SharedBuffer;

use super::{Random, now};
use crate::board;

/// Microseconds between two closings.
const PERIOD: u64 = 17_000;
const CLOSINGS: u8 = 4;

/// Spans of the handler, until the main program fetches them.
static SPANS: SharedBuffer<[u8; 512]> = SharedBuffer::new(Buffer::new([0; 512]));
static GAUGE: Mutex<RefCell<Option<Gauge>>> = Mutex::new(RefCell::new(None));

struct Gauge {
    tracer: BareTracer<ParentBased<AlwaysOn>, Random>,
    cycle: SpanContext,
    scope: ScopeId,
    /// When the contact closes next, in microseconds.
    next: u64,
    left: u8,
}

/// From now on it rains. The spans are children of `cycle`.
pub fn open(ids: Random, cycle: SpanContext, scope: ScopeId) {
    let gauge = Gauge {
        tracer: BareTracer::new(ParentBased::new(AlwaysOn), ids),
        cycle,
        scope,
        next: board::micros() + PERIOD,
        left: CLOSINGS,
    };
    critical_section::with(|cs| *GAUGE.borrow_ref_mut(cs) = Some(gauge));
}

/// The rain is over; its spans go to `sink`.
pub fn close(sink: &mut impl RecordSink) {
    while with(|gauge| gauge.left > 0) == Some(true) {}
    SPANS.drain(&mut [0; 160], sink);
}

/// The interrupt handler.
pub fn on_tick() {
    with(Gauge::look);
}

fn with<R>(act: impl FnOnce(&mut Gauge) -> R) -> Option<R> {
    critical_section::with(|cs| {
        let mut gauge = GAUGE.borrow(cs).try_borrow_mut().ok()?;
        gauge.as_mut().map(act)
    })
}

impl Gauge {
    fn look(&mut self) {
        if self.left == 0 || board::micros() < self.next {
            return;
        }
        self.left -= 1;
        self.next += PERIOD;
        let builder = SpanBuilder::new("rain.tip").scope(self.scope);
        let span = self.tracer.start::<128>(builder.parent(self.cycle), now());
        // The buffer counts what it has no room for.
        let _ = span.end(now(), &mut &SPANS);
    }
}
