//! Spans from an interrupt handler, while the main program records its own.

use core::cell::Cell;

use critical_section::Mutex;
use spandrel_core::prelude::*;

use crate::board;
use crate::device::{deliver, with};

const SPANS: u32 = 12;

/// How often the timer's interrupt has come.
static TICKS: Mutex<Cell<u32>> = Mutex::new(Cell::new(0));

pub fn on_tick() {
    let tick = critical_section::with(|cs| {
        let tick = TICKS.borrow(cs).get();
        TICKS.borrow(cs).set(tick + 1);
        tick
    });
    if tick < SPANS {
        // A refused span is counted by the exporter; a handler has nobody to tell.
        let _ = record("interrupt", tick, 1);
    }
}

pub fn run() -> Option<()> {
    board::ticks_start();
    for i in 0..SPANS {
        // One more turn for every span of the handler, so that the two alternate.
        while critical_section::with(|cs| TICKS.borrow(cs).get()) <= i {}
        record("main", i, 2)?.ok()?;
    }
    board::ticks_stop();
    deliver(Instant::from_secs(1), |_| Response::new(200)).map(|_| ())
}

/// The time with interrupts off is that of one start and of one end.
fn record(name: &str, number: u32, micros: u64) -> Option<Result<(), PushError>> {
    let start = Instant::from_millis(number.into());
    let end = Instant::from_nanos(start.as_nanos() + micros * 1_000);
    let mut span = with(|device| {
        let builder = SpanBuilder::new(name).scope(device.scope);
        device.tracer.start::<128>(builder, start)
    })?;
    span.set_attribute("number", number);
    with(|device| span.end(end, &mut device.spans))
}
