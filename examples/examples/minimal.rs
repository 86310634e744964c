//! The smallest program that delivers a trace. It needs nothing but `spandrel-transport-std`.
//!
//! ```text
//! cargo run --example minimal
//! OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 cargo run --example minimal
//! ```
//!
//! Without an endpoint it prints the trace, one line of JSON. With one it delivers the trace there:
//! look for the service `minimal`, with the span `greet` and `name.find` inside it.
#![allow(clippy::print_stderr, reason = "a failed delivery must be seen")]

use std::process::ExitCode;
use std::time::Duration;

use spandrel_transport_std::{Config, InitError, init};

fn main() -> Result<ExitCode, InitError> {
    let telemetry = init(Config {
        enabled: true,
        service_name: "minimal".into(),
        ..Config::default()
    })?;
    let tracer = telemetry.tracer("greetings");
    tracer.span("greet").in_scope(|greet| {
        let name = tracer.span("name.find").in_scope(|_| "world");
        greet.set_attribute("name", name);
    });
    let report = telemetry.shutdown(Duration::from_secs(5));
    if report.is_success() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("not everything arrived: {report}");
    Ok(ExitCode::FAILURE)
}
