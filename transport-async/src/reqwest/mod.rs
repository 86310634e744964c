//! The transport of a process on tokio (feature `reqwest`): [`init`] and everything behind it.
//!
//! ```no_run
//! use spandrel_transport_async::{Config, init};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), spandrel_transport_async::InitError> {
//! let telemetry = init(Config {
//!     enabled: true,
//!     service_name: "checkout".into(),
//!     endpoint: "localhost:4318".into(),
//!     ..Config::default()
//! })?;
//!
//! let mut span = telemetry.tracer("orders").start("order.place");
//! span.set_attribute("order.items", 3);
//! span.end();
//!
//! let report = telemetry.shutdown(Duration::from_secs(5)).await;
//! assert!(report.is_success(), "{report:?}: {}", telemetry.ledger());
//! # Ok(())
//! # }
//! ```
//!
//! # Who drives
//!
//! A background task on [`init`]'s runtime sends. A future that waits for a flush or a shutdown takes
//! over if that task is gone or shows no sign of life.
//!
//! ```text
//!               claim free                     asked for a sign of life, none came
//!  background ─────────────▶ owner = background ───────────────────────▶ owner = the future
//!      ▲                          │ runtime gone                               │ done, dropped
//!      └──────────────────────────┴──────────── claim free ◀───────────────────┘
//! ```
//!
//! An owner that was displaced in the middle of a request finds its claim void when it wakes. Its
//! answer is ignored, because its request's generation is old.
//!
//! | situation | what happens |
//! |---|---|
//! | current-thread or multi-thread runtime | the task sends; waiting futures wait |
//! | the runtime of `init` is gone | `force_flush` and `shutdown` send inline, on the runtime that polls them |
//! | it exists, but is not polled | the same, after 100 ms |
//! | the future is not polled by any tokio runtime | it waits for the task; when that is gone too, nothing can send: the spans are counted as lost, and a diagnostic says so |
//! | a future is dropped | its request goes back into the pipeline; the task goes on |
//! | the handle is dropped | the task has [`Config::shutdown_timeout`] for the rest, as long as its runtime lives |
//! | the sending side panics | the attempt counts as failed; the driver goes on after a pause of 100 ms, which doubles up to 30 s while panics follow each other |
//!
//! The runtime needs its timers and its I/O: `#[tokio::main]` turns both on, a runtime of your own
//! needs `enable_all`. [`init`] fails without them.

mod bell;
mod client;
mod drive;
mod encode;
mod ending;
mod ends;
mod error;
mod failure;
mod init;
mod metrics;
mod output;
pub mod prelude;
mod sender;
mod state;
mod telemetry;
mod time;

pub use error::InitError;
pub use init::{init, start};
pub use sender::HttpSender;
pub use telemetry::Telemetry;

pub use spandrel_core::attribute::{KeyValue, Value};
pub use spandrel_core::exporter::{FlushOutcome, FlushReport};
pub use spandrel_core::hosted::baggage::Baggage;
pub use spandrel_core::hosted::config::{
    Config, FurtherDestination, HttpSettings, Proxy, StdoutFormat, TlsFiles, WhenFull,
};
pub use spandrel_core::hosted::current::{Context, ContextFutureExt, ContextKey};
pub use spandrel_core::hosted::export;
#[cfg(feature = "tracing")]
pub use spandrel_core::hosted::layer;
pub use spandrel_core::hosted::log_ids;
#[cfg(feature = "opentelemetry-0-31")]
pub use spandrel_core::hosted::opentelemetry_0_31;
#[cfg(feature = "opentelemetry-0-32")]
pub use spandrel_core::hosted::opentelemetry_0_32;
#[cfg(feature = "opentelemetry-0-33")]
pub use spandrel_core::hosted::opentelemetry_0_33;
#[cfg(feature = "opentelemetry-sdk-0-33")]
pub use spandrel_core::hosted::opentelemetry_sdk_0_33;
pub use spandrel_core::hosted::propagation::{Incoming, propagator, set_global_propagator};
pub use spandrel_core::hosted::trace::{Span, Tracer, TracerProvider, tracer};
pub use spandrel_core::hosted::unversioned::client::BuildError;
pub use spandrel_core::hosted::unversioned::handle::{
    CancelToken, DestinationReport, DestinationStatus,
};
pub use spandrel_core::span::{Link, SpanKind, Status};
pub use spandrel_core::stats::Ledger;
