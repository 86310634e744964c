//! The two transports of hosts, case by case: the same request, outcome, words and way.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use spandrel_core::env::RESERVED_HEADERS;
use spandrel_core::hosted::config::{HttpSettings, Proxy};
use spandrel_core::response::DropReason;
use spandrel_core::stats::{DeliveryStats, Ledger};
use spandrel_tests::fault_server::{FaultServer, Front, Reply, Script};
use spandrel_tests::tls::{Authority, self_signed, self_signed_authority};
use tokio::runtime::{Builder, Runtime};

use crate::harness::{PATIENCE, config, ms};
use crate::http::server::{Request, Server};
use crate::tls::PemFile;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// What one sender made of an exchange.
#[derive(Debug, PartialEq)]
struct Seen {
    outcome: String,
    said: String,
    hint: String,
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn blocking(settings: &HttpSettings, timeout: Duration) -> Seen {
    let mut sender = spandrel_transport_std::HttpSender::new(settings).unwrap();
    sender.encode(|_| 0).unwrap();
    let outcome = format!("{:?}", sender.send(timeout));
    let last = sender.last_error();
    Seen {
        outcome,
        said: last.said().into(),
        hint: last.hint().into(),
    }
}

fn asynchronous(settings: &HttpSettings, timeout: Duration) -> Seen {
    let mut sender = spandrel_transport_async::HttpSender::new(settings).unwrap();
    sender.encode(|_| 0).unwrap();
    let outcome = runtime().block_on(async { format!("{:?}", sender.send(timeout).await) });
    let last = sender.last_error();
    Seen {
        outcome,
        said: last.said().into(),
        hint: last.hint().into(),
    }
}

/// What both make of it.
#[track_caller]
fn both(settings: &HttpSettings, timeout: Duration) -> Seen {
    let seen = blocking(settings, timeout);
    assert_eq!(seen, asynchronous(settings, timeout), "{settings:?}");
    seen
}

/// A server that gives the same answer to each request, and the requests.
fn answering(answer: Vec<u8>) -> (Server, Receiver<Request>) {
    let (tell, told) = channel();
    let server = Server::start(move |_, mut stream| {
        if let Some(request) = Request::read(&mut stream) {
            let _ = tell.send(request);
            let _ = stream.write_all(&answer);
        }
    });
    (server, told)
}

fn answer(status: &str, content_type: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

// fault X43, fault X44, fault X45
#[test]
fn what_a_server_says_and_what_to_do_are_the_same() {
    const SECRET: &str = "s3cret-0123";
    let missing = r#"{"detail":[{"type":"missing","loc":["header","x-mlflow-experiment-id"]}]}"#;
    let gzip = "OTEL_EXPORTER_OTLP_COMPRESSION=none";
    for (status, content_type, body, said, hint) in [
        ("400 Bad", "application/json", missing, missing, gzip),
        (
            "400 Bad",
            "text/plain",
            "no such tenant",
            "no such tenant",
            gzip,
        ),
        (
            "400 Bad",
            "text/plain",
            "cannot decode s3cret-0123",
            "cannot decode [redacted]",
            "",
        ),
        ("415 No", "text/plain", "gzip?", "gzip?", ""),
        (
            "401 No",
            "text/html",
            "<title>No s3cret-0123 here</title>",
            "No [redacted] here",
            "_HEADERS",
        ),
        (
            "404 No",
            "text/plain",
            "404 page not found",
            "404 page not found",
            "/v1/traces",
        ),
        ("413 Big", "text/plain", "", "", "on_too_large"),
        (
            "500 No",
            "application/x-protobuf",
            "\x12\x03bad",
            "bad",
            "log",
        ),
        ("503 No", "text/plain", "a\x1b[31mb\r\nc", "a [31mb c", ""),
        ("407 No", "text/plain", "", "", "proxy"),
        ("302 Go", "text/plain", "moved", "moved", "redirects"),
        ("200 OK", "text/html", "<title>Log in</title>", "", ""),
    ] {
        let (server, _requests) = answering(answer(status, content_type, body));
        let mut settings = HttpSettings::new(server.url());
        settings.headers = vec![("authorization".into(), format!("Bearer {SECRET}"))];
        let seen = both(&settings, PATIENCE);
        assert_eq!(seen.said, said, "{status} {body}");
        assert!(seen.hint.contains(hint), "{status} {body}: {}", seen.hint);
        let is_tried_plain = status.starts_with("415") || body.contains("decode");
        assert_eq!(
            seen.outcome == "Failed(Compressed)",
            is_tried_plain,
            "{seen:?}"
        );
    }
}

// fault X48
#[test]
fn heads_are_the_same_but_for_the_product() {
    let (server, requests) = answering(OK.to_vec());
    let port = server.address.port();
    for (path, line) in [
        ("", "POST / HTTP/1.1"),
        ("/", "POST / HTTP/1.1"),
        ("/v1/traces", "POST /v1/traces HTTP/1.1"),
        ("/a%20b//c/?k=v&x=%2F", "POST /a%20b//c/?k=v&x=%2F HTTP/1.1"),
        ("?only=query", "POST /?only=query HTTP/1.1"),
        ("/a/../b/./c{|}?q='", "POST /b/c%7B%7C%7D?q=%27 HTTP/1.1"),
    ] {
        let mut settings = HttpSettings::new(format!("http://127.0.0.1:{port}{path}"));
        settings.headers = RESERVED_HEADERS
            .iter()
            .map(|name| (name.to_uppercase(), "mine".into()))
            .chain([
                ("x-tenant".into(), "\ta\tb ".into()),
                ("X-Twice".into(), "1".into()),
                ("x-twice".into(), "2".into()),
                ("x-empty".into(), String::new()),
            ])
            .collect();
        let seen = both(&settings, PATIENCE);
        let [first, second] = [(); 2].map(|()| requests.recv_timeout(PATIENCE).unwrap());
        let head = |request: &Request| {
            let mut headers: Vec<_> = request
                .headers
                .iter()
                .map(|(name, value)| (name.to_lowercase(), value.clone()))
                .filter(|(name, _)| name != "user-agent")
                .collect();
            headers.sort();
            (request.line.clone(), headers)
        };
        assert_eq!(head(&first), head(&second), "{seen:?}");
        assert_eq!(first.line, line);
        assert!(first.headers.iter().all(|(_, value)| value != "mine"));
    }
}

// fault X46
#[test]
fn a_certificate_that_is_refused_says_what_to_do() {
    let authority = Authority::new();
    let trusted = PemFile::new("alike", &authority.pem());
    let own = self_signed_authority();
    let trusts_own = PemFile::new("own-authority", own.cert_pem());
    for (identity, hint) in [
        (authority.expired_server(), "has expired"),
        (authority.future_server(), "clock"),
        (authority.client_as_server(), "serverAuth"),
        // Whether it is trusted or not.
        (own, "CA:FALSE"),
        (
            authority.server_for(&["collector.example"]),
            "subjectAltName",
        ),
        (Authority::new().server(), "OTEL_EXPORTER_OTLP_CERTIFICATE"),
        (self_signed(), ""),
    ] {
        let front = Front::Tls(identity.server_config());
        let server = FaultServer::start_with(Script::new(), front);
        let mut settings = HttpSettings::new(server.url());
        let is_own = hint == "CA:FALSE";
        settings.tls.certificate = Some(if is_own { &trusts_own } else { &trusted }.path());
        let seen = both(&settings, PATIENCE);
        assert_eq!(seen.outcome, "Failed(Certificate)", "{hint}");
        assert!(seen.hint.contains(hint), "{seen:?}");
    }
    // The collector refuses ours: there is none, it is a stranger's, or it was revoked.
    let server = authority.server();
    let client = authority.client();
    let stranger = Authority::new().client();
    for (config, ours, hint) in [
        (
            server.server_config_for(&authority),
            None,
            "asks for a client's certificate",
        ),
        (
            server.server_config_for(&authority),
            Some(&stranger),
            "trusts its authority",
        ),
        (
            server.server_config_revoking(&authority, &client),
            Some(&client),
            "was revoked",
        ),
    ] {
        let server = FaultServer::start_with(Script::new(), Front::Tls(config));
        let mut settings = HttpSettings::new(server.url());
        settings.tls.certificate = Some(trusted.path());
        let files = ours.map(|ours| {
            let certificate = PemFile::new("ours", ours.cert_pem());
            (certificate, PemFile::new("ours-key", ours.key_pem()))
        });
        if let Some((certificate, key)) = &files {
            settings.tls.client_certificate = Some(certificate.path());
            settings.tls.client_key = Some(key.path());
        }
        let seen = both(&settings, PATIENCE);
        assert_eq!(seen.outcome, "Failed(Certificate)", "{hint}");
        assert!(seen.hint.contains(hint), "{seen:?}");
    }
    // TLS to a port without, and to one that hangs up.
    for (answer, class, hint) in [
        (&b"HTTP/1.1 400 Bad\r\n\r\n"[..], "Failed(Tls)", "http://"),
        (b"", "Failed(Reset { body_sent: false })", ""),
    ] {
        let server = Server::start(move |_, mut stream| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer);
        });
        let seen = both(
            &HttpSettings::new(format!("https://{}/", server.address)),
            PATIENCE,
        );
        assert_eq!(seen.outcome, class);
        assert!(seen.hint.contains(hint), "{seen:?}");
    }
}

