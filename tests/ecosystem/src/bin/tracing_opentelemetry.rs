//! tracing-opentelemetry 0.34: its layer over a bridged tracer, its span extension for both ends of a
//! request.

use axum::routing::get;
use axum::{Router, extract::Path};
use http::HeaderMap;
use opentelemetry::global::get_text_map_propagator;
use spandrel_core::hosted::opentelemetry_0_33::{BridgeTracer, install};
use spandrel_ecosystem::{Headers, Proof, fail, serve, text};
use tracing::{Instrument as _, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::prelude::*;

async fn call(address: String) -> String {
    let span = info_span!("call", otel.kind = "client");
    let mut headers = HeaderMap::new();
    get_text_map_propagator(|propagator| {
        propagator.inject_context(&span.context(), &mut Headers(&mut headers));
    });
    let client = reqwest::Client::new().get(address).headers(headers);
    text(client.send().instrument(span).await).await
}

async fn handle(Path(hops): Path<u32>, headers: HeaderMap) -> String {
    let mut headers = headers;
    let parent = get_text_map_propagator(|propagator| propagator.extract(&Headers(&mut headers)));
    let span = info_span!(
        "handle",
        otel.kind = "server",
        otel.name = format!("handle {hops}")
    );
    if span.set_parent(parent).is_err() {
        fail("no parent could be set");
    }
    let host = headers["host"].to_str().unwrap_or_default().to_owned();
    let work = async move {
        match hops {
            0 => String::from("done"),
            hops => call(format!("http://{host}/{}", hops - 1)).await,
        }
    };
    work.instrument(span).await
}

#[tokio::main]
async fn main() {
    let proof = Proof::begin();
    install(proof.provider());
    let tracer = BridgeTracer::from(proof.tracer());
    let layer = tracing_opentelemetry::layer().with_tracer(tracer);
    tracing_subscriber::registry().with(layer).init();

    let address = serve(Router::new().route("/{hops}", get(handle))).await;
    let root = info_span!("root");
    let answer = call(format!("http://{address}/1")).instrument(root).await;
    if answer != "done" {
        fail(&answer);
    }
    proof.end(
        "
root (Internal)
  call (Client)
    handle 1 (Server)
      call (Client)
        handle 0 (Server)
",
    );
}
