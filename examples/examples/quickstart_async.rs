//! Traces from tokio: a collector in this process, a few concurrent tasks, and the waterfall of
//! what arrived.
//!
//! ```sh
//! cargo run --example quickstart_async
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it did")]

use std::time::Duration;

use spandrel_examples::{Collector, waterfall};
use spandrel_transport_async::{Config, ContextFutureExt, Tracer, init};
use tokio::time::sleep;

async fn fetch(tracer: &Tracer, item: i64) {
    let mut span = tracer.start("inventory.fetch");
    span.set_attribute("item", item);
    sleep(Duration::from_millis(5 + 3 * item as u64)).await;
    span.end();
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let collector = Collector::start()?;
    let telemetry = init(Config {
        enabled: true,
        service_name: "checkout".into(),
        endpoint: collector.endpoint().into(),
        ..Config::default()
    })?;
    let tracer = telemetry.tracer("shop");

    let order = tracer.start("order.place");
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
    println!("{}", waterfall(&collector.spans(), 100));
    println!("{}", telemetry.ledger());
    assert!(report.is_success(), "{report:?}");
    Ok(())
}