/// The head of an answer is what counts; its body may take as long as it likes, up to the deadline.
// fault X49
#[test]
fn a_body_that_dribbles_in_ends_with_the_request_and_keeps_its_status() {
    let server = Server::start(|_, mut stream: TcpStream| {
        std::thread::spawn(move || {
            Request::read(&mut stream);
            let head =
                b"HTTP/1.1 400 Bad\r\nContent-Type: text/plain\r\nContent-Length: 99999\r\n\r\n";
            let _ = stream.write_all(head);
            while stream.write_all(b".").is_ok() {
                std::thread::sleep(ms(20));
            }
        });
    });
    let started = Instant::now();
    let seen = both(&HttpSettings::new(server.url()), ms(400));
    assert!(
        seen.outcome.contains("status: 400, body_bytes: None"),
        "{seen:?}"
    );
    assert!(started.elapsed() < ms(2500), "{:?}", started.elapsed());
}

/// The ledger, the counts and the codings of the requests after two batches.
fn run(is_async: bool, script: Script) -> (Ledger, DeliveryStats, Vec<bool>) {
    let server = FaultServer::start(script);
    let config = config(&server.url());
    let (ledger, stats) = if is_async {
        runtime().block_on(async {
            let telemetry = spandrel_transport_async::init(config).unwrap();
            for _ in 0..2 {
                telemetry.tracer("alike").start("work").end();
                let _ = telemetry.force_flush(PATIENCE).await;
            }
            let _ = telemetry.shutdown(PATIENCE).await;
            (telemetry.ledger(), telemetry.stats())
        })
    } else {
        let telemetry = spandrel_transport_std::init(config).unwrap();
        for _ in 0..2 {
            telemetry.tracer("alike").start("work").end();
            let _ = telemetry.force_flush(PATIENCE);
        }
        let _ = telemetry.shutdown(PATIENCE);
        (telemetry.ledger(), telemetry.stats())
    };
    let requests = server.requests();
    let gzip = requests
        .iter()
        .map(|request| request.header("content-encoding").is_some());
    (ledger, stats, gzip.collect())
}

