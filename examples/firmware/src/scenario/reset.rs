//! A reset of the processor while spans wait: they lie in memory that no start-up code writes, and
//! are delivered after it, with the dates that they had.

use spandrel_core::buffer::{Record, Snapshot};
use spandrel_core::prelude::*;
use spandrel_core::span::stored::StoredSpan;

use crate::board;
use crate::device::{deliver, start_with, with};
use crate::memory::{Kept, Memory};
use crate::output::number;
use crate::pipeline::Counter;

/// Spans recorded before the reset.
const SPANS: u8 = 4;

pub fn run(memory: Memory) -> Option<()> {
    let Memory { spans, names, kept } = memory;
    let snapshot = Snapshot::from_bytes(kept.snapshot);
    let is_span = &mut |record: &Record<'_>| StoredSpan::new(record.body).is_some();
    let (buffer, is_reset) = match Buffer::recover(spans, &snapshot, is_span) {
        Ok(buffer) => (buffer, true),
        Err(spans) => (Buffer::new(spans), false),
    };
    number("recovered", buffer.len() as u64);
    start_with(buffer, names)?;
    if is_reset { after(kept) } else { before(kept) }
}

fn before(kept: &mut Kept) -> Option<()> {
    for i in 0..SPANS {
        record(i, Instant::from_millis(i.into()))?;
        keep(kept, Instant::from_millis(i.into()))?;
    }
    // A request is on its way when the processor stops.
    let now = Instant::from_secs(6);
    let transmit = with(|device| {
        let _ = device.spans.force_flush(now, Instant::MAX);
        device.spans.poll_transmit(now)
    })??;
    number("in_flight", transmit.spans() as u64);
    keep(kept, now)?;
    board::reset()
}

fn after(kept: &Kept) -> Option<()> {
    // The clock goes on from where it was, plus what the start has taken.
    let now = Instant::from_nanos(u64::from_le_bytes(kept.time) + 1_000_000);
    with(|device| {
        // Ids must not begin again; random ones would not.
        device.tracer = BareTracer::new(ParentBased::new(AlwaysOn), Counter::after(2 * SPANS));
        let start = UnixNanos::from_secs(1_700_000_000);
        let clock = WallClock::from_pair(Instant::ZERO, start);
        device.spans.set_wall_clock(Some(clock));
    })?;
    record(SPANS, now)?;
    deliver(now, |_| Response::new(200)).map(|_| ())
}

fn record(i: u8, at: Instant) -> Option<()> {
    with(|device| {
        let builder = SpanBuilder::new("work").scope(device.scope);
        let mut span = device.tracer.start::<128>(builder, at);
        span.set_attribute("number", i);
        span.end(at, &mut device.spans)
    })?
    .ok()
}

/// After every call that changed the buffer.
fn keep(kept: &mut Kept, now: Instant) -> Option<()> {
    kept.snapshot = with(|device| device.spans.buffer().snapshot())?.to_bytes();
    kept.time = now.as_nanos().to_le_bytes();
    Some(())
}
