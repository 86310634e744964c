//! Trace context through a service, seen from its headers only.
//!
//! The W3C trace-context project tests a service from outside with 41 cases over HTTP; the
//! modules `trace_context`, `advanced` and `level_2` state the same 41 against a service without
//! a network: it extracts, starts a child, injects (checklist section J). Further down are the
//! properties that no list of cases can show (invariant I56, fault I1).

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use proptest::prelude::*;
use spandrel_core::context::{ParentContext, SpanContext, TraceFlags, TraceState};
use spandrel_core::id::{SpanId, TraceId};
use spandrel_core::propagation::{
    Extracted, Getter, TextMapPropagator, TraceContextPropagator, format_traceparent,
    parse_traceparent,
};

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

mod bounded_work {
    use super::*;

    /// A carrier that counts how many values were taken from it.
    struct Lines<'v> {
        traceparents: &'v [&'v str],
        tracestates: &'v [&'v str],
        taken: std::cell::Cell<usize>,
    }

    impl Getter for Lines<'_> {
        fn get(&self, _: &str) -> Option<&str> {
            // The first value alone cannot show a repeated header, so nobody asks for it.
            None
        }

        fn get_all<'a>(&'a self, key: &str, visit: &mut dyn FnMut(&'a str) -> ControlFlow<()>) {
            let lines = match key {
                "traceparent" => self.traceparents,
                _ => self.tracestates,
            };
            for line in lines {
                self.taken.set(self.taken.get() + 1);
                if visit(line).is_break() {
                    return;
                }
            }
        }

        fn keys<'a>(&'a self, _: &mut dyn FnMut(&'a str)) {}
    }

    fn extract(traceparents: &[&str], tracestates: &[&str]) -> (Option<Extracted>, usize) {
        let lines = Lines {
            traceparents,
            tracestates,
            taken: std::cell::Cell::new(0),
        };
        let extracted = TraceContextPropagator.extract(&lines);
        (extracted, lines.taken.get())
    }

    const VALID: &str = "00-12345678901234567890123456789012-1234567890123456-01";

    #[test]
    fn a_traceparent_of_a_megabyte_is_invalid() {
        let blanks = " ".repeat(1 << 20);
        for value in [
            "0".repeat(1 << 20),
            "\0".repeat(1 << 20),
            format!("{blanks}{VALID}"),
            format!("{VALID}{blanks}"),
            format!("{VALID}{blanks}x"),
            blanks,
        ] {
            assert!(parse_traceparent(&value).is_err());
            assert_eq!(extract(&[&value], &[]).0, None);
        }
        // Of a later version only the known part is read, whatever follows.
        let future = format!("cc{}-{}", &VALID[2..], "x".repeat(1 << 20));
        assert!(parse_traceparent(future).is_ok());
    }

    #[test]
    fn a_second_traceparent_ends_the_reading() {
        let (extracted, taken) = extract(&[VALID; 100_000], &["a=1"; 100_000]);
        assert_eq!((extracted, taken), (None, 2));
    }

    #[test]
    fn too_many_members_end_the_reading() {
        let (extracted, taken) = extract(&[VALID], &["a=1"; 100_000]);
        assert!(extracted.unwrap().trace_state.is_empty());
        assert_eq!(taken, 1 + 33);
    }

    #[test]
    fn a_bad_member_ends_the_reading() {
        let (extracted, taken) = extract(&[VALID], &["a=1", "B=2", "c=3"]);
        assert!(extracted.unwrap().trace_state.is_empty());
        assert_eq!(taken, 1 + 2);
    }

    #[test]
    fn empty_lines_are_read_up_to_a_bound() {
        let (extracted, taken) = extract(&[VALID], &[""; 100_000]);
        assert!(extracted.unwrap().trace_state.is_empty());
        assert!(taken < 40_000, "{taken}");
    }

    #[test]
    fn a_tracestate_of_a_megabyte_is_dropped() {
        for value in [
            "a=1,".repeat(1 << 18),
            ",".repeat(1 << 20),
            " ".repeat(1 << 20),
            "a".repeat(1 << 20),
            format!("a={}", "x".repeat(1 << 20)),
        ] {
            assert_eq!(tracestate(&[&value]), "");
            // Nor can it get out by way of a parent.
            let mut set = Vec::new();
            let mut carrier = |name: &str, _: &str| set.push(name.to_owned());
            let context = ParentContext {
                span_context: parse_traceparent(VALID).unwrap(),
                trace_state: &value,
            };
            TraceContextPropagator.inject(context, &mut carrier);
            assert_eq!(set, ["traceparent"]);
        }
    }
}

/// Headers that are nearly right reach further into a parser than random ones.
fn nearly_a_traceparent() -> impl Strategy<Value = Vec<u8>> {
    let flips = prop::collection::vec((0..80_usize, any::<u8>()), 0..3);
    let text =
        "[ \t]{0,2}[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[a-z]{0,9})?[ \t]{0,2}";
    (text, flips).prop_map(|(text, flips)| {
        let mut bytes = text.into_bytes();
        for (at, byte) in flips {
            if let Some(target) = bytes.get_mut(at) {
                *target = byte;
            }
        }
        bytes
    })
}

