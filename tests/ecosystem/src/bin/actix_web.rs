//! opentelemetry-instrumentation-actix-web 0.25 on actix-web 4.

use actix_web::{App, HttpRequest, HttpServer, web};
use http::HeaderMap;
use opentelemetry::context::FutureExt as _;
use opentelemetry::trace::{SpanKind, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, global};
use opentelemetry_instrumentation_actix_web::RequestTracing;
use spandrel_core::hosted::opentelemetry_0_33::install;
use spandrel_ecosystem::{Headers, Proof, fail, text};

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

async fn handle(hops: web::Path<u32>, request: HttpRequest) -> String {
    let host = request.connection_info().host().to_owned();
    match hops.into_inner() {
        0 => String::from("done"),
        hops => call(format!("http://{host}/{}", hops - 1)).await,
    }
}

fn main() {
    actix_web::rt::System::new().block_on(run());
}

async fn run() {
    let proof = Proof::begin();
    install(proof.provider());
    let app = || {
        App::new()
            .wrap(RequestTracing::new())
            .route("/{hops}", web::get().to(handle))
    };
    let server = HttpServer::new(app)
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0");
    let server = server.unwrap_or_else(|error| fail(&error.to_string()));
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    let tracer = global::tracer("root");
    let root = Context::new().with_span(tracer.start("root"));
    let answer = call(format!("http://{address}/1"))
        .with_context(root.clone())
        .await;
    if answer != "done" {
        fail(&answer);
    }
    root.span().end();
    drop(root);
    handle.stop(true).await;
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
