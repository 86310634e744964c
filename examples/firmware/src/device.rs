//! The pipeline of this device.

use core::cell::RefCell;

use critical_section::Mutex;
use spandrel_core::prelude::*;

use crate::output;
use crate::pipeline::{Counter, Spans, exporter, report};

/// Tracer and exporter. Interrupt handlers have their own tracer, see
/// [`crate::scenario::interrupt`].
pub struct Device {
    pub tracer: BareTracer<ParentBased<AlwaysOn>, Counter>,
    pub spans: Spans,
    /// The scope of the spans.
    pub scope: ScopeId,
}

static DEVICE: Mutex<RefCell<Option<Device>>> = Mutex::new(RefCell::new(None));

/// Makes the pipeline over `spans` and `names`; what it has recorded before is gone.
pub fn start(spans: &'static mut [u8], names: &'static mut [u8]) -> Option<()> {
    start_with(Buffer::new(spans), names)
}

/// Makes the pipeline over a buffer that may hold spans of an earlier run.
pub fn start_with(buffer: Buffer<&'static mut [u8]>, names: &'static mut [u8]) -> Option<()> {
    let (spans, scope) = exporter(ExporterConfig::DEFAULT, buffer, names)?;
    let device = Device {
        tracer: BareTracer::new(ParentBased::new(AlwaysOn), Counter::new()),
        spans,
        scope,
    };
    critical_section::with(|cs| {
        *DEVICE.borrow(cs).try_borrow_mut().ok()? = Some(device);
        Some(())
    })
}

/// Runs `work` on the pipeline with interrupts off. Keep it short: one start, or one end.
///
/// `None` when there is no pipeline yet.
pub fn with<R>(work: impl FnOnce(&mut Device) -> R) -> Option<R> {
    critical_section::with(|cs| {
        let mut device = DEVICE.borrow(cs).try_borrow_mut().ok()?;
        device.as_mut().map(work)
    })
}

/// Delivers until nothing is held. Each request goes to the host, and `answer` gets its number,
/// from 1, and gives what came back. Time jumps to what is due next. Returns the time at the end.
pub fn deliver(mut now: Instant, answer: impl Fn(u32) -> Response<'static>) -> Option<Instant> {
    let mut requests = 0;
    with(|device| {
        while let Some(wake) = device.spans.poll_timeout() {
            now = now.max(wake);
            while let Some(mut transmit) = device.spans.poll_transmit(now) {
                send_body(&device.spans, &mut transmit);
                requests += 1;
                let answer = Outcome::Response(answer(requests));
                device.spans.handle_response(now, transmit, &answer);
            }
        }
        report(&device.spans);
        now
    })
}

/// Pulls the body of a request in pieces, so that no buffer of its size exists.
fn send_body(exporter: &Spans, transmit: &mut Transmit) {
    output::begin(b'B', transmit.content_length());
    let mut chunk = [0; 64];
    while !transmit.is_read() {
        let len = exporter.read_body(transmit, &mut chunk);
        output::put(chunk.get(..len).unwrap_or_default());
    }
}
