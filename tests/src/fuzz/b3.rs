//! Any bytes as a header of B3: accepted exactly when the plainest reading of the rules says so.

use spandrel_core::propagation::{
    B3Context, B3Propagator, B3Sampling, TextMapPropagator as _, format_b3, parse_b3,
};

const NAMES: [&str; 5] = [
    "b3",
    "X-B3-TraceId",
    "X-B3-SpanId",
    "X-B3-Sampled",
    "X-B3-Flags",
];

/// Parses `data` as a single header, and its lines as the headers of both kinds.
///
/// # Panics
///
/// When the parser and the rules disagree.
pub fn run(data: &[u8]) {
    let parsed = parse_b3(data);
    let text = String::from_utf8_lossy(data);
    assert_eq!(parsed.ok(), naive(&text), "{text:?}");
    if let Ok(context) = parsed {
        writes_what_it_reads(&context);
    }

    let lines: Vec<&str> = text.split('\n').collect();
    // An empty line stands for no header.
    let headers: Vec<(&str, &str)> = NAMES
        .into_iter()
        .zip(lines)
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let found = B3Propagator::SINGLE.read(&headers.as_slice());
    assert_eq!(found, B3Propagator::MULTI.read(&headers.as_slice()));
    let of = |name: &str| headers.iter().find(|it| it.0 == name).map(|it| it.1);
    let single = of("b3").and_then(naive);
    assert_eq!(found, single.or_else(|| naive_multi(&of)), "{headers:?}");
    let extracted = B3Propagator::SINGLE.extract(&headers.as_slice());
    let context = found.map(|found| found.span_context);
    assert_eq!(
        extracted.map(|it| it.span_context),
        context.filter(|context| context.is_valid())
    );
}

/// What is written for `context` in both kinds reads as itself.
///
/// # Panics
///
/// When it does not.
pub fn writes_what_it_reads(context: &B3Context) {
    let debug = context.sampling == B3Sampling::Debug;
    let single = format_b3(&context.span_context, debug);
    assert_eq!(single.is_some(), context.span_context.is_valid());
    let Some(single) = single else { return };
    let mut expected = *context;
    if context.sampling == B3Sampling::Defer {
        // A span that this process starts has a decision.
        expected.sampling = B3Sampling::Deny;
    }
    assert_eq!(parse_b3(single.as_str()), Ok(expected));
    let mut headers = Vec::new();
    let mut carrier = |name: &str, value: &str| headers.push((name.to_owned(), value.to_owned()));
    B3Propagator::MULTI.inject_with(&context.span_context, debug, &mut carrier);
    assert_eq!(
        B3Propagator::SINGLE.read(&headers.as_slice()),
        Some(expected)
    );
}

fn hex(text: &str) -> bool {
    text.bytes().all(|b| b"0123456789abcdef".contains(&b))
}

fn id(text: &str, lens: &[usize]) -> bool {
    lens.contains(&text.len()) && hex(text) && text.bytes().any(|b| b != b'0')
}

fn context(trace_id: &str, span_id: &str, sampling: B3Sampling) -> Option<B3Context> {
    use spandrel_core::context::{SpanContext, TraceFlags};
    if !(id(trace_id, &[16, 32]) && id(span_id, &[16])) {
        return None;
    }
    let sampled = matches!(sampling, B3Sampling::Accept | B3Sampling::Debug);
    Some(B3Context {
        span_context: SpanContext::remote(
            format!("{trace_id:0>32}").parse().ok()?,
            span_id.parse().ok()?,
            TraceFlags::NONE.with_sampled(sampled),
        ),
        sampling,
    })
}

fn without_ids(sampling: B3Sampling) -> B3Context {
    B3Context {
        span_context: Default::default(),
        sampling,
    }
}

fn state(text: &str) -> Option<B3Sampling> {
    match text {
        "0" => Some(B3Sampling::Deny),
        "1" => Some(B3Sampling::Accept),
        "d" => Some(B3Sampling::Debug),
        _ => None,
    }
}

fn naive(text: &str) -> Option<B3Context> {
    let fields: Vec<&str> = text.split('-').collect();
    match fields[..] {
        [alone] => state(alone).map(without_ids),
        [trace_id, span_id] => context(trace_id, span_id, B3Sampling::Defer),
        [trace_id, span_id, sampled] => context(trace_id, span_id, state(sampled)?),
        [trace_id, span_id, sampled, parent] if parent.len() == 16 && hex(parent) => {
            context(trace_id, span_id, state(sampled)?)
        }
        _ => None,
    }
}

fn naive_multi<'a>(of: &impl Fn(&str) -> Option<&'a str>) -> Option<B3Context> {
    let sampling = if of("X-B3-Flags") == Some("1") {
        B3Sampling::Debug
    } else {
        match of("X-B3-Sampled") {
            Some("1" | "true") => B3Sampling::Accept,
            Some("0" | "false") => B3Sampling::Deny,
            Some(_) => return None,
            None => B3Sampling::Defer,
        }
    };
    match of("X-B3-TraceId") {
        Some(trace_id) => context(trace_id, of("X-B3-SpanId")?, sampling),
        None => (sampling != B3Sampling::Defer).then(|| without_ids(sampling)),
    }
}
