//! The least program: one order, two spans with two attributes each, sent to the first argument.

use std::error::Error;
use std::hint::black_box;

use opentelemetry::KeyValue;
use opentelemetry::trace::{
    Span as _, SpanKind, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry_otlp::{
    Compression, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;

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
    let tracer = provider.tracer("least");
    let order = tracer.span_builder("order").with_kind(SpanKind::Server);
    let order = opentelemetry::Context::current_with_span(order.start(&tracer));
    let current = order.clone().attach();
    order
        .span()
        .set_attribute(KeyValue::new("order.route", "/orders"));
    order.span().set_attribute(KeyValue::new("order.lines", 3));
    let mut sum = tracer.start("order.sum");
    let total = black_box([3_i64, 14, 15]).iter().sum::<i64>();
    sum.set_attribute(KeyValue::new("sum.currency", "EUR"));
    sum.set_attribute(KeyValue::new("sum.total", total));
    drop((sum, current, order));
    provider.shutdown()?;
    println!("{total} for {endpoint}");
    Ok(())
}
