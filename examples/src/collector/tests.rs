//! A raw client over a socket, so that the collector is seen byte by byte.

use std::io::{Read, Write};
use std::net::TcpStream;

use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use prost::Message;

use super::*;

const PROTOBUF: &str = "application/x-protobuf";
const LONG: Duration = Duration::from_secs(10);

fn request(names: &[&str]) -> ExportTraceServiceRequest {
    let spans = names
        .iter()
        .map(|&name| Span {
            name: name.into(),
            trace_id: vec![1; 16],
            ..Span::default()
        })
        .collect();
    let service = KeyValue {
        key: "service.name".into(),
        value: Some(AnyValue {
            value: Some(Value::StringValue("shop".into())),
        }),
        ..KeyValue::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![service],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "lib".into(),
                    version: "1.0".into(),
                    ..InstrumentationScope::default()
                }),
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

/// Sends one request on its own connection and returns the answer's head, in lower case,
/// and its body.
fn send(collector: &Collector, head: &str, body: &[u8]) -> (String, Vec<u8>) {
    let address = collector.endpoint().strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    let head = format!(
        "{head}\r\nhost: x\r\nconnection: close\r\nuser-agent: raw/1\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(body).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    (head.to_ascii_lowercase(), answer[end + 4..].to_vec())
}

fn post(collector: &Collector, content_type: &str, body: &[u8]) -> (String, Vec<u8>) {
    let head = format!("POST /v1/traces HTTP/1.1\r\ncontent-type: {content_type}");
    send(collector, &head, body)
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn gzipped_protobuf_is_kept_with_what_it_came_in() {
    let collector = Collector::start().unwrap();
    let body = request(&["a", "b"]).encode_to_vec();
    let wire = gzipped(&body);
    let head =
        format!("POST /v1/traces HTTP/1.1\r\ncontent-type: {PROTOBUF}\r\ncontent-encoding: gzip");
    let (head, answer) = send(&collector, &head, &wire);
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("content-type: application/x-protobuf"));
    assert!(answer.is_empty());

    assert!(collector.wait_for(2, LONG));
    let spans = collector.take();
    assert_eq!(spans[1].span.name, "b");
    assert_eq!(spans[1].service(), "shop");
    assert_eq!(spans[1].scope.version, "1.0");
    assert_eq!(spans[1].request.content_encoding(), Some("gzip"));
    assert_eq!(spans[1].request.user_agent(), Some("raw/1"));
    assert_eq!(spans[1].request.wire_bytes, wire.len());
    assert_eq!(spans[1].request.body_bytes, body.len());
    assert!(collector.spans().is_empty());
    assert_eq!(collector.requests().len(), 1);
}

#[test]
fn json_is_taken_and_answered_in_json() {
    let collector = Collector::start().unwrap();
    let json = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"j","attributes":[
        {"key":"empty","value":{"arrayValue":{}}},{"value":{"kvlistValue":{}}}]}]}]}]}"#;
    let (head, answer) = post(
        &collector,
        "application/json; charset=utf-8",
        json.as_bytes(),
    );
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("content-type: application/json"));
    assert_eq!(answer, b"{}");
    assert_eq!(collector.spans()[0].span.attributes.len(), 2);
}

#[test]
fn our_own_json_of_a_message_arrives_as_that_message() {
    let collector = Collector::start().unwrap();
    let message = request(&["a"]);
    let mut json = String::new();
    spandrel_core::json::export_request(&message.encode_to_vec(), &mut json).unwrap();
    post(&collector, "application/json", json.as_bytes());
    let expected = &message.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!(&collector.spans()[0].span, expected);
}

#[test]
fn an_outage_refuses_with_the_status_and_the_header_asked_for() {
    let collector = Collector::start().unwrap();
    let body = request(&["a"]).encode_to_vec();

    collector.set_available(false);
    let (head, answer) = post(&collector, PROTOBUF, &body);
    assert!(head.starts_with("http/1.1 503"), "{head}");
    assert!(!head.contains("retry-after"));
    assert!(answer.starts_with(&[0x08, 14, 0x12]), "a google.rpc.Status");

    collector.respond_with(429, Some(7));
    let (head, _) = post(&collector, PROTOBUF, &body);
    assert!(head.starts_with("http/1.1 429"), "{head}");
    assert!(head.contains("retry-after: 7\r\n"));
    assert!(collector.spans().is_empty());

    collector.set_available(true);
    post(&collector, PROTOBUF, &body);
    assert!(collector.wait_for_requests(3, LONG));
    assert_eq!(collector.spans().len(), 1);
    let statuses: Vec<u16> = collector.requests().iter().map(|r| r.status).collect();
    assert_eq!(statuses, [503, 429, 200]);
}

#[test]
fn what_is_not_otlp_is_refused() {
    let collector = Collector::start().unwrap();
    let traces = "POST /v1/traces HTTP/1.1\r\ncontent-type: application/x-protobuf";
    for (head, body, status) in [
        ("GET /v1/traces HTTP/1.1", "", 405),
        ("POST / HTTP/1.1", "", 404),
        (
            "POST /v1/traces HTTP/1.1\r\ncontent-type: text/plain",
            "",
            415,
        ),
        (traces, "\x0a\x05", 400),
        (&format!("{traces}\r\ncontent-encoding: br"), "", 415),
        (
            &format!("{traces}\r\ncontent-encoding: gzip"),
            "no gzip",
            400,
        ),
    ] {
        let (answer, _) = send(&collector, head, body.as_bytes());
        assert!(
            answer.starts_with(&format!("http/1.1 {status}")),
            "{head}: {answer}"
        );
    }
    let (answer, body) = post(&collector, "application/json", b"{");
    assert!(answer.starts_with("http/1.1 400"));
    assert!(body.starts_with(br#"{"code":3,"message":"#));
    assert!(collector.spans().is_empty());
}

#[test]
fn dropping_it_with_a_stalled_client_does_not_hang() {
    let collector = Collector::start().unwrap();
    let address = collector
        .endpoint()
        .strip_prefix("http://")
        .unwrap()
        .to_owned();
    let mut idle = TcpStream::connect(&address).unwrap();
    let mut stalled = TcpStream::connect(&address).unwrap();
    idle.write_all(b"POST").unwrap();
    stalled
        .write_all(b"POST /v1/traces HTTP/1.1\r\ncontent-length: 5000\r\n\r\nhalf")
        .unwrap();
    let start = Instant::now();
    drop(collector);
    assert!(start.elapsed() < LONG);
}

#[test]
fn waiting_in_vain_ends() {
    let collector = Collector::start().unwrap();
    assert!(!collector.wait_for(1, Duration::from_millis(5)));
    assert!(collector.wait_for(0, Duration::ZERO));
}
