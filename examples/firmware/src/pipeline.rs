//! What both programs are made of: an exporter that knows its board, ids, and the books.

use spandrel_core::prelude::*;

use crate::output::number;

/// The exporter over memory that lives as long as the program.
pub type Spans = Exporter<&'static mut [u8], &'static mut [u8]>;

/// An exporter that knows the board, and the scope of its spans.
pub fn exporter(
    config: ExporterConfig,
    buffer: Buffer<&'static mut [u8]>,
    names: &'static mut [u8],
) -> Option<(Spans, ScopeId)> {
    let attributes = [
        KeyValue::new("service.name", "firmware"),
        KeyValue::new("device.model.name", crate::board::NAME),
    ];
    let resource = Resource {
        attributes: &attributes,
        schema_url: "",
    };
    let registry = Registry::new(names, &resource).ok()?;
    let mut spans = Exporter::new(config, buffer, registry).ok()?;
    let scope = InstrumentationScope::new("spandrel-firmware").with_version("1");
    let scope = spans.scope(&scope).ok()?;
    Some((spans, scope))
}

/// Writes to the host where every span is.
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
        number(name, value);
    }
}

/// Ids that count, so that the host knows them in advance. A product draws them from its random
/// number generator, through [`RandomIdGenerator`].
#[derive(Clone, Debug)]
pub struct Counter(u32);

impl Counter {
    pub const fn new() -> Self {
        Self(0)
    }

    /// The ids behind the first `count`.
    #[allow(dead_code, reason = "one of the two programs needs it")]
    pub const fn after(count: u8) -> Self {
        Self(count as u32)
    }

    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(1).max(1);
        self.0
    }
}

impl IdGenerator for Counter {
    const RANDOM: bool = false;

    fn trace_id(&mut self) -> TraceId {
        TraceId::from_bytes((0x54 << 120 | u128::from(self.next())).to_be_bytes())
    }

    fn span_id(&mut self) -> SpanId {
        SpanId::from_bytes((0x53 << 56 | u64::from(self.next())).to_be_bytes())
    }
}
