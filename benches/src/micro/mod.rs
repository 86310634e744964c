//! The cost of one operation on the recording thread.

mod bridge;
mod context;
mod spans;
mod threads;

use crate::harness::{Case, Parts};

/// Spans at a time. All queues hold 2,048 by default, so nothing needs to be lost.
const ROUND: u32 = 1000;

/// Of those, what is timed.
///
/// Cold: after the turns of others the first 25 spans take two to three times as long as later ones,
/// and the next 25 a little longer, for all contestants. Warm: as many as a batch has by default, so
/// that the worker is woken once meanwhile, as often as it is in the long run.
const PARTS: Parts = Parts {
    cold: 100,
    warm: 512,
};

/// A case, made when its turn comes: providers of other cases must not be around.
type Make = fn() -> Case;

/// Every case, by its name.
pub const CASES: [(&str, Make); 20] = [
    ("disabled: start + end", spans::disabled),
    ("unsampled: start + end", spans::unsampled),
    ("sample rate 0.1: start + end", spans::ratio),
    ("start + end", spans::start_end),
    ("start + 4 attributes + end", spans::four_attributes),
    (
        "start + 10 attributes of 20 characters + end",
        spans::ten_attributes,
    ),
    ("start + event with 1 attribute + end", spans::event),
    ("parent + child, both current", spans::nested),
    ("1 thread, wall time / span", || threads::case(1)),
    ("2 threads, wall time / span", || threads::case(2)),
    ("4 threads, wall time / span", || threads::case(4)),
    ("8 threads, wall time / span", || threads::case(8)),
    ("attach a context, detach it", context::attach),
    ("parse a traceparent", context::parse),
    ("format a traceparent", context::format),
    ("extract a traceparent from headers", context::extract),
    ("inject a traceparent into a map", context::inject),
    (
        "tracing: start + 4 fields + enter + end",
        bridge::layer_alone,
    ),
    (
        "tracing beside the API: start + 4 fields + enter + end",
        bridge::layer_bridged,
    ),
    (
        "opentelemetry's global tracer: start + end",
        bridge::global_tracer,
    ),
];
