//! axum-tracing-opentelemetry 0.42 on axum 0.8, twice: under the layer of tracing-opentelemetry, and
//! with `ours` as the argument under Spandrel's own layer, whose spans it cannot set the parents of.

use axum::{Router, extract::Path, routing::get};
use axum_tracing_opentelemetry::middleware::{OtelAxumLayer, OtelInResponseLayer};
use http::HeaderMap;
use opentelemetry::global::get_text_map_propagator;
use spandrel_core::hosted::layer::layer;
use spandrel_core::hosted::opentelemetry_0_33::{BridgeTracer, install};
use spandrel_ecosystem::{Headers, Proof, fail, serve, text};
use tracing::{Instrument as _, info_span};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;

async fn call(address: String) -> String {
    let work = async {
        let mut headers = HeaderMap::new();
        // What is current for the API, whichever layer made it so.
        get_text_map_propagator(|propagator| propagator.inject(&mut Headers(&mut headers)));
        let client = reqwest::Client::new().get(address).headers(headers);
        let answer = client.send().await;
        if answer
            .as_ref()
            .is_ok_and(|it| !it.headers().contains_key("traceparent"))
        {
            fail("the answer has no traceparent");
        }
        text(answer).await
    };
    work.instrument(info_span!("call", otel.kind = "client"))
        .await
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
    let registry = tracing_subscriber::registry().with(LevelFilter::TRACE);
    let filter = tracing_subscriber::filter::filter_fn(|metadata| {
        !metadata.target().starts_with("hyper") && !metadata.target().starts_with("reqwest")
    });
    if std::env::args().nth(1).is_some_and(|it| it == "ours") {
        registry
            .with(layer(&proof.tracer()).with_filter(filter))
            .init();
    } else {
        let tracer = BridgeTracer::from(proof.tracer());
        let theirs = tracing_opentelemetry::layer().with_tracer(tracer);
        registry.with(theirs.with_filter(filter)).init();
    }

    let app = Router::new()
        .route("/{hops}", get(handle))
        .layer(OtelInResponseLayer)
        .layer(OtelAxumLayer::default());
    let address = serve(app).await;
    let root = info_span!("root");
    let answer = call(format!("http://{address}/1")).instrument(root).await;
    if answer != "done" {
        fail(&answer);
    }
    proof.end(
        "
root (Internal)
  call (Client)
    GET /{hops} (Server)
      call (Client)
        GET /{hops} (Server)
",
    );
}
