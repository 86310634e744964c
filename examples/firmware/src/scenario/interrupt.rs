//! Spans from an interrupt handler, while the main program records its own: both into one
//! [`SharedBuffer`], from which the main program feeds the exporter with interrupts on.

use core::cell::{Cell, RefCell};

use critical_section::Mutex;
use spandrel_core::buffer::Record;
use spandrel_core::prelude::*;
use spandrel_core::shared_buffer::SharedBuffer;

use crate::board;
use crate::device::{deliver, with};
use crate::output::number;
use crate::pipeline::Counter;

type Recorder = BareTracer<ParentBased<AlwaysOn>, Counter>;

/// Spans that each of the two records.
const SPANS: u32 = 12;
/// Spans that each of them records while nothing is fetched.
const FLOOD: u32 = 20;

/// Room for all that the handler records, should the emulator stall, and one span from here.
static SHARED: SharedBuffer<[u8; 1280]> = SharedBuffer::new(Buffer::new([0; 1280]));
/// The handler's own tracer, so that it never waits for the main program's.
static HANDLER: Mutex<RefCell<Recorder>> = Mutex::new(RefCell::new(BareTracer::new(
    ParentBased::new(AlwaysOn),
    Counter::after(100),
)));
/// How often the handler has recorded, and how often it must.
static RECORDED: Mutex<Cell<u32>> = Mutex::new(Cell::new(0));
static WANTED: Mutex<Cell<u32>> = Mutex::new(Cell::new(0));

pub fn on_tick() {
    critical_section::with(|cs| {
        let number = RECORDED.borrow(cs).get();
        if number >= WANTED.borrow(cs).get() {
            return;
        }
        if let Ok(mut tracer) = HANDLER.borrow(cs).try_borrow_mut() {
            record(&mut tracer, "interrupt", number, 1);
        }
        RECORDED.borrow(cs).set(number + 1);
    });
}

/// Everything is fetched in time, so nothing is lost.
pub fn run() -> Option<()> {
    in_turns(SPANS, fetch);
    finish()
}

/// Nothing is fetched until both are done: the first ones stay, the others are counted.
pub fn flood() -> Option<()> {
    in_turns(FLOOD, || {});
    finish()
}

/// Moves what was recorded to the exporter: a short critical section for each step of each span.
fn fetch() {
    SHARED.drain(&mut [0; 128], &mut ToExporter);
}

struct ToExporter;

impl RecordSink for ToExporter {
    fn push_record(&mut self, record: &Record<'_>) -> Result<(), PushError> {
        with(|device| device.spans.push_record(record)).unwrap_or(Err(PushError::Shutdown))
    }

    fn has_room_for(&self, record: &Record<'_>) -> bool {
        with(|device| device.spans.has_room_for(record)).unwrap_or(false)
    }
}

/// Records `spans` from here and as many from the handler, which alternate where the emulator
/// keeps up; `then` is called after each from here.
fn in_turns(spans: u32, then: fn()) {
    let mut tracer = BareTracer::new(ParentBased::new(AlwaysOn), Counter::new());
    critical_section::with(|cs| WANTED.borrow(cs).set(spans));
    board::ticks_start();
    for number in 0..spans {
        while critical_section::with(|cs| RECORDED.borrow(cs).get()) <= number {}
        record(&mut tracer, "main", number, 2);
        then();
    }
    board::ticks_stop();
}

fn finish() -> Option<()> {
    fetch();
    let lost = SHARED.ledger();
    number("shared.queue_full", lost.dropped(DropReason::QueueFull));
    number("shared.dropped", lost.dropped_total());
    number("shared.held", lost.buffered);
    deliver(Instant::from_secs(1), |_| Response::new(200)).map(|_| ())
}

fn record(tracer: &mut Recorder, name: &str, number: u32, micros: u64) {
    let start = Instant::from_millis(number.into());
    let end = Instant::from_nanos(start.as_nanos() + micros * 1_000);
    let mut span = tracer.start::<128>(SpanBuilder::new(name), start);
    span.set_attribute("number", number);
    // The shared buffer counts what it has no room for; a handler cannot report it.
    let _ = span.end(end, &mut &SHARED);
}
