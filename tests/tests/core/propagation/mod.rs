//! Trace context through a service, seen from its headers only.
//!
//! The W3C trace-context project tests a service from outside with 41 cases over HTTP; the
//! modules `trace_context`, `advanced` and `level_2` state the same 41 against a service without
//! a network: it extracts, starts a child, injects.

mod b3;
mod baggage;
mod bounded_work;
mod carriers;
mod properties;

use std::collections::BTreeSet;

use spandrel_core::context::{ParentContext, SpanContext, TraceFlags};
use spandrel_core::id::{SpanId, TraceId};
use spandrel_core::propagation::{TextMapPropagator, TraceContextPropagator};

const TRACE_ID: &str = "12345678901234567890123456789012";
const PARENT_ID: &str = "1234567890123456";

type Headers = Vec<(String, String)>;

/// Extracts, starts one child for each outgoing request, injects. Samples what its caller
/// sampled, and every new trace; its new trace ids are random.
#[derive(Default)]
struct Service {
    ids_drawn: u64,
}

impl Service {
    fn call(&mut self, received: &[(&str, &str)]) -> Outgoing {
        let extracted = TraceContextPropagator.extract(&received);
        let parent = ParentContext::from(extracted.as_ref());
        let child = self.start(parent.span_context);
        let mut headers = Headers::new();
        let mut carrier = |name: &str, value: &str| headers.push((name.into(), value.into()));
        let context = ParentContext {
            span_context: child,
            trace_state: parent.trace_state,
        };
        TraceContextPropagator.inject(context, &mut carrier);
        Outgoing(headers)
    }

    fn start(&mut self, parent: SpanContext) -> SpanContext {
        self.ids_drawn += 1;
        let span_id = SpanId::from_bytes((0xabcd << 48 | self.ids_drawn).to_be_bytes());
        if parent.is_valid() {
            SpanContext::new(parent.trace_id(), span_id, parent.trace_flags().known())
        } else {
            let trace_id = (0xfeed << 112 | u128::from(self.ids_drawn)).to_be_bytes();
            let flags = TraceFlags::SAMPLED.with_random(true);
            SpanContext::new(TraceId::from_bytes(trace_id), span_id, flags)
        }
    }
}

/// The headers of one outgoing request.
struct Outgoing(Headers);

impl Outgoing {
    /// The fields of the one traceparent header, which must be of version 00.
    fn traceparent(&self) -> [&str; 3] {
        let values = self.values("traceparent");
        assert_eq!(values.len(), 1, "exactly one traceparent goes out");
        let fields: Vec<_> = values[0].split('-').collect();
        let lengths: Vec<_> = fields.iter().map(|field| field.len()).collect();
        assert_eq!(lengths, [2, 32, 16, 2], "{}", values[0]);
        assert_eq!(fields[0], "00");
        [fields[1], fields[2], fields[3]]
    }

    fn trace_id(&self) -> &str {
        self.traceparent()[0]
    }

    /// The tracestate, which must be absent rather than empty.
    fn tracestate(&self) -> &str {
        let values = self.values("tracestate");
        assert!(values.len() <= 1, "at most one tracestate goes out");
        assert_ne!(values.first(), Some(&""));
        values.first().copied().unwrap_or_default()
    }

    fn values(&self, name: &str) -> Vec<&str> {
        let of_name = self.0.iter().filter(|(key, _)| key == name);
        of_name.map(|(_, value)| value.as_str()).collect()
    }
}

fn call(received: &[(&str, &str)]) -> Outgoing {
    Service::default().call(received)
}

/// Asserts that a request with this traceparent continues its trace.
#[track_caller]
fn continues(traceparent: &str) {
    let out = call(&[("traceparent", traceparent)]);
    assert_eq!(out.trace_id(), TRACE_ID, "{traceparent:?}");
    assert_ne!(out.traceparent()[1], PARENT_ID);
}

/// Asserts that a request with this traceparent starts a new trace, without its tracestate.
#[track_caller]
fn restarts(traceparent: &str) {
    let out = call(&[("traceparent", traceparent), ("tracestate", "foo=1")]);
    assert!(out.trace_id().starts_with("feed"), "{traceparent:?}");
    assert_eq!(out.tracestate(), "");
}

