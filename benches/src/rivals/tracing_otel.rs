//! tracing-opentelemetry over opentelemetry_sdk.

use tracing::Dispatch;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;

use super::otel::Discarding;

/// A subscriber with the layer's defaults; spans below the level info are disabled.
#[must_use]
pub fn dispatch(discarding: &Discarding) -> Dispatch {
    let layer = tracing_opentelemetry::layer().with_tracer(discarding.tracer());
    let subscriber = tracing_subscriber::registry()
        .with(LevelFilter::INFO)
        .with(layer);
    Dispatch::new(subscriber)
}
