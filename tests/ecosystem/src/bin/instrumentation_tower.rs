//! opentelemetry-instrumentation-tower 0.19, which uses the API and no `tracing`.

use axum::{Router, extract::Path, routing::get};
use http::HeaderMap;
use opentelemetry::context::FutureExt as _;
use opentelemetry::trace::{SpanKind, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, global};
use opentelemetry_instrumentation_tower::http::server::Layer;
use spandrel_core::hosted::opentelemetry_0_33::install;
use spandrel_ecosystem::{Headers, Proof, fail, serve, text};

async fn call(address: String) -> String {
    let tracer = global::tracer("client");
    let span = tracer.build(tracer.span_builder("call").with_kind(SpanKind::Client));
    let context = Context::current_with_span(span);
    let mut headers = HeaderMap::new();
    global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut Headers(&mut headers));
    });
    let client = reqwest::Client::new().get(address).headers(headers);
    let answer = text(client.send().with_context(context.clone()).await).await;
    context.span().end();
    answer
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
    let app = Router::new()
        .route("/{hops}", get(handle))
        .layer(Layer::new());
    let address = serve(app).await;
    // A span of this crate around it all.
    let root = proof.tracer().start("root");
    let context = Context::new().with_remote_span_context(root_context(&root));
    let answer = call(format!("http://{address}/1"))
        .with_context(context)
        .await;
    if answer != "done" {
        fail(&answer);
    }
    root.end();
    proof.end(
        "
root (Internal)
  call (Client)
    GET (Server)
      call (Client)
        GET (Server)
",
    );
}

fn root_context(root: &spandrel_transport_std::Span) -> opentelemetry::trace::SpanContext {
    let theirs = spandrel_core::hosted::opentelemetry_0_33::their_context_of(&root.into());
    theirs.span().span_context().clone()
}
