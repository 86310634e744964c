//! The weather station: one cycle of measurements, and a rain gauge that interrupts it.
//!
//! The main program records into the [`Line`] it was given. The gauge's interrupt may come at any
//! time, also while a span is being written there, so it records into a [`SharedBuffer`], from
//! which the main program fetches its spans when it has nothing else to do.

mod gauge;
#[cfg(feature = "net")]
pub mod over_http;
pub mod over_uart;
mod random;

use core::sync::atomic::{AtomicBool, Ordering};

use spandrel_core::prelude::*;

use crate::board;
pub use random::Random;

/// Where finished spans go, and what happens to them while the station waits for something.
pub trait Line: RecordSink {
    /// The processor has nothing else to do.
    fn idle(&mut self);
}

/// Until the cycle is over.
static MEASURING: AtomicBool = AtomicBool::new(true);

/// Whether the station still measures, and so needs the ticks.
#[cfg(feature = "net")]
pub fn is_measuring() -> bool {
    MEASURING.load(Ordering::Relaxed)
}

/// The timer's interrupt.
pub fn on_tick() {
    board::clock_tick();
    gauge::on_tick();
}

/// A tracer and the scope of its spans.
pub struct Station {
    tracer: BareTracer<ParentBased<AlwaysOn>, Random>,
    scope: ScopeId,
}

/// The scope of the station's spans.
pub const SCOPE: InstrumentationScope<'static> = InstrumentationScope::new("station");

/// The station's resource.
pub fn registry<R: AsRef<[u8]> + AsMut<[u8]>>(memory: R) -> Option<Registry<R>> {
    let attributes = [
        KeyValue::new("service.name", "station"),
        KeyValue::new("device.model.name", board::NAME),
    ];
    let resource = Resource {
        attributes: &attributes,
        schema_url: "",
    };
    Registry::new(memory, &resource).ok()
}

/// The monotonic time of this device.
pub fn now() -> Instant {
    Instant::from_nanos(board::micros() * 1_000)
}

impl Station {
    pub fn new(seed: u32, scope: ScopeId) -> Self {
        let tracer = BareTracer::new(ParentBased::new(AlwaysOn), Random::new(seed));
        Self { tracer, scope }
    }

    /// Measures once, and shows the result.
    pub fn cycle(&mut self, seed: u32, line: &mut impl Line) {
        let mut cycle = self.start("station.cycle", None);
        cycle.set_attribute("supply.volts", 3.71);
        gauge::open(Random::new(!seed), *cycle.context(), self.scope);

        let mut read = self.start("sensor.read", Some(&cycle));
        wait_millis(14);
        read.set_attribute("sensor", "bme280");
        read.set_attribute("temperature.celsius", 21.5);
        end(read, line);

        let mut read = self.start("sensor.read", Some(&cycle));
        read.set_attribute("sensor", "scd41");
        wait_millis(9);
        let no_answer = [KeyValue::new("attempt", 1_i64)];
        read.add_event("bus.timeout", &no_answer, now());
        wait_millis(12);
        read.set_attribute("co2.ppm", 612_i64);
        end(read, line);

        let wind = self.start("wind.measure", Some(&cycle));
        for _ in 0..6 {
            let sample = self.start("wind.sample", Some(&wind));
            wait_millis(4);
            end(sample, line);
        }
        line.idle();
        end(wind, line);

        let mut show = self.start("display.show", Some(&cycle));
        wait_millis(8);
        show.set_status(Status::error("no answer from the display"));
        end(show, line);

        cycle.set_status(Status::Ok);
        gauge::close(line);
        end(cycle, line);
        MEASURING.store(false, Ordering::Relaxed);
        line.idle();
    }

    fn start(&mut self, name: &str, parent: Option<&BareSpan<[u8; 160]>>) -> BareSpan<[u8; 160]> {
        let builder = SpanBuilder::new(name).scope(self.scope);
        let builder = match parent {
            Some(parent) => builder.parent(*parent.context()),
            None => builder,
        };
        self.tracer.start::<160>(builder, now())
    }
}

fn end(span: BareSpan<[u8; 160]>, line: &mut impl Line) {
    // A span that finds no room is counted, and the count is delivered.
    let _ = span.end(now(), line);
}

/// Stands for work of the hardware.
fn wait_millis(millis: u64) {
    let until = board::micros() + millis * 1_000;
    while board::micros() < until {}
}
