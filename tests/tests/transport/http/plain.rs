//! The sender against servers that keep to HTTP and servers that do not.

use std::io::Write;
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::server::{Request, Server};
use spandrel_transport_std::{
    BuildError, ContentType, ErrorClass, HttpSender, Payload, Proxy, RawResponse, SendError,
    SenderConfig,
};

const OK: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 2\r\n\r\nhi";
const PATIENCE: Duration = Duration::from_secs(10);
const PAYLOAD: Payload<'static> = Payload {
    body: b"0123456789",
    content_type: ContentType::Protobuf,
    gzip: true,
};

fn sender(server: &Server) -> HttpSender {
    HttpSender::new(SenderConfig::new(server.url())).unwrap()
}

fn send(sender: &mut HttpSender) -> Result<RawResponse<'_>, SendError> {
    sender.send(PAYLOAD, PATIENCE)
}

fn failure(sender: &mut HttpSender) -> SendError {
    send(sender).expect_err("an error")
}

#[test]
fn the_request_is_what_otlp_asks_for() {
    let (tell, told) = mpsc::channel();
    let server = Server::start(move |_, mut stream| {
        while let Some(request) = Request::read(&mut stream) {
            tell.send(request).unwrap();
            stream.write_all(OK).unwrap();
        }
    });
    let mut config = SenderConfig::new(server.url());
    config.headers = vec![
        ("x-api-key".into(), " s3cret ".into()),
        ("Content-Type".into(), "text/html".into()),
    ];
    config.user_agent_prefix = Some("MyDist/1.2.3".into());
    let mut sender = HttpSender::new(config).unwrap();
    let response = send(&mut sender).unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.body(), Some(b"hi".as_slice()));
    assert_eq!(response.content_type(), Some("application/x-protobuf"));

    let request = told.recv().unwrap();
    assert_eq!(request.line, "POST /v1/traces HTTP/1.1");
    assert_eq!(request.body, PAYLOAD.body);
    assert_eq!(
        request.header("content-type"),
        Some("application/x-protobuf")
    );
    assert_eq!(request.header("content-encoding"), Some("gzip"));
    assert_eq!(request.header("content-length"), Some("10"));
    assert_eq!(
        request.header("host"),
        Some(server.address.to_string().as_str())
    );
    assert_eq!(request.header("x-api-key"), Some("s3cret"));
    let agent = request.header("user-agent").unwrap();
    let ours = concat!(
        "MyDist/1.2.3 Spandrel-OTLP-Exporter-Rust/",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(agent, ours);
    for absent in ["accept-encoding", "transfer-encoding", "expect"] {
        assert_eq!(request.header(absent), None, "{absent}");
    }

    let plain = Payload {
        gzip: false,
        content_type: ContentType::Json,
        ..PAYLOAD
    };
    sender.send(plain, PATIENCE).unwrap();
    let request = told.recv().unwrap();
    assert_eq!(request.header("content-encoding"), None);
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(server.connections(), 1, "the connection is kept");
    assert!(!format!("{sender:?}").contains("s3cret"));
}

#[test]
fn a_user_agent_of_the_user_replaces_ours() {
    let (tell, told) = mpsc::channel();
    let server = Server::start(move |_, mut stream| {
        tell.send(Request::read(&mut stream)).unwrap();
        stream.write_all(OK).unwrap();
    });
    let mut config = SenderConfig::new(server.url());
    config.headers = vec![("User-Agent".into(), "mine/1".into())];
    send(&mut HttpSender::new(config).unwrap()).unwrap();
    let request = told.recv().unwrap().unwrap();
    assert_eq!(request.header("user-agent"), Some("mine/1"));
}

#[test]
fn every_status_is_an_answer_and_no_redirect_is_followed() {
    let elsewhere = Server::answering(OK);
    let location = elsewhere.url();
    for status in [301, 302, 303, 307, 308] {
        let location = location.clone();
        let server = Server::start(move |_, mut stream| {
            Request::read(&mut stream);
            let head = format!("HTTP/1.1 {status} Moved\r\nLocation: {location}?k=v\r\n");
            write!(stream, "{head}Content-Length: 0\r\n\r\n").unwrap();
        });
        let mut sender = sender(&server);
        let response = send(&mut sender).unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.location().unwrap().to_string(), elsewhere.url());
    }
    assert_eq!(elsewhere.connections(), 0);

    let busy = Server::answering(
        b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nDate: Wed, 21 Oct 2015 07:28:00 GMT\r\nContent-Length: 4\r\n\r\nwait",
    );
    let mut sender = sender(&busy);
    let response = send(&mut sender).unwrap();
    assert_eq!(
        (response.status(), response.retry_after()),
        (503, Some("7"))
    );
    assert_eq!(response.date(), Some("Wed, 21 Oct 2015 07:28:00 GMT"));
    assert_eq!(response.body(), Some(b"wait".as_slice()));
}

