//! The sender against servers that keep to HTTP and servers that do not.

use std::io::Write;
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::server::{Request, Server};
use spandrel_transport_std::spandrel_core::env::{Protocol, RESERVED_HEADERS};
use spandrel_transport_std::spandrel_core::hosted::config::HttpSettingsError;
use spandrel_transport_std::spandrel_core::hosted::unversioned::encode::Coding;
use spandrel_transport_std::spandrel_core::response::{Outcome, Response, TransportError};
use spandrel_transport_std::{BuildError, HttpSender, HttpSettings, Proxy};

const OK: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 2\r\n\r\nhi";
const PATIENCE: Duration = Duration::from_secs(10);
const BODY: &[u8] = b"0123456789";

fn settings(server: &Server) -> HttpSettings {
    HttpSettings::new(server.url())
}

/// A sender of bodies as they are, which has one to send.
fn with(settings: &HttpSettings) -> HttpSender {
    let sender = HttpSender::new(settings).unwrap();
    encoded(sender.with_encoding(Protocol::HttpProtobuf, Coding::Identity))
}

fn encoded(mut sender: HttpSender) -> HttpSender {
    let mut left = BODY;
    let pull = |target: &mut [u8]| {
        let len = left.len().min(target.len());
        target[..len].copy_from_slice(&left[..len]);
        left = &left[len..];
        len
    };
    sender.encode(pull).unwrap();
    sender
}

fn sender(server: &Server) -> HttpSender {
    with(&settings(server))
}

fn send(sender: &mut HttpSender) -> Response<'_> {
    match sender.send(PATIENCE) {
        Outcome::Response(response) => response,
        other => panic!("no answer: {other:?}"),
    }
}

fn failure(sender: &mut HttpSender) -> TransportError {
    match sender.send(PATIENCE) {
        Outcome::Failed(error) => error,
        other => panic!("no failure: {other:?}"),
    }
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
    let mut config = settings(&server);
    config.headers = vec![
        ("x-api-key".into(), " s3cret ".into()),
        ("Content-Type".into(), "text/html".into()),
    ];
    config.user_agent_prefix = Some("MyDist/1.2.3".into());
    let mut sender = with(&config);
    let response = send(&mut sender);
    assert_eq!(response.status, 200);
    assert_eq!(response.body, Some(b"hi".as_slice()));
    assert_eq!(response.content_type, Some("application/x-protobuf"));

    let request = told.recv().unwrap();
    assert_eq!(request.line, "POST /v1/traces HTTP/1.1");
    assert_eq!(request.body, BODY);
    assert_eq!(
        request.header("content-type"),
        Some("application/x-protobuf")
    );
    assert_eq!(request.header("content-encoding"), None);
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

    let mut sender = sender.with_encoding(Protocol::HttpJson, Coding::Gzip);
    sender.encode(|_| 0).unwrap();
    send(&mut sender);
    let request = told.recv().unwrap();
    assert_eq!(request.header("content-encoding"), Some("gzip"));
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
    let mut config = settings(&server);
    config.headers = vec![("User-Agent".into(), "mine/1".into())];
    send(&mut with(&config));
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
        let response = send(&mut sender);
        assert_eq!(response.status, status);
        let text = sender.last_error().text();
        assert!(text.contains(&status.to_string()), "{text}");
    }
    assert_eq!(elsewhere.connections(), 0);

    let busy = Server::answering(
        b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nDate: Wed, 21 Oct 2015 07:28:00 GMT\r\nContent-Length: 4\r\n\r\nwait",
    );
    let mut sender = sender(&busy);
    let response = send(&mut sender);
    assert_eq!((response.status, response.retry_after), (503, Some("7")));
    assert_eq!(response.date, Some("Wed, 21 Oct 2015 07:28:00 GMT"));
    assert_eq!(response.body, Some(b"wait".as_slice()));
}

