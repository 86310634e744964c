//! The headers of B3.
#![allow(clippy::expect_used, reason = "a test fails at once, with the reason")]

use proptest::prelude::*;
use spandrel_core::context::{SpanContext, TraceFlags};
use spandrel_core::id::{SpanId, TraceId};
use spandrel_core::propagation::{
    B3Context, B3Error, B3Propagator, B3Sampling, TextMapPropagator as _, format_b3, parse_b3,
};
use spandrel_tests::fuzz::b3;

const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
const SHORT: &str = "64fe8b2a57d3eff7";
const SPAN: &str = "e457b5a2e4d86bd1";
const PARENT: &str = "05e3ac9a4f6e3b90";

fn found(trace_id: &str, sampling: B3Sampling) -> B3Context {
    let sampled = matches!(sampling, B3Sampling::Accept | B3Sampling::Debug);
    let flags = TraceFlags::NONE.with_sampled(sampled);
    let trace_id = trace_id.parse().expect("a trace id");
    let span_id = SPAN.parse().expect("a span id");
    B3Context {
        span_context: SpanContext::remote(trace_id, span_id, flags),
        sampling,
    }
}

fn without_ids(sampling: B3Sampling) -> B3Context {
    B3Context {
        span_context: SpanContext::INVALID,
        sampling,
    }
}

/// Spec E-031, E-051, E-055.
#[test]
fn the_single_header_is_read_in_all_its_forms() {
    use B3Sampling::{Accept, Debug, Defer, Deny};
    let padded = format!("0000000000000000{SHORT}");
    for (text, expected) in [
        (format!("{TRACE}-{SPAN}-1-{PARENT}"), found(TRACE, Accept)),
        (format!("{TRACE}-{SPAN}-1"), found(TRACE, Accept)),
        (format!("{TRACE}-{SPAN}-0"), found(TRACE, Deny)),
        (format!("{TRACE}-{SPAN}-d-{PARENT}"), found(TRACE, Debug)),
        (format!("{TRACE}-{SPAN}"), found(TRACE, Defer)),
        (format!("{SHORT}-{SPAN}-1"), found(&padded, Accept)),
        (format!("{SHORT}-{SPAN}"), found(&padded, Defer)),
        ("0".into(), without_ids(Deny)),
        ("1".into(), without_ids(Accept)),
        ("d".into(), without_ids(Debug)),
    ] {
        assert_eq!(parse_b3(&text), Ok(expected), "{text}");
        b3::run(text.as_bytes());
    }
}

#[test]
fn what_is_no_single_header_is_absent() {
    let zeros = "0".repeat(32);
    for (text, error) in [
        (String::new(), B3Error::TraceId),
        ("2".into(), B3Error::Sampling),
        ("D".into(), B3Error::Sampling),
        ("-".repeat(60), B3Error::TraceId),
        (TRACE.into(), B3Error::SpanId),
        (format!("{TRACE}-"), B3Error::SpanId),
        (format!("{zeros}-{SPAN}-1"), B3Error::TraceId),
        (
            format!("{}-{SPAN}-1", TRACE.to_uppercase()),
            B3Error::TraceId,
        ),
        (format!("{TRACE}-0000000000000000-1"), B3Error::SpanId),
        (format!("{TRACE}-{SPAN}-"), B3Error::Sampling),
        (format!("{TRACE}-{SPAN}-2"), B3Error::Sampling),
        (format!("{TRACE}-{SPAN}1"), B3Error::Sampling),
        (format!("{TRACE}-{SPAN}-1-"), B3Error::Trailing),
        (format!("{TRACE}-{SPAN}-1-{PARENT}-x"), B3Error::Trailing),
        (format!("{TRACE}-{SPAN}-1{PARENT}"), B3Error::Trailing),
        (format!(" {TRACE}-{SPAN}-1"), B3Error::TraceId),
        (format!("{TRACE}-{SPAN}-1 "), B3Error::Trailing),
        ("x".repeat(1 << 20), B3Error::TraceId),
    ] {
        assert_eq!(parse_b3(&text), Err(error), "{text:.90}");
        assert!(!error.to_string().is_empty());
    }
}

/// Spec E-052.
#[test]
fn the_multiple_headers_are_read_in_all_their_forms() {
    use B3Sampling::{Accept, Debug, Defer, Deny};
    let ids = [
        ("x-b3-traceid", TRACE),
        ("x-b3-spanid", SPAN),
        ("x-b3-parentspanid", PARENT),
    ];
    let with = |more: &[(&'static str, &'static str)]| {
        let headers = [&ids[..], more].concat();
        B3Propagator::MULTI.read(&headers.as_slice())
    };
    assert_eq!(with(&[]), Some(found(TRACE, Defer)));
    for (value, sampling) in [
        ("1", Accept),
        ("true", Accept),
        ("0", Deny),
        ("false", Deny),
    ] {
        assert_eq!(
            with(&[("X-B3-Sampled", value)]),
            Some(found(TRACE, sampling))
        );
    }
    assert_eq!(with(&[("X-B3-Sampled", "x")]), None);
    assert_eq!(with(&[("X-B3-Flags", "1")]), Some(found(TRACE, Debug)));
    assert_eq!(
        with(&[("X-B3-Flags", "1"), ("X-B3-Sampled", "0")]),
        Some(found(TRACE, Debug))
    );
    assert_eq!(
        with(&[("X-B3-Flags", "0"), ("X-B3-Sampled", "0")]),
        Some(found(TRACE, Deny))
    );
    let alone = [("X-B3-Sampled", "0")];
    assert_eq!(B3Propagator::MULTI.read(&alone), Some(without_ids(Deny)));
    assert_eq!(
        B3Propagator::MULTI.extract(&alone),
        None,
        "nothing to continue"
    );
    let half = [("X-B3-TraceId", TRACE)];
    assert_eq!(B3Propagator::MULTI.read(&half), None);
    let none: [(&str, &str); 0] = [];
    assert_eq!(B3Propagator::MULTI.read(&none), None);
}

