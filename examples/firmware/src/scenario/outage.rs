//! A collector that asks for a pause, fails until the circuit opens, and comes back.

use spandrel_core::prelude::*;

use crate::device::{deliver, with};

/// Requests until one is accepted.
const REQUESTS: u32 = 6;

pub fn run() -> Option<()> {
    for i in 0..3_u8 {
        let at = Instant::from_millis(i.into());
        with(|device| {
            let builder = SpanBuilder::new("measure").scope(device.scope);
            let mut span = device.tracer.start::<128>(builder, at);
            span.set_attribute("number", i);
            span.end(at, &mut device.spans)
        })?
        .ok()?;
    }
    let end = deliver(Instant::from_secs(1), |request| match request {
        1 => Response {
            retry_after: Some("7"),
            ..Response::new(503)
        },
        2..REQUESTS => Response::new(503),
        _ => Response::new(200),
    })?;
    let took = end.saturating_since(Instant::from_secs(1));
    crate::output::number("took.seconds", took.as_secs());
    Some(())
}
