//! The golden vectors: MINI, FULL, V1 to V13 and J1.
//!
//! They were made with `protoc` from the v1.11.0 schema. FULL has one of everything, zeros inside
//! of values included. Ours put the fixed-width fields first, which the wire format leaves free
//! (spec F-009), so messages are compared after a round through the official types, which
//! write ascending field numbers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the helpers of a test may fail it"
)]

use prost::Message;
use spandrel_core::attribute::{KeyValue, Value};
use spandrel_core::buffer::Buffer;
use spandrel_core::context::{Link, ParentContext, SpanContext, SpanKind, TraceFlags};
use spandrel_core::exporter::{Exporter, ExporterConfig};
use spandrel_core::id::{IdGenerator, SpanId, TraceId};
use spandrel_core::json;
use spandrel_core::limits::SpanLimits;
use spandrel_core::resource::{InstrumentationScope, Registry, Resource};
use spandrel_core::response::{decode_status, decode_success};
use spandrel_core::sampler::AlwaysOn;
use spandrel_core::span::Status;
use spandrel_core::time::{Instant, UnixNanos, WallClock};
use spandrel_core::tracer::{SpanBuilder, Tracer};
use spandrel_tests::wire_model::{decode, pull};

const PROTOBUF: Option<&str> = Some("application/x-protobuf");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(char::is_ascii_hexdigit).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// The ids of the vectors.
struct GoldenIds;

impl IdGenerator for GoldenIds {
    const RANDOM: bool = false;

    fn trace_id(&mut self) -> TraceId {
        "5b8efff798038103d269b633813fc60c".parse().unwrap()
    }

    fn span_id(&mut self) -> SpanId {
        "eee19b7ec3c1b174".parse().unwrap()
    }
}

type Pipeline = Exporter<Vec<u8>, Vec<u8>>;

fn pipeline(resource: &Resource<'_>) -> Pipeline {
    let registry = Registry::new(vec![0; 512], resource).unwrap();
    let buffer = Buffer::new(vec![0; 1024]);
    Exporter::new(ExporterConfig::DEFAULT, buffer, registry).unwrap()
}

/// The body of the one request.
fn body(exporter: &mut Pipeline) -> Vec<u8> {
    exporter.force_flush(Instant::ZERO, Instant::MAX);
    let mut transmit = exporter.poll_transmit(Instant::ZERO).unwrap();
    pull(exporter, &mut transmit, || 7)
}

#[test]
fn mini() {
    let golden = from_hex(include_str!("../../fixtures/golden-mini.hex"));
    let mut exporter = pipeline(&Resource::default());
    let scope = exporter.scope(&InstrumentationScope::default()).unwrap();
    let mut tracer = Tracer::new(AlwaysOn, GoldenIds);
    let builder = SpanBuilder::new("a").scope(scope);
    let span = tracer.start::<128>(builder, Instant::from_nanos(1));
    span.end(Instant::from_nanos(2), &mut exporter).unwrap();
    let body = body(&mut exporter);
    assert_eq!(body.len(), golden.len());
    assert_eq!(hex(&decode(&body).encode_to_vec()), hex(&golden));
}

/// The request FULL, built through the public API: the limits make the dropped counts.
fn full() -> Vec<u8> {
    let attributes = [KeyValue::new("service.name", "svc")];
    let mut exporter = pipeline(&Resource {
        attributes: &attributes,
        schema_url: "https://opentelemetry.io/schemas/1.44.0",
    });
    let attributes = [KeyValue::new("s", true)];
    let scope = InstrumentationScope {
        schema_url: "u",
        attributes: &attributes,
        ..InstrumentationScope::new("lib").with_version("1.0")
    };
    let scope = exporter.scope(&scope).unwrap();

    // The device was on for a second when it learned the date.
    let on = Instant::from_secs(1);
    let start = UnixNanos::from_secs(1_544_712_660);
    exporter.set_wall_clock(Some(WallClock::from_pair(on, start)));

    let mut tracer = Tracer::new(AlwaysOn, GoldenIds).with_limits(SpanLimits {
        attribute_count: 9,
        event_count: 1,
        link_count: 1,
        attribute_per_event_count: 1,
        attribute_per_link_count: 1,
        ..SpanLimits::DEFAULT
    });
    let flags = TraceFlags::SAMPLED.with_random(true);
    let parent_id = "eee19b7ec3c1b173".parse().unwrap();
    let parent = ParentContext {
        span_context: SpanContext::remote(GoldenIds.trace_id(), parent_id, flags),
        trace_state: "ot=th:c",
    };
    let builder = SpanBuilder::new("to be renamed")
        .kind(SpanKind::Server)
        .scope(scope)
        .parent(parent);
    let mut span = tracer.start::<1024>(builder, on);
    span.update_name("n");

    let mixed = [Value::I64(1), Value::String("x")];
    let map = [KeyValue::new("k", 0_i64)];
    span.set_attribute("s", "");
    span.set_attribute("b", false);
    span.set_attribute("i", -1_i64);
    span.set_attribute("d", 0.0);
    span.set_attribute("y", [0_u8, 255].as_slice());
    span.set_attribute("e", Value::Empty);
    span.set_attribute("a", Value::Array(&mixed));
    span.set_attribute("ea", Value::Array(&[]));
    span.set_attribute("m", Value::Map(&map));
    span.set_attribute("one too many", 1_i64);

    let at = Instant::from_millis(1_500);
    let attributes = ["k", "x", "y"].map(|key| KeyValue::new(key, "v"));
    span.add_event("ev", &attributes, at);
    for _ in 0..3 {
        span.add_event("one too many", &[], at);
    }

    let attributes = ["l", "1", "2", "3", "4"].map(|key| KeyValue::new(key, i64::MAX));
    let link = Link {
        span_context: SpanContext::new(
            "0102030405060708090a0b0c0d0e0f10".parse().unwrap(),
            "0102030405060708".parse().unwrap(),
            TraceFlags::SAMPLED,
        ),
        trace_state: "a=b",
        attributes: &attributes,
    };
    for _ in 0..6 {
        span.add_link(&link);
    }
    span.set_status(Status::error("boom"));
    span.end(Instant::from_secs(2), &mut exporter).unwrap();
    body(&mut exporter)
}

