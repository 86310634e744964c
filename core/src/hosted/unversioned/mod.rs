//! What Spandrel's own transports share. **Exempt from semantic versioning**: any release may
//! change it.
//!
//! | module | gives |
//! |---|---|
//! | [`pipeline`] | what the threads recorded, drained into one exporter |
//! | [`lifecycle`] | what every transport says and does when it starts |
//! | `encode` | a request as the bytes that are sent (feature `_deflate`) |
//! | [`events`] | the exporter's events as diagnostics |
//! | [`credential`] | which headers must not cross a network in clear text |

#[cfg(feature = "_deflate")]
pub mod encode;
pub mod events;
pub mod lifecycle;
pub mod pipeline;

/// Which headers must not cross a network in clear text.
pub mod credential {
    pub use crate::hosted::config::credential::{is_credential_name, is_loopback_host};
}