#[test]
fn a_reused_connection_that_died_silently_costs_nothing() {
    // The first connection answers once, takes the second request and closes without a byte.
    let server = Server::start(|number, mut stream| {
        Request::read(&mut stream);
        stream.write_all(OK).unwrap();
        Request::read(&mut stream);
        if number > 0 {
            stream.write_all(OK).unwrap();
        }
    });
    let mut sender = sender(&server);
    send(&mut sender).unwrap();
    assert_eq!(send(&mut sender).unwrap().status(), 200);
    assert_eq!(sender.stale_retries(), 1);
    assert_eq!(server.connections(), 2);
}

#[test]
fn a_new_connection_that_dies_is_a_failure_and_not_repeated() {
    let server = Server::start(|_, mut stream| {
        Request::read(&mut stream);
    });
    let mut sender = sender(&server);
    let error = failure(&mut sender);
    assert_eq!(error.class(), ErrorClass::Reset);
    assert!(error.body_sent(), "a duplicate is possible");
    assert_eq!(sender.stale_retries(), 0);
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_reused_connection_that_began_to_answer_is_not_repeated() {
    let server = Server::start(|_, mut stream| {
        Request::read(&mut stream);
        stream.write_all(OK).unwrap();
        Request::read(&mut stream);
        stream.write_all(b"HTTP/1.1 20").unwrap();
    });
    let mut sender = sender(&server);
    send(&mut sender).unwrap();
    assert_eq!(failure(&mut sender).class(), ErrorClass::Reset);
    assert_eq!(sender.stale_retries(), 0);
}

#[test]
fn a_server_that_closes_each_time_is_served_each_time() {
    let server = Server::start(|_, mut stream| {
        Request::read(&mut stream);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
    });
    let mut sender = sender(&server);
    for _ in 0..20 {
        assert_eq!(send(&mut sender).unwrap().status(), 200);
    }
    assert_eq!((server.connections(), sender.stale_retries()), (20, 0));
}

#[test]
fn interim_answers_are_skipped() {
    let server = Server::answering(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(send(&mut sender(&server)).unwrap().status(), 200);
}

#[test]
fn an_answer_over_the_limit_is_cut_off_whatever_its_form() {
    let server = Server::start(|number, mut stream| {
        Request::read(&mut stream);
        let head: &[u8] = if number == 0 {
            b"HTTP/1.1 503 Busy\r\nContent-Length: 100000000\r\n\r\n"
        } else {
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        };
        stream.write_all(head).unwrap();
        let chunk = [b"400\r\n".as_slice(), &[b'x'; 1024], b"\r\n"].concat();
        // Ends only when the client closes.
        while stream.write_all(&chunk).is_ok() {}
    });
    let mut sender = sender(&server);
    for status in [503, 200] {
        let error = failure(&mut sender);
        assert_eq!(error.class(), ErrorClass::ResponseTooLarge { status });
    }
    assert_eq!(server.connections(), 2);
}

#[test]
fn an_answer_of_exactly_the_limit_is_whole() {
    let server = Server::answering(OK);
    let mut config = SenderConfig::new(server.url());
    config.max_response_bytes = 2;
    let mut sender = HttpSender::new(config.clone()).unwrap();
    assert_eq!(send(&mut sender).unwrap().body(), Some(b"hi".as_slice()));
    send(&mut sender).unwrap();
    assert_eq!(server.connections(), 1);
    // The server serves one connection after the other.
    drop(sender);
    config.max_response_bytes = 1;
    let error = failure(&mut HttpSender::new(config).unwrap());
    assert_eq!(error.class(), ErrorClass::ResponseTooLarge { status: 200 });
}

#[test]
fn a_status_holds_when_its_body_is_cut_or_coded() {
    let cut = Server::start(|_, mut stream| {
        Request::read(&mut stream);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal")
            .unwrap();
    });
    let coded = Server::answering(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b",
    );
    for server in [cut, coded] {
        let mut sender = sender(&server);
        let response = send(&mut sender).unwrap();
        assert_eq!((response.status(), response.body()), (200, None));
    }
}

#[test]
fn what_is_not_http_is_a_protocol_error_without_its_text() {
    let garbage = Server::answering(b"220 s3cret ESMTP ready\r\n\r\n");
    let error = failure(&mut sender(&garbage));
    assert_eq!(error.class(), ErrorClass::Protocol);
    assert!(!format!("{error} {error:?}").contains("s3cret"));

    let large = Server::start(|_, mut stream| {
        Request::read(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream
            .write_all(&b"X-Filler: 0123456789\r\n".repeat(100))
            .is_ok()
        {}
    });
    assert_eq!(failure(&mut sender(&large)).class(), ErrorClass::Protocol);
}

#[test]
fn the_deadline_ends_a_server_that_is_silent_or_slow() {
    let silent = Server::start(|_, mut stream| {
        Request::read(&mut stream);
        Request::read(&mut stream);
    });
    // A byte at a time would renew a timer that is per read.
    let slow = Server::start(|_, mut stream| {
        Request::read(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nX-Slow: ").unwrap();
        while stream.write_all(b"z").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    for server in [silent, slow] {
        let mut sender = sender(&server);
        let started = Instant::now();
        let error = sender
            .send(PAYLOAD, Duration::from_millis(150))
            .err()
            .unwrap();
        assert!(started.elapsed() < PATIENCE);
        assert_eq!(error.class(), ErrorClass::Timeout, "{error}");
        assert!(error.body_sent());
    }
}

#[test]
fn a_deadline_of_zero_sends_nothing() {
    let server = Server::answering(OK);
    let mut sender = sender(&server);
    let error = sender.send(PAYLOAD, Duration::ZERO).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Timeout);
    assert!(!error.body_sent());
    assert_eq!(server.connections(), 0);
    assert_eq!(sender.send(PAYLOAD, Duration::MAX).unwrap().status(), 200);
}

#[test]
fn no_listener_and_no_such_host_are_told_apart() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let refused = SenderConfig::new(format!("http://127.0.0.1:{port}"));
    let error = failure(&mut HttpSender::new(refused).unwrap());
    assert_eq!(error.class(), ErrorClass::Refused);
    assert!(!error.body_sent());

    // Building succeeds although the host does not exist.
    let mut config = SenderConfig::new("http://host.invalid:4318");
    config.connect_timeout = Duration::from_secs(5);
    let error = failure(&mut HttpSender::new(config).unwrap());
    // Without any network the system's resolver may wait instead of answering.
    assert!(
        matches!(error.class(), ErrorClass::Dns | ErrorClass::Timeout),
        "{error:?}"
    );
}

#[test]
fn a_canceller_ends_the_call_in_progress_and_all_later_ones() {
    let (tell, told) = mpsc::channel();
    let server = Server::start(move |_, mut stream| {
        Request::read(&mut stream);
        tell.send(()).unwrap();
        Request::read(&mut stream);
    });
    let mut sender = sender(&server);
    let canceller = sender.canceller();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            told.recv().unwrap();
            canceller.cancel();
            canceller.cancel();
        });
        assert_eq!(failure(&mut sender).class(), ErrorClass::Cancelled);
    });
    assert_eq!(failure(&mut sender).class(), ErrorClass::Cancelled);
    assert_eq!(server.connections(), 1);
}

