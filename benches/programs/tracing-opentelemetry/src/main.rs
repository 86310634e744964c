//! The least program: one order, two spans with two attributes each, sent to the first argument.

use std::error::Error;
use std::hint::black_box;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{
    Compression, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;

fn main() -> Result<(), Box<dyn Error>> {
    let endpoint = std::env::args().nth(1).unwrap_or_default();
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{endpoint}/v1/traces"))
        .with_compression(Compression::Gzip)
        .build()?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(Resource::builder().with_service_name("least").build())
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("least"));
    let subscriber = tracing_subscriber::registry()
        .with(LevelFilter::INFO)
        .with(layer);
    tracing::subscriber::set_global_default(subscriber)?;
    let order = tracing::info_span!(
        "order",
        otel.kind = "server",
        order.route = "/orders",
        order.lines = 3,
    );
    let total = order.in_scope(|| {
        let total = black_box([3_i64, 14, 15]).iter().sum::<i64>();
        drop(tracing::info_span!(
            "order.sum",
            sum.currency = "EUR",
            sum.total = total
        ));
        total
    });
    drop(order);
    provider.shutdown()?;
    println!("{total} for {endpoint}");
    Ok(())
}