fn refusal(code: u16, body: &str) -> Reply {
    Reply::Status {
        code,
        headers: vec![("content-type".into(), "text/plain".into())],
        body: body.into(),
    }
}

// fault X45
#[test]
fn a_receiver_that_does_not_read_gzip_gets_everything_once() {
    let decode = refusal(400, "Failed to decode request body");
    for is_async in [false, true] {
        for reply in [&refusal(415, ""), &decode] {
            let (ledger, stats, gzip) = run(is_async, Script::new().then(reply.clone()));
            assert!(ledger.is_closed() && ledger.exported == 2, "{ledger}");
            assert_eq!(
                (stats.attempts, stats.possible_duplicates),
                (3, 0),
                "{stats:?}"
            );
            assert_eq!(gzip, [true, false, false]);
        }
        // Compression was not the reason: one request more, and never again.
        let (ledger, stats, gzip) = run(is_async, Script::new().otherwise(decode.clone()));
        assert_eq!(ledger.dropped(DropReason::Rejected4xx), 2, "{ledger}");
        assert_eq!(
            (stats.attempts, stats.possible_duplicates),
            (3, 0),
            "{stats:?}"
        );
        assert_eq!(gzip, [true, false, true]);
        // A refusal for another reason is one.
        let other = refusal(400, "the header x-tenant is missing");
        let (ledger, stats, _) = run(is_async, Script::new().then(other));
        assert_eq!((ledger.exported, stats.attempts), (1, 2), "{ledger}");
    }
}

