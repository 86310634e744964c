//! reqwest-tracing 0.7, which stops at 0.32 of the API, in a server that speaks 0.33 through
//! opentelemetry-instrumentation-tower: two versions, one trace.

use axum::{Router, extract::Path, routing::get};
use http::HeaderMap;
use opentelemetry_instrumentation_tower::http::server::Layer;
use reqwest_middleware::ClientBuilder;
use reqwest_tracing::TracingMiddleware;
use spandrel_core::hosted::{opentelemetry_0_32, opentelemetry_0_33};
use spandrel_ecosystem::{Proof, fail, serve};
use tracing::{Instrument as _, info_span};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;

async fn call(address: String) -> String {
    let client = ClientBuilder::new(reqwest::Client::new());
    let client = client.with(TracingMiddleware::default()).build();
    spandrel_ecosystem::text(client.get(address).send().await).await
}

async fn handle(Path(hops): Path<u32>, headers: HeaderMap) -> String {
    let host = headers["host"].to_str().unwrap_or_default();
    match hops {
        0 => String::from("done"),
        hops => call(format!("http://{host}/{}", hops - 1)).await,
    }
}

#[tokio::main]
async fn main() {
    let proof = Proof::begin();
    opentelemetry_0_33::install(proof.provider());
    opentelemetry_0_32::install(proof.provider());
    // The layer that reqwest-tracing asks for the context of its span.
    let tracer = opentelemetry_0_32::BridgeTracer::from(proof.tracer());
    let layer = tracing_opentelemetry_0_33::layer().with_tracer(tracer);
    tracing_subscriber::registry()
        .with(layer.with_filter(LevelFilter::INFO))
        .init();

    let address = serve(
        Router::new()
            .route("/{hops}", get(handle))
            .layer(Layer::new()),
    )
    .await;
    let root = info_span!("root");
    let answer = call(format!("http://{address}/1")).instrument(root).await;
    if answer != "done" {
        fail(&answer);
    }
    proof.end(
        "
root (Internal)
  GET (Client)
    GET (Server)
      GET (Client)
        GET (Server)
",
    );
}
