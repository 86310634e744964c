use super::*;
use crate::context::TraceFlags;
use crate::id::{SpanId, TraceId};
use crate::span::finished::FinishedSpan;
use std::format;
use std::string::String;
use std::vec::Vec;

/// A sampled span of the shelf `shelf`. The tests take different shelves and numbers, because they run
/// side by side.
fn context(shelf: u64, n: u64) -> SpanContext {
    let id = SpanId::from_bytes((shelf << 32 | n).to_be_bytes());
    SpanContext::new(TraceId::from_bytes([1; 16]), id, TraceFlags::SAMPLED)
}

fn recording(context: &SpanContext, limits: &SpanLimits, bytes: usize) -> GrowingRecording {
    let mut recording = GrowingRecording::new(bytes);
    assert!(recording.begin(&Beginning {
        limits,
        context,
        parent: None,
        trace_state: "",
        inherited_state: "",
        name: "name",
        kind: SpanKind::Internal,
        scope: ScopeId(0),
        start: Instant::ZERO,
        is_recording: true,
    }));
    recording
}

#[test]
fn what_waits_becomes_part_of_the_span_as_if_it_had_been_recorded_there() {
    let nested = [KeyValue::new("k", &["a", "b"])];
    let long = "x".repeat(3000);
    let attributes = [
        KeyValue::new("owner", 2_i64),
        KeyValue::new("text", "t"),
        KeyValue::new("long", long.as_str()),
        KeyValue::new("map", &nested),
        KeyValue::new("none", Value::Empty),
    ];
    let context = context(1, 1);
    let link = Link::from(context);
    let span = ActiveSpan::from(context);
    span.set_attribute("map", "replaced");
    span.set_attributes(&attributes);
    span.add_event("event", &nested);
    span.add_link(&link);
    span.update_name("renamed");
    span.set_status(Status::error("failed"));

    let mut absorbed = recording(&context, &SpanLimits::DEFAULT, 16 << 10);
    absorbed.set_attribute("owner", &Value::I64(1));
    absorbed.set_attribute("own", &Value::Bool(true));
    settle(&mut absorbed);

    let record = absorbed.complete(Instant::ZERO);
    let span = FinishedSpan::new(&record).unwrap();
    assert_eq!(span.name(), "renamed");
    assert_eq!(span.status(), Status::error("failed"));
    let [owner, text, long, map, none] = attributes;
    let expected = [owner, KeyValue::new("own", true), map, text, long, none];
    assert!(span.attributes().eq(expected), "{:?}", span.attributes());
    let event = span.events().next().unwrap();
    assert!(event.name() == "event" && event.attributes().eq(nested));
    assert_eq!(span.links().next().unwrap().context(), context);
    assert_eq!((span.dropped_attributes(), span.dropped_events()), (0, 0));
}

#[test]
fn limits_and_memory_of_the_span_apply() {
    let wide = context(2, 20);
    let span = ActiveSpan::from(wide);
    for n in 0..20 {
        span.set_attribute(&format!("k{n}"), &["a"]);
        span.add_event("event", &[]);
        span.add_link(&Link::from(wide));
    }
    let limits = SpanLimits {
        attribute_count: 3,
        event_count: 2,
        link_count: 1,
        ..SpanLimits::DEFAULT
    };
    let mut full = recording(&wide, &limits, 16 << 10);
    settle(&mut full);
    assert_eq!(full.dropped(), [17, 18, 19]);

    let narrow = context(2, 21);
    let text = "x".repeat(50);
    for n in 0..20 {
        ActiveSpan::from(narrow).set_attribute(&format!("k{n}"), &text);
    }
    let mut small = recording(&narrow, &SpanLimits::DEFAULT, 512);
    settle(&mut small);
    let [left_out, ..] = small.dropped();
    let record = small.complete(Instant::ZERO);
    let kept = FinishedSpan::new(&record).unwrap().attributes().count();
    assert!(kept > 0 && left_out > 0, "{kept}");
    assert_eq!(kept + left_out as usize, 20);
}

#[test]
fn what_comes_after_the_end_is_counted() {
    let context = context(3, 3);
    let span = ActiveSpan::from(context);
    assert!(span.is_recording());
    span.set_attribute("k", 1);
    let mut ended = recording(&context, &SpanLimits::DEFAULT, 1024);
    settle(&mut ended);
    assert!(!span.is_recording());
    let before = lost_updates();
    span.set_attribute("k", 2);
    span.add_event("late", &[]);
    assert!(lost_updates() >= before + 2);
    assert!(lock(&WAITING[3].waiting).unwrap().spans.is_empty());
}

#[test]
fn what_waits_is_bounded_and_the_oldest_is_forgotten() {
    const SHELF: u64 = 5;
    let shelf = &WAITING[SHELF as usize];
    for n in 0..5 * MAX_SPANS as u64 {
        // Not among the places of the other tests.
        ActiveSpan::from(context(SHELF, n * 1024 + 100)).set_attribute("k", 1);
    }
    {
        let waiting = lock(&shelf.waiting).unwrap();
        assert!(waiting.spans.len() <= MAX_SPANS && waiting.bytes <= MAX_BYTES);
        assert!(waiting.order.len() <= 2 * MAX_SPANS);
        assert!(lost_updates() >= 4 * MAX_SPANS as u64);
    }
    // Large ones count by their bytes.
    let text = "x".repeat(8 << 10);
    for n in 0..500 {
        ActiveSpan::from(context(SHELF, n * 1024 + 101)).set_attribute("k", text.as_str());
    }
    let kept: Vec<u64> = lock(&shelf.waiting)
        .unwrap()
        .spans
        .keys()
        .copied()
        .collect();
    assert!(
        kept.contains(&((SHELF << 32) | (499 * 1024 + 101))),
        "the newest"
    );
    assert!(kept.len() < 128, "{}", kept.len());
    for id in kept {
        let context = context(SHELF, id & 0xffff_ffff);
        let mut ends = recording(&context, &SpanLimits::DEFAULT, 32 << 10);
        settle(&mut ends);
        assert!(ends.so_far().body.len() > 8 << 10);
    }
    let waiting = lock(&shelf.waiting).unwrap();
    assert_eq!((waiting.spans.len(), waiting.bytes), (0, 0));
    assert_eq!(shelf.count.load(Ordering::Relaxed), 0);
}

#[test]
fn spans_that_record_nothing_here_take_nothing() {
    let trace = TraceId::from_bytes([1; 16]);
    let id = context(7, 7).span_id();
    for context in [
        SpanContext::INVALID,
        SpanContext::new(trace, id, TraceFlags::NONE),
        SpanContext::remote(trace, id, TraceFlags::SAMPLED),
    ] {
        let span = ActiveSpan::from(context);
        assert!(!span.is_recording());
        span.set_attribute("k", 1);
        span.fail(&String::from("no"));
        span.update_name("name");
    }
    assert!(lock(&WAITING[7].waiting).unwrap().spans.is_empty());
    assert_eq!(active_span().context(), &SpanContext::INVALID);
}
