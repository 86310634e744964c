//! The pipeline of this device.

use core::cell::RefCell;

use critical_section::Mutex;
use spandrel_core::prelude::*;

use crate::output;
use crate::pipeline::{Counter, Spans, introduce, report};

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
    critical_section::with(|cs| {
        let mut device = DEVICE.borrow(cs).try_borrow_mut().ok()?;
        // In its place, where it needs no copy.
        let device = device.insert(Device {
            tracer: BareTracer::new(ParentBased::new(AlwaysOn), Counter::new()),
            spans: Exporter::clamped(
                ExporterConfig::DEFAULT,
                Buffer::new(spans),
                Registry::empty(names),
            ),
            scope: ScopeId::default(),
        });
        device.scope = introduce(&mut device.spans)?;
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
///
/// Interrupts are off for one call into the exporter at a time, and on while the line is written.
pub fn deliver(mut now: Instant, answer: impl Fn(u32) -> Response<'static>) -> Option<Instant> {
    let mut requests = 0;
    while let Some(wake) = with(|device| device.spans.poll_timeout())? {
        now = now.max(wake);
        while let Some(mut transmit) = with(|device| device.spans.poll_transmit(now))? {
            send_body(&mut transmit, |transmit, chunk| {
                with(|device| device.spans.read_body(transmit, chunk))
            })?;
            requests += 1;
            let answer = Outcome::Response(answer(requests));
            with(|device| device.spans.handle_response(now, transmit, &answer))?;
        }
    }
    let (ledger, stats) = with(|device| (device.spans.ledger(), device.spans.stats()))?;
    report(&ledger, &stats);
    Some(now)
}

/// Sends the body of a request, which `read` gives in pieces, so that no buffer of its size exists.
pub fn send_body(
    transmit: &mut Transmit,
    mut read: impl FnMut(&mut Transmit, &mut [u8]) -> Option<usize>,
) -> Option<()> {
    output::begin(b'B', transmit.content_length());
    let mut chunk = [0; 64];
    while !transmit.is_read() {
        let len = read(transmit, &mut chunk)?;
        output::put(chunk.get(..len).unwrap_or_default());
    }
    Some(())
}
