//! Endpoints: spec, the guide's spellings, fault G2.

use super::*;

#[test]
fn a_001_the_generic_endpoint_is_a_base() {
    for (base, expected) in [
        ("http://c:4318", "http://c:4318/v1/traces"),
        ("http://c:4318/", "http://c:4318/v1/traces"),
        ("http://c:4318/my", "http://c:4318/my/v1/traces"),
        ("http://c:4318/my/", "http://c:4318/my/v1/traces"),
        ("https://c/a/b%20c/", "https://c/a/b%20c/v1/traces"),
        (" http://c:4318\n", "http://c:4318/v1/traces"),
    ] {
        assert_eq!(url_of(ENDPOINT, base), (expected.into(), vec![]), "{base}");
    }
}

#[test]
fn a_001_a_base_that_already_has_the_signal_path_is_not_edited_but_named() {
    assert_eq!(
        url_of(ENDPOINT, "http://c:4318/v1/traces/"),
        (
            "http://c:4318/v1/traces/v1/traces".into(),
            vec![DiagnosticKind::SignalPathInBase]
        )
    );
}

#[test]
fn a_002_the_traces_endpoint_is_used_byte_for_byte() {
    for exact in [
        "https://x/v1/traces/",
        "https://x/custom?k=v",
        "http://x:80//a//b/../%2e",
        "http://x/?",
    ] {
        assert_eq!(url_of(TRACES_ENDPOINT, exact), (exact.into(), vec![]));
    }
}

#[test]
fn a_003_a_traces_endpoint_without_a_path_posts_to_the_root() {
    for (exact, expected) in [("http://c:4318", "/"), ("http://c:4318?k=v", "/?k=v")] {
        let env = read_clean(&[(TRACES_ENDPOINT, exact)]).endpoint.unwrap();
        assert_eq!(target(env), expected);
    }
}

#[test]
fn a_004_the_traces_endpoint_beats_the_generic_one() {
    let env = read_clean(&[
        (ENDPOINT, "http://generic:4318"),
        (TRACES_ENDPOINT, "http://traces:4318/t"),
    ]);
    assert_eq!(url(env.endpoint.unwrap()), "http://traces:4318/t");
}

#[test]
fn a_005_the_default_is_localhost_in_clear_text() {
    assert_eq!(read_clean(&[]).endpoint, None);
    assert_eq!(url(Endpoint::DEFAULT), "http://localhost:4318/v1/traces");
}

#[test]
fn a_006_a_missing_or_empty_port_is_that_of_the_scheme() {
    for (text, port) in [
        ("http://c", 80),
        ("https://c", 443),
        ("https://c:/p", 443),
        ("http://c:/p", 80),
        ("https://c:4318", 4318),
        ("http://[::1]", 80),
    ] {
        for name in [ENDPOINT, TRACES_ENDPOINT] {
            let endpoint = read_clean(&[(name, text)]).endpoint.unwrap();
            assert_eq!(endpoint.port(), port, "{text}");
        }
    }
    assert_eq!(url_of(TRACES_ENDPOINT, "https://c:/p").0, "https://c/p");
}

#[test]
fn a_007_scheme_host_port_and_path_count_and_the_rest_is_ignored_aloud() {
    let endpoint = read_clean(&[(ENDPOINT, "HTTP://[::1]:4318")])
        .endpoint
        .unwrap();
    assert_eq!(endpoint.scheme(), Scheme::Http);
    assert_eq!(endpoint.host(), "::1");
    assert_eq!(url(endpoint), "http://[::1]:4318/v1/traces");

    for (name, text, expected, kind) in [
        (
            ENDPOINT,
            "http://u:p@c/x",
            "http://c/x/v1/traces",
            DiagnosticKind::UserinfoIgnored,
        ),
        (
            TRACES_ENDPOINT,
            "http://u:p%40@c/x",
            "http://c/x",
            DiagnosticKind::UserinfoIgnored,
        ),
        (
            ENDPOINT,
            "http://c/x?k=v",
            "http://c/x/v1/traces",
            DiagnosticKind::QueryIgnored,
        ),
        (
            TRACES_ENDPOINT,
            "http://c/x?k=v#f",
            "http://c/x?k=v",
            DiagnosticKind::FragmentIgnored,
        ),
    ] {
        assert_eq!(url_of(name, text), (expected.into(), vec![kind]), "{text}");
    }
}

#[test]
fn a_008_the_scheme_alone_decides_about_tls() {
    for (endpoint, insecure, scheme) in [
        ("http://c", "false", Scheme::Http),
        ("https://c", "true", Scheme::Https),
    ] {
        let env = read_clean(&[
            (ENDPOINT, endpoint),
            ("OTEL_EXPORTER_OTLP_INSECURE", insecure),
        ]);
        assert_eq!(env.endpoint.unwrap().scheme(), scheme);
    }
}

