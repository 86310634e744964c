//! opentelemetry_sdk with a batch processor, as its documentation sets it up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider, ShouldSample, SpanData,
    SpanExporter,
};

use crate::workload::{SPANS_PER_TRACE, values};

/// Counts and forgets.
#[derive(Clone, Debug, Default)]
pub struct Discard(Arc<AtomicU64>);

impl Discard {
    /// Spans that came in.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl SpanExporter for Discard {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.fetch_add(batch.len() as u64, Ordering::SeqCst);
        Ok(())
    }
}

/// Keeps everything, for the encoder.
#[derive(Clone, Debug, Default)]
struct Keep(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Keep {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().expect("no panic").extend(batch);
        Ok(())
    }
}

/// So many finished spans of the end-to-end workload.
#[must_use]
pub fn finished(spans: usize) -> Vec<SpanData> {
    let kept = Keep::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(kept.clone())
        .build();
    let tracer = provider.tracer("bench");
    for n in 0..(spans as u64).div_ceil(SPANS_PER_TRACE) {
        trace(&tracer, n);
    }
    let mut finished = std::mem::take(&mut *kept.0.lock().expect("no panic"));
    finished.truncate(spans);
    finished
}

/// One trace of the end-to-end workload.
pub fn trace(tracer: &SdkTracer, n: u64) {
    tracer.in_span("http.request", |context| {
        let (route, rows, load, hit) = values(n, 0);
        let span = context.span();
        span.set_attribute(KeyValue::new("http.route", route));
        span.set_attribute(KeyValue::new("db.rows", rows));
        span.set_attribute(KeyValue::new("server.load", load));
        span.set_attribute(KeyValue::new("cache.hit", hit));
        for child in 1..SPANS_PER_TRACE {
            let (route, rows, load, hit) = values(n, child);
            let mut span = tracer.start("db.query");
            span.set_attribute(KeyValue::new("http.route", route));
            span.set_attribute(KeyValue::new("db.rows", rows));
            span.set_attribute(KeyValue::new("server.load", load));
            span.set_attribute(KeyValue::new("cache.hit", hit));
        }
    });
}

/// A provider whose exporter discards.
#[derive(Clone)]
pub struct Discarding {
    provider: SdkTracerProvider,
    exported: Discard,
}

impl Discarding {
    /// With the default batch settings.
    #[must_use]
    pub fn new(sampler: impl ShouldSample + 'static) -> Self {
        let exported = Discard::default();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exported.clone())
            .with_sampler(sampler)
            .build();
        Self { provider, exported }
    }

    /// With queues that hold a long round, whose worker is not woken meanwhile.
    #[must_use]
    pub fn with_long_queue(spans: usize) -> Self {
        let exported = Discard::default();
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(spans)
            .with_max_export_batch_size(spans)
            .with_scheduled_delay(Duration::from_secs(3600))
            .build();
        let processor = BatchSpanProcessor::builder(exported.clone())
            .with_batch_config(config)
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .build();
        Self { provider, exported }
    }

    /// A tracer.
    #[must_use]
    pub fn tracer(&self) -> SdkTracer {
        self.provider.tracer("bench")
    }

    /// Has everything exported that has ended.
    pub fn flush(&self) {
        self.provider.force_flush().expect("nothing can fail");
    }

    /// Spans that reached the exporter.
    #[must_use]
    pub fn exported(&self) -> u64 {
        self.flush();
        self.exported.count()
    }
}
