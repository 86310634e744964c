//! opentelemetry-appender-tracing 0.33: its log records find the ids of the span that is current, under
//! Spandrel's own layer.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry::{Context, InstrumentationScope, Key, SpanId, TraceFlags, TraceId};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use spandrel_core::hosted::layer::layer;
use spandrel_core::hosted::opentelemetry_0_33::install;
use spandrel_ecosystem::{Proof, fail};
use tracing::{info, info_span};
use tracing_subscriber::prelude::*;

/// Keeps the ids under which records are emitted, as a logger of the API does it: from its context.
#[derive(Clone, Default)]
struct Ids(Arc<Mutex<Vec<(TraceId, SpanId)>>>);

struct Nothing;

impl LogRecord for Nothing {
    fn set_event_name(&mut self, _: &'static str) {}
    fn set_target<T: Into<Cow<'static, str>>>(&mut self, _: T) {}
    fn set_timestamp(&mut self, _: SystemTime) {}
    fn set_observed_timestamp(&mut self, _: SystemTime) {}
    fn set_severity_text(&mut self, _: &'static str) {}
    fn set_severity_number(&mut self, _: Severity) {}
    fn set_body(&mut self, _: AnyValue) {}
    fn add_attributes<I, K, V>(&mut self, _: I)
    where
        I: IntoIterator<Item = (K, V)>,
        K: Into<Key>,
        V: Into<AnyValue>,
    {
    }
    fn add_attribute<K: Into<Key>, V: Into<AnyValue>>(&mut self, _: K, _: V) {}
    fn set_trace_context(&mut self, _: TraceId, _: SpanId, _: Option<TraceFlags>) {}
}

impl Logger for Ids {
    type LogRecord = Nothing;

    fn create_log_record(&self) -> Nothing {
        Nothing
    }

    fn emit(&self, _: Nothing) {
        let context = Context::current();
        let span = context.span();
        let span = span.span_context();
        if let Ok(mut ids) = self.0.lock() {
            ids.push((span.trace_id(), span.span_id()));
        }
    }

    fn event_enabled(&self, _: Severity, _: &str, _: Option<&str>) -> bool {
        true
    }
}

impl LoggerProvider for Ids {
    type Logger = Self;

    fn logger_with_scope(&self, _: InstrumentationScope) -> Self {
        self.clone()
    }
}

fn main() {
    let proof = Proof::begin();
    install(proof.provider());
    let ids = Ids::default();
    tracing_subscriber::registry()
        .with(layer(&proof.tracer()))
        .with(OpenTelemetryTracingBridge::new(&ids))
        .init();
    let mut expected = Vec::new();
    info!("outside");
    expected.push(Default::default());
    info_span!("outer").in_scope(|| {
        for _ in 0..2 {
            info_span!("inner").in_scope(|| {
                info!("inside");
                let ours = spandrel_core::hosted::current::current_span_context();
                expected.extend(ours.map(|it| (it.trace_id().to_bytes(), it.span_id().to_bytes())));
            });
        }
    });
    let seen = ids.0.lock().map(|ids| ids.clone()).unwrap_or_default();
    let seen: Vec<_> = seen
        .iter()
        .map(|it| (it.0.to_bytes(), it.1.to_bytes()))
        .collect();
    if seen != expected {
        fail(&format!("the ids are {seen:?} and should be {expected:?}"));
    }
    proof.end(
        "
outer (Internal)
  inner (Internal)
  inner (Internal)
",
    );
}