/// The rules of the specification in the plainest form, over text.
fn is_a_traceparent(text: &str) -> bool {
    let text = text.trim_matches([' ', '\t']);
    let fields: Vec<_> = text.splitn(5, '-').collect();
    let hex = |field: &str, len: usize| {
        field.len() == len && field.bytes().all(|b| b"0123456789abcdef".contains(&b))
    };
    let zero = |field: &str| field.bytes().all(|b| b == b'0');
    let [version, trace_id, span_id, flags, ref tail @ ..] = fields[..] else {
        return false;
    };
    hex(version, 2)
        && version != "ff"
        && hex(trace_id, 32)
        && !zero(trace_id)
        && hex(span_id, 16)
        && !zero(span_id)
        && hex(flags, 2)
        && (tail.is_empty() || version != "00")
}

prop_compose! {
    fn member()(
        key in "[a-z0-9][a-z0-9_*/@-]{0,40}",
        value in "[ -+.-<>-~]{0,60}[!-+.-<>-~]",
    ) -> (String, String) {
        (key, value)
    }
}

proptest! {
    #[test]
    fn what_is_injected_is_extracted_again(
        trace_id in 1..=u128::MAX,
        span_id in 1..=u64::MAX,
        flags: u8,
        members in prop::collection::vec(member(), 0..6),
    ) {
        let flags = TraceFlags::from_bits(flags);
        let trace_id = TraceId::from_bytes(trace_id.to_be_bytes());
        let span_id = SpanId::from_bytes(span_id.to_be_bytes());
        let mut trace_state = TraceState::new();
        for (key, value) in &members {
            trace_state = trace_state.insert(key, value).unwrap();
        }
        let context = ParentContext {
            span_context: SpanContext::new(trace_id, span_id, flags),
            trace_state: trace_state.as_str(),
        };
        let mut headers = Headers::new();
        let mut carrier = |name: &str, value: &str| headers.push((name.into(), value.into()));
        TraceContextPropagator.inject(context, &mut carrier);
        let extracted = TraceContextPropagator.extract(&headers.as_slice());
        prop_assert_eq!(extracted, Some(Extracted {
            span_context: SpanContext::remote(trace_id, span_id, flags.known()),
            trace_state,
        }));
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(context) = parse_traceparent(&bytes) {
            prop_assert!(context.is_valid());
        }
        let text = String::from_utf8_lossy(&bytes);
        let headers = [("traceparent", &*text), ("tracestate", &*text)];
        let _ = TraceContextPropagator.extract(&headers);
    }

    #[test]
    fn a_traceparent_is_accepted_exactly_when_it_is_one(bytes in nearly_a_traceparent()) {
        let parsed = parse_traceparent(&bytes);
        if let Ok(text) = std::str::from_utf8(&bytes) {
            prop_assert_eq!(parsed.is_ok(), is_a_traceparent(text), "{:?}", parsed);
        }
        if let Ok(context) = parsed {
            let written = format_traceparent(&context).unwrap();
            let again = parse_traceparent(written.as_str()).unwrap();
            prop_assert_eq!(again.trace_id(), context.trace_id());
            prop_assert_eq!(again.span_id(), context.span_id());
            prop_assert_eq!(again.trace_flags(), context.trace_flags().known());
        }
    }

    #[test]
    fn a_tracestate_is_stable_and_within_its_limits(
        headers in prop::collection::vec("[a-c0@A =,\t]{0,40}|([a-z]{1,90}=[!-+]{1,99}[, ]{0,2}){0,12}", 0..4),
    ) {
        let state = TraceState::from_header_values(headers.iter().map(String::as_str));
        prop_assert!(state.as_str().len() <= TraceState::MAX_LEN);
        let keys: BTreeSet<_> = state.iter().map(|(key, _)| key).collect();
        prop_assert_eq!(keys.len(), state.iter().count());
        prop_assert!(keys.len() <= TraceState::MAX_MEMBERS);
        prop_assert_eq!(state.as_str().parse::<TraceState>(), Ok(state.clone()));
        let rebuilt = state.iter().collect::<Vec<_>>().into_iter().rev().try_fold(
            TraceState::new(),
            |built, (key, value)| built.insert(key, value),
        );
        prop_assert_eq!(rebuilt, Ok(state));
    }

    #[test]
    fn changes_follow_a_list_of_pairs(
        changes in prop::collection::vec(("[a-d]", prop::option::of("[x-z]{1,3}")), 0..40),
    ) {
        let mut state = TraceState::new();
        let mut model: Vec<(String, String)> = Vec::new();
        for (key, value) in changes {
            model.retain(|(candidate, _)| *candidate != key);
            match value {
                Some(value) => {
                    state = state.insert(&key, &value).unwrap();
                    model.insert(0, (key, value));
                }
                None => state = state.delete(&key),
            }
            let pairs = model.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            prop_assert!(state.iter().eq(pairs));
        }
    }
}
