//! The adapter for reqwless on the host: what it delivers, and what it makes of bad answers.

use core::net::IpAddr;
use core::time::Duration;

use embedded_nal_async::{AddrType, Dns};
use reqwless::client::{HttpClient, TlsConfig, TlsVerify};
use spandrel_core::prelude::*;
use spandrel_tests::fault_server::{FaultServer, Front, Reply, Script};
use spandrel_tests::tls::Authority;
use spandrel_transport_async::embassy::{
    CollectorError, EmbassySleep, Encoding, Gzip, Identity, MIN_REQWLESS_MEMORY_BYTES, ReqwlessPost,
};
use spandrel_transport_async::{Driver, Post};

use crate::embassy::{Device, assert_all_delivered};
use crate::embassy_gzip::{Bytes, dropped_at_every_poll, export};
use crate::scripted::Scripted;
use crate::stack::{StdError, StdStack};
use crate::support::block_on;

/// Knows addresses, and one name, which is this machine.
struct Addresses;

const NAME: &str = "collector.example";

impl Dns for Addresses {
    type Error = StdError;

    async fn get_host_by_name(&self, host: &str, _: AddrType) -> Result<IpAddr, StdError> {
        let address = if host == NAME { "127.0.0.1" } else { host };
        address.parse().map_err(|_| StdError::not_found())
    }

    async fn get_host_by_address(&self, _: IpAddr, _: &mut [u8]) -> Result<usize, StdError> {
        Err(StdError::not_found())
    }
}

/// Exports ten spans, then one more, in a certain coding.
fn export_in(server: &FaultServer, memory: usize, encoding: impl Encoding) -> Device {
    let device = Device::new();
    let mut memory = vec![0; memory];
    let url = format!("{}/v1/traces", server.url());
    let mut client = HttpClient::new(&StdStack, &Addresses);
    let headers = [("x-device", "42")];
    let post =
        ReqwlessPost::with_encoding(&mut client, &url, &headers, &mut memory, encoding).unwrap();
    let mut driver = Driver::new(&device.traces, post, EmbassySleep::with_bell(&device.bell));
    for count in [10, 1] {
        device.record(server, count);
        let _ = device.flush(&mut driver);
        assert!(device.ledger().is_closed(), "{}", device.ledger());
    }
    device
}

fn export_to(script: impl Into<Script>) -> (FaultServer, Device) {
    let server = FaultServer::start(script);
    let device = export_in(&server, MIN_REQWLESS_MEMORY_BYTES, Identity);
    (server, device)
}

#[test]
fn spans_arrive_with_all_headers() {
    let (server, device) = export_to(Script::new());
    assert_all_delivered(&server, &device);
    let requests = server.requests();
    assert_eq!(
        server.counters().accepted,
        2,
        "a connection for each request"
    );
    assert_eq!(server.counters().bad_requests, 0);
    let length = requests[0].body.len().to_string();
    let host = server.addr().to_string();
    for (name, value) in [
        ("host", host.as_str()),
        ("content-type", "application/x-protobuf"),
        ("content-length", &length),
        ("connection", "close"),
        ("x-device", "42"),
    ] {
        assert_eq!(requests[0].header_values(name), [value], "{name}");
    }
    assert_eq!(requests[0].header("content-encoding"), None);
    let agent = requests[0].header("user-agent").unwrap();
    assert!(agent.starts_with("Spandrel-OTLP-Exporter-Rust-Async/"));
}

#[test]
fn spans_arrive_compressed_and_a_retry_has_the_same_bytes() {
    // Once the compressed body fits into a quarter of the memory, once it does not.
    for memory in [MIN_REQWLESS_MEMORY_BYTES, 8192] {
        let server = FaultServer::start(Script::new().then(Reply::status(503)));
        let (mut window, mut table) = ([0; 1024], [0; 512]);
        let gzip = Gzip::new(&mut window, &mut table).unwrap();
        let device = export_in(&server, memory, gzip);
        assert_all_delivered(&server, &device);
        let requests = server.requests();
        assert_eq!(requests[0].header("content-encoding"), Some("gzip"));
        assert!(requests[0].body.len() * 4 < requests[0].decoded().unwrap().len() * 3);
        assert_eq!(requests[0].body, requests[1].body);
    }
}

