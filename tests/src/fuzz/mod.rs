//! The bodies of the fuzz targets.
//!
//! Each is a plain function over bytes that panics when something is wrong. The shims of the
//! `fuzz` workspace hand them to libFuzzer; `tests/core/fuzz_seeds.rs` runs them over the
//! committed seeds with the ordinary test command. A crash becomes a seed.

pub mod attributes;
pub mod b3;
pub mod baggage;
pub mod buffer_ops;
pub mod config;
pub mod exporter_ops;
pub mod finished_span;
pub mod gzip;
pub mod json;
pub mod lean;
pub mod link;
pub mod request;
pub mod response;
pub mod span_gzip;
pub mod tail;
pub mod traceparent;
pub mod tracestate;

/// A fuzz target: its name, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// All fuzz targets, by name.
pub const TARGETS: &[Target] = &[
    ("attributes", attributes::run),
    ("b3", b3::run),
    ("baggage", baggage::run),
    ("buffer_ops", buffer_ops::run),
    ("config", config::run),
    ("exporter_ops", exporter_ops::run),
    ("finished_span", finished_span::run),
    ("gzip", gzip::run),
    ("json", json::run),
    ("lean", lean::run),
    ("link", link::run),
    ("request", request::run),
    ("response", response::run),
    ("span_gzip", span_gzip::run),
    ("tail", tail::run),
    ("traceparent", traceparent::run),
    ("tracestate", tracestate::run),
];
