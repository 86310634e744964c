//! The pipeline of this device: a tracer, an exporter, and the memory they use.

use core::cell::RefCell;

use critical_section::Mutex;
use spandrel_core::prelude::*;

use crate::output;

/// Bytes for finished spans.
pub const SPAN_BYTES: usize = 4096;
/// Bytes for the resource and the scope.
pub const NAME_BYTES: usize = 192;

/// The exporter over memory that lives as long as the program.
pub type Spans = Exporter<&'static mut [u8], &'static mut [u8]>;

/// Tracer and exporter; interrupt handlers share them with the main program.
pub struct Device {
    pub tracer: Tracer<ParentBased<AlwaysOn>, Counter>,
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
    let attributes = [
        KeyValue::new("service.name", "firmware"),
        KeyValue::new("device.model.name", crate::board::NAME),
    ];
    let resource = Resource {
        attributes: &attributes,
        schema_url: "",
    };
    let registry = Registry::new(names, &resource).ok()?;
    let mut spans = Exporter::new(ExporterConfig::DEFAULT, buffer, registry).ok()?;
    let scope = InstrumentationScope::new("spandrel-firmware").with_version("1");
    let scope = spans.scope(&scope).ok()?;
    let device = Device {
        tracer: Tracer::new(ParentBased::new(AlwaysOn), Counter(0)),
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

/// Delivers until nothing is held. Each request goes to the host, and `answer` is told its number,
/// from 1, and says what came back. Time jumps to whatever is due next: the time at the end.
pub fn deliver(mut now: Instant, answer: impl Fn(u32) -> Response<'static>) -> Option<Instant> {
    let mut requests = 0;
    with(|device| {
        while let Some(wake) = device.spans.poll_timeout() {
            now = now.max(wake);
            while let Some(mut transmit) = device.spans.poll_transmit(now) {
                output::body(&device.spans, &mut transmit);
                requests += 1;
                let answer = Outcome::Response(answer(requests));
                device.spans.handle_response(now, transmit, &answer);
            }
        }
        report(&device.spans);
        now
    })
}

/// Tells the host where every span is.
pub fn report(spans: &Spans) {
    let (ledger, stats) = (spans.ledger(), spans.stats());
    for (name, value) in [
        ("ledger.ended", ledger.ended),
        ("ledger.exported", ledger.exported),
        ("ledger.queue_full", ledger.dropped(DropReason::QueueFull)),
        ("ledger.dropped", ledger.dropped_total()),
        ("ledger.held", ledger.buffered + ledger.in_flight),
        ("stats.attempts", stats.attempts),
        ("stats.circuit_opened", stats.circuit_opened),
    ] {
        output::number(name, value);
    }
}

/// Ids that count, so that the host knows them in advance. A product draws them from its random
/// number generator, through [`RandomIdGenerator`].
#[derive(Clone, Debug)]
pub struct Counter(u32);

impl Counter {
    fn next(&mut self) -> [u8; 4] {
        self.0 = self.0.wrapping_add(1).max(1);
        self.0.to_be_bytes()
    }
}

impl IdGenerator for Counter {
    const RANDOM: bool = false;

    fn trace_id(&mut self) -> TraceId {
        let [a, b, c, d] = self.next();
        TraceId::from_bytes([0x54, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d])
    }

    fn span_id(&mut self) -> SpanId {
        let [a, b, c, d] = self.next();
        SpanId::from_bytes([0x53, 0, 0, 0, a, b, c, d])
    }
}