const BAD_URLS: [(&str, EndpointErrorKind); 21] = [
    ("collector:4318", EndpointErrorKind::MissingScheme),
    ("://c", EndpointErrorKind::MissingScheme),
    ("http:/c", EndpointErrorKind::MissingScheme),
    ("ftp://x", EndpointErrorKind::UnsupportedScheme),
    ("httpss://x", EndpointErrorKind::UnsupportedScheme),
    ("http://", EndpointErrorKind::MissingHost),
    ("http:///v1/traces", EndpointErrorKind::MissingHost),
    ("http://:4318", EndpointErrorKind::MissingHost),
    ("http://::1:4318", EndpointErrorKind::BadHost),
    ("http://[::1", EndpointErrorKind::BadHost),
    ("http://[::1]4318", EndpointErrorKind::BadHost),
    ("http://[c]:4318", EndpointErrorKind::BadHost),
    ("http://a%20b", EndpointErrorKind::BadHost),
    ("http://a\\b", EndpointErrorKind::BadHost),
    ("http://c:0", EndpointErrorKind::BadPort),
    ("http://c:65536", EndpointErrorKind::BadPort),
    ("http://c:+80", EndpointErrorKind::BadPort),
    ("http://c:http", EndpointErrorKind::BadPort),
    ("http://a b/", EndpointErrorKind::BadCharacter),
    ("http://c/\r\nX: y", EndpointErrorKind::BadCharacter),
    ("http://café/", EndpointErrorKind::BadCharacter),
];

#[test]
fn a_009_a_bad_endpoint_in_the_environment_is_named_and_the_default_applies() {
    for (text, kind) in BAD_URLS {
        for name in [ENDPOINT, TRACES_ENDPOINT] {
            let (env, diagnostics) = read(&[(name, text)]);
            assert_eq!(env.endpoint, None, "{text}");
            assert_eq!(kinds(&diagnostics), [DiagnosticKind::Endpoint(kind)]);
            assert_eq!(diagnostics.iter().next().unwrap().value(), Some(text));
        }
    }
    read_with(
        &[(ENDPOINT, "collector:4318")],
        "OTEL_EXPORTER_OTLP_ENDPOINT: \"collector:4318\" has no scheme, write http:// or \
         https:// before the host; using the default http://localhost:4318",
    );
}

#[test]
fn a_009_a_bad_endpoint_in_code_is_a_typed_error_that_names_it() {
    for (text, kind) in BAD_URLS {
        let error = Endpoint::parse_base(text, &mut Diagnostics::new()).unwrap_err();
        assert_eq!((error.kind(), error.value()), (kind, Some(text)));
    }
}

#[test]
fn a_009_a_bad_traces_endpoint_leaves_the_generic_one() {
    let env = read_with(
        &[(TRACES_ENDPOINT, "ftp://x"), (ENDPOINT, "http://c:4318")],
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: \"ftp://x\" has a scheme other than http and https; \
         using OTEL_EXPORTER_OTLP_ENDPOINT if that is set, else the default \
         http://localhost:4318/v1/traces",
    );
    assert_eq!(url(env.endpoint.unwrap()), "http://c:4318/v1/traces");
}

#[test]
fn a_010_the_port_of_grpc_gets_a_hint() {
    let env = read_with(
        &[(ENDPOINT, "http://c:4317")],
        "OTEL_EXPORTER_OTLP_ENDPOINT: 4317 is the port of OTLP over gRPC, and this is OTLP over \
         HTTP; collectors listen for it on 4318",
    );
    assert_eq!(env.endpoint.unwrap().port(), 4317);
}

// The guide: endpoints in code

#[test]
fn guide_an_endpoint_in_code_may_be_empty_bare_or_a_base_url() {
    for (text, expected) in [
        ("localhost:4318", "http://localhost:4318/v1/traces"),
        ("127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("[::1]:4318", "http://[::1]:4318/v1/traces"),
        ("localhost", "http://localhost:4318/v1/traces"),
        ("c.example:4318", "https://c.example:4318/v1/traces"),
        ("c.example", "https://c.example:4318/v1/traces"),
        (
            "127.evil.example:4318",
            "https://127.evil.example:4318/v1/traces",
        ),
        (
            "c.example:443/otlp/",
            "https://c.example:443/otlp/v1/traces",
        ),
        ("http://c.example:4318", "http://c.example:4318/v1/traces"),
        ("https://c.example/otlp", "https://c.example/otlp/v1/traces"),
    ] {
        let mut diagnostics = Diagnostics::new();
        let endpoint = Endpoint::parse_programmatic(text, &mut diagnostics)
            .unwrap()
            .unwrap();
        assert_eq!(url(endpoint), expected);
        assert!(diagnostics.is_empty());
    }
    for empty in ["", "  "] {
        let endpoint = Endpoint::parse_programmatic(empty, &mut Diagnostics::new());
        assert_eq!(endpoint, Ok(None));
    }
}

#[test]
fn guide_a_grpc_port_in_code_gets_a_hint() {
    let mut diagnostics = Diagnostics::new();
    Endpoint::parse_programmatic("localhost:4317", &mut diagnostics).unwrap();
    let hint = diagnostics.iter().next().unwrap();
    assert_eq!(
        (hint.variable(), hint.kind()),
        ("endpoint", DiagnosticKind::GrpcPort)
    );
}

#[test]
fn g2_an_endpoint_in_code_that_is_none_is_an_error() {
    for (text, kind) in [
        (":4318", EndpointErrorKind::MissingHost),
        ("c:", EndpointErrorKind::BadPort),
        ("http:/c", EndpointErrorKind::BadPort),
        ("c:0", EndpointErrorKind::BadPort),
        ("::1", EndpointErrorKind::BadHost),
        ("a b:1", EndpointErrorKind::BadCharacter),
        ("grpc://c:4317", EndpointErrorKind::UnsupportedScheme),
    ] {
        let error = Endpoint::parse_programmatic(text, &mut Diagnostics::new()).unwrap_err();
        assert_eq!(error.kind(), kind, "{text}");
    }
}
