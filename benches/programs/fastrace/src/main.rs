//! The least program: one order, two spans with two attributes each, sent to the first argument.

use std::borrow::Cow;
use std::error::Error;
use std::hint::black_box;

use fastrace::Span;
use fastrace::collector::{Config, SpanContext};
use fastrace::local::LocalSpan;
use fastrace_opentelemetry::OpenTelemetryReporter;
use opentelemetry::InstrumentationScope;
use opentelemetry_otlp::{
    Compression, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;

fn main() -> Result<(), Box<dyn Error>> {
    let endpoint = std::env::args().nth(1).unwrap_or_default();
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{endpoint}/v1/traces"))
        .with_compression(Compression::Gzip)
        .build()?;
    let resource = Resource::builder().with_service_name("least").build();
    let scope = InstrumentationScope::builder("least").build();
    let reporter = OpenTelemetryReporter::new(exporter, Cow::Owned(resource), scope);
    fastrace::set_reporter(reporter, Config::default());
    let order = Span::root("order", SpanContext::random())
        .with_properties(|| [("order.route", "/orders"), ("order.lines", "3")]);
    let current = order.set_local_parent();
    let total = black_box([3_i64, 14, 15]).iter().sum::<i64>();
    drop(
        LocalSpan::enter_with_local_parent("order.sum").with_properties(|| {
            [
                ("sum.currency", "EUR".to_owned()),
                ("sum.total", total.to_string()),
            ]
        }),
    );
    drop((current, order));
    fastrace::flush();
    println!("{total} for {endpoint}");
    Ok(())
}