/// The tracestate that goes out when these come in with a valid traceparent.
#[track_caller]
fn tracestate(values: &[&str]) -> String {
    let traceparent = format!("00-{TRACE_ID}-{PARENT_ID}-00");
    let mut received = vec![("traceparent", traceparent.as_str())];
    received.extend(values.iter().map(|value| ("tracestate", *value)));
    let out = call(&received);
    assert_eq!(out.trace_id(), TRACE_ID, "the trace itself is not harmed");
    out.tracestate().to_owned()
}

mod trace_context {
    use super::*;

    #[test]
    fn both_traceparent_and_tracestate_missing() {
        let out = call(&[]);
        assert!(out.trace_id().starts_with("feed"));
        assert_eq!(out.tracestate(), "");
    }

    #[test]
    fn traceparent_included_tracestate_missing() {
        continues(&format!("00-{TRACE_ID}-{PARENT_ID}-01"));
    }

    #[test]
    fn traceparent_duplicated() {
        let first = format!("00-{}1-{PARENT_ID}-01", &TRACE_ID[..31]);
        let second = format!("00-{TRACE_ID}-{PARENT_ID}-01");
        let out = call(&[("traceparent", &first), ("traceparent", &second)]);
        assert!(out.trace_id().starts_with("feed"));
        restarts(&format!("{first},{second}"));
    }

    #[test]
    fn traceparent_header_name() {
        let value = format!("00-{TRACE_ID}-{PARENT_ID}-01");
        for name in ["trace-parent", "trace.parent"] {
            assert!(call(&[(name, &value)]).trace_id().starts_with("feed"));
        }
    }

    #[test]
    fn traceparent_header_name_valid_casing() {
        let value = format!("00-{TRACE_ID}-{PARENT_ID}-01");
        for name in ["TraceParent", "TrAcEpArEnT", "TRACEPARENT"] {
            assert_eq!(call(&[(name, &value)]).trace_id(), TRACE_ID);
        }
    }

    #[test]
    fn traceparent_version_0x00() {
        restarts(&format!("00-{TRACE_ID}-{PARENT_ID}-01."));
        restarts(&format!("00-{TRACE_ID}-{PARENT_ID}-01-"));
        restarts(&format!(
            "00-{TRACE_ID}-{PARENT_ID}-01-what-the-future-will-be-like"
        ));
    }

    #[test]
    fn traceparent_version_0xcc() {
        continues(&format!("cc-{TRACE_ID}-{PARENT_ID}-01"));
        continues(&format!(
            "cc-{TRACE_ID}-{PARENT_ID}-01-what-the-future-will-be-like"
        ));
        restarts(&format!(
            "cc-{TRACE_ID}-{PARENT_ID}-01.what-the-future-will-be-like"
        ));
    }

    #[test]
    fn traceparent_version_0xff() {
        restarts(&format!("ff-{TRACE_ID}-{PARENT_ID}-01"));
    }

    #[test]
    fn traceparent_version_illegal_characters() {
        restarts(&format!(".0-{TRACE_ID}-{PARENT_ID}-01"));
        restarts(&format!("0.-{TRACE_ID}-{PARENT_ID}-01"));
    }

    #[test]
    fn traceparent_version_too_long() {
        restarts(&format!("000-{TRACE_ID}-{PARENT_ID}-01"));
        restarts(&format!("0000-{TRACE_ID}-{PARENT_ID}-01"));
    }

    #[test]
    fn traceparent_version_too_short() {
        restarts(&format!("0-{TRACE_ID}-{PARENT_ID}-01"));
    }

    #[test]
    fn traceparent_trace_id_all_zero() {
        restarts(&format!("00-{}-{PARENT_ID}-01", "0".repeat(32)));
    }

    #[test]
    fn traceparent_trace_id_illegal_characters() {
        restarts(&format!("00-.{}-{PARENT_ID}-01", &TRACE_ID[1..]));
        restarts(&format!("00-{}.-{PARENT_ID}-01", &TRACE_ID[..31]));
    }

    #[test]
    fn traceparent_trace_id_too_long() {
        restarts(&format!("00-{TRACE_ID}3-{PARENT_ID}-01"));
    }

    #[test]
    fn traceparent_trace_id_too_short() {
        restarts(&format!("00-{}-{PARENT_ID}-01", &TRACE_ID[..31]));
    }