#[test]
fn a_reused_connection_that_died_silently_is_stale_and_the_next_one_new() {
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
    send(&mut sender);
    assert_eq!(failure(&mut sender), TransportError::Stale);
    assert!(sender.body_sent(), "a duplicate is possible");
    assert_eq!(send(&mut sender).status, 200);
    assert_eq!(server.connections(), 2);
}

#[test]
fn a_new_connection_that_dies_is_a_failure() {
    let server = Server::start(|_, mut stream| {
        Request::read(&mut stream);
    });
    let reset = TransportError::Reset { body_sent: true };
    assert_eq!(failure(&mut sender(&server)), reset);
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_reused_connection_that_began_to_answer_is_not_stale() {
    let server = Server::start(|_, mut stream| {
        Request::read(&mut stream);
        stream.write_all(OK).unwrap();
        Request::read(&mut stream);
        stream.write_all(b"HTTP/1.1 20").unwrap();
    });
    let mut sender = sender(&server);
    send(&mut sender);
    let reset = TransportError::Reset { body_sent: true };
    assert_eq!(failure(&mut sender), reset);
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
        assert_eq!(send(&mut sender).status, 200);
    }
    assert_eq!(server.connections(), 20);
}

#[test]
fn interim_answers_are_skipped() {
    let server = Server::answering(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(send(&mut sender(&server)).status, 200);
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
        let outcome = sender.send(PATIENCE);
        assert_eq!(outcome, Outcome::ResponseTooLarge { status });
    }
    assert_eq!(server.connections(), 2);
}

#[test]
fn an_answer_of_exactly_the_limit_is_whole() {
    let server = Server::answering(OK);
    let mut config = settings(&server);
    config.max_response_bytes = 2;
    let mut sender = with(&config);
    assert_eq!(send(&mut sender).body, Some(b"hi".as_slice()));
    send(&mut sender);
    assert_eq!(server.connections(), 1);
    // The server serves one connection after the other.
    drop(sender);
    config.max_response_bytes = 1;
    let outcome = with(&config).send(PATIENCE) == Outcome::ResponseTooLarge { status: 200 };
    assert!(outcome);
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
        let response = send(&mut sender);
        assert_eq!((response.status, response.body), (200, None));
    }
}

#[test]
fn what_is_not_http_is_a_protocol_error_without_its_text() {
    let garbage = Server::answering(b"220 s3cret ESMTP ready\r\n\r\n");
    let mut first = sender(&garbage);
    assert_eq!(failure(&mut first), TransportError::Protocol);
    let error = first.last_error();
    assert!(!format!("{} {error:?}", error.text()).contains("s3cret"));

    let large = Server::start(|_, mut stream| {
        Request::read(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream
            .write_all(&b"X-Filler: 0123456789\r\n".repeat(100))
            .is_ok()
        {}
    });
    assert_eq!(failure(&mut sender(&large)), TransportError::Protocol);
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
        let late = Outcome::Failed(TransportError::Timeout { body_sent: true });
        assert_eq!(sender.send(Duration::from_millis(150)), late);
        assert!(started.elapsed() < PATIENCE);
    }
}

#[test]
fn a_deadline_of_zero_sends_nothing() {
    let server = Server::answering(OK);
    let mut sender = sender(&server);
    let late = Outcome::Failed(TransportError::Timeout { body_sent: false });
    assert_eq!(sender.send(Duration::ZERO), late);
    assert_eq!(server.connections(), 0);
    assert!(matches!(sender.send(Duration::MAX), Outcome::Response(_)));
}

#[test]
fn nothing_is_sent_before_something_was_encoded() {
    let server = Server::answering(OK);
    let mut sender = HttpSender::new(&settings(&server)).unwrap();
    assert_eq!(failure(&mut sender), TransportError::Other);
    let mut sender = sender.with_encoding(Protocol::HttpJson, Coding::Identity);
    let mut is_first = true;
    let no_protobuf = |target: &mut [u8]| {
        target[0] = 0xff;
        usize::from(std::mem::take(&mut is_first))
    };
    sender.encode(no_protobuf).unwrap_err();
    assert_eq!(failure(&mut sender), TransportError::Other);
    assert_ne!(sender.last_error().text(), "");
    assert_eq!(server.connections(), 0);
}

