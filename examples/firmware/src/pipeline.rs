//! What both programs are made of: an exporter that knows its board, ids, and the books.

use spandrel_core::prelude::*;
use spandrel_core::stats::DeliveryStats;

use crate::output::number;

/// The exporter over memory that lives as long as the program.
pub type Spans = Exporter<&'static mut [u8], &'static mut [u8]>;

/// Tells an exporter the board, and returns the scope of its spans.
pub fn introduce<B: AsRef<[u8]> + AsMut<[u8]>>(
    spans: &mut Exporter<B, &'static mut [u8]>,
) -> Option<ScopeId> {
    let attributes = [
        KeyValue::new("service.name", "firmware"),
        KeyValue::new("device.model.name", crate::board::NAME),
    ];
    let resource = Resource {
        attributes: &attributes,
        schema_url: "",
    };
    spans.set_resource(&resource).ok()?;
    let scope = InstrumentationScope::new("spandrel-firmware").with_version("1");
    spans.scope(&scope).ok()
}

/// Writes to the host where every span is.
pub fn report(ledger: &Ledger, stats: &DeliveryStats) {
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
