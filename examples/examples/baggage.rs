//! A tenant that travels with a request: through a shop, to its warehouse, and into a child process.
//!
//! ```text
//! cargo run --example baggage
//! ```
//!
//! It shows `extract` and `inject` in one line each, with everything that travels: the trace and the
//! baggage. The warehouse knows the tenant from the header `baggage` alone. Look at the second
//! request: it comes from a stranger, so the shop starts a trace of its own, with a link to the
//! stranger's.

use std::collections::HashMap;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use spandrel_core::hosted::propagation::environment::EnvironmentSetter;
use spandrel_examples::{Demo, Failure, println};
use spandrel_transport_std::{Baggage, Incoming, SpanKind, Tracer, propagator, tracer};

type Headers = HashMap<String, String>;

fn main() -> Result<(), Failure> {
    let demo = Demo::start("shop")?;

    // What a browser and a gateway in front of the shop have sent.
    let mut request = Headers::new();
    let traceparent = "00-5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-01";
    request.insert("traceparent".into(), traceparent.into());
    request.insert("baggage".into(), "tenant=acme,user=Am%C3%A9lie".into());

    let shop = tracer("shop");
    place_order(&shop, &request);
    handle_webhook(&shop, &request);

    println!("\n{}", demo.finish()?);
    Ok(())
}

/// A route of the shop.
fn place_order(shop: &Tracer, headers: &Headers) {
    let caller = propagator().extract(headers);
    let order = shop
        .span("POST /orders")
        .kind(SpanKind::Server)
        .parent(&caller);
    order.in_scope(|order| {
        // The caller's baggage is current in the span.
        order.set_attribute("tenant", Baggage::current().get("tenant").unwrap_or("none"));
        work(10);

        // From here on, everything that is called gets one entry more.
        let _more = Baggage::current().with("priority", "high").attach();
        shop.span("GET /stock")
            .kind(SpanKind::Client)
            .in_scope(|_| {
                let mut outgoing = Headers::new();
                propagator().inject(&mut outgoing);
                println!("to the warehouse: baggage: {}", outgoing["baggage"]);
                count_stock(&outgoing);
            });

        let mut invoice = Command::new("print-invoice");
        propagator().inject(&mut EnvironmentSetter(&mut invoice));
        let names = invoice.get_envs().map(|(name, _)| name.to_string_lossy());
        println!(
            "to the child process: {}",
            names.collect::<Vec<_>>().join(", ")
        );
    });
}

/// A route of the warehouse, another service.
fn count_stock(headers: &Headers) {
    let warehouse = tracer("warehouse");
    let caller = propagator().extract(headers);
    let request = warehouse
        .span("GET /stock")
        .kind(SpanKind::Server)
        .parent(&caller);
    request.in_scope(|request| {
        for (name, value, _) in Baggage::current().iter() {
            request.set_attribute(name, value);
        }
        work(20);
    });
}

/// A route that strangers call: nothing that they send decides about the shop's traces.
fn handle_webhook(shop: &Tracer, headers: &Headers) {
    let stranger = propagator().with_incoming(Incoming::Link).extract(headers);
    let webhook = shop
        .span("POST /webhook")
        .kind(SpanKind::Server)
        .parent(&stranger);
    webhook.in_scope(|_| work(5));
}

/// Stands for real work.
fn work(millis: u64) {
    sleep(Duration::from_millis(millis));
}
