//! The smallest tokio program that delivers a trace. It needs nothing but tokio and
//! `spandrel-transport-async` with its feature `reqwest`.
//!
//! ```text
//! cargo run --example minimal_async
//! OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 cargo run --example minimal_async
//! ```
//!
//! Without an endpoint it prints the trace, one line of JSON. With one it delivers the trace there:
//! look for the service `minimal-async`, with the span `greet` and `name.find` inside it.
#![allow(clippy::print_stderr, reason = "a failed delivery must be seen")]

use std::process::ExitCode;
use std::time::Duration;

use spandrel_transport_async::{Config, ContextFutureExt, InitError, Tracer, init};

#[tokio::main]
async fn main() -> Result<ExitCode, InitError> {
    let telemetry = init(Config {
        enabled: true,
        service_name: "minimal-async".into(),
        ..Config::default()
    })?;
    let tracer = telemetry.tracer("greetings");
    let mut greet = tracer.start("greet");
    let name = find_name(&tracer).in_span(&greet).await;
    greet.set_attribute("name", name);
    greet.end();
    let report = telemetry.shutdown(Duration::from_secs(5)).await;
    if report.is_success() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("not everything arrived: {report}");
    Ok(ExitCode::FAILURE)
}

async fn find_name(tracer: &Tracer) -> &'static str {
    let _span = tracer.start("name.find");
    tokio::time::sleep(Duration::from_millis(5)).await;
    "world"
}
