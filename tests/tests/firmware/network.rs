//! The networked program against a collector that misbehaves by script: DHCP, TCP and HTTP are
//! the device's own, the collector listens on loopback.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use spandrel_tests::fault_server::{FaultServer, Reply, Script};

use crate::board::{Image, Run, networked};

const MILLI: u64 = 1_000_000;

/// Two spans for each burst, the child first.
fn expected(burst: u32) -> [Span; 2] {
    let id = |first: u8, len: usize, number: u32| {
        let mut id = vec![0; len];
        id[0] = first;
        id[len - 4..].copy_from_slice(&number.to_be_bytes());
        id
    };
    // A root takes two numbers, its child a third one.
    let first = 3 * burst + 1;
    let at = |millis: u32| 1_700_000_000_000 * MILLI + u64::from(100 * burst + millis) * MILLI;
    let common = Span {
        trace_id: id(0x54, 16, first),
        kind: SpanKind::Internal.into(),
        flags: 0x101,
        ..Span::default()
    };
    let measure = Span {
        span_id: id(0x53, 8, first + 2),
        parent_span_id: id(0x53, 8, first + 1),
        name: "measure".into(),
        start_time_unix_nano: at(1),
        end_time_unix_nano: at(2),
        ..common.clone()
    };
    let cycle = Span {
        span_id: id(0x53, 8, first + 1),
        name: "cycle".into(),
        start_time_unix_nano: at(0),
        end_time_unix_nano: at(3),
        attributes: vec![KeyValue {
            key: "number".into(),
            value: Some(AnyValue {
                value: Some(Value::IntValue(burst.into())),
            }),
            ..KeyValue::default()
        }],
        ..common
    };
    [measure, cycle]
}

fn run(image: &Image, server: &FaultServer) -> Run {
    image.run(&server.addr().port().to_string())
}

/// The last three requests carry the three bursts, exactly.
fn assert_delivered(name: &str, server: &FaultServer, run: &Run, attempts: usize) {
    let requests = server.requests();
    assert_eq!(requests.len(), attempts, "{name}");
    for request in &requests {
        assert_eq!(
            (&request.method[..], &request.target[..]),
            ("POST", "/v1/traces")
        );
        assert_eq!(
            request.header("content-type"),
            Some("application/x-protobuf")
        );
        assert!(request.complete, "{name}");
    }
    for (burst, request) in (0..).zip(&requests[attempts - 3..]) {
        let spans: Vec<_> = request.spans().cloned().collect();
        assert_eq!(spans, expected(burst), "{name}");
    }
    run.assert_ledger(6, 6, 0);
}

#[test]
fn a_device_posts_its_spans_over_one_connection() {
    for image in networked() {
        let name = image.board.name;
        let server = FaultServer::start(Script::new());
        let run = run(image, &server);
        assert_delivered(name, &server, &run, 3);
        assert_eq!(server.counters().accepted, 1, "{name}: connections");
        assert_eq!(run.number("stats.attempts"), 3, "{name}");
    }
}

#[test]
fn a_device_obeys_a_pause_and_repeats_the_same_bytes() {
    for image in networked() {
        let name = image.board.name;
        let server = FaultServer::start(Script::new().then(Reply::retry_after(503, &["1"])));
        let begin = Instant::now();
        let run = run(image, &server);
        assert!(begin.elapsed() >= Duration::from_secs(1), "{name}");
        assert_delivered(name, &server, &run, 4);
        let requests = server.requests();
        assert_eq!(requests[0].body, requests[1].body, "{name}");
        assert_eq!(run.number("stats.circuit_opened"), 0, "{name}");
    }
}

#[test]
fn a_collector_that_is_down_at_boot_opens_the_circuit_and_loses_nothing() {
    // All boards at once, as most of this is waiting.
    std::thread::scope(|scope| {
        for image in networked() {
            scope.spawn(|| down_at_boot(image));
        }
    });
}

fn down_at_boot(image: &Image) {
    let name = image.board.name;
    let server = FaultServer::start(Script::new());
    server.available(false);
    let run = std::thread::scope(|scope| {
        let device = scope.spawn(|| run(image, &server));
        // Five attempts take about a second; then the device asks once a second. A loaded machine
        // emulates it more slowly.
        std::thread::sleep(Duration::from_secs(6));
        server.available(true);
        device.join().unwrap()
    });
    assert_delivered(name, &server, &run, 3);
    assert!(run.number("stats.circuit_opened") >= 1, "{name}");
    assert!(run.number("stats.attempts") >= 8, "{name}");
}
