//! The blocking OTLP/HTTP transport of Spandrel.
//!
//! A transport owns no policy: no retry, no redirect, no queue. [`HttpSender`] makes one POST and
//! returns the answer; [`Gzip`] makes its body small. Everything else is decided by the machines
//! of `spandrel-core`.
#![forbid(unsafe_code)]

mod config;
mod error;
mod gzip;
mod headers;
mod link;
mod sender;
mod tls;

pub use config::{Proxy, SenderConfig};
pub use error::{BuildError, ErrorClass, SendError};
pub use gzip::{Gzip, GzipError};
pub use headers::HeaderError;
pub use sender::{Canceller, ContentType, HttpSender, Payload, RawResponse};
pub use tls::TlsFiles;
