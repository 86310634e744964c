//! What an HTTP client needs to know to reach a collector, checked once for all transports.
//!
//! ```text
//!  Settings ──http()──┐
//!                     ├──► HttpSettings ──check()──► HttpTarget, or HttpSettingsError
//!  code ──────new()───┘
//! ```
//!
//! A transport translates an [`HttpTarget`] into the types of its client and checks nothing again:
//! the same settings are accepted, refused and sent alike by every transport.

mod error;
mod proxy;
mod settings;
mod target;

pub use error::HttpSettingsError;
pub use settings::{HttpSettings, Proxy, TlsFiles};
pub use target::HttpTarget;
