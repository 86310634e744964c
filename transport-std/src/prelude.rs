//! The names that nearly every application needs.
//!
//! ```
//! use spandrel_transport_std::prelude::*;
//! ```

pub use spandrel_core::hosted::prelude::*;

pub use crate::{Telemetry, init};
