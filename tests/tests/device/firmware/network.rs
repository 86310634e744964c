//! The networked program against a collector that misbehaves by script: DHCP, TCP and HTTP are
//! the device's own, the collector listens on loopback.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use spandrel_tests::fault_server::{FaultServer, Reply, Script};

use super::board::{Image, Run, compressed, networked};
use super::scenarios::{attribute, text};

const MILLI: u64 = 1_000_000;

/// Spans of a burst below its root.
const MEASURES: u32 = 16;
const SPANS: u64 = 3 * (MEASURES as u64 + 1);

/// The spans of a burst, the root last.
fn expected(burst: u32) -> Vec<Span> {
    let id = |first: u8, len: usize, number: u32| {
        let mut id = vec![0; len];
        id[0] = first;
        id[len - 4..].copy_from_slice(&number.to_be_bytes());
        id
    };
    // A root takes two numbers, each of its children one more.
    let first = (MEASURES + 2) * burst + 1;
    let at = |millis: u32| 1_700_000_000_000 * MILLI + u64::from(100 * burst + millis) * MILLI;
    let common = Span {
        trace_id: id(0x54, 16, first),
        kind: SpanKind::Internal.into(),
        flags: 0x101,
        ..Span::default()
    };
    let measure = |number| Span {
        span_id: id(0x53, 8, first + 1 + number),
        parent_span_id: id(0x53, 8, first + 1),
        name: "measure".into(),
        start_time_unix_nano: at(number),
        end_time_unix_nano: at(number + 1),
        attributes: vec![attribute("sensor.kind", text("temperature"))],
        ..common.clone()
    };
    let cycle = Span {
        span_id: id(0x53, 8, first + 1),
        name: "cycle".into(),
        start_time_unix_nano: at(0),
        end_time_unix_nano: at(50),
        attributes: vec![attribute("number", Value::IntValue(burst.into()))],
        ..common.clone()
    };
    (1..=MEASURES).map(measure).chain([cycle]).collect()
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
        let length = request.body.len().to_string();
        assert_eq!(request.header("content-length"), Some(length.as_str()));
    }
    for (burst, request) in (0..).zip(&requests[attempts - 3..]) {
        let spans: Vec<_> = request.spans().cloned().collect();
        assert_eq!(spans, expected(burst), "{name}");
    }
    run.assert_ledger(SPANS, SPANS, 0);
}

/// Bytes of the bodies, after three requests over one connection.
fn post_over_one_connection(image: &Image, coding: Option<&str>) -> usize {
    let name = image.board.name;
    let server = FaultServer::start(Script::new());
    let run = run(image, &server);
    assert_delivered(name, &server, &run, 3);
    assert_eq!(server.counters().accepted, 1, "{name}: connections");
    assert_eq!(run.number("stats.attempts"), 3, "{name}");
    let requests = server.requests();
    for request in &requests {
        assert_eq!(request.header("content-encoding"), coding, "{name}");
    }
    requests.iter().map(|request| request.body.len()).sum()
}

#[test]
fn a_device_posts_its_spans_over_one_connection_plain_and_compressed() {
    for (plain, packed) in networked().iter().zip(compressed()) {
        let name = plain.board.name;
        let plain = post_over_one_connection(plain, None);
        let packed = post_over_one_connection(packed, Some("gzip"));
        let per_span = [plain, packed].map(|bytes| bytes as u64 / SPANS);
        println!("{name}: {per_span:?} bytes for each span in three requests, plain and gzip");
        assert!(
            packed * 5 < plain * 2,
            "{name}: {plain} bytes became {packed}"
        );
    }
}

#[test]
fn a_device_obeys_a_pause_and_repeats_the_same_bytes() {
    for image in networked().iter().chain(compressed()) {
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
    // Five attempts take about a second, then the device asks once a second; but on a busy host it
    // may only just have booted by then. All boards at once, as most of this is waiting.
    std::thread::scope(|scope| {
        for image in networked() {
            scope.spawn(|| {
                let mut waits = [2_500, 10_000, 30_000]
                    .map(Duration::from_millis)
                    .into_iter();
                assert!(
                    waits.any(|away| circuit_opened(image, away) >= 1),
                    "{}",
                    image.board.name
                );
            });
        }
    });
}

/// How often the circuit opened while the collector was away for so long.
fn circuit_opened(image: &Image, away: Duration) -> u64 {
    let name = image.board.name;
    let server = FaultServer::start(Script::new());
    server.available(false);
    let run = std::thread::scope(|scope| {
        let device = scope.spawn(|| run(image, &server));
        std::thread::sleep(away);
        server.available(true);
        device.join().unwrap()
    });
    assert_delivered(name, &server, &run, 3);
    let opened = run.number("stats.circuit_opened");
    // Five failures in a row, then those of the three requests.
    assert!(opened == 0 || run.number("stats.attempts") >= 8, "{name}");
    opened
}
