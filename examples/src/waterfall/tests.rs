use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

use unicode_width::UnicodeWidthStr;

use super::*;

const MS: u64 = 1_000_000;

fn text(value: &str) -> Value {
    Value::StringValue(value.into())
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// An id whose bytes all are `byte`; 0 is none.
fn id(byte: u8, len: usize) -> Vec<u8> {
    if byte == 0 {
        Vec::new()
    } else {
        vec![byte; len]
    }
}

/// A span of trace 0x77.. from `times.0` to `times.1` milliseconds.
fn span(own: u8, parent: u8, name: &str, times: (u64, u64)) -> ReceivedSpan {
    ReceivedSpan {
        resource: Arc::default(),
        scope: Arc::default(),
        request: Arc::default(),
        span: Span {
            trace_id: id(0x77, 16),
            span_id: id(own, 8),
            parent_span_id: id(parent, 8),
            name: name.into(),
            start_time_unix_nano: times.0 * MS,
            end_time_unix_nano: times.1 * MS,
            ..Span::default()
        },
    }
}

impl ReceivedSpan {
    fn of(mut self, service: &str, kind: SpanKind) -> Self {
        self.resource = Arc::new(Resource {
            attributes: vec![attribute("service.name", text(service))],
            ..Resource::default()
        });
        self.span.kind = kind.into();
        self
    }

    fn with(mut self, attributes: Vec<KeyValue>) -> Self {
        self.span.attributes = attributes;
        self
    }

    fn status(mut self, code: i32, message: &str) -> Self {
        let message = message.into();
        self.span.status = Some(Status { message, code });
        self
    }

    fn event(mut self, name: &str, at: u64) -> Self {
        self.span.events.push(Event {
            time_unix_nano: at * MS,
            name: name.into(),
            ..Event::default()
        });
        self
    }
}

/// Two services, a failure, events, all kinds of oddities that a real trace can have.
fn shop() -> Vec<ReceivedSpan> {
    vec![
        span(1, 0, "POST /orders", (1_000, 2_200))
            .of("shop", SpanKind::Server)
            .status(2, "")
            .with(vec![
                attribute("http.request.method", text("POST")),
                attribute("http.route", text("/orders")),
                attribute("http.response.status_code", Value::IntValue(502)),
                attribute("cart.items", Value::ArrayValue(ArrayValue::default())),
            ]),
        span(2, 1, "reserve stock", (1_050, 1_350))
            .of("shop", SpanKind::Internal)
            .status(1, ""),
        span(3, 2, "SELECT stock", (1_100, 1_300))
            .of("shop", SpanKind::Client)
            .with(vec![attribute("db.system.name", text("postgresql"))]),
        span(4, 1, "charge", (1_400, 2_150))
            .of("shop", SpanKind::Client)
            .status(2, "card declined")
            .event("retry", 1_600)
            .event("exception", 2_140),
        span(
            5,
            4,
            "authorize a payment by card with a name that has no end",
            (1_380, 2_100),
        )
        .of("payment gateway", SpanKind::Server),
        span(6, 5, "tick", (1_700, 1_700)).of("payment gateway", SpanKind::Internal),
        span(8, 9, "from elsewhere", (1_800, 1_900)).of("mailer", SpanKind::Consumer),
    ]
}

const SHOP: &str = "\
trace 77777777777777777777777777777777 · 7 spans · 1.20 s · 2 errors
                                                               0              500 ms         1 s
shop            ✗ POST /orders (server)                1.20 s  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
                │    http.request.method=POST  http.route=/orders  http.response.status_code=502
                │    cart.items=[]
                ├─✓ reserve stock                      300 ms  ┊╺━━━━━━━━╸    ┊              ┊
                │ └─• SELECT stock (client)            200 ms  ┊  ━━━━━━      ┊              ┊
                │        db.system.name=postgresql
                └─✗ charge (client)                    750 ms  ┊           ━━━━━━◆━━━━━━━━━━━━━━━━◆
                  │    ✗ card declined
                  │    ◆ retry +600 ms  ◆ exception +1.14 s
payment gatew…    └─• authorize a payment by card wi…  720 ms! ┊          ╺━━━━━━━━━━━━━━━━━━━━━╸
                    └─• tick                                0  ┊              ┊     ╺        ┊
mailer          ╌• from elsewhere (consumer)           100 ms  ┊              ┊        ╺━━╸  ┊
╌ its parent has not arrived
! outside its parent: it outlived it, or the clocks differ
";

#[test]
fn a_trace_of_services_is_drawn_like_this() {
    let drawn = waterfall(&shop(), Style::plain(100));
    assert_eq!(drawn, SHOP, "\n{drawn}");
}

#[test]
fn the_order_of_arrival_does_not_show() {
    let mut spans = shop();
    for _ in 0..spans.len() {
        spans.rotate_left(1);
        spans.swap(0, 3);
        assert_eq!(waterfall(&spans, Style::plain(100)), SHOP);
    }
}

#[test]
fn colour_is_all_that_colour_changes() {
    let style = Style {
        colour: true,
        ..Style::plain(100)
    };
    let mut coloured = waterfall(&shop(), style);
    assert!(coloured.contains("\x1b[31m✗\x1b[0m"));
    for code in ["\x1b[2m", "\x1b[31m", "\x1b[0m"] {
        coloured = coloured.replace(code, "");
    }
    assert_eq!(coloured, SHOP);
}

const NARROW: &str = "\
trace 77777777777777777777777777777777
  7 spans · 1.20 s · 2 errors
                                         0      500 ms  1 s
shop        ✗ POST /orders       1.20 s  ━━━━━━━━━━━━━━━━━━━
            │    http.request.method=POST
            │    http.route=/orders
            │    http.response.status_code=502  +1
            ├─✓ reserve stock    300 ms  ╺━━━━╸ ┊       ┊
            │ └─• SELECT stock   200 ms  ┊╺━━╸  ┊       ┊
            │        db.system.name=postgresql
            └─✗ charge (client)  750 ms  ┊     ━━━◆━━━━━━━━◆
              │    ✗ card declined
              │    ◆ retry +600 ms  ◆ exception +1.14 s
payment g…    └─• authorize a …  720 ms! ┊     ━━━━━━━━━━━
                └─• tick              0  ┊      ┊   ╸   ┊
mailer      ╌• from elsewhere    100 ms  ┊      ┊    ╺━ ┊
╌ its parent has not arrived
! outside its parent: it outlived it, or the clocks differ
";

#[test]
fn a_narrow_terminal_gets_shorter_names_and_bars() {
    let drawn = waterfall(&shop(), Style::plain(60));
    assert_eq!(drawn, NARROW, "\n{drawn}");
}

const ASCII: &str = "\
trace 77777777777777777777777777777777 - 7 spans - 1.20 s - 2 errors
                                                     0          500 ms     1 s
shop           x POST /orders (server)       1.20 s  ===========================
               |    http.request.method=POST  http.route=/orders
               |    http.response.status_code=502  cart.items=[]
               |-+ reserve stock             300 ms  :======-   :          :
               | `-o SELECT stock (client)   200 ms  : ====-    :          :
               |        db.system.name=postgresql
               `-x charge (client)           750 ms  :        ====*===========*
                 |    x card declined
                 |    * retry +600 ms  * exception +1.14 s
payment gate~    `-o authorize a payment b~  720 ms! :       -===============-
                   `-o tick                       0  :          :   -      :
mailer         ?o from elsewhere (consumer)  100 ms  :          :      ==  :
? its parent has not arrived
! outside its parent: it outlived it, or the clocks differ
";

#[test]
fn ascii_is_enough_to_draw() {
    let style = Style {
        ascii: true,
        ..Style::plain(80)
    };
    let drawn = waterfall(&shop(), style);
    assert_eq!(drawn, ASCII, "\n{drawn}");
    let foreign = span(1, 0, "größe 日本", (0, 1)).of("größe", SpanKind::Internal);
    assert!(waterfall(&[foreign], style).is_ascii());
}

#[test]
fn no_line_is_wider_than_asked() {
    for width in [0, 40, 41, 60, 61, 77, 80, 100, 120, 200] {
        for line in waterfall(&shop(), Style::plain(width)).lines() {
            let columns = line.width();
            assert!(columns <= width.max(40), "{columns} > {width}: {line}");
            assert_eq!(line, line.trim_end());
        }
    }
}

/// The marks of the axis of a trace that takes so long, on a terminal of 80 columns.
fn marks(nanos: u64) -> String {
    let mut span = span(1, 0, "work", (0, 0));
    span.span.end_time_unix_nano = nanos;
    let drawn = waterfall(&[span], Style::plain(80));
    let line = drawn.lines().nth(1).unwrap_or_default();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_marks_of_the_axis_are_round_numbers() {
    const SECOND: u64 = 1_000_000_000;
    for (nanos, expected) in [
        (0, "0"),
        (1, "0"),
        (7, "0 2 ns 4 ns 6 ns"),
        (850, "0 200 ns 400 ns 600 ns"),
        (134_567_890, "0 50 ms 100 ms"),
        (SECOND, "0 200 ms 400 ms 600 ms 800 ms"),
        (1_200 * MS, "0 500 ms 1 s"),
        (59 * SECOND, "0 10 s 20 s 30 s 40 s 50 s"),
        (61 * SECOND, "0 20 s 40 s"),
        (300 * SECOND, "0 1m 2m 3m 4m"),
        (3_600 * SECOND, "0 15m 30m 45m"),
        (86_400 * SECOND, "0 6h 12h 18h"),
        (30 * 86_400 * SECOND, "0 10d 20d"),
        (u64::MAX, "0 50000d 100000d 150000d"),
    ] {
        assert_eq!(marks(nanos), expected, "{nanos} ns");
    }
}

#[test]
fn traces_are_drawn_apart_and_oldest_first() {
    let mut late = span(1, 0, "late", (9, 9));
    late.span.trace_id = id(1, 16);
    let drawn = waterfall(&[late, span(1, 0, "early", (5, 6))], Style::plain(60));
    let titles: Vec<&str> = drawn.lines().filter(|l| l.starts_with("trace")).collect();
    assert_eq!(
        titles,
        [
            "trace 77777777777777777777777777777777 · 1 span · 1.00 ms",
            "trace 01010101010101010101010101010101 · 1 span · 0",
        ]
    );
    assert_eq!(drawn.matches("\n\n").count(), 1);
    assert_eq!(waterfall(&[], Style::plain(60)), "");
}

/// The tree and the first word of the name of each span.
fn rows(spans: &[ReceivedSpan]) -> Vec<String> {
    waterfall(spans, Style::plain(60))
        .lines()
        .filter_map(|line| line.split_once("• "))
        .map(|(tree, name)| format!("{tree}{}", name.split(' ').next().unwrap_or_default()))
        .collect()
}

#[test]
fn rings_and_repeated_ids_lose_no_span() {
    let ring = [
        span(1, 3, "a", (1, 9)),
        span(2, 1, "b", (2, 8)),
        span(3, 2, "c", (3, 7)),
        span(4, 4, "self", (4, 6)),
    ];
    assert_eq!(rows(&ring), ["a", "└─b", "  └─c", "self"]);
    let twice = [
        span(1, 0, "a", (1, 9)),
        span(1, 0, "a", (1, 9)),
        span(2, 1, "b", (2, 8)),
    ];
    assert_eq!(rows(&twice), ["a", "└─b", "a"]);
    let no_ids = [span(0, 0, "x", (1, 1)), span(0, 0, "y", (1, 1))];
    assert_eq!(rows(&no_ids), ["x", "y"]);
}

#[test]
fn only_what_can_be_seen_is_outside_its_parent() {
    const MICRO: u64 = 1_000;
    let drawn = |start: u64, end: u64| {
        let parent = span(1, 0, "parent", (100, 180));
        let mut child = span(2, 1, "child", (0, 0));
        child.span.start_time_unix_nano = start;
        child.span.end_time_unix_nano = end;
        waterfall(&[parent, child], Style::plain(80))
    };
    // A thousandth of 80 ms is 80 us.
    for (start, end, is_outside) in [
        (100 * MS, 180 * MS, false),
        (100 * MS - MICRO, 180 * MS + MICRO, false),
        (100 * MS - 79 * MICRO, 180 * MS, false),
        (100 * MS - 100 * MICRO, 180 * MS, true),
        (100 * MS, 180 * MS + 100 * MICRO, true),
    ] {
        let drawn = drawn(start, end);
        assert_eq!(drawn.contains('!'), is_outside, "{drawn}");
    }
}

#[test]
fn times_that_cannot_be_are_drawn_all_the_same() {
    let mut wild = span(1, 0, "wild", (5, 2))
        .event("before", 0)
        .event("after", 99);
    wild.span.end_time_unix_nano = 0;
    let mut far = span(2, 1, "far", (0, 0));
    far.span.end_time_unix_nano = u64::MAX;
    let drawn = waterfall(&[wild, far], Style::plain(80));
    assert!(drawn.contains("-5.00 ms"), "{drawn}");
    assert!(drawn.contains("213503d!"), "{drawn}");
}

#[test]
fn a_name_cannot_drive_the_terminal() {
    let attributes = vec![attribute("k\x07", text("a\nb\u{9b}2J"))];
    let drawn = waterfall(
        &[span(1, 0, "\x1b[2Jname", (1, 2)).with(attributes)],
        Style::plain(80),
    );
    assert!(drawn.contains("·[2Jname"));
    assert!(drawn.contains("k·=a·b·2J"));
    assert!(!drawn.contains(|c: char| c.is_control() && c != '\n'));
}

#[test]
fn a_chain_of_thousands_is_drawn_in_bounded_space() {
    let spans: Vec<ReceivedSpan> = (1..5_000_u32)
        .map(|n| {
            let mut received = span(1, 1, "link", (1, 2));
            received.span.span_id = n.to_be_bytes().to_vec();
            received.span.parent_span_id = match n {
                1 => Vec::new(),
                _ => (n - 1).to_be_bytes().to_vec(),
            };
            received
        })
        .collect();
    let drawn = waterfall(&spans, Style::plain(100));
    assert_eq!(drawn.matches("link").count(), spans.len());
}

#[test]
fn an_encoded_request_is_drawn_as_the_spans_that_it_holds() {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
    use prost::Message;
    use spandrel_core::hosted::waterfall::draw_request;

    let all_values = vec![
        attribute("yes", Value::BoolValue(true)),
        attribute("minus", Value::IntValue(-7)),
        attribute("half", Value::DoubleValue(0.5)),
        attribute("bytes", Value::BytesValue(vec![1, 0xff])),
    ];
    let list = attribute(
        "list",
        Value::ArrayValue(ArrayValue {
            values: vec![
                AnyValue {
                    value: Some(text("a")),
                },
                AnyValue { value: None },
            ],
        }),
    );
    let mut spans = shop();
    spans.push(span(9, 1, "values", (1_100, 1_200)).with(all_values));
    spans.push(span(10, 1, "list", (1_100, 1_200)).with(vec![list]));
    let resource_spans = spans.iter().map(|received| ResourceSpans {
        resource: Some((*received.resource).clone()),
        scope_spans: vec![ScopeSpans {
            spans: vec![received.span.clone()],
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    });
    let request = ExportTraceServiceRequest {
        resource_spans: resource_spans.collect(),
    };
    let drawn = draw_request(&request.encode_to_vec(), Style::plain(100));
    let expected = waterfall(&spans, Style::plain(100));
    let note = "its parent is not in this batch (more of this trace may follow)";
    assert_eq!(drawn, expected.replace("its parent has not arrived", note));
    assert!(drawn.contains("half=0.5  bytes=0x01ff"), "{drawn}");
}

#[test]
fn a_batch_without_the_parent_says_that_more_may_follow() {
    use spandrel_core::hosted::waterfall::draw_request;

    let cut = [0x0a, 0x04, 0x12, 0x02, 0x12, 0xff];
    assert_eq!(draw_request(&cut, Style::plain(80)), "");
    let child = [span(2, 1, "child", (1, 2))];
    assert!(waterfall(&child, Style::plain(80)).contains("its parent has not arrived"));
}
