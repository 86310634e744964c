//! Any bytes as a `traceparent`: accepted exactly when the plainest reading of the rules says so.

use spandrel_core::propagation::{format_traceparent, parse_traceparent};

/// Parses `data`.
///
/// # Panics
///
/// When the parser and the rules disagree.
pub fn run(data: &[u8]) {
    let parsed = parse_traceparent(data);
    let text = std::str::from_utf8(data);
    // A version of the future may have any bytes behind its flags.
    if let Ok(text) = text {
        assert_eq!(parsed.is_ok(), is_valid(text), "{text:?}");
    }
    let Ok(context) = parsed else { return };
    assert!(context.is_valid() && context.is_remote());
    let written = format_traceparent(&context).expect("a valid context");
    let again = parse_traceparent(written.as_str()).expect("what was written");
    assert_eq!(again.trace_id(), context.trace_id());
    assert_eq!(again.span_id(), context.span_id());
    assert_eq!(again.trace_flags(), context.trace_flags().known());
}

/// More blanks than this on either side are no mere sloppiness.
const MAX_BLANKS: usize = 256;

fn is_valid(text: &str) -> bool {
    let (start, end) = (
        text.trim_start_matches([' ', '\t']),
        text.trim_end_matches([' ', '\t']),
    );
    let leading = text.len() - start.len();
    // What follows the flags and a hyphen is none of our business, blanks included.
    let trailing = if start.get(55..).is_some_and(|tail| tail.starts_with('-')) {
        0
    } else {
        text.len() - end.len()
    };
    if leading > MAX_BLANKS || trailing > MAX_BLANKS {
        return false;
    }
    let fields: Vec<&str> = text.trim_matches([' ', '\t']).splitn(5, '-').collect();
    let hex = |text: &str, len| {
        text.len() == len && text.bytes().all(|b| b"0123456789abcdef".contains(&b))
    };
    let zero = |text: &str| text.bytes().all(|b| b == b'0');
    let [version, trace_id, span_id, flags, ref rest @ ..] = fields[..] else {
        return false;
    };
    let ids = hex(trace_id, 32) && !zero(trace_id) && hex(span_id, 16) && !zero(span_id);
    let known = rest.is_empty() || version != "00";
    hex(version, 2) && version != "ff" && ids && hex(flags, 2) && known
}
