//! Spans for HTTP and gRPC: [`tower`] layers for servers and clients.
//!
//! [`ServerLayer`] makes a span for each request that a service gets, and [`ClientLayer`] one for each
//! that a client sends. They take over and pass on what travels with a request, by the process's
//! [propagator]; the span is current while the service works and while its body is produced, and ends
//! when the body does. Names and attributes are those of the semantic conventions for [HTTP] and [RPC].
//!
//! With axum (feature `axum`) one line makes a service traced, routes included:
//!
#![cfg_attr(feature = "axum", doc = "```")]
#![cfg_attr(not(feature = "axum"), doc = "```ignore")]
//! use axum::{Router, routing::get};
//! use spandrel_core::hosted::trace::tracer;
//! use spandrel_tower::ServerLayer;
//!
//! let app: Router = Router::new()
//!     .route("/stock/{item}", get(|| async { "three" }))
//!     .layer(ServerLayer::new(&tracer("shop"))); // `GET /stock/{item}`
//! # drop(app);
//! ```
//!
//! Any client that is a `tower` service over [`http::Request`], as those of hyper-util and tonic are, is
//! wrapped the same way: `ClientLayer::new(&tracer("shop")).layer(client)`. For reqwest, the feature
//! `reqwest` has the type `Reqwest`.
//!
//! # What is recorded
//!
//! | | server | client |
//! |---|---|---|
//! | name | `{method} {route}`, or `{method}` | `{method}`, or `{method} {template}` with a [template](UrlTemplate) |
//! | `http.request.method`, `http.request.method_original` | yes | yes |
//! | `url.path`, `url.query`, `url.scheme` | yes | |
//! | `url.full` | | yes |
//! | `server.address`, `server.port` | from the authority or `Host` | from the URL |
//! | `client.address`, `network.peer.address`, `network.peer.port` | with [`ServerLayer::with_peer`] | |
//! | `user_agent.original` | yes | |
//! | `network.protocol.version` | yes | of the response |
//! | `http.route` | with axum, or [`ServerLayer::with_route`] | |
//! | `url.template` | | with [`UrlTemplate`] |
//! | `http.response.status_code` | yes | yes |
//! | status error, `error.type` | 5xx | 4xx and 5xx |
//!
//! A request of gRPC, which its content type shows, has the attributes of RPC instead:
//! `rpc.system.name`, `rpc.method`, `rpc.response.status_code` from the trailers, and of the above
//! those of the server, the peer and the protocol.
//!
//! Signatures and passwords in URLs become `REDACTED`, as the conventions ask for. Headers and bodies
//! are never recorded.
//!
//! # Ends that are no answer
//!
//! | what happens | status error, `error.type` |
//! |---|---|
//! | the service or the client returns an error | the error's type, and an event `exception` |
//! | a body fails | the error's type, and an event `exception` |
//! | the service or its body panics, whoever catches that | `panic` |
//! | the future is dropped, as when the peer goes away or a time is over | `cancelled` |
//! | a server's body is dropped before its end | `cancelled` |
//! | a client's body is dropped before its end | none: not everything that is sent must be read |
//!
//! # Strangers
//!
//! Who may continue a trace is decided by [`Incoming`], in the configuration of the process or for one
//! layer by [`ServerLayer::with_incoming`].
//!
//! [`tower`]: https://docs.rs/tower
//! [propagator]: spandrel_core::hosted::propagation::propagator
//! [HTTP]: https://opentelemetry.io/docs/specs/semconv/http/http-spans/
//! [RPC]: https://opentelemetry.io/docs/specs/semconv/rpc/rpc-spans/
//! [`Incoming`]: spandrel_core::hosted::propagation::Incoming
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../README.md")]
struct Readme;

mod answer;
mod body;
mod client;
mod grpc;
mod list;
mod methods;
mod open;
#[cfg(feature = "reqwest")]
mod reqwest;
mod server;
mod url;

pub use answer::TracedFuture;
pub use body::TracedBody;
pub use client::{ClientLayer, ClientService, UrlTemplate};
#[cfg(feature = "reqwest")]
pub use reqwest::Reqwest;
pub use server::{ServerLayer, ServerService};
