//! Alone in its process: the process-wide propagator, from before `init` to after the shutdown, and
//! what the process reports of baggage.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail at once, with the reason"
)]

use std::sync::mpsc;
use std::time::Duration;

use spandrel_core::context::{SpanContext, TraceFlags};
use spandrel_core::env::{PropagatorName, Propagators};
use spandrel_core::hosted::baggage;
use spandrel_core::hosted::current::Context;
use spandrel_core::hosted::diagnostics::{self, Kind};
use spandrel_core::hosted::propagation::{
    BaggagePropagator, ContextPropagator, Getter, Propagator, Setter,
};
use spandrel_transport_std::{
    Baggage, Config, Telemetry, propagator, set_global_propagator, start,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// Starts with these variables.
fn started(config: &Config, variables: &[(&str, &str)]) -> Telemetry {
    let settings = config.resolve_with(|name| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    });
    start(&settings.unwrap()).unwrap()
}

/// The names of the headers that a request takes along.
fn sent() -> Vec<String> {
    let span = SpanContext::new(
        "5b8efff798038103d269b633813fc60c".parse().unwrap(),
        "eee19b7ec3c1b174".parse().unwrap(),
        TraceFlags::SAMPLED,
    );
    let context = Context::from(span).with_baggage(Baggage::new().with("tenant", "acme"));
    let mut headers: Vec<(String, String)> = Vec::new();
    propagator().inject_from(&context, &mut headers);
    let names: Vec<String> = headers.iter().map(|(name, _)| name.clone()).collect();
    let back = propagator().extract_into(&Context::new(), &headers);
    let has_ids = names.iter().any(|name| name != "baggage");
    assert_eq!(back.span_context().is_valid(), has_ids);
    names
}

/// Spec C-004, C-012, E-038, H-097.
#[test]
fn e_038_the_process_has_one_propagator_and_the_variable_decides_what_it_is() {
    assert_eq!(sent(), [""; 0], "nothing is set before `init`");

    let disabled = Config::default();
    let off = [("OTEL_SDK_DISABLED", "true")];
    let enabled = Config::development("propagators");
    for (config, variables) in [(&disabled, &[][..]), (&enabled, &off)] {
        set_nothing();
        let telemetry = started(config, variables);
        assert!(!telemetry.tracer("x").enabled());
        assert_eq!(sent(), ["traceparent", "baggage"]);
    }
    let multi = ["X-B3-TraceId", "X-B3-SpanId", "X-B3-Sampled"];
    for (text, expected) in [
        ("tracecontext", &["traceparent"][..]),
        ("baggage,tracecontext", &["baggage", "traceparent"]),
        ("b3", &["b3"]),
        ("b3multi", &multi),
        ("b3,tracecontext", &["b3", "traceparent"]),
        ("none", &[]),
        ("nonsense", &["traceparent", "baggage"]),
    ] {
        let telemetry = started(&disabled, &[("OTEL_PROPAGATORS", text)]);
        assert_eq!(sent(), expected, "{text}");
        assert!(telemetry.shutdown(PATIENCE).is_success());
        assert_eq!(sent(), expected, "it stays after the shutdown: {text}");
    }

    let code = Config {
        propagators: Some(Propagators::NONE.with(PropagatorName::B3)),
        ..Config::default()
    };
    let _code = started(&code, &[("OTEL_PROPAGATORS", "none")]);
    assert_eq!(sent(), ["b3"], "code wins");
    let aside = Config {
        set_global: false,
        ..Config::default()
    };
    let _aside = started(&aside, &[]);
    assert_eq!(sent(), ["b3"], "`set_global: false` leaves it alone");

    /// Sends one header.
    struct Own;
    impl ContextPropagator for Own {
        fn inject_from(&self, _: &Context, carrier: &mut dyn Setter) {
            carrier.set("x-own", "1");
        }
        fn extract_into(&self, context: &Context, carrier: &dyn Getter) -> Context {
            let sees = carrier.get("x-own").is_some();
            context.with_span_context(match sees {
                true => SpanContext::remote(
                    "5b8efff798038103d269b633813fc60c".parse().unwrap(),
                    "eee19b7ec3c1b174".parse().unwrap(),
                    TraceFlags::SAMPLED,
                ),
                false => SpanContext::INVALID,
            })
        }
        fn fields(&self, visit: &mut dyn FnMut(&'static str)) {
            visit("x-own");
        }
    }
    set_global_propagator(Propagator::new(Own));
    let _late = started(&disabled, &[("OTEL_PROPAGATORS", "b3")]);
    assert_eq!(sent(), ["x-own"], "the program's own stays");
    assert!(format!("{:?}", propagator()).contains("x-own"));
}

/// Only `init` has chosen so far, so the next one chooses again.
fn set_nothing() {
    let none = Config {
        propagators: Some(Propagators::NONE),
        ..Config::default()
    };
    let _none = started(&none, &[]);
    assert_eq!(sent(), [""; 0]);
}

#[test]
fn baggage_that_is_left_out_is_reported_once() {
    let (reports, told) = mpsc::channel();
    diagnostics::set_handler(Box::new(move |report| {
        if report.kind == Kind::Baggage {
            let _ = reports.send(report.text.to_owned());
        }
    }));
    let many: Vec<String> = (0..66).map(|n| format!("k{n}=v")).collect();
    let headers = [("baggage", many.join(","))];
    for _ in 0..3 {
        let context = BaggagePropagator.extract_into(&Context::new(), &headers);
        assert_eq!(context.baggage().len(), 64);
    }
    assert_eq!(baggage::left_out(), 6);
    let said: Vec<String> = told.try_iter().collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with("2 entries of incoming baggage left out"),
        "{said:?}"
    );
}