#[test]
fn no_listener_and_no_such_host_are_told_apart() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let refused = HttpSettings::new(format!("http://127.0.0.1:{port}"));
    let mut sender = with(&refused);
    assert_eq!(failure(&mut sender), TransportError::Connect);
    assert!(!sender.body_sent());

    // Building succeeds although the host does not exist.
    let mut config = HttpSettings::new("http://host.invalid:4318");
    config.connect_timeout = Duration::from_secs(5);
    let error = failure(&mut with(&config));
    // Without any network the system's resolver may wait instead of answering.
    assert!(
        matches!(error, TransportError::Dns | TransportError::Timeout { .. }),
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
        assert_eq!(failure(&mut sender), TransportError::Cancelled);
    });
    assert_eq!(failure(&mut sender), TransportError::Cancelled);
    assert_eq!(server.connections(), 1);
}

#[test]
fn credentials_do_not_leave_the_host_in_the_clear() {
    let with_key = |url: &str| {
        let mut config = HttpSettings::new(url);
        config.headers = vec![("Authorization".into(), "Bearer s3cret".into())];
        config
    };
    let mut config = with_key("http://collector:4318/v1/traces");
    assert!(HttpSender::new(&config).is_ok());
    config.refuse_plaintext_credentials = true;
    let name = "Authorization".to_owned();
    assert_eq!(
        HttpSender::new(&config).unwrap_err(),
        BuildError::Settings(HttpSettingsError::PlaintextCredentials { name })
    );
    config.allow_plaintext_credentials = true;
    assert!(HttpSender::new(&config).is_err(), "the stricter one wins");
    assert!(HttpSender::new(&with_key("http://localhost:4318")).is_ok());
    assert!(HttpSender::new(&with_key("https://collector:4318")).is_ok());
}

#[test]
fn settings_that_cannot_be_sent_are_refused_without_showing_a_secret() {
    let mut userinfo = HttpSettings::new("http://user:s3cret@collector");
    userinfo.allow_plaintext_credentials = true;
    let mut header = HttpSettings::new("http://localhost");
    header.headers = vec![("x-tenant".into(), "s3cret\r\nb".into())];
    let mut prefix = HttpSettings::new("http://localhost");
    prefix.user_agent_prefix = Some("a\nb".into());
    let mut proxy = HttpSettings::new("http://localhost");
    proxy.proxy = Proxy::Url("socks5://s3cret@localhost".into());
    for config in [userinfo, header, prefix, proxy] {
        let error = HttpSender::new(&config).unwrap_err();
        assert!(matches!(error, BuildError::Settings(_)), "{error}");
        let text = format!("{error} {error:?} {config:?}");
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[test]
fn no_reserved_header_is_sent_and_every_other_one_is() {
    let (tell, told) = mpsc::channel();
    let server = Server::start(move |_, mut stream| {
        tell.send(Request::read(&mut stream)).unwrap();
        stream.write_all(OK).unwrap();
    });
    for name in RESERVED_HEADERS {
        let mut config = settings(&server);
        config.headers = vec![
            (name.to_uppercase(), "mine".into()),
            ("x-tenant".into(), "\ta\tb ".into()),
        ];
        send(&mut with(&config));
        let request = told.recv().unwrap().unwrap();
        assert!(request.headers.iter().all(|(_, value)| value != "mine"));
        assert_eq!(request.header("x-tenant"), Some("a\tb"), "{name}");
    }
}

#[test]
fn an_explicit_proxy_is_used() {
    let proxy = Server::start(|_, mut stream| {
        Request::read(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
    });
    let mut config = HttpSettings::new("http://192.0.2.1/v1/traces");
    config.proxy = Proxy::Url(format!("http://{}", proxy.address));
    let _ = with(&config).send(Duration::from_secs(2));
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
