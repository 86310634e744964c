//! What no list of cases can show (invariant I56).

use std::collections::BTreeSet;

use proptest::prelude::*;
use spandrel_core::context::{ParentContext, SpanContext, TraceFlags, TraceState};
use spandrel_core::id::{SpanId, TraceId};
use spandrel_core::propagation::{
    Extracted, TextMapPropagator, TraceContextPropagator, format_traceparent, parse_traceparent,
};

use super::Headers;

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
