//! A request compressed on the device, without a heap.

use spandrel_core::gzip::GzipEncoder;
use spandrel_core::prelude::*;

use crate::board::instructions;
use crate::device::{Device, with};
use crate::output::{begin, number, put};

const SPANS: u8 = 24;

pub fn run() -> Option<()> {
    with(|device| {
        record(device)?;
        let now = Instant::from_secs(60);
        let _ = device.spans.force_flush(now, Instant::MAX);
        let mut transmit = device.spans.poll_transmit(now)?;
        let length = transmit.content_length() as u32;
        number("gzip.raw", length.into());

        // First into nothing, for the figure; the body is read again for the host.
        let start = instructions();
        let packed = compress(device, &mut transmit, |_| {})?;
        let taken = instructions().wrapping_sub(start);
        number("gzip.packed", packed.into());
        number(
            "gzip.per_100_bytes",
            taken.checked_div(length / 100)?.into(),
        );
        transmit.rewind();
        compress(device, &mut transmit, |piece| {
            begin(b'Z', piece.len());
            put(piece);
        })?;
        let ok = Outcome::Response(Response::new(200));
        device.spans.handle_response(now, transmit, &ok);
        crate::pipeline::report(&device.spans.ledger(), &device.spans.stats());
        Some(())
    })?
}

fn record(device: &mut Device) -> Option<()> {
    for i in 0..SPANS {
        let start = Instant::from_millis(i.into());
        let builder = SpanBuilder::new("sensor.read").scope(device.scope);
        let mut span = device.tracer.start::<192>(builder, start);
        span.set_attribute("sensor.kind", "temperature");
        span.set_attribute("number", i);
        span.end(start, &mut device.spans).ok()?;
    }
    Some(())
}

/// How many bytes there were.
fn compress(device: &Device, transmit: &mut Transmit, mut send: impl FnMut(&[u8])) -> Option<u32> {
    let (mut window, mut table) = ([0; 1024], [0; 512]);
    let mut encoder = GzipEncoder::new(&mut window, &mut table).ok()?;
    let (mut chunk, mut total) = ([0; 128], 0);
    loop {
        let len = encoder.read(&mut chunk, |target| {
            device.spans.read_body(transmit, target)
        });
        if len == 0 {
            return Some(total);
        }
        total += len as u32;
        send(chunk.get(..len)?);
    }
}
