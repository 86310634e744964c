//! Each reply of the scripted collector, seen by a client that is not ours.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use prost::Message;
use spandrel_tests::fault_server::{FaultServer, Reply, Script};

use super::support::{
    PATIENCE, agent, eventually, gzip, io_kind, post, sample, span_id, status, trace_id,
};

const SHORT: Duration = Duration::from_millis(200);

#[test]
fn a_request_is_recorded_whole_and_decoded() {
    let server = FaultServer::start(Script::new());
    let sent = sample(1..4);
    assert_eq!(status(&agent(PATIENCE), &server.url(), &sent).unwrap(), 200);
    let [request] = &server.requests()[..] else {
        panic!("one request");
    };
    assert_eq!((request.connection, request.on_connection), (1, 1));
    assert_eq!(request.method, "POST");
    assert_eq!(request.target, "/v1/traces");
    assert_eq!(request.header("Content-Encoding"), Some("gzip"));
    assert_eq!(
        request.header("content-length"),
        Some(request.body.len().to_string().as_str())
    );
    assert!(request.complete);
    assert_eq!(request.body, gzip(&sent));
    assert_eq!(request.export.as_ref(), Ok(&sent));
    assert_eq!(request.spans().count(), 3);
}

#[test]
fn a_chunked_request_is_put_together() {
    let server = FaultServer::start(Script::new());
    let sent = sample(1..200).encode_to_vec();
    let mut reader = sent.as_slice();
    agent(PATIENCE)
        .post(server.url())
        .send(ureq::SendBody::from_reader(&mut reader))
        .unwrap();
    let [request] = &server.requests()[..] else {
        panic!("one request");
    };
    assert_eq!(request.header("transfer-encoding"), Some("chunked"));
    assert_eq!(request.body, sent);
    assert_eq!(request.spans().count(), 199);
}

#[test]
fn a_body_that_is_no_export_request_says_why() {
    let server = FaultServer::start(Script::new());
    let agent = agent(PATIENCE);
    agent.post(server.url()).send(&b"\xff\xff"[..]).unwrap();
    let not_gzip = agent.post(server.url()).header("content-encoding", "gzip");
    not_gzip.send(&b"plain"[..]).unwrap();
    for request in server.requests() {
        assert!(request.complete && request.export.is_err(), "{request:?}");
    }
}

#[test]
fn replies_come_in_turn_and_then_the_default() {
    let script = Script::new()
        .then(Reply::retry_after(429, &["1", "30"]))
        .times(2, &Reply::status(503))
        .otherwise(Reply::status(404));
    let server = FaultServer::start(script);
    let agent = agent(PATIENCE);
    let throttled = post(&agent, &server.url(), &sample(1..2)).unwrap();
    let values: Vec<_> = throttled.headers().get_all("retry-after").iter().collect();
    assert_eq!(values, ["1", "30"]);
    server.push(Reply::Ok);
    for expected in [503, 503, 200, 404, 404] {
        let seen = status(&agent, &server.url(), &sample(1..2)).unwrap();
        assert_eq!(seen, expected);
    }
    server.set_default(Reply::status(401));
    assert_eq!(status(&agent, &server.url(), &sample(1..2)).unwrap(), 401);
}

#[test]
fn a_redirection_carries_its_target_and_nobody_goes_there() {
    let elsewhere = FaultServer::start(Script::new());
    let server = FaultServer::start([Reply::Redirect {
        code: 307,
        location: elsewhere.url(),
    }]);
    let answer = post(&agent(PATIENCE), &server.url(), &sample(1..2)).unwrap();
    assert_eq!(answer.status(), 307);
    assert_eq!(answer.headers()["location"], elsewhere.url().as_str());
    assert_eq!(elsewhere.counters().accepted, 0);
}

#[test]
fn whatever_never_answers_in_time_ends_at_the_clients_deadline() {
    let late = Reply::Ok.delayed(Duration::from_secs(3600));
    let slow_loris = Reply::SlowLoris {
        byte_interval: Duration::from_millis(20),
    };
    let flood = Reply::Informational {
        code: 103,
        count: u64::MAX,
    };
    let slow_read = Reply::SlowRead { bytes_per_sec: 10 };
    for reply in [Reply::Hang, late, slow_loris, flood, slow_read] {
        let server = FaultServer::start(reply.clone());
        let started = Instant::now();
        let result = status(&agent(SHORT), &server.url(), &sample(1..100));
        assert!(result.is_err(), "{reply:?} gave {result:?}");
        assert!(started.elapsed() < PATIENCE, "{reply:?}");
        drop(server);
        assert!(started.elapsed() < PATIENCE, "{reply:?} held the server up");
    }
}