#[test]
fn credentials_do_not_leave_the_host_in_the_clear() {
    let with_key = |url: &str| {
        let mut config = SenderConfig::new(url);
        config.headers = vec![("Authorization".into(), "Bearer s3cret".into())];
        config
    };
    let mut config = with_key("http://collector:4318/v1/traces");
    let error = HttpSender::new(config.clone()).unwrap_err();
    let name = "authorization".to_owned();
    assert_eq!(error, BuildError::PlaintextCredentials { name });
    config.allow_plaintext_credentials = true;
    assert!(HttpSender::new(config).is_ok());
    assert!(HttpSender::new(with_key("http://localhost:4318")).is_ok());
    assert!(HttpSender::new(with_key("https://collector:4318")).is_ok());

    let userinfo = HttpSender::new(SenderConfig::new("http://user:s3cret@collector")).unwrap_err();
    assert!(!format!("{userinfo} {userinfo:?}").contains("s3cret"));
    let mut config = SenderConfig::new("http://collector");
    config.headers = vec![("x-key".into(), "a\r\nb".into())];
    let error = HttpSender::new(config).unwrap_err();
    assert!(matches!(error, BuildError::Header { name, .. } if name == "x-key"));
}

#[test]
fn what_the_client_would_panic_over_is_refused() {
    let mut config = SenderConfig::new("http://localhost");
    config.user_agent_prefix = Some("a\nb".into());
    assert!(HttpSender::new(config).is_err());
    let mut config = SenderConfig::new("http://localhost");
    config.proxy = Proxy::Url("socks5://localhost".into());
    assert_eq!(HttpSender::new(config).unwrap_err(), BuildError::Proxy);
}

#[test]
fn an_explicit_proxy_is_used() {
    let proxy = Server::start(|_, mut stream| {
        Request::read(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
    });
    let mut config = SenderConfig::new("http://192.0.2.1/v1/traces");
    config.proxy = Proxy::Url(format!("http://{}", proxy.address));
    let _ = HttpSender::new(config)
        .unwrap()
        .send(PAYLOAD, Duration::from_secs(2));
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn a_proxy_of_the_environment_is_ignored() {
    // A variable of this process would reach the other tests, so a child runs the body.
    let mut child = Command::new(std::env::current_exe().unwrap());
    for name in [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "all_proxy",
    ] {
        child.env(name, "http://127.0.0.1:1");
    }
    child.env_remove("NO_PROXY").env_remove("no_proxy");
    child.args([
        "--exact",
        "http::plain::every_status_is_an_answer_and_no_redirect_is_followed",
    ]);
    let output = child.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}
