//! Fields become attributes, names, kinds and states.

use std::error::Error;
use std::fmt;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tracing::field::Empty;
use tracing::info_span;

use super::rig::{Rig, attributes, int, text};

#[test]
fn fields_keep_their_types() {
    let rig = Rig::new();
    let spans = rig.trace(|| {
        drop(info_span!(
            "typed",
            yes = true,
            small = -3_i8,
            large = i64::MAX,
            unsigned = 7_u64,
            beyond = u64::MAX,
            wide = 9_i128,
            wider = u128::MAX,
            float = 0.5,
            float32 = 0.25_f32,
            str = "t\u{e4}xt",
            bytes = b"\x00\xff".as_slice(),
            debug = ?Some(1),
            display = %std::net::Ipv4Addr::LOCALHOST,
            empty = Empty,
            dotted.name = 1,
        ));
    });
    let expected = [
        ("yes", Value::BoolValue(true)),
        ("small", int(-3)),
        ("large", int(i64::MAX)),
        ("unsigned", int(7)),
        ("beyond", text(&u64::MAX.to_string())),
        ("wide", int(9)),
        ("wider", text(&u128::MAX.to_string())),
        ("float", Value::DoubleValue(0.5)),
        ("float32", Value::DoubleValue(0.25)),
        ("str", text("t\u{e4}xt")),
        ("bytes", Value::BytesValue(vec![0, 255])),
        ("debug", text("Some(1)")),
        ("display", text("127.0.0.1")),
        ("dotted.name", int(1)),
    ];
    let span = spans.named("typed");
    assert_eq!(attributes(&span.attributes), expected.into());
    assert_eq!(span.kind, SpanKind::Internal as i32);
    assert!(span.status.is_none());
    assert_eq!(span.dropped_attributes_count, 0);
}

#[test]
fn a_field_recorded_again_keeps_its_last_value() {
    let rig = Rig::new();
    let spans = rig.trace(|| {
        let span = info_span!("late", first = 1, second = Empty);
        span.record("second", 2).record("first", "one");
        let _inside = span.enter();
        span.record("second", 2.5);
    });
    let expected = [("first", text("one")), ("second", Value::DoubleValue(2.5))];
    assert_eq!(attributes(&spans.named("late").attributes), expected.into());
}

#[test]
fn name_and_kind_are_fields_of_their_own() {
    for (word, kind) in [
        ("internal", SpanKind::Internal),
        ("Server", SpanKind::Server),
        ("client", SpanKind::Client),
        ("PRODUCER", SpanKind::Producer),
        ("consumer", SpanKind::Consumer),
    ] {
        let rig = Rig::new();
        let spans = rig.trace(|| {
            drop(info_span!("a", otel.name = "given", otel.kind = word));
            // Displayed, and later.
            let span = info_span!("b", otel.name = Empty, otel.kind = Empty);
            span.record("otel.name", tracing::field::display("displayed"));
            span.in_scope(|| ());
            span.record("otel.kind", tracing::field::display(word));
        });
        for name in ["given", "displayed"] {
            let span = spans.named(name);
            assert_eq!(span.kind, kind as i32, "{name} {word}");
            assert!(span.attributes.is_empty(), "{:?}", span.attributes);
        }
    }
}

#[test]
fn what_means_nothing_stays_visible_as_an_attribute() {
    let rig = Rig::new();
    let spans = rig.trace(|| {
        drop(info_span!(
            "odd",
            otel.kind = "sevrer",
            otel.status_code = "bad",
            otel.something = "else",
            otel.name = 7,
        ));
    });
    let expected = [
        ("otel.kind", text("sevrer")),
        ("otel.status_code", text("bad")),
        ("otel.something", text("else")),
        ("otel.name", int(7)),
    ];
    let span = spans.named("odd");
    assert_eq!(attributes(&span.attributes), expected.into());
    assert!(span.status.is_none());
}

/// Code and description of the status that a program leaves.
fn status_of(program: impl FnOnce(&tracing::Span)) -> Option<(StatusCode, String)> {
    let rig = Rig::new();
    let spans = rig.trace(|| {
        program(&info_span!(
            "s",
            otel.status_code = Empty,
            otel.status_description = Empty,
            otel.status_message = Empty
        ));
    });
    let span = spans.named("s");
    assert!(span.attributes.is_empty(), "{:?}", span.attributes);
    let status = span.status.clone()?;
    Some((status.code(), status.message))
}

#[test]
fn the_status_follows_its_total_order_in_whatever_order_it_is_told() {
    let error = |text: &str| Some((StatusCode::Error, text.to_owned()));
    let ok = Some((StatusCode::Ok, String::new()));
    assert_eq!(status_of(|_| ()), None);
    let code = |code: &'static str| {
        status_of(|span| {
            span.record("otel.status_code", code);
        })
    };
    assert_eq!(code("ERROR"), error(""));
    assert_eq!(code("ok"), ok);
    assert_eq!(code("Unset"), None);
    for key in ["otel.status_description", "otel.status_message"] {
        let told = status_of(|span| {
            span.record(key, "broken");
        });
        assert_eq!(told, error("broken"), "{key}");
        let told = status_of(|span| {
            span.record("otel.status_code", "error");
            span.record(key, "broken");
        });
        assert_eq!(told, error("broken"), "{key} behind the code");
        let told = status_of(|span| {
            span.record(key, "broken");
            span.record("otel.status_code", "error");
        });
        assert_eq!(told, error("broken"), "{key} before the code");
        let told = status_of(|span| {
            span.record(key, "broken");
            span.record("otel.status_code", "ok");
            span.record("otel.status_code", "error");
        });
        assert_eq!(told, ok, "ok is final");
    }
    let rig = Rig::new();
    let spans = rig.trace(|| {
        drop(info_span!(
            "at once",
            otel.status_code = "ERROR",
            otel.status_description = "broken"
        ));
    });
    let status = spans.named("at once").status.clone().unwrap();
    assert_eq!(
        (status.code(), status.message.as_str()),
        (StatusCode::Error, "broken")
    );
}

