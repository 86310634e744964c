//! tower-otel 0.12 at both ends of gRPC requests of tonic 0.14.

use spandrel_core::hosted::opentelemetry_0_33::{BridgeTracer, install};
use spandrel_ecosystem::{Proof, fail};
use tonic::transport::{Endpoint, Server};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::ServiceBuilder;
use tower_otel::trace::GrpcLayer;
use tracing::{Instrument as _, Level, info_span};
use tracing_subscriber::prelude::*;

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

    let bound = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = bound.unwrap_or_else(|error| fail(&error.to_string()));
    let address = listener
        .local_addr()
        .unwrap_or_else(|error| fail(&error.to_string()));
    let (_reporter, health) = tonic_health::server::health_reporter();
    let server = Server::builder()
        .layer(GrpcLayer::server(Level::INFO))
        .add_service(health);
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    tokio::spawn(server.serve_with_incoming(incoming));

    let check = async {
        let endpoint = Endpoint::from_shared(format!("http://{address}"));
        let endpoint = endpoint.unwrap_or_else(|error| fail(&error.to_string()));
        let channel = endpoint
            .connect()
            .await
            .unwrap_or_else(|error| fail(&error.to_string()));
        let channel = ServiceBuilder::new()
            .layer(GrpcLayer::client(Level::INFO))
            .service(channel);
        let mut client = HealthClient::new(channel);
        for _ in 0..2 {
            let request = HealthCheckRequest::default();
            if let Err(status) = client.check(request).await {
                fail(&status.to_string());
            }
        }
    };
    check.instrument(info_span!("root")).await;
    proof.end(
        "
root (Internal)
  grpc.health.v1.Health/Check (Client)
    grpc.health.v1.Health/Check (Server)
  grpc.health.v1.Health/Check (Client)
    grpc.health.v1.Health/Check (Server)
",
    );
}
