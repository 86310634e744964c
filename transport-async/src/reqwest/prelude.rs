//! The names that nearly every application on tokio needs.
//!
//! ```
//! use spandrel_transport_async::prelude::*;
//! ```

pub use spandrel_core::hosted::prelude::*;

pub use super::{Telemetry, init};
