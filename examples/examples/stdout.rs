//! Spans on the standard output: what a program does until it knows of a collector.
//!
//! ```text
//! cargo run --example stdout
//! cargo run -q --example stdout | jq .
//! ```
//!
//! A terminal shows each batch as a waterfall. Behind a pipe or in a file each batch is one line of
//! OTLP/JSON, as the collector's `otlpjsonfile` receiver reads it. This example makes one batch of two spans: look
//! for `order.validate`, whose `parentSpanId` is the `spanId` of `order.place`.
#![allow(clippy::print_stderr, reason = "a failed delivery must be seen")]

use std::process::ExitCode;
use std::time::Duration;

use spandrel_transport_std::{Config, InitError, init};

fn main() -> Result<ExitCode, InitError> {
    let telemetry = init(Config::development("shop"))?;
    let tracer = telemetry.tracer("orders");
    tracer.span("order.place").in_scope(|order| {
        order.set_attribute("order.items", 3);
        tracer.start("order.validate").end();
    });
    let report = telemetry.shutdown(Duration::from_secs(5));
    if report.is_success() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("not everything was written: {report}");
    Ok(ExitCode::FAILURE)
}