#[test]
fn n1_s1_s2_what_can_be_tried_again_is() {
    for reply in [
        Reply::status(503),
        Reply::status(429),
        Reply::ResetAfterRequest,
        Reply::CloseBeforeResponse,
        Reply::Hang,
        Reply::SlowLoris {
            byte_interval: Duration::from_millis(40),
        },
    ] {
        let (server, device) = export_to([reply.clone()]);
        assert_eq!(
            device.ledger().exported,
            11,
            "{reply:?}: {}",
            device.ledger()
        );
        assert!(server.oracle().missing().is_empty());
    }
    let begin = std::time::Instant::now();
    let (server, device) = export_to([Reply::retry_after(503, &["1"])]);
    assert!(begin.elapsed() >= Duration::from_secs(1));
    assert_all_delivered(&server, &device);
}

#[test]
fn s11_s12_redirects_and_partial_successes_reach_the_machine() {
    let (_server, device) = export_to([Reply::Redirect {
        code: 307,
        location: "/elsewhere".into(),
    }]);
    assert_eq!(device.ledger().dropped(DropReason::Redirect), 10);
    let (_server, device) = export_to([Reply::PartialSuccess {
        rejected: 3,
        message: "too old".into(),
    }]);
    assert_eq!(device.ledger().dropped(DropReason::PartialRejected), 3);
    device.with(|exporter| assert_eq!(exporter.server_message(), "too old"));
}

#[test]
fn s13_to_s17_bad_answers_never_hang_and_never_lose_count() {
    for reply in [
        Reply::EndlessBody,
        Reply::BigBody {
            len: 1 << 30,
            chunked: false,
        },
        Reply::BigBody {
            len: 1 << 30,
            chunked: true,
        },
        Reply::GzipBomb {
            decoded_len: 256 << 20,
        },
        Reply::GarbageStatusLine,
        Reply::Http2Only,
        Reply::BadChunks,
        Reply::BothLengthAndChunked,
        Reply::HugeHeader { len: 1 << 20 },
        Reply::ManyHeaders { count: 1000 },
        Reply::ResetInResponse { after: 10 },
        Reply::HalfClose,
        Reply::ConnectionClose,
        Reply::Informational {
            code: 103,
            count: 3,
        },
    ] {
        let (server, device) = export_to([reply.clone()]);
        let ledger = device.ledger();
        assert!(
            ledger.is_closed() && ledger.ended == 11,
            "{reply:?}: {ledger}"
        );
        assert_eq!(ledger.exported, 11, "{reply:?}: {ledger}");
        assert!(server.oracle().missing().is_empty(), "{reply:?}");
    }
}

#[test]
fn failures_are_told_apart() {
    let post = |url: &str| {
        let mut memory = [0; MIN_REQWLESS_MEMORY_BYTES];
        let mut client = HttpClient::new(&StdStack, &Addresses);
        let mut post = ReqwlessPost::new(&mut client, url, &[], &mut memory).unwrap();
        match block_on(post.post(&mut Bytes::new(vec![1; 40]))) {
            Outcome::Failed(error) => error,
            other => panic!("{url}: {other:?}"),
        }
    };
    let down = FaultServer::start(Script::new());
    down.available(false);
    let url = format!("{}/v1/traces", down.url());
    assert_eq!(post(&url), TransportError::Connect);
    assert_eq!(
        post("http://nowhere.example/v1/traces"),
        TransportError::Dns
    );
    assert_eq!(post("ftp://127.0.0.1/v1/traces"), TransportError::Other);
}

#[test]
fn dropped_at_any_poll_the_next_call_sends_the_same_bytes() {
    let polls = dropped_at_every_poll(|stack, outbox, limits| {
        let mut client = HttpClient::new(stack, &Addresses);
        let (mut memory, mut window, mut table) = ([0; 1024], [0; 1024], [0; 512]);
        let gzip = Gzip::new(&mut window, &mut table).unwrap();
        let url = "http://127.0.0.1:4318/v1/traces";
        let post = ReqwlessPost::with_encoding(&mut client, url, &[], &mut memory, gzip);
        export(post.unwrap(), outbox, limits)
    });
    println!("polls: {polls}");
    assert!(polls > 10, "too few to mean anything");
}

/// Exports ten spans over TLS, and one more, trusting `authority`.
fn export_over_tls(server: &FaultServer, authority: &Authority, name: &str) -> Device {
    let device = Device::new();
    let (mut incoming, mut outgoing) = (vec![0; 16_640], vec![0; 4096]);
    let verify = TlsVerify::Certificate {
        ca: authority.der(),
        cert: None,
        key: None,
    };
    let tls = TlsConfig::new(1, &mut incoming, &mut outgoing, verify);
    let mut client = HttpClient::new_with_tls(&StdStack, &Addresses, tls);
    let url = format!("https://{name}:{}/v1/traces", server.addr().port());
    let (mut memory, mut window, mut table) = ([0; 2048], [0; 1024], [0; 512]);
    let gzip = Gzip::new(&mut window, &mut table).unwrap();
    let post = ReqwlessPost::with_encoding(&mut client, &url, &[], &mut memory, gzip).unwrap();
    let mut driver = Driver::new(&device.traces, post, EmbassySleep::new());
    for count in [10, 1] {
        device.record(server, count);
        device.begin_flush();
        block_on(driver.send_next());
    }
    device
}

