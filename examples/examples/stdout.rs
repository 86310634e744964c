//! Without an endpoint: spans on the standard output, one line of OTLP/JSON for each batch.
//!
//! ```text
//! cargo run --example stdout
//! cargo run -q --example stdout | jq .
//! ```
//!
//! This is what a program does while nobody has told it of a collector. The lines are what the
//! collector's `otlpjsonfile` receiver reads; the format is meant for looking and for debugging.

use std::error::Error;
use std::time::Duration;

use spandrel_transport_std::{Config, init};

fn main() -> Result<(), Box<dyn Error>> {
    let telemetry = init(Config::development("shop"))?;
    let tracer = telemetry.tracer("orders");
    tracer.span("order.place").in_scope(|order| {
        order.set_attribute("order.items", 3);
        tracer.start("order.validate").end();
    });
    let report = telemetry.shutdown(Duration::from_secs(5));
    if report.is_success() {
        Ok(())
    } else {
        Err(report.to_string().into())
    }
}
