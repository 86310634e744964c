//! An order on tokio: concurrent tasks, each under the span that it belongs to.
//!
//! ```text
//! cargo run --example quickstart_async
//! OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 cargo run --example quickstart_async
//! ```
//!
//! Without a setting it starts a small collector in this process, delivers the trace to it over
//! HTTP, and draws what arrived. With an endpoint it delivers there instead.
//!
//! Look at the three `inventory.fetch`: they overlap in time, and all of them are children of
//! `order.place`, because the context goes along with the future.

use std::time::Duration;

use spandrel_examples::demo::{check_delivery, drawn, own_collector, whereabouts};
use spandrel_examples::output::show_warnings;
use spandrel_examples::{Collector, Failure, print, println};
use spandrel_transport_async::{Config, ContextFutureExt, Tracer, init};
use tokio::time::sleep;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    show_warnings();
    let collector = own_collector()?;
    // An empty endpoint leaves the choice to the environment.
    let endpoint = collector.as_ref().map_or("", Collector::endpoint);
    let telemetry = init(Config {
        enabled: true,
        service_name: "checkout".into(),
        endpoint: endpoint.into(),
        ..Config::default()
    })?;
    let tracer = telemetry.tracer("shop");

    let order = tracer.start("order.place");
    let trace_id = order.context().trace_id();
    // The context goes with the future, to whatever thread polls it.
    let work = async {
        tokio::join!(fetch(&tracer, 1), fetch(&tracer, 2), fetch(&tracer, 3));
        let mut charge = tracer.start("payment.charge");
        sleep(Duration::from_millis(4)).await;
        charge.fail(&std::io::Error::other("card declined"));
    };
    work.in_span(&order).await;
    order.end();

    // Before the runtime ends: a handle that is only dropped cannot wait for the network.
    let report = telemetry.shutdown(Duration::from_secs(5)).await;
    check_delivery(&report)?;
    match &collector {
        Some(collector) => print!("{}", drawn(&collector.spans())),
        None => print!("{}", whereabouts(&[trace_id])),
    }
    println!("\n{}", telemetry.ledger());
    Ok(())
}

async fn fetch(tracer: &Tracer, item: i64) {
    let mut span = tracer.start("inventory.fetch");
    span.set_attribute("item", item);
    sleep(Duration::from_millis(5 + 3 * item as u64)).await;
    span.end();
}
