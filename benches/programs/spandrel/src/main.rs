//! The least program: one order, two spans with two attributes each, sent to the first argument.

use std::hint::black_box;
use std::time::Duration;

use spandrel_transport_std::{Config, SpanKind, init};

fn main() {
    let endpoint = std::env::args().nth(1).unwrap_or_default();
    let telemetry = init(Config {
        enabled: true,
        service_name: "least".into(),
        endpoint: endpoint.clone(),
        ..Config::default()
    });
    let telemetry = match telemetry {
        Ok(telemetry) => telemetry,
        Err(error) => return eprintln!("{error}"),
    };
    let tracer = telemetry.tracer("least");
    let order = tracer.span("order").kind(SpanKind::Server);
    let total = order.in_scope(|order| {
        order.set_attribute("order.route", "/orders");
        order.set_attribute("order.lines", 3);
        let mut sum = tracer.start("order.sum");
        let total = black_box([3_i64, 14, 15]).iter().sum::<i64>();
        sum.set_attribute("sum.currency", "EUR");
        sum.set_attribute("sum.total", total);
        total
    });
    let _ = telemetry.shutdown(Duration::from_secs(5));
    println!("{total} for {endpoint}");
}
