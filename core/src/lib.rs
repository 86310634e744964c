//! The state machines of the Spandrel tracing pipeline: `no_std`, no heap, no unsafe, no clock.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "std"))]
extern crate std;

// L0
pub mod attribute;
pub mod id;
pub mod time;
pub mod wire;
// L1
pub mod backoff;
pub mod breaker;
pub mod buffer;
pub mod context;
pub mod limits;
pub mod propagation;
pub mod resource;
// L2
pub mod batch;
pub mod frame;
#[cfg(feature = "gzip")]
pub mod gzip;
pub mod json;
pub mod response;
pub mod sampler;
pub mod span;
// L3
pub mod request;
pub mod tracer;
// L4
pub mod config;
pub mod exporter;
pub mod stats;
// L5
#[cfg(feature = "std")]
pub mod hosted;
pub mod prelude;
#[doc(hidden)]
pub mod test_support;