    #[test]
    fn traceparent_parent_id_all_zero() {
        restarts(&format!("00-{TRACE_ID}-{}-01", "0".repeat(16)));
    }

    #[test]
    fn traceparent_parent_id_illegal_characters() {
        restarts(&format!("00-{TRACE_ID}-.{}-01", &PARENT_ID[1..]));
        restarts(&format!("00-{TRACE_ID}-{}.-01", &PARENT_ID[..15]));
    }

    #[test]
    fn traceparent_parent_id_too_long() {
        restarts(&format!("00-{TRACE_ID}-{PARENT_ID}7-01"));
    }

    #[test]
    fn traceparent_parent_id_too_short() {
        restarts(&format!("00-{TRACE_ID}-{}-01", &PARENT_ID[..15]));
    }

    #[test]
    fn traceparent_trace_flags_illegal_characters() {
        restarts(&format!("00-{TRACE_ID}-{PARENT_ID}-.0"));
        restarts(&format!("00-{TRACE_ID}-{PARENT_ID}-0."));
    }

    #[test]
    fn traceparent_trace_flags_too_long() {
        restarts(&format!("00-{TRACE_ID}-{PARENT_ID}-001"));
    }

    #[test]
    fn traceparent_trace_flags_too_short() {
        restarts(&format!("00-{TRACE_ID}-{PARENT_ID}-1"));
    }

    #[test]
    fn traceparent_ows_handling() {
        for (before, after) in [(" ", ""), ("\t", ""), ("", " "), ("", "\t"), ("\t ", " \t")] {
            continues(&format!("{before}00-{TRACE_ID}-{PARENT_ID}-01{after}"));
        }
    }

    #[test]
    fn tracestate_included_traceparent_missing() {
        for value in ["foo=1", "foo=1,bar=2"] {
            assert_eq!(call(&[("tracestate", value)]).tracestate(), "");
        }
    }

    #[test]
    fn tracestate_included_traceparent_included() {
        assert_eq!(tracestate(&["foo=1,bar=2"]), "foo=1,bar=2");
    }

    #[test]
    fn tracestate_header_name() {
        let traceparent = format!("00-{TRACE_ID}-{PARENT_ID}-00");
        for name in ["trace-state", "trace.state"] {
            let out = call(&[("traceparent", &traceparent), (name, "foo=1")]);
            assert_eq!(out.tracestate(), "");
        }
    }

    #[test]
    fn tracestate_header_name_valid_casing() {
        let traceparent = format!("00-{TRACE_ID}-{PARENT_ID}-00");
        for name in ["TraceState", "TrAcEsTaTe", "TRACESTATE"] {
            let out = call(&[("traceparent", &traceparent), (name, "foo=1")]);
            assert_eq!(out.tracestate(), "foo=1");
        }
    }

    #[test]
    fn tracestate_empty_header() {
        assert_eq!(tracestate(&[""]), "");
        assert_eq!(tracestate(&["foo=1", ""]), "foo=1");
        assert_eq!(tracestate(&["", "foo=1"]), "foo=1");
    }

    #[test]
    fn tracestate_multiple_headers_different_keys() {
        assert_eq!(
            tracestate(&["foo=1,bar=2", "rojo=1,congo=2", "baz=3"]),
            "foo=1,bar=2,rojo=1,congo=2,baz=3"
        );
    }

    #[test]
    fn tracestate_duplicated_keys() {
        assert_eq!(tracestate(&["foo=1,foo=1"]), "foo=1");
        assert_eq!(tracestate(&["foo=1,foo=2"]), "foo=1");
        assert_eq!(tracestate(&["foo=1", "foo=1"]), "foo=1");
        assert_eq!(tracestate(&["foo=1", "foo=2"]), "foo=1");
    }

    #[test]
    fn tracestate_all_allowed_characters() {
        let key: String = ('a'..='z').chain("0123456789_-*/".chars()).collect();
        let vendor_key = format!("{key}@a-z0-9_-*/");
        let value: String = (' '..='~').filter(|c| !matches!(c, ',' | '=')).collect();
        for key in [key, vendor_key] {
            let member = format!("{key}={value}");
            assert_eq!(tracestate(&[&member]), member);
        }
    }

