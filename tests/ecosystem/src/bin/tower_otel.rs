//! tower-otel 0.12 at both ends of HTTP requests: axum 0.8 as the server, reqwest 0.13 as the client.

use axum::{Router, extract::Path, routing::get};
use http::HeaderMap;
use spandrel_core::hosted::opentelemetry_0_33::{BridgeTracer, install};
use spandrel_ecosystem::{Proof, fail, serve};
use tower::{Service as _, ServiceBuilder, ServiceExt as _};
use tower_otel::trace::HttpLayer;
use tracing::{Instrument as _, Level, info_span};
use tracing_subscriber::prelude::*;

async fn call(address: String) -> String {
    let mut client = ServiceBuilder::new()
        .layer(HttpLayer::client(Level::INFO))
        .service(reqwest::Client::new());
    let request = reqwest::Client::new().get(address).build();
    let request = request.unwrap_or_else(|error| fail(&error.to_string()));
    let answer = match client.ready().await {
        Ok(client) => client.call(request).await,
        Err(error) => Err(error),
    };
    spandrel_ecosystem::text(answer).await
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
    install(proof.provider());
    let tracer = BridgeTracer::from(proof.tracer());
    let layer = tracing_opentelemetry::layer().with_tracer(tracer);
    let filter = tracing_subscriber::filter::LevelFilter::INFO;
    tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .init();

    let app = Router::new()
        .route("/{hops}", get(handle))
        .layer(HttpLayer::server(Level::INFO));
    let address = serve(app).await;
    let root = info_span!("root");
    let answer = call(format!("http://{address}/1")).instrument(root).await;
    if answer != "done" {
        fail(&answer);
    }
    proof.end(
        "
root (Internal)
  GET (Client)
    GET /{hops} (Server)
      GET (Client)
        GET /{hops} (Server)
",
    );
}
