//! tracing-opentelemetry over opentelemetry_sdk.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use opentelemetry::trace::{SpanKind, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingResult, ShouldSample};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;

use super::otel::Discarding;

/// What the process-wide subscriber samples.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub enum Rate {
    /// Everything.
    All,
    /// A tenth.
    Tenth,
    /// Nothing.
    None,
}

static RATE: AtomicU8 = AtomicU8::new(0);

/// There is one subscriber in a process, so it asks each time: one relaxed load.
#[derive(Clone, Debug)]
struct Switch;

impl ShouldSample for Switch {
    fn should_sample(
        &self,
        parent_context: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        span_kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[opentelemetry::trace::Link],
    ) -> SamplingResult {
        let sampler = match RATE.load(Ordering::Relaxed) {
            0 => Sampler::AlwaysOn,
            1 => Sampler::TraceIdRatioBased(0.1),
            _ => Sampler::AlwaysOff,
        };
        sampler.should_sample(parent_context, trace_id, name, span_kind, attributes, links)
    }
}

/// Installs the subscriber, once, and sets what is sampled. Spans below the level info are
/// disabled.
pub fn install(rate: Rate) -> Discarding {
    static INSTALLED: OnceLock<Discarding> = OnceLock::new();
    RATE.store(rate as u8, Ordering::Relaxed);
    let discarding = INSTALLED.get_or_init(|| {
        let discarding = Discarding::new(Switch);
        let layer = tracing_opentelemetry::layer().with_tracer(discarding.tracer());
        let subscriber = tracing_subscriber::registry()
            .with(LevelFilter::INFO)
            .with(layer);
        tracing::subscriber::set_global_default(subscriber).expect("the only subscriber");
        discarding
    });
    discarding.clone()
}
