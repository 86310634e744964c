//! azure_core_opentelemetry 1.0, which stops at 0.31 of the API.

use axum::{Router, routing::get};
use azure_core::http::{
    ClientOptions, Context, InstrumentationOptions, Method, Pipeline, Request, Url,
};
use azure_core::tracing::PublicApiInstrumentationInformation;
use azure_core::tracing::TracerProvider as _;
use azure_core_opentelemetry::OpenTelemetryTracerProvider;
use http::HeaderMap;
use spandrel_core::hosted::current::ContextFutureExt as _;
use spandrel_core::hosted::opentelemetry_0_31::install;
use spandrel_core::hosted::propagation::propagator;
use spandrel_core::hosted::trace::tracer;
use spandrel_ecosystem::{Proof, fail, serve};
use spandrel_transport_std::SpanKind;

async fn handle(headers: HeaderMap) -> &'static str {
    let caller = propagator().extract(&headers);
    tracer("server")
        .span("handle")
        .kind(SpanKind::Server)
        .parent(&caller)
        .start()
        .end();
    "done"
}

async fn call(address: String) {
    let provider = OpenTelemetryTracerProvider::from_global_provider();
    let tracer = provider.get_tracer(Some("Example"), "example", None);
    let options = ClientOptions {
        instrumentation: InstrumentationOptions {
            tracer_provider: Some(provider),
        },
        ..ClientOptions::default()
    };
    let pipeline = Pipeline::new(Some("example"), None, options, vec![], vec![], None);
    let url = Url::parse(&address).unwrap_or_else(|error| fail(&error.to_string()));
    let context = Context::new()
        .with_value(tracer)
        .with_value(PublicApiInstrumentationInformation::new("read", vec![]));
    let mut request = Request::new(url, Method::Get);
    if let Err(error) = pipeline.send(&context, &mut request, None).await {
        fail(&error.to_string());
    }
}

#[tokio::main]
async fn main() {
    let proof = Proof::begin();
    install(proof.provider());
    let address = serve(Router::new().route("/", get(handle))).await;
    let root = proof.tracer().start("root");
    call(format!("http://{address}/")).in_span(&root).await;
    root.end();
    proof.end(
        "
root (Internal)
  read (Internal)
    GET (Client)
      handle (Server)
",
    );
}
