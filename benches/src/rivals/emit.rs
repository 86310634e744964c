//! emit with emit_otlp.
//!
//! Its queue and its sender are one, so it sends to a sink in this process, which stores bodies.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use emit::runtime::AmbientSlot;

use crate::sink::Sink;

static RECORDS: AtomicBool = AtomicBool::new(true);
static SINK: OnceLock<Sink> = OnceLock::new();

/// Builds the emitter as its documentation does.
#[must_use]
pub fn otlp(endpoint: &str) -> emit_otlp::Otlp {
    emit_otlp::new()
        .resource(emit::props! {
            #[emit::key("service.name")]
            service_name: "bench",
        })
        .traces(emit_otlp::traces_http_proto(format!(
            "{endpoint}/v1/traces"
        )))
        .spawn()
}

/// Sets up the process-wide runtime, once, and whether its filter lets spans through.
pub fn install(records: bool) {
    RECORDS.store(records, Ordering::Relaxed);
    SINK.get_or_init(|| {
        let sink = Sink::start().expect("a sink");
        let _ = emit::setup()
            .emit_when(emit::filter::from_fn(|_| RECORDS.load(Ordering::Relaxed)))
            .emit_to(otlp(&sink.endpoint()))
            .init();
        sink
    });
}

/// The runtime with a sampler.
pub static SAMPLED: AmbientSlot = AmbientSlot::new();
/// Trace ids up to here are sampled.
static SAMPLED_UP_TO: AtomicU64 = AtomicU64::new(0);

/// Sets up the runtime with the sampler of emit_traceparent, once, and its rate.
pub fn install_sampler(rate: f64) {
    SAMPLED_UP_TO.store((rate * u64::MAX as f64) as u64, Ordering::Relaxed);
    static SINK: OnceLock<Sink> = OnceLock::new();
    SINK.get_or_init(|| {
        let sink = Sink::start().expect("a sink");
        let sampler = |span: &emit::span::SpanCtxt| {
            let id = span.trace_id().map_or(0, |id| id.to_u128() as u64);
            id < SAMPLED_UP_TO.load(Ordering::Relaxed)
        };
        let _ = emit_traceparent::setup_with_sampler(sampler)
            .emit_to(otlp(&sink.endpoint()))
            .init_slot(&SAMPLED);
        sink
    });
}

/// Has everything sent that has ended in the runtime with a sampler.
pub fn flush_sampled() {
    emit::Emitter::blocking_flush(SAMPLED.get().emitter(), Duration::from_secs(10));
}

/// Has everything sent that has ended.
pub fn flush() {
    emit::blocking_flush(Duration::from_secs(10));
}

/// Spans that arrived since the last call.
#[must_use]
pub fn take_arrived() -> u64 {
    flush();
    SINK.get().map_or(0, |sink| sink.take_totals().spans)
}
