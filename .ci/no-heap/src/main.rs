//! Records a span and delivers it, on a Cortex-M0 without an allocator.
//!
//! That this program links is the proof; running it is the business of `examples/firmware`.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::panic::PanicInfo;

use cortex_m_rt::entry;
use spandrel_core::exporter::ConfigError;
use spandrel_core::instrument;
use spandrel_core::instrument::LocalPlace;
use spandrel_core::prelude::*;
use spandrel_core::resource::RegistryError;

/// Ids that count. A device draws them from its random number generator.
struct Counter(u64);

impl Counter {
    fn next(&mut self) -> [u8; 8] {
        self.0 = self.0.wrapping_add(1).max(1);
        self.0.to_be_bytes()
    }
}

impl IdGenerator for Counter {
    const RANDOM: bool = false;

    fn trace_id(&mut self) -> TraceId {
        let mut id = [0; 16];
        id[8..].copy_from_slice(&self.next());
        TraceId::from_bytes(id)
    }

    fn span_id(&mut self) -> SpanId {
        SpanId::from_bytes(self.next())
    }
}

/// Why the pipeline could not be built; both are mistakes in the constants below.
#[expect(dead_code, reason = "a debugger shows it")]
enum SetupError {
    Registry(RegistryError),
    Config(ConfigError),
}

impl From<RegistryError> for SetupError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

impl From<ConfigError> for SetupError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

fn deliver(spans: &mut [u8], names: &mut [u8]) -> Result<u64, SetupError> {
    let service = [KeyValue::new("service.name", "no-heap")];
    let resource = Resource {
        attributes: &service,
        schema_url: "",
    };
    let registry = Registry::new(names, &resource)?;
    let buffer = Buffer::new(spans);
    let mut exporter = Exporter::new(ExporterConfig::DEFAULT, buffer, registry)?;
    let mut tracer = BareTracer::new(ParentBased::new(AlwaysOn), Counter(0));

    let mut now = black_box(Instant::ZERO);
    let mut root = tracer.start::<256>(SpanBuilder::new("boot"), now);
    root.set_attribute("reset.reason", black_box("watchdog"));
    let child = tracer.start::<128>(
        SpanBuilder::new("radio.send")
            .kind(SpanKind::Client)
            .parent(*root.context()),
        now,
    );
    now = black_box(Instant::from_millis(3));
    // A refused record is counted by the exporter, which is all that a device can do about it.
    let _ = child.end(now, &mut exporter);
    root.set_status(Status::Ok);
    let _ = root.end(now, &mut exporter);

    let mut chunk = [0_u8; 128];
    while let Some(wake) = exporter.poll_timeout() {
        now = now.max(wake);
        while let Some(mut transmit) = exporter.poll_transmit(now) {
            while !transmit.is_read() {
                let len = exporter.read_body(&mut transmit, &mut chunk);
                black_box(chunk.get(..len));
            }
            let answer = Outcome::Response(Response::new(black_box(200)));
            exporter.handle_response(now, transmit, &answer);
        }
    }
    Ok(exporter.ledger().exported)
}

type Trace = LocalPlace<AlwaysOn, Counter, Buffer<[u8; 512]>, 128>;

#[instrument(place = trace, name = "sensor.read", err, fields(pin))]
fn read(trace: &Trace, pin: u32) -> Result<u32, ()> {
    convert(trace, black_box(pin)).ok_or(())
}

#[instrument(place = trace, kind = Client)]
fn convert(trace: &Trace, raw: u32) -> Option<u32> {
    raw.checked_mul(10)
}

/// Spans of functions that have the attribute.
fn measure() -> Option<usize> {
    let tracer = BareTracer::new(AlwaysOn, Counter(0));
    let now = || black_box(Instant::ZERO);
    let trace = LocalPlace::new(tracer, Buffer::new([0; 512]), now);
    let _ = black_box(read(&trace, 4));
    trace.with(|_, buffer| buffer.len())
}

#[entry]
fn main() -> ! {
    // `entry` hands out the statics of its function as exclusive references.
    static mut SPANS: [u8; 2048] = [0; 2048];
    static mut NAMES: [u8; 128] = [0; 128];

    let _ = black_box(deliver(SPANS, NAMES));
    black_box(measure());
    loop {
        core::hint::spin_loop();
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
