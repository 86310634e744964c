//! What Spandrel's own transports share. **Exempt from semantic versioning**: any release may
//! change it.
//!
//! | module | gives |
//! |---|---|
//! | [`pipeline`] | what the threads recorded, drained into one exporter |
//! | [`lifecycle`] | the reports and settings of a start |
//! | `encode` | a request as the bytes that are sent (feature `_deflate`) |
//! | [`events`] | the exporter's events as diagnostics |
//! | [`client`] | why an HTTP client cannot be built, and what its I/O errors mean |
//! | `tls` | the certificates and keys of a client, from files (feature `_tls`) |

pub mod client;
#[cfg(feature = "_deflate")]
pub mod encode;
pub mod events;
pub mod lifecycle;
pub mod pipeline;
#[cfg(feature = "_tls")]
pub mod tls;