#[test]
fn full_is_the_golden_message_byte_for_byte() {
    let golden = from_hex(include_str!("../../fixtures/golden-full.hex"));
    let body = full();
    assert_eq!(body.len(), golden.len());
    assert_eq!(hex(&decode(&body).encode_to_vec()), hex(&golden));
}

/// J1, from our own order of fields and from the ascending one.
#[test]
fn full_as_json() {
    let golden = include_str!("../../fixtures/golden-full.json");
    let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
    for body in [full(), decode(&full()).encode_to_vec()] {
        let mut text = String::new();
        json::export_request(&body, &mut text).unwrap();
        let ours: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(ours, golden);
    }
}

/// V1 to V9: zeros inside of a value are written, an empty value is a message of no bytes
/// (spec F-001, F-002).
#[test]
fn attributes_of_every_kind() {
    let body = hex(&full());
    for (number, golden) in [
        "0a017312020a00",
        "0a016212021000",
        "0a0169120b18ffffffffffffffffff01",
        "0a01641209210000000000000000",
        "0a017912043a0200ff",
        "0a01651200",
        "0a0161120b2a090a0218010a030a0178",
        "0a02656112022a00",
        "0a016d120b32090a070a016b12021800",
    ]
    .into_iter()
    .enumerate()
    {
        let field = format!("4a{:02x}{golden}", golden.len() / 2);
        assert!(body.contains(&field), "V{}", number + 1);
    }
}

/// V10: the status as field 15.
#[test]
fn status_ok_and_error() {
    for (status, golden) in [
        (Status::Ok, "7a021801"),
        (Status::error("boom"), "7a081204626f6f6d1802"),
    ] {
        let mut exporter = pipeline(&Resource::default());
        let mut tracer = Tracer::new(AlwaysOn, GoldenIds);
        let mut span = tracer.start::<128>(SpanBuilder::new("a"), Instant::ZERO);
        span.set_status(status);
        span.end(Instant::ZERO, &mut exporter).unwrap();
        let body = hex(&body(&mut exporter));
        assert!(body.ends_with(golden), "{body}");
    }
}

/// V11.
#[test]
fn answers_of_success() {
    for (body, rejected, message) in [
        ("", 0, ""),
        ("0a00", 0, ""),
        ("0a0612047761726e", 0, "warn"),
        ("0a0b08051207746f6f206f6c64", 5, "too old"),
    ] {
        let body = from_hex(body);
        let answer = decode_success(PROTOBUF, &body);
        assert!(answer.valid);
        assert_eq!(answer.rejected(512), (rejected, false));
        assert_eq!(answer.error_message, message);
    }
}

/// V12 and V13: details of any kind are stepped over.
#[test]
fn answers_of_refusal() {
    for (body, code, message) in [
        (
            "080e1204627573791a360a28747970652e676f6f676c65617069732e636f6d2f676f6f676c652e727063\
             2e5265747279496e666f120a0a0808051080cab5ee01",
            14,
            "busy",
        ),
        (
            "12036261641a350a29747970652e676f6f676c65617069732e636f6d2f676f6f676c652e7270632e4261\
             645265717565737412080a060a0166120164",
            0,
            "bad",
        ),
    ] {
        let body = from_hex(body);
        let status = decode_status(PROTOBUF, &body);
        assert_eq!(status.code, code);
        assert_eq!(status.message, message);
    }
}
