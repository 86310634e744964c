//! The bodies of the fuzz targets.
//!
//! Each is a plain function over bytes that panics when something is wrong.

pub mod gzip;
