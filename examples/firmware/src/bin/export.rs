//! The cost of recording and exporting: `record.rs` with an exporter in place of the bare ring. It
//! is linked to be weighed; `budgets.txt` has the figure.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::panic::PanicInfo;

#[cfg(target_arch = "arm")]
use cortex_m as _;
#[cfg(target_arch = "riscv32")]
use riscv as _;
use spandrel_core::buffer::Buffer;
use spandrel_core::prelude::*;

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    let _ = black_box(export());
    loop {
        core::hint::spin_loop();
    }
}

fn export() -> Option<()> {
    let attributes = [KeyValue::new("service.name", "firmware")];
    let resource = Resource {
        attributes: &attributes,
        schema_url: "",
    };
    let registry = Registry::new([0_u8; 128], &resource).ok()?;
    let buffer = Buffer::new([0_u8; 2048]);
    let mut exporter = Exporter::new(ExporterConfig::DEFAULT, buffer, registry).ok()?;
    let mut tracer = BareTracer::new(ParentBased::new(AlwaysOn), Counter(0));
    let mut now = black_box(Instant::ZERO);
    let mut span = BareSpan::idle([0_u8; 192]);
    loop {
        tracer.start_in_place(&mut span, SpanBuilder::new("boot"), now);
        span.set_attribute("reset.reason", black_box("watchdog"));
        // What is refused is counted by the exporter.
        let _ = black_box(span.end_in_place(now, &mut exporter));

        now = now.max(exporter.poll_timeout()?);
        if let Some(mut transmit) = exporter.poll_transmit(now) {
            let mut chunk = [0_u8; 128];
            while !transmit.is_read() {
                let len = exporter.read_body(&mut transmit, &mut chunk);
                black_box(chunk.get(..len));
            }
            let answer = Outcome::Response(Response {
                retry_after: black_box(None),
                date: black_box(None),
                content_type: black_box(None),
                body: black_box(Some(&[])),
                ..Response::new(black_box(200))
            });
            exporter.handle_response(now, transmit, &answer);
        }
    }
}

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
        TraceId::from_bytes(u128::from(self.next()).to_be_bytes())
    }

    fn span_id(&mut self) -> SpanId {
        SpanId::from_bytes(u64::from(self.next()).to_be_bytes())
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
