//! A reset of the processor while spans wait: they lie in memory that no start-up code writes. The
//! next start hands them to the exporter, and they are delivered with the dates that they had.

use spandrel_core::buffer::{Record, RecordFlags, Retained};
use spandrel_core::prelude::*;
use spandrel_core::span::stored::StoredSpan;

use crate::board;
use crate::device::{self, deliver, with};
use crate::memory::Memory;
use crate::output::number;
use crate::pipeline::Counter;

/// Spans recorded before the reset.
const SPANS: u8 = 4;
/// Bytes of the memory that outlives it, for them; the exporter has the rest.
const KEPT_BYTES: usize = 512 + Retained::BYTES;

type Kept = Buffer<Retained<&'static mut [u8]>>;
type Recorder = BareTracer<ParentBased<AlwaysOn>, Counter>;

pub fn run(memory: Memory) -> Option<()> {
    let (kept, rest) = memory.spans.split_at_mut_checked(KEPT_BYTES)?;
    let mut latest = Instant::ZERO;
    let kept = Buffer::retained(kept, &mut |record| {
        let span = StoredSpan::new(record.body);
        latest = latest.max(span.map_or(Instant::ZERO, |span| end_of(record, &span)));
        span.is_some()
    });
    number("recovered", kept.len() as u64);
    if kept.is_empty() {
        return before(kept);
    }
    device::start(rest, memory.names)?;
    after(kept, latest)
}

/// In device time; nothing is known of spans that have a date.
fn end_of(record: &Record<'_>, span: &StoredSpan<'_>) -> Instant {
    if record.flags.contains(RecordFlags::DATED) {
        Instant::ZERO
    } else {
        Instant::from_nanos(span.end_nanos())
    }
}

fn before(mut kept: Kept) -> Option<()> {
    let mut tracer = BareTracer::new(ParentBased::new(AlwaysOn), Counter::new());
    for i in 0..SPANS {
        let at = Instant::from_millis(i.into());
        // The device's only scope is its first one.
        record(&mut tracer, &mut kept, ScopeId::default(), i, at)?;
    }
    // They are being read when the processor stops.
    let _lease = kept.lease(&mut |_| true)?;
    number("in_flight", kept.leased() as u64);
    board::reset()
}

fn after(mut kept: Kept, latest: Instant) -> Option<()> {
    // The clock goes on from where it was, as far as that is known, plus what the start has taken.
    let now = Instant::from_nanos(latest.as_nanos() + 1_000_000);
    with(|device| {
        // Ids must not begin again; random ones would not.
        device.tracer = BareTracer::new(ParentBased::new(AlwaysOn), Counter::after(2 * SPANS));
        let start = UnixNanos::from_secs(1_700_000_000);
        let clock = WallClock::from_pair(Instant::ZERO, start);
        device.spans.set_wall_clock(Some(clock));
        kept.drain(|record| device.spans.push_record(record).is_ok());
        record(
            &mut device.tracer,
            &mut device.spans,
            device.scope,
            SPANS,
            now,
        )
    })??;
    deliver(now, |_| Response::new(200)).map(|_| ())
}

fn record(
    tracer: &mut Recorder,
    sink: &mut impl RecordSink,
    scope: ScopeId,
    i: u8,
    at: Instant,
) -> Option<()> {
    let mut span = tracer.start::<128>(SpanBuilder::new("work").scope(scope), at);
    span.set_attribute("number", i);
    span.end(at, sink).ok()
}
