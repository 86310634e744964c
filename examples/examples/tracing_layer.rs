//! A program that uses the macros of `tracing`: its spans, fields and events, delivered and drawn.
//!
//! ```text
//! cargo run --example tracing_layer
//! ```
//!
//! It shows the one line that an existing subscriber needs, `#[instrument]` and its errors, and a
//! parent from the headers of a request. Look at `shelf.reach`, a span of the macros inside
//! `stock.take`, a span of Spandrel: both kinds nest in each other.

use std::error::Error;
use std::thread::sleep;
use std::time::Duration;

use spandrel_examples::{Demo, Failure, println};
use spandrel_transport_std::layer::{SpanExt, layer};
use spandrel_transport_std::{propagator, tracer};
use tracing::{info, info_span, instrument, warn};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

fn main() -> Result<(), Failure> {
    let demo = Demo::start("kitchen")?;
    tracing_subscriber::registry()
        .with(EnvFilter::new("info"))
        .with(layer(&tracer("orders")).with_error_events_as_status(true)) // the one line
        .try_init()?;

    let caller = "00-5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-01";
    handle(&[("traceparent", caller)]);
    println!("{}", demo.finish()?);
    Ok(())
}

fn handle(headers: &[(&str, &str)]) {
    let request = info_span!(
        "POST /orders",
        otel.kind = "server",
        http.response.status_code = tracing::field::Empty,
    );
    if let Err(error) = request.set_parent(&propagator().extract(&headers)) {
        warn!(%error, "the caller's trace does not go on");
    }
    request.in_scope(|| {
        let cooked = cook("soup", 2).is_ok() && cook("ice", 1).is_ok();
        request.record("http.response.status_code", if cooked { 201 } else { 422 });
    });
}

#[instrument(err, fields(otel.name = format!("cook {dish}")))]
fn cook(dish: &str, portions: u32) -> Result<(), Burnt> {
    info!(degrees = 180, "the stove is hot");
    // The two kinds of spans nest in each other.
    tracer("stock").start("stock.take").in_scope(|_| {
        let _shelf = info_span!("shelf.reach").entered();
        sleep(Duration::from_millis(15));
    });
    sleep(Duration::from_millis(20 * u64::from(portions)));
    match dish {
        "ice" => Err(Burnt),
        _ => Ok(()),
    }
}

#[derive(Debug)]
struct Burnt;

impl std::fmt::Display for Burnt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ice cannot be cooked")
    }
}

impl Error for Burnt {}