#[test]
fn spans_arrive_over_tls() {
    let authority = Authority::new();
    let config = authority.server_named(NAME).server_config();
    let server = FaultServer::start_with(Script::new(), Front::Tls(config));
    let device = export_over_tls(&server, &authority, NAME);
    assert_all_delivered(&server, &device);
    assert_eq!(server.counters().failed_handshakes, 0);
    assert_eq!(
        server.requests()[0].header("content-encoding"),
        Some("gzip")
    );
}

#[test]
fn n17_what_a_stranger_certifies_is_refused_and_nothing_leaves() {
    let (ours, stranger) = (Authority::new(), Authority::new());
    for (identity, name) in [
        (stranger.server_named(NAME), NAME),
        (ours.server_named("another.example"), NAME),
        (ours.server_named(NAME), "127.0.0.1"),
    ] {
        let front = Front::Tls(identity.server_config());
        let server = FaultServer::start_with(Script::new(), front);
        let device = export_over_tls(&server, &ours, name);
        assert_eq!(device.ledger().buffered, 11, "{}", device.ledger());
        assert!(server.requests().is_empty());
    }
}

#[test]
fn an_https_url_is_never_served_in_plain_text() {
    let server = FaultServer::start(Script::new());
    let url = format!("https://{}/v1/traces", server.addr());
    let mut memory = [0; MIN_REQWLESS_MEMORY_BYTES];
    let mut client = HttpClient::new(&StdStack, &Addresses);
    let mut post = ReqwlessPost::new(&mut client, &url, &[], &mut memory).unwrap();
    let outcome = block_on(post.post(&mut Bytes::new(vec![1; 40])));
    assert_eq!(outcome, Outcome::Failed(TransportError::Tls));
    assert!(server.requests().is_empty() && !post.body_sent(true));
}

#[test]
fn what_the_head_says_outlives_the_body() {
    let wire = b"HTTP/1.1 503 no\r\nRetry-After: 7\r\nDate: Sun\r\nContent-Type: text/plain\r\n\
                 Retry-After: 9\r\nContent-Length: 5\r\n\r\nsorry";
    for step in [1, 7, 1000] {
        let stack = Scripted::new(step, [&wire[..]]);
        let mut memory = [0; MIN_REQWLESS_MEMORY_BYTES];
        let mut client = HttpClient::new(&stack, &Addresses);
        let url = "http://127.0.0.1:4318/v1/traces";
        let mut post = ReqwlessPost::new(&mut client, url, &[], &mut memory).unwrap();
        let expected = Response {
            retry_after: Some("7"),
            date: Some("Sun"),
            content_type: Some("text/plain"),
            body: Some(b"sorry"),
            ..Response::new(503)
        };
        let outcome = block_on(post.post(&mut Bytes::new(vec![1; 40])));
        assert_eq!(outcome, Outcome::Response(expected), "in pieces of {step}");
    }
}

#[test]
fn what_could_break_a_request_is_refused_at_the_start() {
    let new = |url: &str, headers: &[(&str, &str)], bytes: usize| {
        let mut client = HttpClient::new(&StdStack, &Addresses);
        ReqwlessPost::new(&mut client, url, headers, &mut vec![0; bytes]).err()
    };
    let good = "https://collector.example/v1/traces";
    assert_eq!(new(good, &[("a", "b")], 1024), None);
    assert_eq!(new(good, &[], 1023), Some(CollectorError::Memory));
    for url in [
        "",
        "collector:4318/",
        "http:///v1",
        "http://a b/v1",
        "http://me@there/v1",
    ] {
        assert_eq!(new(url, &[], 1024), Some(CollectorError::Host), "{url}");
    }
    for url in ["http://there", "http://there/a b", "http://there/a\r\nX: 1"] {
        assert_eq!(new(url, &[], 1024), Some(CollectorError::Path), "{url}");
    }
    let error = Some(CollectorError::Header { at: 1 });
    assert_eq!(new(good, &[("a", "b"), ("Host", "c")], 1024), error);
    let many = [("a", "b"); 13];
    assert_eq!(new(good, &many[..12], 1024), None);
    assert_eq!(
        new(good, &many, 1024),
        Some(CollectorError::Header { at: 12 })
    );
}
