//! Carriers and fields, as the propagator's interface names them.

use std::ops::ControlFlow;

use spandrel_core::context::{ParentContext, SpanContext, TraceFlags};
use spandrel_core::propagation::{Getter, TextMapPropagator, TraceContextPropagator};

use super::{PARENT_ID, TRACE_ID};

// spec E-033
#[test]
fn the_trace_context_propagator_sets_the_fields_that_it_names() {
    let mut named = Vec::new();
    TraceContextPropagator.fields(&mut |field| named.push(field.to_owned()));
    assert_eq!(named, ["traceparent", "tracestate"]);

    let mut set = Vec::new();
    let mut carrier = |name: &str, _: &str| set.push(name.to_owned());
    let context = ParentContext {
        span_context: SpanContext::new(
            TRACE_ID.parse().unwrap(),
            PARENT_ID.parse().unwrap(),
            TraceFlags::SAMPLED,
        ),
        trace_state: "vendor=1",
    };
    TraceContextPropagator.inject(context, &mut carrier);
    assert_eq!(set, named);
}

// spec E-035
#[test]
fn a_list_of_pairs_is_a_carrier_with_first_values_all_values_and_keys() {
    let pairs = [("TraceState", "a=1"), ("other", "x"), ("tracestate", "b=2")];
    let slice = &pairs[..];
    for carrier in [&pairs as &dyn Getter, &slice] {
        assert_eq!(carrier.get("tracestate"), Some("a=1"));
        assert_eq!(carrier.get("traceparent"), None);
        let mut all = Vec::new();
        carrier.get_all("tracestate", &mut |value| {
            all.push(value);
            ControlFlow::Continue(())
        });
        assert_eq!(all, ["a=1", "b=2"]);
        let mut keys = Vec::new();
        carrier.keys(&mut |key| keys.push(key));
        assert_eq!(keys, ["TraceState", "other", "tracestate"]);
    }
}
