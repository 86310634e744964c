//! The least program: one order, two spans with two attributes each, sent to the first argument.

use std::error::Error;
use std::hint::black_box;
use std::time::Duration;

use spandrel_transport_std::{Config, init};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;

fn main() -> Result<(), Box<dyn Error>> {
    let endpoint = std::env::args().nth(1).unwrap_or_default();
    let telemetry = init(Config {
        enabled: true,
        service_name: "least".into(),
        endpoint: endpoint.clone(),
        ..Config::default()
    })?;
    let layer = spandrel_transport_std::layer::layer(&telemetry.tracer("least"));
    let subscriber = tracing_subscriber::registry()
        .with(LevelFilter::INFO)
        .with(layer);
    tracing::subscriber::set_global_default(subscriber)?;
    let order = tracing::info_span!(
        "order",
        otel.kind = "server",
        order.route = "/orders",
        order.lines = 3,
    );
    let total = order.in_scope(|| {
        let total = black_box([3_i64, 14, 15]).iter().sum::<i64>();
        drop(tracing::info_span!(
            "order.sum",
            sum.currency = "EUR",
            sum.total = total
        ));
        total
    });
    drop(order);
    let _ = telemetry.shutdown(Duration::from_secs(5));
    println!("{total} for {endpoint}");
    Ok(())
}
