//! Names and attributes, checked against what the registry of the semantic conventions requires and
//! allows: version 1.44.0, stable attributes of HTTP and those of RPC that are release candidates.

use std::collections::BTreeMap;

use http::Request;
use http_body_util::Empty;
use spandrel_core::hosted::export::SpanData;
use spandrel_core::hosted::testing::Capture;
use spandrel_core::span::SpanKind;
use spandrel_tower::UrlTemplate;
use tower_layer::Layer as _;
use tower_service::Service as _;

use crate::rig::{FINE, client, error, get, now, only, outcome, server, shown, with_status};

/// Required of every span of this kind, and required, recommended or opted in under a condition.
struct Convention {
    required: &'static [&'static str],
    allowed: &'static [&'static str],
}

/// <https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server-span>
const HTTP_SERVER: Convention = Convention {
    required: &["http.request.method", "url.path", "url.scheme"],
    allowed: &[
        "client.address",
        "client.port",
        "error.type",
        "http.request.method_original",
        "http.response.status_code",
        "http.route",
        "network.local.address",
        "network.local.port",
        "network.peer.address",
        "network.peer.port",
        "network.protocol.name",
        "network.protocol.version",
        "network.transport",
        "server.address",
        "server.port",
        "url.query",
        "user_agent.original",
    ],
};

/// <https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-client-span>
const HTTP_CLIENT: Convention = Convention {
    required: &[
        "http.request.method",
        "server.address",
        "server.port",
        "url.full",
    ],
    allowed: &[
        "error.type",
        "http.request.method_original",
        "http.request.resend_count",
        "http.response.status_code",
        "network.peer.address",
        "network.peer.port",
        "network.protocol.name",
        "network.protocol.version",
        "network.transport",
        "url.scheme",
        "url.template",
        "user_agent.original",
    ],
};

/// <https://opentelemetry.io/docs/specs/semconv/rpc/grpc/>
const GRPC: Convention = Convention {
    required: &[
        "rpc.method",
        "rpc.response.status_code",
        "rpc.system.name",
        "server.address",
    ],
    allowed: &[
        "client.address",
        "client.port",
        "error.type",
        "network.peer.address",
        "network.peer.port",
        "network.protocol.name",
        "network.protocol.version",
        "network.transport",
        "server.port",
    ],
};

#[track_caller]
fn check(span: &SpanData, convention: &Convention) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (key, value) in &span.attributes {
        let is_known = convention.required.contains(&key.as_str())
            || convention.allowed.contains(&key.as_str());
        assert!(is_known, "{key} is not in the convention");
        let twice = found.insert(key.clone(), shown(value));
        assert_eq!(twice, None, "{key}");
    }
    for key in convention.required {
        assert!(found.contains_key(*key), "{key} is missing in {found:?}");
    }
    found
}

