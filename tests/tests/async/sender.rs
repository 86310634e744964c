//! The sender over reqwest, alone: the counterpart of `transport/http`.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use spandrel_transport_async::spandrel_core::env::{Protocol, RESERVED_HEADERS};
use spandrel_transport_async::spandrel_core::hosted::config::HttpSettingsError;
use spandrel_transport_async::spandrel_core::hosted::unversioned::encode::Coding;
use spandrel_transport_async::spandrel_core::response::{Outcome, TransportError};
use spandrel_transport_async::{BuildError, HttpSender, HttpSettings, Proxy};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const PATIENCE: Duration = Duration::from_secs(10);

/// The headers of a request, by name in lower case, and its body.
struct Request {
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

/// A server that gives `answer` to every request and closes; its URL, and the requests.
fn server(answer: &'static str) -> (String, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let (seen, requests) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut headers = HashMap::new();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                match line.trim_end().split_once(": ") {
                    Some((name, value)) => {
                        headers.insert(name.to_lowercase(), value.to_owned());
                    }
                    None if line.starts_with("POST") => {}
                    None => break,
                }
            }
            let mut body = vec![0; headers["content-length"].parse().unwrap()];
            stream.read_exact(&mut body).unwrap();
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
            let _ = seen.send(Request { headers, body });
        }
    });
    (url, requests)
}

/// A sender of bodies as they are, which has one to send.
fn sender(settings: &HttpSettings) -> HttpSender {
    let sender = HttpSender::new(settings).unwrap();
    let mut sender = sender.with_encoding(Protocol::HttpProtobuf, Coding::Identity);
    let mut body = Some(*b"abc");
    let pull = |target: &mut [u8]| {
        let Some(body) = body.take() else { return 0 };
        target[..3].copy_from_slice(&body);
        3
    };
    sender.encode(pull).unwrap();
    sender
}

#[tokio::test]
async fn a_request_and_its_answer() {
    let (url, requests) = server(OK);
    let mut settings = HttpSettings::new(url);
    settings.user_agent_prefix = Some("MyDist/1.2.3".into());
    let mut sender = sender(&settings);
    let Outcome::Response(response) = sender.send(PATIENCE).await else {
        panic!("no answer")
    };
    assert_eq!((response.status, response.body), (200, Some(&b"hi"[..])));
    assert!(sender.body_sent());
    let request = requests.recv().unwrap();
    assert_eq!(request.body, b"abc");
    assert_eq!(request.headers["content-type"], "application/x-protobuf");
    let agent = &request.headers["user-agent"];
    assert!(agent.starts_with("MyDist/1.2.3 Spandrel-OTLP-Exporter-Rust-Async/"));
    for absent in ["accept-encoding", "content-encoding", "expect"] {
        assert!(!request.headers.contains_key(absent), "{absent}");
    }
}

#[tokio::test]
async fn no_reserved_header_is_sent_and_every_other_one_is() {
    let (url, requests) = server(OK);
    for name in RESERVED_HEADERS {
        let mut settings = HttpSettings::new(url.clone());
        settings.headers = vec![
            (name.to_uppercase(), "mine".into()),
            ("x-tenant".into(), "\ta\tb ".into()),
            ("User-Agent".into(), "mine/1".into()),
        ];
        assert!(matches!(
            sender(&settings).send(PATIENCE).await,
            Outcome::Response(_)
        ));
        let Request { headers, .. } = requests.recv().unwrap();
        assert!(headers.values().all(|value| value != "mine"), "{name}");
        assert_eq!(headers["x-tenant"], "a\tb", "{name}");
        assert_eq!(headers["user-agent"], "mine/1");
    }
}

#[tokio::test]
async fn an_answer_over_the_limit_is_refused() {
    let (url, _requests) = server(OK);
    let mut settings = HttpSettings::new(url);
    settings.max_response_bytes = 1;
    let outcome =
        sender(&settings).send(PATIENCE).await == Outcome::ResponseTooLarge { status: 200 };
    assert!(outcome);
}

#[tokio::test]
async fn an_explicit_proxy_is_used() {
    let (proxy, requests) = server(OK);
    let mut settings = HttpSettings::new("http://192.0.2.1/v1/traces");
    settings.proxy = Proxy::Url(proxy);
    let _ = sender(&settings).send(PATIENCE).await;
    assert_eq!(requests.recv().unwrap().headers["host"], "192.0.2.1");
}

#[tokio::test]
async fn nothing_is_sent_without_time_or_before_something_was_encoded() {
    let (url, requests) = server(OK);
    let settings = HttpSettings::new(url);
    let late = Outcome::Failed(TransportError::Timeout { body_sent: false });
    assert_eq!(sender(&settings).send(Duration::ZERO).await, late);
    let mut empty = HttpSender::new(&settings).unwrap();
    let failed = Outcome::Failed(TransportError::Other);
    assert_eq!(empty.send(PATIENCE).await, failed);
    assert!(requests.try_recv().is_err());
}

#[test]
fn settings_that_cannot_be_sent_are_refused_without_showing_a_secret() {
    let with_header = |url: &str, name: &str, value: &str| {
        let mut settings = HttpSettings::new(url);
        settings.headers = vec![(name.into(), value.into())];
        settings
    };
    let mut in_the_clear = with_header("http://collector", "x-api-key", "s3cret");
    assert!(HttpSender::new(&in_the_clear).is_ok());
    in_the_clear.refuse_plaintext_credentials = true;
    let name = "x-api-key".to_owned();
    assert_eq!(
        HttpSender::new(&in_the_clear).unwrap_err(),
        BuildError::Settings(HttpSettingsError::PlaintextCredentials { name })
    );
    let mut file = HttpSettings::new("https://localhost");
    file.tls.certificate = Some("missing.pem".into());
    let error = HttpSender::new(&file).unwrap_err();
    assert!(matches!(error, BuildError::TlsFile { .. }), "{error}");
    file.url = "http://localhost".into();
    assert!(HttpSender::new(&file).is_ok(), "files are for https only");
    for settings in [
        HttpSettings::new("http://user:s3cret@localhost"),
        with_header("http://localhost", "x-tenant", "s3cret\r\nb"),
        in_the_clear,
    ] {
        let error = HttpSender::new(&settings).unwrap_err();
        let text = format!("{error} {error:?} {settings:?}");
        assert!(!text.contains("s3cret"), "{text}");
    }
}
