//! The bytes of the scripted collector's answers, and what it does not take for a request.

use std::io::{Read, Write};
use std::net::TcpStream;

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use spandrel_tests::fault_server::{FaultServer, Reply, Script};

use super::support::{PATIENCE, agent, eventually, post, sample, status};

#[test]
fn a_partial_success_is_an_official_message() {
    let server = FaultServer::start([Reply::PartialSuccess {
        rejected: -3,
        message: "bad luck".to_owned(),
    }]);
    let mut answer = post(&agent(PATIENCE), &server.url(), &sample(1..5)).unwrap();
    let body = answer.body_mut().read_to_vec().unwrap();
    let partial = ExportTraceServiceResponse::decode(body.as_slice())
        .unwrap()
        .partial_success
        .unwrap();
    assert_eq!(partial.rejected_spans, -3);
    assert_eq!(partial.error_message, "bad luck");
}

#[test]
fn big_bodies_have_their_length() {
    const LEN: u64 = 3_000_001;
    for chunked in [false, true] {
        let server = FaultServer::start([Reply::BigBody { len: LEN, chunked }]);
        let mut answer = post(&agent(PATIENCE), &server.url(), &sample(1..2)).unwrap();
        assert_eq!(answer.headers().contains_key("content-length"), !chunked);
        let body = answer.body_mut().read_to_vec().unwrap();
        assert_eq!(body.len() as u64, LEN);
    }
}

#[test]
fn a_body_without_an_end_stops_when_the_client_leaves() {
    let server = FaultServer::start(Reply::EndlessBody);
    let mut answer = post(&agent(PATIENCE), &server.url(), &sample(1..2)).unwrap();
    let mut start = vec![0; 100_000];
    answer
        .body_mut()
        .as_reader()
        .read_exact(&mut start)
        .unwrap();
    assert_eq!(server.counters().open, 1);
    drop(answer);
    assert!(eventually(|| server.counters().open == 0));
    assert!(server.counters().response_bytes >= 100_000);
}

#[test]
fn a_gzip_bomb_is_small_and_decodes_to_its_length() {
    const DECODED: u64 = 3 * 1024 * 1024 + 5;
    let server = FaultServer::start([
        Reply::GzipBomb {
            decoded_len: DECODED,
        },
        Reply::GzipBomb {
            decoded_len: 256 * 1024 * 1024,
        },
    ]);
    let agent = agent(PATIENCE);
    let bomb = || {
        let mut answer = post(&agent, &server.url(), &sample(1..2)).unwrap();
        assert_eq!(answer.headers()["content-encoding"], "gzip");
        answer.body_mut().read_to_vec().unwrap()
    };
    let mut plain = Vec::new();
    let small = bomb();
    // The reader checks the checksum and the length at the end.
    GzDecoder::new(small.as_slice())
        .read_to_end(&mut plain)
        .unwrap();
    assert_eq!(plain.len() as u64, DECODED);
    assert!(plain.iter().all(|byte| *byte == 0));
    assert!(bomb().len() < 400 * 1024);
}

#[test]
fn answers_that_are_not_http_are_errors_of_the_client() {
    let replies = [
        Reply::ManyHeaders { count: 1000 },
        Reply::HugeHeader { len: 1024 * 1024 },
        Reply::BadChunks,
        Reply::GarbageStatusLine,
        Reply::Http2Only,
    ];
    for reply in replies {
        let server = FaultServer::start(reply.clone());
        let result = status(&agent(PATIENCE), &server.url(), &sample(1..2));
        let error = result.expect_err(&format!("{reply:?}"));
        assert!(!matches!(error, ureq::Error::Timeout(_)), "{reply:?}");
    }
}

#[test]
fn a_length_told_twice_leaves_as_it_was_written() {
    let server = FaultServer::start(Reply::BothLengthAndChunked);
    let mut client = TcpStream::connect(server.addr()).unwrap();
    client.write_all(b"POST / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("content-length: 4\r\n"));
    assert!(answer.ends_with("transfer-encoding: chunked\r\n\r\n5\r\nfives\r\n0\r\n\r\n"));
}

#[test]
fn interim_answers_precede_the_final_one() {
    for code in [100, 103] {
        let server = FaultServer::start(Reply::Informational { code, count: 3 });
        let mut client = TcpStream::connect(server.addr()).unwrap();
        client
            .write_all(b"POST / HTTP/1.1\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer.matches(&format!("HTTP/1.1 {code} ")).count(), 3);
        assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 1);
    }
}

#[test]
fn requests_that_are_not_http_are_counted() {
    let both = "POST / HTTP/1.1\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n";
    let twice = "POST / HTTP/1.1\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n";
    let overrun = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n";
    let server = FaultServer::start(Script::new());
    for (count, bytes) in (1..).zip([both, twice, overrun, "no request\r\n\r\n"]) {
        let mut client = TcpStream::connect(server.addr()).unwrap();
        client.write_all(bytes.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{bytes:?}");
        assert!(eventually(|| server.counters().bad_requests == count));
    }
}
