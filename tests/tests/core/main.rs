//! The core, whose tests need no clock, network or thread: its machines, its wire format and all
//! that a device can use of it.

mod buffer;
mod config;
mod exporter;
mod finished_span;
mod fuzz_seeds;
mod golden;
mod gzip;
mod json;
mod machines;
mod plug_ins;
mod propagation;
mod request_wire;
mod sampler;
mod span_wire;
mod statics;
