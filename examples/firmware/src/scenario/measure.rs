//! Instructions per span, when the emulator runs with `-icount shift=0`, and the RAM of what holds
//! them.

use core::hint::black_box;

use spandrel_core::link::LinkExporter;
use spandrel_core::prelude::*;

use crate::board::instructions;
use crate::device::{Device, with};
use crate::output::{number, number_of};
use crate::pipeline::Counter;

/// Enough for the tick of the counter not to matter, few enough for every board's memory.
const SPANS: u32 = 16;

pub fn run() -> Option<()> {
    sizes();
    with(|device| {
        returned(device)?;
        measure(device, "bare", |_| {})?;
        measure(device, "attributes", |span| {
            span.set_attribute("http.request.method", black_box("GET"));
            span.set_attribute("http.response.status_code", black_box(200_i64));
            span.set_attribute("url.path", black_box("/measurements"));
            span.set_attribute("retry", black_box(false));
        })
    })?
}

/// The sizes of the parts of a pipeline, without the bytes that are given to them.
fn sizes() {
    type Recorder = BareTracer<ParentBased<AlwaysOn>, Counter>;
    for (name, size) in [
        ("ram.tracer", size_of::<Recorder>()),
        ("ram.span", size_of::<BareSpan<[u8; 0]>>()),
        ("ram.buffer", size_of::<Buffer<[u8; 0]>>()),
        ("ram.link", size_of::<LinkExporter<[u8; 0], [u8; 0]>>()),
        ("ram.exporter", size_of::<Exporter<[u8; 0], [u8; 0]>>()),
    ] {
        number(name, size as u64);
    }
}

/// Spans that are started by a function that returns them: it clears their memory and moves it.
fn returned(device: &mut Device) -> Option<()> {
    let now = black_box(Instant::from_millis(1));
    let begin = instructions();
    for _ in 0..SPANS {
        let builder = SpanBuilder::new(black_box("measure")).scope(device.scope);
        let span = device.tracer.start::<256>(builder, now);
        span.end(now, &mut device.spans).ok()?;
    }
    let taken = instructions().wrapping_sub(begin);
    number("returned.record", (taken / SPANS).into());
    number("ram.16_spans", device.spans.buffer().queued_bytes() as u64);
    let now = Instant::from_secs(30);
    device.spans.force_flush(now, Instant::MAX);
    let transmit = device.spans.poll_transmit(now)?;
    let ok = Outcome::Response(Response::new(200));
    device.spans.handle_response(now, transmit, &ok);
    Some(())
}

/// Records spans that `describe` fills, then takes them out as one request.
fn measure(
    device: &mut Device,
    name: &str,
    describe: impl Fn(&mut BareSpan<[u8; 256]>),
) -> Option<()> {
    let now = black_box(Instant::from_millis(1));
    let begin = instructions();
    let mut span = BareSpan::idle([0; 256]);
    for _ in 0..SPANS {
        let builder = SpanBuilder::new(black_box("measure")).scope(device.scope);
        device.tracer.start_in_place(&mut span, builder, now);
        describe(&mut span);
        span.end_in_place(now, &mut device.spans).ok()?;
    }
    let recorded = instructions();
    let now = Instant::from_secs(60);
    device.spans.force_flush(now, Instant::MAX);
    let mut transmit = device.spans.poll_transmit(now)?;
    let decided = instructions();
    let mut chunk = [0; 512];
    while !transmit.is_read() {
        black_box(device.spans.read_body(&mut transmit, &mut chunk));
    }
    let encoded = instructions();
    let ok = Outcome::Response(Response::new(200));
    device.spans.handle_response(now, transmit, &ok);
    let settled = instructions();

    for (step, taken) in [
        (".record", recorded.wrapping_sub(begin)),
        (".request", decided.wrapping_sub(recorded)),
        (".encode", encoded.wrapping_sub(decided)),
        (".answer", settled.wrapping_sub(encoded)),
    ] {
        number_of(name, step, (taken / SPANS).into());
    }
    Some(())
}
