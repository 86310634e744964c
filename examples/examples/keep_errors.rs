//! Keep what matters: only the traces with an error, the slow ones, and a share of the rest.
//!
//! ```text
//! cargo run --example keep_errors
//! ```
//!
//! Forty orders are recorded, and all their spans are held until the order is done. Then the trace is
//! kept whole or dropped whole: the one that failed and the slow one arrive, and the ledger counts the
//! others as `tail_dropped`, which is no loss.

use std::thread::sleep;
use std::time::Duration;

use spandrel_core::hosted::config::Keep;
use spandrel_core::span::Status;
use spandrel_examples::{Demo, Failure, println};
use spandrel_transport_std::{Config, SpanKind, Tracer, tracer};

fn main() -> Result<(), Failure> {
    let demo = Demo::start_with(Config {
        service_name: "orders".into(),
        keep: Some(Keep {
            errors: true,
            slower_than: Some(Duration::from_millis(200)),
            share: 0.0, // 0.05 keeps one in twenty of the rest, the same ones in every service.
            ..Keep::default()
        }),
        ..Config::default()
    })?;
    let tracer = tracer("orders");
    for number in 1..=40 {
        order(&tracer, number);
    }
    println!("{}", demo.finish()?);
    Ok(())
}

fn order(tracer: &Tracer, number: i64) {
    let order = tracer.span("POST /orders").kind(SpanKind::Server);
    order.in_scope(|span| {
        span.set_attribute("order.number", number);
        tracer.span("stock.reserve").in_scope(|span| {
            if number == 13 {
                span.set_status(Status::error("nothing left of article 7"));
            }
        });
        tracer.span("payment.charge").in_scope(|_| {
            if number == 31 {
                sleep(Duration::from_millis(250));
            }
        });
    });
}