/// Spec E-050.
#[test]
fn both_forms_are_read_and_a_valid_single_header_wins() {
    let single = format!("{TRACE}-{SPAN}-1");
    let multi = [("x-b3-traceid", SHORT), ("x-b3-spanid", SPAN)];
    let with = |single: &str| {
        let mut headers: Vec<(String, String)> = multi.map(|(k, v)| (k.into(), v.into())).into();
        headers.push(("b3".into(), single.into()));
        [B3Propagator::SINGLE, B3Propagator::MULTI].map(|it| it.read(&headers.as_slice()))
    };
    assert_eq!(with(&single), [Some(found(TRACE, B3Sampling::Accept)); 2]);
    let padded = format!("0000000000000000{SHORT}");
    assert_eq!(
        with("nonsense"),
        [Some(found(&padded, B3Sampling::Defer)); 2]
    );
}

/// Spec E-053, E-054, E-056.
#[test]
fn one_form_is_written_with_128_bits_and_without_the_parent() {
    let written = |propagator: B3Propagator, context: &SpanContext, debug| {
        let mut set: Vec<(String, String)> = Vec::new();
        propagator.inject_with(context, debug, &mut |name: &str, value: &str| {
            set.push((name.into(), value.into()));
        });
        let mut fields = Vec::new();
        propagator.fields(&mut |name| fields.push(name));
        assert!(set.iter().all(|(name, _)| fields.contains(&name.as_str())));
        set.into_iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect::<Vec<_>>()
    };
    let sampled = found(TRACE, B3Sampling::Accept).span_context;
    let dropped = found(TRACE, B3Sampling::Deny).span_context;
    let (single, multi) = (B3Propagator::default(), B3Propagator::MULTI);
    assert_eq!(
        written(single, &sampled, false),
        [format!("b3: {TRACE}-{SPAN}-1")]
    );
    assert_eq!(
        written(single, &dropped, false),
        [format!("b3: {TRACE}-{SPAN}-0")]
    );
    assert_eq!(
        written(single, &sampled, true),
        [format!("b3: {TRACE}-{SPAN}-d")]
    );
    let ids = [
        format!("X-B3-TraceId: {TRACE}"),
        format!("X-B3-SpanId: {SPAN}"),
    ];
    let with = |last: &str| [&ids[..], &[last.to_owned()]].concat();
    assert_eq!(written(multi, &sampled, false), with("X-B3-Sampled: 1"));
    assert_eq!(written(multi, &dropped, false), with("X-B3-Sampled: 0"));
    assert_eq!(written(multi, &dropped, true), with("X-B3-Flags: 1"));
    for propagator in [single, multi] {
        assert_eq!(written(propagator, &SpanContext::INVALID, true), [""; 0]);
    }
    assert_eq!(format_b3(&SpanContext::INVALID, false), None);
}

fn nearly_a_header() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "([0-9a-f]{16}){1,2}-[0-9a-f]{16}(-[01d](-[0-9a-f]{16})?)?",
        1 => "0{16,32}-[0-9a-f]{16}-1",
        1 => "[0-9a-fA-F]{15,33}-[0-9a-f]{15,17}-?[01d2]?-?[0-9a-f]{0,17}",
        1 => "[01dx-]{0,3}",
    ]
}

proptest! {
    #[test]
    fn a_header_is_accepted_exactly_when_the_rules_say_so(
        single in nearly_a_header(),
        trace_id in "([0-9a-f]{16}){1,2}|[0-9a-f]{0,33}",
        span_id in "[0-9a-f]{16}|0{16}|",
        sampled in "[01]|true|false|x|",
        flags in "[01]?",
    ) {
        b3::run(single.as_bytes());
        for single in [single.as_str(), ""] {
            b3::run([single, &trace_id, &span_id, &sampled, &flags].join("\n").as_bytes());
        }
    }

    #[test]
    fn what_is_written_reads_as_itself(trace_id: [u8; 16], span_id: [u8; 8], sampled: bool, debug: bool) {
        let flags = TraceFlags::NONE.with_sampled(sampled || debug);
        let sampling = match (debug, sampled) {
            (true, _) => B3Sampling::Debug,
            (false, true) => B3Sampling::Accept,
            (false, false) => B3Sampling::Deny,
        };
        let (trace_id, span_id) = (TraceId::from_bytes(trace_id), SpanId::from_bytes(span_id));
        let context = SpanContext::remote(trace_id, span_id, flags);
        b3::writes_what_it_reads(&B3Context { span_context: context, sampling });
    }
}
