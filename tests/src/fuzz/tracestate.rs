//! Any header lines as a `tracestate`: limits hold, what is kept reads as itself, changes work.

use std::collections::BTreeSet;

use spandrel_core::context::TraceState;
use spandrel_core::propagation::{TextMapPropagator, TraceContextPropagator};

/// Reads each line of `data` as one header, and the last as a key and a value to insert.
///
/// # Panics
///
/// When a rule is broken.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lines: Vec<&str> = text.split('\n').collect();
    let state = TraceState::from_header_values(lines.iter().copied());
    check(&state);

    let parent = "00-12345678901234567890123456789012-1234567890123456-01";
    let mut headers = vec![("traceparent", parent)];
    headers.extend(lines.iter().map(|line| ("tracestate", *line)));
    let extracted = TraceContextPropagator.extract(&headers.as_slice());
    assert_eq!(
        extracted.map(|found| found.trace_state),
        Some(state.clone())
    );

    let (key, value) = lines
        .last()
        .and_then(|line| line.split_once('='))
        .unwrap_or_default();
    if let Ok(changed) = state.insert(key, value) {
        check(&changed);
        assert_eq!(changed.iter().next(), Some((key, value)), "first of all");
        assert_eq!(changed.delete(key).get(key), None);
    }
}

fn check(state: &TraceState) {
    let text = state.as_str();
    assert!(text.len() <= TraceState::MAX_LEN);
    assert!(text.bytes().all(|b| (0x20..0x7f).contains(&b)), "{text:?}");
    let keys: BTreeSet<&str> = state.iter().map(|(key, _)| key).collect();
    assert_eq!(keys.len(), state.iter().count(), "unique keys");
    assert!(keys.len() <= TraceState::MAX_MEMBERS);
    for (key, value) in state.iter() {
        assert_eq!(state.get(key), Some(value));
    }
    assert_eq!(TraceState::from_header_values([text]), *state);
}