#[test]
fn a_server_stops_while_its_clients_wait() {
    let server = FaultServer::start(Reply::Hang);
    let url = server.url();
    let client = std::thread::spawn(move || status(&agent(PATIENCE * 6), &url, &sample(1..2)));
    assert!(server.wait_for_requests(1, PATIENCE));
    assert!(!server.wait_for_requests(2, Duration::from_millis(1)));
    let started = Instant::now();
    drop(server);
    assert!(started.elapsed() < PATIENCE);
    assert!(client.join().unwrap().is_err());
}

#[test]
fn slow_replies_are_complete_in_the_end() {
    let server = FaultServer::start([
        Reply::SlowLoris {
            byte_interval: Duration::from_millis(1),
        },
        Reply::SlowRead {
            bytes_per_sec: 4000,
        },
        Reply::Ok.delayed(SHORT / 2).delayed(SHORT / 2),
    ]);
    let agent = agent(PATIENCE);
    let sent = sample(1..100);
    let timed = || {
        let started = Instant::now();
        assert_eq!(status(&agent, &server.url(), &sent).unwrap(), 200);
        started.elapsed()
    };
    // An answer has more than 60 bytes.
    assert!(timed() >= Duration::from_millis(60));
    let expected = Duration::from_secs(1).mul_f64(gzip(&sent).len() as f64 / 4000.0);
    assert!(timed() >= expected.mul_f64(0.9));
    assert!(timed() >= SHORT);
    assert_eq!(server.oracle().acked().len(), 99);
}

#[test]
fn a_reset_comes_at_its_byte() {
    let sent = sample(1..3);
    let length = gzip(&sent).len() as u64;
    let mut replies = vec![Reply::ResetAfterHeaders, Reply::ResetAfterRequest];
    replies.extend((0..=length).map(Reply::ResetAtBodyByte));
    for reply in replies {
        let server = FaultServer::start(reply.clone());
        let error = status(&agent(PATIENCE), &server.url(), &sent).unwrap_err();
        assert!(is_lost(&error), "{reply:?} gave {error:?}");
        let [request] = &server.requests()[..] else {
            panic!("{reply:?}: one request");
        };
        let expected = match reply {
            Reply::ResetAtBodyByte(byte) => byte,
            Reply::ResetAfterRequest => length,
            _ => 0,
        };
        assert_eq!(request.body.len() as u64, expected, "{reply:?}");
        assert_eq!(request.complete, expected == length, "{reply:?}");
        assert!(server.oracle().stored().is_empty(), "{reply:?}");
    }
}

fn is_lost(error: &ureq::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(
        io_kind(error),
        Some(ConnectionReset | BrokenPipe | UnexpectedEof)
    )
}

