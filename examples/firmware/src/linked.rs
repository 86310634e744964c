//! Firmware without a network: spans leave as frames of `core::link` over the serial line, and a
//! gateway on the host dates and delivers them. It is also what `budgets.txt` weighs as `linked`.
#![no_std]
#![no_main]

#[allow(dead_code, reason = "the other programs use the rest")]
mod board;

use core::panic::PanicInfo;

use board::semihosting::exit;
use spandrel_core::link::{LinkConfig, LinkExporter};
use spandrel_core::prelude::*;

/// More than the memory holds: the counts of what is lost travel in band.
const SPANS: u8 = 24;

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    board::uart_start();
    exit(run().is_some())
}

fn run() -> Option<()> {
    let attributes = [
        KeyValue::new("service.name", "firmware"),
        KeyValue::new("device.model.name", board::NAME),
    ];
    let resource = Resource {
        attributes: &attributes,
        schema_url: "",
    };
    let registry = Registry::new([0_u8; 128], &resource).ok()?;
    let buffer = Buffer::new([0_u8; 1536]);
    // A product takes a random number, or counts its starts in memory that outlives them.
    let mut link = LinkExporter::new(LinkConfig::DEFAULT, 7, buffer, registry);
    let mut tracer = BareTracer::new(ParentBased::new(AlwaysOn), Counter(0));

    let at = |millis: u8| Instant::from_millis(millis.into());
    let (mut root, mut span) = (BareSpan::idle([0_u8; 128]), BareSpan::idle([0_u8; 128]));
    tracer.start_in_place(&mut root, SpanBuilder::new("boot"), at(0));
    for i in 1..SPANS {
        let builder = SpanBuilder::new("work").parent(*root.context());
        tracer.start_in_place(&mut span, builder, at(i));
        span.set_attribute("number", i);
        // What is refused is counted, and the count is sent.
        let _ = span.end_in_place(at(i + 1), &mut link);
        if i == SPANS - 2 {
            send(&mut link, at(i));
        }
    }
    root.end_in_place(at(SPANS), &mut link).ok()?;
    send(&mut link, at(SPANS));
    Some(())
}

fn send(link: &mut LinkExporter<[u8; 1536], [u8; 128]>, now: Instant) {
    let mut frame = [0; 160];
    while let Some(len) = link.next_frame(now, &mut frame) {
        frame.iter().take(len).copied().for_each(board::uart_write);
    }
}

fn on_tick() {}

struct Counter(u32);

impl Counter {
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

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    exit(false)
}
