//! The least program: one order, two spans with two attributes each, sent to the first argument.

use std::hint::black_box;
use std::time::Duration;

fn main() {
    let endpoint = std::env::args().nth(1).unwrap_or_default();
    let traces = emit_otlp::traces_http_proto(format!("{endpoint}/v1/traces"));
    let otlp = emit_otlp::new()
        .resource(emit::props! {
            #[emit::key("service.name")]
            service_name: "least",
        })
        .traces(traces)
        .spawn();
    let runtime = emit::setup().emit_to(otlp).init();
    let total = order("/orders", 3);
    runtime.blocking_flush(Duration::from_secs(5));
    println!("{total} for {endpoint}");
}

#[emit::span("order", #[emit::key("order.route")] route, #[emit::key("order.lines")] lines)]
fn order(route: &str, lines: i64) -> i64 {
    let total = black_box([3_i64, 14, 15]).iter().sum::<i64>();
    sum("EUR", total);
    total
}

#[emit::span("order.sum", #[emit::key("sum.currency")] currency, #[emit::key("sum.total")] total)]
fn sum(currency: &str, total: i64) {
    black_box((currency, total));
}