fn expected(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn a_span_of_a_server_has_the_attributes_of_http() {
    let capture = Capture::new();
    let layer = server(&capture)
        .with_route(|extensions| extensions.get::<&'static str>().copied())
        .with_peer(|_| Some("192.0.2.7:4711".parse().unwrap()));
    let request = Request::get("/stock/7?full=1&sig=secret")
        .header("host", "shop.example:8080")
        .header("user-agent", "curl/8")
        .extension("/stock/{item}")
        .body(Empty::new());
    let answer = now(layer.layer(with_status(200)).call(request.unwrap()));
    drop(answer);
    let span = only(&capture);
    assert_eq!(span.name, "GET /stock/{item}");
    assert_eq!(span.kind, SpanKind::Server);
    assert_eq!(outcome(&span), FINE);
    let all = expected(&[
        ("client.address", "192.0.2.7"),
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("http.route", "/stock/{item}"),
        ("network.peer.address", "192.0.2.7"),
        ("network.peer.port", "4711"),
        ("network.protocol.version", "1.1"),
        ("server.address", "shop.example"),
        ("server.port", "8080"),
        ("url.path", "/stock/7"),
        ("url.query", "full=1&sig=REDACTED"),
        ("url.scheme", "http"),
        ("user_agent.original", "curl/8"),
    ]);
    assert_eq!(check(&span, &HTTP_SERVER), all);
}

#[test]
fn a_request_that_says_little_has_the_attributes_that_are_required() {
    let capture = Capture::new();
    let layer = server(&capture).with_scheme("https");
    let mut request = Request::builder().method("PURGE").uri("/x");
    request = request.version(http::Version::HTTP_2);
    let request = request.body(Empty::new()).unwrap();
    drop(now(layer.layer(with_status(404)).call(request)));
    let span = only(&capture);
    assert_eq!(span.name, "HTTP");
    // The caller's mistake is none of the server's.
    assert_eq!(outcome(&span), FINE);
    let all = expected(&[
        ("http.request.method", "_OTHER"),
        ("http.request.method_original", "PURGE"),
        ("http.response.status_code", "404"),
        ("network.protocol.version", "2"),
        ("url.path", "/x"),
        ("url.scheme", "https"),
    ]);
    assert_eq!(check(&span, &HTTP_SERVER), all);
}

#[test]
fn methods_that_the_program_knows_are_recorded() {
    let capture = Capture::new();
    let layer = server(&capture).with_known_methods(&["PURGE"]);
    for method in ["PURGE", "GET", "purge"] {
        let request = Request::builder().method(method).uri("/x");
        let request = request.body(Empty::new()).unwrap();
        drop(now(layer.layer(with_status(200)).call(request)));
    }
    let names: Vec<_> = capture.spans().into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["PURGE", "HTTP", "HTTP"]);
}

#[test]
fn a_span_of_a_client_has_the_attributes_of_http() {
    let capture = Capture::new();
    let mut service = client(&capture).layer(with_status(404));
    let mut request = get("https://me:secret@stock.example/stock/7?sig=x");
    request
        .extensions_mut()
        .insert(UrlTemplate("/stock/{item}"));
    drop(now(service.call(request)));
    let span = only(&capture);
    assert_eq!(span.name, "GET /stock/{item}");
    assert_eq!(span.kind, SpanKind::Client);
    assert_eq!(outcome(&span), error("", "404"));
    let all = expected(&[
        ("error.type", "404"),
        ("http.request.method", "GET"),
        ("http.response.status_code", "404"),
        ("network.protocol.version", "1.1"),
        ("server.address", "stock.example"),
        ("server.port", "443"),
        (
            "url.full",
            "https://REDACTED:REDACTED@stock.example/stock/7?sig=REDACTED",
        ),
        ("url.template", "/stock/{item}"),
    ]);
    assert_eq!(check(&span, &HTTP_CLIENT), all);
}

#[test]
fn which_status_codes_are_errors_depends_on_the_side() {
    for (code, of_server, of_client) in [
        (100, false, false),
        (200, false, false),
        (304, false, false),
        (400, false, true),
        (499, false, true),
        (500, true, true),
        (599, true, true),
    ] {
        let capture = Capture::new();
        drop(now(server(&capture)
            .layer(with_status(code))
            .call(get("/"))));
        drop(now(client(&capture)
            .layer(with_status(code))
            .call(get("http://a/"))));
        let spans = capture.spans();
        let is = |is_error| match is_error {
            true => error("", &code.to_string()),
            false => FINE,
        };
        assert_eq!(outcome(&spans[0]), is(of_server), "{code}");
        assert_eq!(outcome(&spans[1]), is(of_client), "{code}");
    }
}

#[test]
fn calls_of_grpc_have_the_attributes_of_rpc() {
    for side in ["server", "client"] {
        let capture = Capture::new();
        let call = || {
            let request = Request::post("http://stock.example:50051/shop.Stock/Count");
            let request = request.version(http::Version::HTTP_2);
            let request = request.header("content-type", "application/grpc+proto");
            request.body(Empty::new()).unwrap()
        };
        let service = crate::calls::answering(&[("grpc-status", "0")]);
        if side == "server" {
            crate::calls::finish(now(server(&capture).layer(service).call(call())));
        } else {
            crate::calls::finish(now(client(&capture).layer(service).call(call())));
        }
        let span = only(&capture);
        assert_eq!(span.name, "shop.Stock/Count");
        let all = expected(&[
            ("network.protocol.version", "2"),
            ("rpc.method", "shop.Stock/Count"),
            ("rpc.response.status_code", "OK"),
            ("rpc.system.name", "grpc"),
            ("server.address", "stock.example"),
            ("server.port", "50051"),
        ]);
        assert_eq!(check(&span, &GRPC), all, "{side}");
        assert_eq!(outcome(&span), FINE);
    }
}
