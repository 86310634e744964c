//! emit with emit_otlp.
//!
//! Its queue and its sender are one, so it sends to a sink in this process, which stores bodies.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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
