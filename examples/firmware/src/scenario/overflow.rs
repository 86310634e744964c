//! More spans than the memory holds: what is lost is counted, and the count is sent in band, as a
//! span, when there is room again.

use spandrel_core::prelude::*;

use crate::device::{deliver, with};

const SPANS: u16 = 100;

pub fn run() -> Option<()> {
    let mut refused = 0_u64;
    for i in 0..SPANS {
        let at = Instant::from_millis(i.into());
        refused += u64::from(record("work", "number", i.into(), at)?.is_err());
    }
    crate::output::number("refused", refused);
    let now = deliver(Instant::from_millis(SPANS.into()), |_| Response::new(200))?;

    // The first span that fits again ends the loss, and the event says how large it was.
    record("work", "number", SPANS.into(), now)?.ok()?;
    let mut lost = None;
    with(|device| {
        while let Some(event) = device.spans.poll_event() {
            if let Event::LossEnded { dropped } = event {
                lost = Some(dropped);
            }
        }
    })?;
    record("telemetry.loss", "spans", lost?, now)?.ok()?;
    deliver(now, |_| Response::new(200)).map(|_| ())
}

fn record(name: &str, key: &str, value: u64, at: Instant) -> Option<Result<(), PushError>> {
    with(|device| {
        let builder = SpanBuilder::new(name).scope(device.scope);
        let mut span = device.tracer.start::<128>(builder, at);
        span.set_attribute(key, value);
        span.end(at, &mut device.spans)
    })
}