const WAY: &str = "SPANDREL_TEST_WAY";

/// Part of the next test: a process of its own, whose variables say the way.
#[test]
fn child_that_finds_its_way() {
    let Ok(url) = std::env::var(WAY) else {
        return;
    };
    let mut settings = HttpSettings::new(url);
    settings.proxy = Proxy::Environment;
    let _ = blocking(&settings, Duration::from_secs(2));
    let _ = asynchronous(&settings, Duration::from_secs(2));
}

// fault X47
#[test]
fn both_take_the_way_that_the_environment_says() {
    for (names, no_proxy, is_direct) in [
        (&["http_proxy"][..], "", false),
        (&["HTTP_PROXY"], "", false),
        (&["ALL_PROXY"], "other.example", false),
        (&["HTTPS_PROXY"], "", true),
        (&["http_proxy"], "foo.example, 127.0.0.1 ", true),
        (&["http_proxy"], "127.0.0.0/8", true),
        (&["http_proxy"], "*", true),
        (&["all_proxy"], "127.0.0.1:1", false),
        (&["HTTP_PROXY", "REQUEST_METHOD"], "", true),
    ] {
        let (target, requests) = answering(OK.to_vec());
        // Whether it is asked to connect or to pass a request on.
        let proxy = Server::start(|_, mut stream| {
            Request::read(&mut stream);
            let _ = stream.write_all(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
        });
        let mut child = Command::new(std::env::current_exe().unwrap());
        child
            .env_clear()
            .env(WAY, target.url())
            .env("NO_PROXY", no_proxy);
        for name in names {
            child.env(name, format!("http://{}", proxy.address));
        }
        child.args(["--exact", "alike::child_that_finds_its_way"]);
        assert!(child.output().unwrap().status.success());
        let direct = requests.try_iter().count();
        let expected = if is_direct { (2, 0) } else { (0, 2) };
        assert_eq!(
            (direct, proxy.connections()),
            expected,
            "{names:?} {no_proxy:?}"
        );
    }
}

/// Through a proxy in the configuration: `http` is forwarded, `https` tunnelled, with the
/// credentials of the proxy, and the proxy's words count.
#[test]
fn both_ask_a_proxy_for_the_same() {
    for (target, user, line) in [
        (
            "http://collector.test:4318/v1/traces",
            "",
            "POST http://collector.test:4318/v1/traces HTTP/1.1",
        ),
        (
            "http://collector.test/v1/traces",
            "me:p%40ss@",
            "POST http://collector.test/v1/traces HTTP/1.1",
        ),
        (
            "https://collector.test:4318/v1/traces",
            "me:p%40ss@",
            "CONNECT collector.test:4318 HTTP/1.1",
        ),
    ] {
        let (proxy, requests) = answering(answer("407 No", "text/plain", "who are you?"));
        let mut settings = HttpSettings::new(target);
        let url = proxy.url();
        let address = url.split('/').nth(2).unwrap();
        settings.proxy = Proxy::Url(format!("http://{user}{address}"));
        let seen = [blocking, asynchronous].map(|send| send(&settings, PATIENCE));
        let asked: Vec<_> = requests.try_iter().collect();
        assert_eq!(asked.len(), 2, "{target}");
        for request in &asked {
            assert_eq!(request.line, line);
            let host = line
                .split(['/', ' '])
                .find(|part| part.contains("collector"));
            assert_eq!(request.header("host"), host, "{target}");
            let expected = (!user.is_empty()).then_some("Basic bWU6cEBzcw==");
            assert_eq!(request.header("proxy-authorization"), expected, "{target}");
        }
        assert_eq!(asked[0].body, asked[1].body);
        if target.starts_with("http:") {
            assert_eq!(seen[0], seen[1]);
            assert!(seen[0].outcome.contains("status: 407"), "{seen:?}");
        } else {
            // The clients do not show what a proxy says of a tunnel.
            assert!(
                seen.iter().all(|it| it.outcome.starts_with("Failed(")),
                "{seen:?}"
            );
        }
    }
}

/// A proxy that is not there, or that answers with nonsense, costs the attempt in both.
#[test]
fn both_name_a_proxy_that_is_dead_or_hostile() {
    let dead = String::from("http://127.0.0.1:1");
    let hostile = answering(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec());
    let silent = Server::start(|_, stream| {
        std::thread::sleep(Duration::from_millis(1500));
        drop(stream);
    });
    for (url, class) in [
        (dead, "Failed(Connect)"),
        (hostile.0.url(), "Failed(Protocol)"),
        (silent.url(), "Failed(Timeout { body_sent: true })"),
    ] {
        let mut settings = HttpSettings::new("http://collector.test:4318/v1/traces");
        settings.proxy = Proxy::Url(url);
        for send in [blocking, asynchronous] {
            let seen = send(&settings, Duration::from_millis(700));
            assert_eq!(seen.outcome, class);
        }
    }
}

/// The retries, the losses and the possible duplicates of both, for answers of each kind.
#[test]
fn both_repeat_what_fails_alike() {
    let scripts: [(&str, Script); 9] = [
        ("503, then well", Script::new().then(Reply::status(503))),
        ("502 twice", Script::new().times(2, &Reply::status(502))),
        (
            "429 with a pause",
            Script::new().then(Reply::retry_after(429, &["1"])),
        ),
        ("400", Script::new().then(refusal(400, "no such tenant"))),
        ("401 for ever", Script::new().otherwise(Reply::status(401))),
        ("413", Script::new().then(Reply::status(413))),
        ("500", Script::new().then(Reply::status(500))),
        ("301", Script::new().then(Reply::status(301))),
        ("no answer at first", Script::new().then(Reply::Hang)),
    ];
    for (name, script) in scripts {
        let blocking = run(false, script.clone());
        assert!(blocking.0.is_closed(), "{name}: {}", blocking.0);
        assert_eq!(blocking, run(true, script), "{name}");
    }
}

// spec A-027
#[test]
fn a_027_a_distribution_stands_before_our_own_product() {
    for is_blocking in [true, false] {
        let server = FaultServer::start(Script::new());
        let config = spandrel_transport_std::Config {
            user_agent_prefix: Some("MyDist/1.2.3".into()),
            ..config(&server.url())
        };
        match is_blocking {
            true => {
                let telemetry = spandrel_transport_std::init(config).unwrap();
                telemetry.tracer("shop").start("x").end();
                assert!(telemetry.shutdown(PATIENCE).is_success());
            }
            false => runtime().block_on(async {
                let telemetry = spandrel_transport_async::init(config).unwrap();
                telemetry.tracer("shop").start("x").end();
                assert!(telemetry.shutdown(PATIENCE).await.is_success());
            }),
        }
        let requests = server.requests();
        let user_agent = requests[0].header("user-agent").unwrap_or_default();
        assert!(
            user_agent.starts_with("MyDist/1.2.3 Spandrel-OTLP-Exporter-Rust"),
            "{user_agent}"
        );
        let wrong = spandrel_transport_std::Config {
            user_agent_prefix: Some("two\nlines".into()),
            ..spandrel_transport_std::Config::production("shop", server.url())
        };
        let error = match is_blocking {
            true => spandrel_transport_std::init(wrong)
                .err()
                .map(|it| it.to_string()),
            false => runtime().block_on(async {
                let started = spandrel_transport_async::init(wrong);
                started.err().map(|it| it.to_string())
            }),
        };
        let error = error.unwrap_or_default();
        assert!(error.contains("user_agent_prefix: "), "{error}");
    }
}