#[derive(Debug)]
pub(crate) struct Outer(pub(crate) Option<Inner>);

#[derive(Debug)]
pub(crate) struct Inner;

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("outer failed")
    }
}

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("inner failed")
    }
}

impl Error for Outer {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.as_ref().map(|inner| inner as _)
    }
}

impl Error for Inner {}

#[test]
fn an_error_is_an_attribute_and_an_exception_with_its_sources() {
    let rig = Rig::new();
    let chained = Outer(Some(Inner));
    let spans = rig.trace(|| {
        let span = info_span!(
            "fails",
            error = &chained as &(dyn Error + 'static),
            later = Empty
        );
        span.record("later", &Outer(None) as &(dyn Error + 'static));
    });
    let span = spans.named("fails");
    let expected = [
        ("error", text("outer failed")),
        ("later", text("outer failed")),
    ];
    assert_eq!(attributes(&span.attributes), expected.into());
    assert!(span.status.is_none(), "an error is not an outcome");
    let names: Vec<_> = span
        .events
        .iter()
        .map(|event| event.name.as_str())
        .collect();
    assert_eq!(names, ["exception", "exception"]);
    let expected = [
        ("exception.message", text("outer failed")),
        ("exception.stacktrace", text("caused by: inner failed")),
    ];
    assert_eq!(attributes(&span.events[0].attributes), expected.into());
    let expected = [("exception.message", text("outer failed"))];
    assert_eq!(attributes(&span.events[1].attributes), expected.into());
}

#[test]
fn what_cannot_fit_is_not_formatted_to_its_end_and_is_cut() {
    struct Endless;
    impl fmt::Debug for Endless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            loop {
                f.write_str("more and ")?;
            }
        }
    }
    let rig = Rig::new();
    let huge = "x".repeat(1 << 20);
    let spans = rig.trace(|| {
        drop(info_span!("huge", endless = ?Endless, huge, bytes = huge.as_bytes(), small = 1));
    });
    let span = spans.named("huge");
    let found = attributes(&span.attributes);
    assert_eq!(found["small"], int(1));
    assert_eq!(span.dropped_attributes_count, 0);
    let starts = |key: &str, whole: &str| match &found[key] {
        Value::StringValue(text) => whole.starts_with(&text[..1000]),
        Value::BytesValue(bytes) => whole.as_bytes().starts_with(&bytes[..1000]),
        other => panic!("{other:?}"),
    };
    assert!(starts("endless", &"more and ".repeat(200)));
    assert!(starts("huge", &huge) && starts("bytes", &huge));
    assert_eq!(rig.telemetry.counts().incomplete, 1);
}

#[test]
fn many_fields_are_handed_on_whole() {
    let rig = Rig::new();
    let spans = rig.trace(|| {
        macro_rules! many {
            ($($name:ident)*) => { drop(info_span!("many", $($name = stringify!($name)),*)) };
        }
        many!(a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 b0 b1 b2 b3 b4 b5 b6 b7 b8 b9
              c0 c1 c2 c3 c4 c5 c6 c7 c8 c9 d0 d1 d2 d3 d4 d5 d6 d7 d8 d9);
    });
    let span = spans.named("many");
    let attributes = attributes(&span.attributes);
    assert_eq!(attributes.len(), 40);
    assert!(attributes.iter().all(|(key, value)| *value == text(key)));
}

#[test]
fn options_add_attributes_and_without_them_there_are_none() {
    let rig = Rig::new();
    let spans = rig.trace(|| drop(info_span!("plain")));
    assert!(spans.named("plain").attributes.is_empty());

    let rig = Rig::layer(|layer| {
        layer
            .with_location(true)
            .with_threads(true)
            .with_level(true)
            .with_target(true)
            .with_tracked_inactivity(true)
    });
    let line = i64::from(line!()) + 1;
    let spans = rig.trace(|| info_span!(target: "shop", "described").in_scope(|| ()));
    let span = spans.named("described");
    let mut found = attributes(&span.attributes);
    let Some(Value::StringValue(name)) = found.remove("thread.name") else {
        panic!("{found:?}");
    };
    assert_eq!(std::thread::current().name(), Some(name.as_str()));
    let (busy, idle) = (
        found.remove("busy_ns").unwrap(),
        found.remove("idle_ns").unwrap(),
    );
    let (Value::IntValue(busy), Value::IntValue(idle)) = (busy, idle) else {
        panic!("no numbers");
    };
    assert!(busy >= 0 && idle >= 0, "{busy} {idle}");
    assert!(matches!(
        found.remove("thread.id"),
        Some(Value::IntValue(1..))
    ));
    let expected = [
        ("code.file.path", text(file!())),
        ("code.line.number", int(line)),
        ("code.module.name", text(module_path!())),
        ("level", text("INFO")),
        ("target", text("shop")),
    ];
    assert_eq!(found, expected.into());
}
