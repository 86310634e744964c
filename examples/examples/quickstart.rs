//! An order in a shop, traced from the click to the receipt.
//!
//! ```text
//! cargo run --example quickstart
//! OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 cargo run --example quickstart
//! ```
//!
//! Without a setting it starts a small collector in this process, delivers the trace to it over
//! real HTTP with gzip, and draws what arrived. With an endpoint it delivers there instead.
//!
//! Look at the queries of `stock.reserve`, which overlap, and at the failed `POST /charges`, whose
//! error and retry are part of the trace.

use std::error::Error;
use std::fmt;
use std::thread::{self, sleep};
use std::time::Duration;

use spandrel_examples::demo::{check_delivery, drawn, own_collector, whereabouts};
use spandrel_examples::output::show_warnings;
use spandrel_examples::{Collector, Failure, ReceivedRequest, print, println};
use spandrel_transport_std::spandrel_core::id::TraceId;
use spandrel_transport_std::{Config, KeyValue, SpanKind, Tracer, init};

fn main() -> Result<(), Failure> {
    show_warnings();
    let collector = own_collector()?;
    // An empty endpoint leaves the choice to the environment.
    let endpoint = collector.as_ref().map_or("", Collector::endpoint);

    let telemetry = init(Config {
        enabled: true,
        service_name: "shop".into(),
        endpoint: endpoint.into(),
        ..Config::default()
    })?;
    let trace_id = place_order(&telemetry.tracer("orders"));
    check_delivery(&telemetry.shutdown(Duration::from_secs(5)))?;

    if let Some(collector) = &collector {
        for request in collector.requests() {
            println!("{}\n", summary(&request, collector.endpoint()));
        }
        print!("{}", drawn(&collector.spans()));
    } else {
        print!("{}", whereabouts(&[trace_id]));
    }
    println!("\n{}", telemetry.ledger());
    Ok(())
}

/// The work of a server. Spans end where their scope ends, and a span that is started while
/// another is current becomes its child.
fn place_order(tracer: &Tracer) -> TraceId {
    let mut request = tracer
        .span("POST /orders")
        .kind(SpanKind::Server)
        .attributes(&[
            KeyValue::new("http.request.method", "POST"),
            KeyValue::new("http.route", "/orders"),
        ])
        .start();
    let payment = request.in_scope(|_| {
        tracer.span("order.validate").in_scope(|span| {
            span.set_attribute("order.items", 3);
            work(12);
        });
        reserve_stock(tracer);
        let payment = charge_card(tracer);
        let receipt = tracer.span("receipt.queue").kind(SpanKind::Producer);
        receipt.in_scope(|span| {
            span.set_attribute("messaging.destination.name", "receipts");
            work(9);
        });
        payment
    });
    let status = if payment.is_ok() { 201 } else { 502 };
    request.set_attribute("http.response.status_code", status);
    request.set_outcome(&payment);
    request.context().trace_id()
}

/// Three queries at once: the parent travels to other threads by its context.
fn reserve_stock(tracer: &Tracer) {
    tracer.span("stock.reserve").in_scope(|parent| {
        let parent = *parent.context();
        thread::scope(|threads| {
            for (warehouse, millis) in [("north", 31), ("south", 48), ("west", 22)] {
                threads.spawn(move || {
                    let query = tracer.span("SELECT stock").kind(SpanKind::Client);
                    query.parent(parent).in_scope(|span| {
                        span.set_attribute("db.system.name", "postgresql");
                        span.set_attribute("warehouse", warehouse);
                        work(millis);
                    });
                });
            }
        });
    });
}

/// The first call fails, and its span says so; the second one succeeds.
fn charge_card(tracer: &Tracer) -> Result<(), Busy> {
    tracer.span("payment.charge").in_scope(|span| {
        span.set_attribute("payment.amount", 129.9);
        call_provider(tracer, 40, Err(Busy)).or_else(|_| {
            span.add_event("retry", &[]);
            call_provider(tracer, 25, Ok(()))
        })
    })
}

fn call_provider(tracer: &Tracer, millis: u64, outcome: Result<(), Busy>) -> Result<(), Busy> {
    let call = tracer.span("POST /charges").kind(SpanKind::Client);
    call.in_scope(|span| {
        span.set_attribute("server.address", "payments.example");
        work(millis);
        span.set_outcome(&outcome);
        outcome
    })
}

/// Stands for real work.
fn work(millis: u64) {
    sleep(Duration::from_millis(millis));
}

fn summary(request: &ReceivedRequest, endpoint: &str) -> String {
    format!(
        "{} {endpoint}{} -> {}\n{} spans in {} bytes of {}, {} before compression",
        request.method,
        request.path,
        request.status,
        request.spans,
        request.wire_bytes,
        request.content_encoding().unwrap_or("plain protobuf"),
        request.body_bytes,
    )
}

#[derive(Debug)]
struct Busy;

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the payment provider is busy")
    }
}

impl Error for Busy {}