#[test]
fn a_reset_is_seen_as_a_reset() {
    let server = FaultServer::start(Reply::ResetAfterRequest);
    let mut client = TcpStream::connect(server.addr()).unwrap();
    client.write_all(b"POST / HTTP/1.1\r\n\r\n").unwrap();
    let error = client.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn an_answer_that_breaks_off_is_stored_and_not_acknowledged() {
    for after in [0, 1, 20, 60] {
        let server = FaultServer::start(Reply::ResetInResponse { after });
        let error = status(&agent(PATIENCE), &server.url(), &sample(1..3)).unwrap_err();
        assert!(is_lost(&error), "{after} gave {error:?}");
        assert!(eventually(|| {
            server.counters().response_bytes == after as u64
        }));
        assert_eq!(server.oracle().stored().len(), 2);
        assert!(server.oracle().acked().is_empty());
    }
}

#[test]
fn a_close_in_place_of_an_answer_is_an_end_of_file() {
    let replies = [
        Reply::HalfClose,
        Reply::CloseBeforeResponse,
        Reply::StoreThenDrop,
    ];
    for reply in replies {
        let server = FaultServer::start(reply.clone());
        let mut client = TcpStream::connect(server.addr()).unwrap();
        client
            .write_all(b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\nab")
            .unwrap();
        let mut answer = Vec::new();
        assert_eq!(client.read_to_end(&mut answer).unwrap(), 0, "{reply:?}");
        if reply == Reply::HalfClose {
            assert_eq!(server.counters().open, 1, "it still reads");
        }
        drop(client);
        assert!(eventually(|| server.counters().open == 0), "{reply:?}");
    }
}

#[test]
fn a_retry_after_a_stored_request_is_a_duplicate() {
    let server = FaultServer::start([Reply::StoreThenDrop]);
    for number in 1..5 {
        server.oracle().issue(trace_id(number), span_id(number));
    }
    let agent = agent(PATIENCE);
    assert!(is_lost(
        &status(&agent, &server.url(), &sample(1..3)).unwrap_err()
    ));
    let oracle = server.oracle();
    assert_eq!((oracle.stored().len(), oracle.acked().len()), (2, 0));
    assert_eq!(oracle.missing().len(), 2);
    assert_eq!(status(&agent, &server.url(), &sample(2..4)).unwrap(), 200);
    assert_eq!((oracle.stored().len(), oracle.acked().len()), (3, 2));
    let twice: Vec<_> = oracle.duplicated().into_iter().collect();
    assert_eq!(twice.len(), 1);
    assert_eq!((twice[0].0.span, twice[0].1), (span_id(2), 2));
    assert_eq!(oracle.missing().first().unwrap().span, span_id(4));
    assert_eq!(status(&agent, &server.url(), &sample(9..10)).unwrap(), 200);
    assert_eq!(oracle.unknown().first().unwrap().trace, trace_id(9));
    assert_eq!((oracle.copies_stored(), oracle.malformed()), (5, 0));
    assert_eq!(oracle.issued().len(), 4);
}

#[test]
fn a_client_that_left_is_not_counted_as_told() {
    let server = FaultServer::start(Reply::Ok.delayed(SHORT * 3));
    assert!(status(&agent(SHORT), &server.url(), &sample(1..3)).is_err());
    assert!(eventually(|| server.counters().open == 0));
    assert_eq!(server.oracle().stored().len(), 2);
    assert!(server.oracle().acked().is_empty());
}

#[test]
fn a_reused_connection_dies_where_the_script_says() {
    let server = FaultServer::start([Reply::Ok, Reply::CloseBeforeResponse]);
    let agent = agent(PATIENCE);
    assert_eq!(status(&agent, &server.url(), &sample(1..2)).unwrap(), 200);
    assert!(status(&agent, &server.url(), &sample(1..2)).is_err());
    let requests = server.requests();
    let places: Vec<_> = requests
        .iter()
        .map(|request| (request.connection, request.on_connection))
        .collect();
    assert_eq!(places, [(1, 1), (1, 2)]);
}

#[test]
fn connections_that_the_server_closes_are_gone() {
    const ROUNDS: u64 = 20;
    for reply in [
        Reply::ConnectionClose,
        Reply::OkThenIdleClose(Duration::ZERO),
    ] {
        let server = FaultServer::start(reply.clone());
        let agent = agent(PATIENCE);
        for _ in 0..ROUNDS {
            assert_eq!(status(&agent, &server.url(), &sample(1..2)).unwrap(), 200);
            assert!(eventually(|| server.counters().open == 0), "{reply:?}");
        }
        assert_eq!(server.counters().accepted, ROUNDS, "{reply:?}");
    }
}

#[test]
fn a_stopped_server_refuses_and_comes_back_on_its_port() {
    let server = FaultServer::start(Script::new());
    let (agent, url) = (agent(PATIENCE), server.url());
    for _ in 0..3 {
        assert_eq!(status(&agent, &url, &sample(1..2)).unwrap(), 200);
        server.available(false);
        server.available(false);
        let fresh = super::support::agent(PATIENCE);
        let error = status(&fresh, &url, &sample(1..2)).unwrap_err();
        assert_eq!(io_kind(&error), Some(ErrorKind::ConnectionRefused));
        server.available(true);
        server.available(true);
    }
    assert_eq!(server.requests().len(), 3);
}