    #[test]
    fn tracestate_ows_handling() {
        assert_eq!(
            tracestate(&["foo=1 \t , \t bar=2, \t baz=3"]),
            "foo=1,bar=2,baz=3"
        );
        assert_eq!(
            tracestate(&["foo=1\t \t,\t \tbar=2,\t \tbaz=3"]),
            "foo=1,bar=2,baz=3"
        );
        for value in [" foo=1", "\tfoo=1", "foo=1 ", "foo=1\t", "\t foo=1 \t"] {
            assert_eq!(tracestate(&[value]), "foo=1");
        }
    }

    #[test]
    fn tracestate_key_illegal_characters() {
        for value in ["foo =1", "FOO=1", "foo.bar=1"] {
            assert_eq!(tracestate(&[value]), "");
        }
    }

    #[test]
    fn tracestate_key_illegal_vendor_format() {
        for value in ["foo@=1,bar=2", "foo@@bar=1,bar=2", "foo@bar@baz=1,bar=2"] {
            assert_eq!(tracestate(&[value]), value);
        }
        assert_eq!(tracestate(&["@foo=1,bar=2"]), "");
    }

    #[test]
    fn tracestate_member_count_limit() {
        let members: Vec<_> = (1..=33).map(|i| format!("bar{i:02}={i:02}")).collect();
        let headers = |count: usize| -> Vec<_> {
            members[..count]
                .chunks(10)
                .map(|some| some.join(","))
                .collect()
        };
        let (most, more) = (headers(32), headers(33));
        let most: Vec<_> = most.iter().map(String::as_str).collect();
        let more: Vec<_> = more.iter().map(String::as_str).collect();
        assert_eq!(tracestate(&most), members[..32].join(","));
        assert_eq!(tracestate(&more), "");
    }

    #[test]
    fn tracestate_key_length_limit() {
        let keys = [
            "z".repeat(256),
            format!("{}@{}", "t".repeat(241), "v".repeat(14)),
            format!("{}@v", "t".repeat(242)),
            format!("t@{}", "v".repeat(15)),
        ];
        for key in keys {
            let member = format!("{key}=1");
            assert_eq!(tracestate(&["foo=1", &member]), format!("foo=1,{member}"));
        }
        let too_long = format!("{}=1", "z".repeat(257));
        assert_eq!(tracestate(&["foo=1", &too_long]), "");
    }

    #[test]
    fn tracestate_value_illegal_characters() {
        assert_eq!(tracestate(&["foo=bar=baz"]), "");
        assert_eq!(tracestate(&["foo=,bar=3"]), "");
    }
}

mod advanced {
    use super::*;

    /// The trace ids and span ids of three outgoing requests.
    fn three(received: &[(&str, &str)]) -> [BTreeSet<String>; 2] {
        let mut service = Service::default();
        let outgoing: Vec<_> = (0..3).map(|_| service.call(received)).collect();
        [0, 1].map(|field| {
            let of_each = outgoing
                .iter()
                .map(|out| out.traceparent()[field].to_owned());
            of_each.collect()
        })
    }

    #[test]
    fn multiple_requests_with_valid_traceparent() {
        let value = format!("00-{TRACE_ID}-{PARENT_ID}-01");
        let [traces, spans] = three(&[("traceparent", &value)]);
        assert_eq!(traces, BTreeSet::from([TRACE_ID.to_owned()]));
        assert_eq!(spans.len(), 3);
    }

    #[test]
    fn multiple_requests_without_traceparent() {
        let [_, spans] = three(&[]);
        assert_eq!(spans.len(), 3);
    }

    #[test]
    fn multiple_requests_with_illegal_traceparent() {
        let zeros = "0".repeat(32);
        let [traces, spans] = three(&[("traceparent", &format!("00-{zeros}-{PARENT_ID}-01"))]);
        assert!(!traces.contains(&zeros));
        assert_eq!(spans.len(), 3);
    }
}

mod level_2 {
    use super::*;

    #[test]
    fn propagates_random_flag() {
        for flags in ["00", "01", "02", "03"] {
            let value = format!("00-{TRACE_ID}-{PARENT_ID}-{flags}");
            assert_eq!(call(&[("traceparent", &value)]).traceparent()[2], flags);
        }
    }
}
