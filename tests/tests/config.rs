//! The configuration, row by row of the checklist: A.1, B.1-B.3, C.1-C.6 and faults G1-G4.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the helpers of tests fail by panicking, as tests do"
)]

use std::cell::Cell;
use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;
use spandrel_core::config::{
    self, Compression, DiagnosticKind, Diagnostics, Endpoint, EndpointErrorKind, EnvConfig,
    HeaderProblemKind, Headers, LogLevel, MAX_HEADERS, Propagators, Protocol, SamplerChoice,
    Scheme, Timeout, TracesExporter, VARIABLES,
};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const TRACES_HEADERS: &str = "OTEL_EXPORTER_OTLP_TRACES_HEADERS";
const TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TIMEOUT";
const TRACES_TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
const PROPAGATORS: &str = "OTEL_PROPAGATORS";
const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";

fn read<'a>(variables: &[(&'a str, &'a str)]) -> (EnvConfig<'a>, Diagnostics<'a>) {
    config::from_lookup(|name| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| *value)
    })
}

/// The configuration, after checking that nothing was wrong with the variables.
fn read_clean<'a>(variables: &[(&'a str, &'a str)]) -> EnvConfig<'a> {
    let (env, diagnostics) = read(variables);
    assert!(diagnostics.is_empty(), "{variables:?}: {diagnostics:?}");
    env
}

/// The configuration, after checking that exactly this was said.
fn read_with<'a>(variables: &[(&'a str, &'a str)], sentence: &str) -> EnvConfig<'a> {
    let (env, diagnostics) = read(variables);
    let said: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(said, [sentence], "{variables:?}");
    env
}

fn kinds(diagnostics: &Diagnostics<'_>) -> Vec<DiagnosticKind> {
    diagnostics.iter().map(|d| d.kind()).collect()
}

fn url(endpoint: Endpoint<'_>) -> String {
    let mut url = String::new();
    endpoint.write_url(&mut url).unwrap();
    url
}

fn target(endpoint: Endpoint<'_>) -> String {
    let mut target = String::new();
    endpoint.write_target(&mut target).unwrap();
    target
}

/// The URL that a variable leads to, with what was said about it.
fn url_of(name: &str, value: &str) -> (String, Vec<DiagnosticKind>) {
    let (env, diagnostics) = read(&[(name, value)]);
    let endpoint = env.endpoint.unwrap_or(Endpoint::DEFAULT);
    (url(endpoint), kinds(&diagnostics))
}

fn pairs(headers: Headers<'_>) -> Vec<(String, String)> {
    let read = headers.iter();
    read.map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

/// The headers of a text, with what was said about the others.
fn headers_of(text: &str) -> (Vec<(String, String)>, Vec<HeaderProblemKind>) {
    let (env, diagnostics) = read(&[(HEADERS, text)]);
    let problems = kinds(&diagnostics).into_iter().map(|kind| match kind {
        DiagnosticKind::Header(problem, _) => problem,
        other => panic!("unexpected {other:?}"),
    });
    (pairs(env.headers.unwrap()), problems.collect())
}

fn owned(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = expected.iter();
    owned
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

// A.1 URL construction

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

// B.1 General rules

#[test]
fn b_001_every_signal_specific_variable_replaces_its_generic_one() {
    let env = read_clean(&[(HEADERS, "a=1"), (TRACES_HEADERS, "b=2")]);
    assert_eq!(pairs(env.headers.unwrap()), owned(&[("b", "2")]));

    let pair = |suffix: &str, traces: &'static str, generic: &'static str| {
        let names = [
            format!("OTEL_EXPORTER_OTLP_TRACES_{suffix}"),
            format!("OTEL_EXPORTER_OTLP_{suffix}"),
        ];
        let variables = HashMap::from_iter(names.into_iter().zip([traces, generic]));
        let lookup = |variables: &HashMap<String, &'static str>| {
            config::from_lookup(|name| variables.get(name).copied()).0
        };
        let both = lookup(&variables);
        let mut only_generic = variables;
        only_generic.retain(|name, _| !name.contains("_TRACES_"));
        [both, lookup(&only_generic)]
    };
    let timeouts = pair("TIMEOUT", "1", "2").map(|env| env.timeout.and_then(Timeout::as_duration));
    assert_eq!(timeouts, [1, 2].map(|ms| Some(Duration::from_millis(ms))));
    assert_eq!(
        pair("COMPRESSION", "gzip", "none").map(|env| env.compression),
        [Some(Compression::Gzip), Some(Compression::None)]
    );
    assert_eq!(
        pair("PROTOCOL", "http/json", "http/protobuf").map(|env| env.protocol),
        [Some(Protocol::HttpJson), Some(Protocol::HttpProtobuf)]
    );
    assert_eq!(
        pair("CERTIFICATE", "t", "g").map(|env| env.certificate),
        [Some("t"), Some("g")]
    );
}

#[test]
fn b_002_c_002_empty_is_unset_everywhere() {
    let (env, diagnostics) = config::from_lookup(|_| Some(""));
    assert_eq!(env, EnvConfig::default());
    assert!(diagnostics.is_empty());

    let env = read_clean(&[(TRACES_ENDPOINT, ""), (ENDPOINT, "http://c:4318")]);
    assert_eq!(url(env.endpoint.unwrap()), "http://c:4318/v1/traces");
    let env = read_clean(&[(TRACES_HEADERS, ""), (HEADERS, "a=1")]);
    assert_eq!(pairs(env.headers.unwrap()), owned(&[("a", "1")]));
}

#[test]
fn b_005_a_number_that_is_none_counts_as_unset() {
    for text in ["abc", "+1", "1.5", "1e3", "0x10", "1 0", "10s", "٣"] {
        let (env, diagnostics) = read_owned(TIMEOUT, text);
        assert_eq!((env, diagnostics), (None, vec![DiagnosticKind::NotANumber]));
    }
    read_with(
        &[(TIMEOUT, "abc")],
        "OTEL_EXPORTER_OTLP_TIMEOUT: \"abc\" is not a whole number of milliseconds; \
         using the default 10000",
    );
    let env = read_with(
        &[(TRACES_TIMEOUT, "abc"), (TIMEOUT, "2500")],
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: \"abc\" is not a whole number of milliseconds; \
         using OTEL_EXPORTER_OTLP_TIMEOUT if that is set, else the default 10000",
    );
    assert_eq!(
        env.timeout,
        Some(Timeout::After(Duration::from_millis(2500)))
    );
}

fn read_owned(name: &str, text: &str) -> (Option<Timeout>, Vec<DiagnosticKind>) {
    let (env, diagnostics) = read(&[(name, text)]);
    (env.timeout, kinds(&diagnostics))
}

#[test]
fn b_006_a_number_out_of_range_counts_as_unset() {
    for (text, kind) in [
        ("-1", DiagnosticKind::Negative),
        ("-0", DiagnosticKind::Negative),
        ("18446744073709551616", DiagnosticKind::TooLarge),
    ] {
        assert_eq!(read_owned(TIMEOUT, text), (None, vec![kind]), "{text}");
    }
    read_with(
        &[(TIMEOUT, "-1")],
        "OTEL_EXPORTER_OTLP_TIMEOUT: \"-1\" is less than zero; using the default 10000",
    );
    let env = read_with(
        &[("OTEL_SPAN_LINK_COUNT_LIMIT", "4294967296")],
        "OTEL_SPAN_LINK_COUNT_LIMIT: \"4294967296\" is too large; using the default 128",
    );
    assert_eq!(env.span_link_count_limit, None);
}

#[test]
fn b_007_unknown_words_are_named_and_ignored_and_case_does_not_matter() {
    let env = read_clean(&[("OTEL_EXPORTER_OTLP_COMPRESSION", "GZIP")]);
    assert_eq!(env.compression, Some(Compression::Gzip));
    let env = read_with(
        &[("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd")],
        "OTEL_EXPORTER_OTLP_COMPRESSION: \"zstd\" is not one of gzip, none; \
         using the default compression",
    );
    assert_eq!(env.compression, None);
}

#[test]
fn b_008_only_true_is_true() {
    for (text, expected) in [
        ("true", true),
        ("TRUE", true),
        ("false", false),
        ("False", false),
    ] {
        assert_eq!(
            read_clean(&[("OTEL_SDK_DISABLED", text)]).sdk_disabled,
            Some(expected)
        );
    }
    for text in ["1", "yes", "on", "t", "truee"] {
        let (env, diagnostics) = read(&[("OTEL_SDK_DISABLED", text)]);
        assert_eq!(env.sdk_disabled, Some(false));
        assert_eq!(kinds(&diagnostics), [DiagnosticKind::NotABoolean]);
    }
    read_with(
        &[("OTEL_SDK_DISABLED", "1")],
        "OTEL_SDK_DISABLED: \"1\" is not true or false; taking it as false",
    );
}

#[test]
fn b_009_integers_reach_at_least_two_to_the_31_less_one() {
    for name in ["OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_BSP_MAX_QUEUE_SIZE"] {
        let env = read_clean(&[(name, "2147483647")]);
        let read = env.span_event_count_limit.or(env.max_queue_size);
        assert_eq!(read, Some(2_147_483_647));
    }
    assert_eq!(
        read_clean(&[(TIMEOUT, "2147483647")]).timeout,
        Some(Timeout::After(Duration::from_millis(2_147_483_647)))
    );
}

// B.2 The variables

#[test]
fn b_011_protocols() {
    let name = "OTEL_EXPORTER_OTLP_PROTOCOL";
    assert_eq!(Protocol::default(), Protocol::HttpProtobuf);
    for (text, protocol) in [
        ("http/protobuf", Protocol::HttpProtobuf),
        ("http/json", Protocol::HttpJson),
    ] {
        assert_eq!(read_clean(&[(name, text)]).protocol, Some(protocol));
    }
    let (env, diagnostics) = read(&[(name, "grpc")]);
    assert_eq!(env.protocol, None);
    assert_eq!(kinds(&diagnostics), [DiagnosticKind::Unsupported]);
}

#[test]
fn b_013_c_003_the_timeout_is_in_milliseconds_and_zero_is_without_end() {
    assert_eq!(
        read_clean(&[(TIMEOUT, "2500")]).timeout,
        Some(Timeout::After(Duration::from_millis(2500)))
    );
    assert_eq!(
        read_clean(&[(TIMEOUT, "0")]).timeout,
        Some(Timeout::Infinite)
    );
}

#[test]
fn b_015_b_016_b_017_certificates_are_paths() {
    let env = read_clean(&[
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca file.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/key.pem"),
        ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "/cert.pem"),
    ]);
    assert_eq!(env.certificate, Some("/ca file.pem"));
    assert_eq!(env.client_key, Some("/key.pem"));
    assert_eq!(env.client_certificate, Some("/cert.pem"));
}

#[test]
fn b_017_a_key_and_a_certificate_are_used_together_or_not_at_all() {
    for (name, kind) in [
        (
            "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
            DiagnosticKind::KeyWithoutCertificate,
        ),
        (
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
            DiagnosticKind::CertificateWithoutKey,
        ),
    ] {
        let (env, diagnostics) = read(&[(name, "/x.pem")]);
        assert_eq!((env.client_key, env.client_certificate), (None, None));
        assert_eq!(kinds(&diagnostics), [kind]);
        assert_eq!(diagnostics.iter().next().unwrap().variable(), name);
    }
}

#[test]
fn b_018_b_019_b_032_variables_that_do_not_apply_are_not_asked_for() {
    for name in VARIABLES {
        assert!(
            !name.contains("INSECURE") && !name.contains("RETRY"),
            "{name}"
        );
    }
}

// B.3 Headers

#[test]
fn b_022_blanks_around_the_parts_do_not_count() {
    let (headers, problems) = headers_of(" a = 1 ,\tb\t=2\t,, ");
    assert_eq!(headers, owned(&[("a", "1"), ("b", "2")]));
    assert_eq!(problems, []);
}

#[test]
fn b_023_g1_only_the_first_equals_sign_separates() {
    assert_eq!(
        headers_of("api-key=YWJj==").0,
        owned(&[("api-key", "YWJj==")])
    );
}

#[test]
fn b_024_values_are_percent_decoded_and_a_plus_is_a_plus() {
    let (headers, problems) = headers_of("Authorization=Basic%20AAA,p=a+b,c=a%2Cb%3B%3d,e=");
    let expected = [
        ("Authorization", "Basic AAA"),
        ("p", "a+b"),
        ("c", "a,b;="),
        ("e", ""),
    ];
    assert_eq!(headers, owned(&expected));
    assert_eq!(problems, []);
}

#[test]
fn b_025_keys_are_tokens_and_not_decoded() {
    let (headers, problems) = headers_of("a%20b=1,a b=2,a:b=3,é=4");
    assert_eq!(headers, owned(&[("a%20b", "1")]));
    assert_eq!(problems, [HeaderProblemKind::BadKey; 3]);
}

#[test]
fn b_026_raw_spaces_in_a_value_are_accepted() {
    assert_eq!(
        headers_of("Authorization=Basic AAA").0,
        headers_of("Authorization=Basic%20AAA").0
    );
}

#[test]
fn b_027_g1_a_value_that_no_header_can_carry_is_left_out() {
    for value in [
        "%ff",
        "%0d%0aX:y",
        "a%0Ab",
        "a\r\nX: y",
        "%00",
        "é",
        "%C3%A9",
        "a\tb",
        "%7f",
        "a\n",
    ] {
        let text = format!("k={value},b=2");
        let (headers, problems) = headers_of(&text);
        assert_eq!(headers, owned(&[("b", "2")]), "{value:?}");
        assert_eq!(problems, [HeaderProblemKind::BadValue], "{value:?}");
    }
}

#[test]
fn b_028_a_malformed_member_is_left_out_and_the_rest_stays() {
    for (member, problem) in [
        ("novalue", HeaderProblemKind::NoEqualsSign),
        ("=v", HeaderProblemKind::EmptyKey),
        ("k=%zz", HeaderProblemKind::BadPercent),
        ("k=%", HeaderProblemKind::BadPercent),
        ("k=v;metadata=1", HeaderProblemKind::Metadata),
    ] {
        let text = format!("{member},b=2");
        let (headers, problems) = headers_of(&text);
        assert_eq!(headers, owned(&[("b", "2")]), "{member}");
        assert_eq!(problems, [problem], "{member}");
    }
    read_with(
        &[(HEADERS, "b=2,k=%zz")],
        "OTEL_EXPORTER_OTLP_HEADERS: member 2 (\"k\") has a '%' without two hexadecimal digits, \
         write %25 for '%'; leaving it out",
    );
}

#[test]
fn b_029_g1_the_last_of_equal_keys_wins() {
    let (headers, problems) = headers_of("a=1,B=2,A=3");
    assert_eq!(headers, owned(&[("B", "2"), ("A", "3")]));
    assert_eq!(problems, []);
}

#[test]
fn a_029_headers_of_the_protocol_cannot_be_set_but_the_user_agent_can() {
    let (headers, problems) = headers_of("Content-Type=x,HOST=y,content-length=1,User-Agent=me");
    assert_eq!(headers, owned(&[("User-Agent", "me")]));
    assert_eq!(problems, [HeaderProblemKind::Reserved; 3]);
}

#[test]
fn b_030_debug_output_has_keys_and_no_values() {
    let env = read_clean(&[(HEADERS, "api-key=hunter2")]);
    let shown = format!("{env:?} {:?}", env.headers.unwrap().iter());
    assert!(shown.contains("api-key") && !shown.contains("hunter2"));
    let (_, value) = env.headers.unwrap().iter().next().unwrap();
    assert!(!format!("{value:?}").contains("hunter2"));
}

#[test]
fn g2_headers_in_clear_text_are_noticed_unless_they_stay_on_the_machine() {
    for (endpoint, noticed) in [
        ("http://c:4318", true),
        ("https://c:4318", false),
        ("http://localhost:4318", false),
        ("http://127.0.0.1:4318", false),
        ("http://[::1]:4318", false),
    ] {
        let (env, diagnostics) = read(&[(ENDPOINT, endpoint), (HEADERS, "k=v")]);
        let expected: &[_] = if noticed {
            &[DiagnosticKind::HeadersInClear]
        } else {
            &[]
        };
        assert_eq!(kinds(&diagnostics), expected, "{endpoint}");
        assert_eq!(env.endpoint.unwrap().is_plaintext_remote(), noticed);
    }
    read_clean(&[(ENDPOINT, "http://c:4318")]);
    read_clean(&[(HEADERS, "k=v")]);
}

// C.1, C.2 General

#[test]
fn c_003_durations_of_zero_are_zero_and_timeouts_of_zero_are_infinite() {
    let env = read_clean(&[
        ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "0"),
    ]);
    assert_eq!(env.schedule_delay, Some(Duration::ZERO));
    assert_eq!(env.export_timeout, Some(Timeout::Infinite));
}

#[test]
fn c_004_propagators_are_read_when_the_sdk_is_disabled() {
    let env = read_clean(&[("OTEL_SDK_DISABLED", "true"), (PROPAGATORS, "tracecontext")]);
    assert_eq!(env.sdk_disabled, Some(true));
    assert_eq!(env.propagators, Some(Propagators::TRACE_CONTEXT));
}

fn attributes_of(text: &str) -> Option<Vec<(String, String)>> {
    let (env, diagnostics) = read(&[(RESOURCE, text)]);
    assert_eq!(env.resource_attributes.is_some(), diagnostics.is_empty());
    let read = env.resource_attributes?.iter();
    Some(
        read.map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
    )
}

#[test]
fn c_005_the_service_name_beats_the_one_among_the_attributes() {
    let resource = (RESOURCE, "service.name=b,region=eu");
    let env = read_clean(&[("OTEL_SERVICE_NAME", "a b%20"), resource]);
    assert_eq!(env.service_name, Some("a b%20"), "taken as written");
    let left: Vec<_> = env.resource_attributes.unwrap().iter().collect();
    assert!(matches!(left.as_slice(), [(key, _)] if *key == "region"));

    let env = read_clean(&[resource]);
    assert_eq!(env.resource_attributes.unwrap().iter().count(), 2);
}

#[test]
fn c_006_keys_and_values_of_resource_attributes_are_decoded() {
    assert_eq!(
        attributes_of("a%3Db=c%2Cd,ü=%C3%A9+%ff").unwrap(),
        owned(&[("a=b", "c,d"), ("ü", "é+\u{fffd}")])
    );
}

#[test]
fn c_007_any_error_discards_all_resource_attributes() {
    for text in ["a=1,b", "a=1,=2", "a=1,b=%zz", "%z=1,a=1", "a=1,,b=2"] {
        assert_eq!(attributes_of(text), None, "{text}");
    }
    read_with(
        &[(RESOURCE, "a=1,b")],
        "OTEL_RESOURCE_ATTRIBUTES: \"a=1,b\" has a pair without '='; using none of it",
    );
}

#[test]
fn c_009_blanks_and_a_trailing_comma_do_not_count() {
    assert_eq!(
        attributes_of(" a = 1 ,\tb=2, ").unwrap(),
        owned(&[("a", "1"), ("b", "2")])
    );
}

#[test]
fn c_011_log_levels() {
    for (text, level) in [
        ("error", LogLevel::Error),
        ("WARN", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
        ("none", LogLevel::None),
        ("off", LogLevel::None),
    ] {
        assert_eq!(
            read_clean(&[("OTEL_LOG_LEVEL", text)]).log_level,
            Some(level)
        );
    }
    assert_eq!(LogLevel::default(), LogLevel::Info);
    assert!(LogLevel::Error < LogLevel::Warn);
    let variables = [("OTEL_LOG_LEVEL", "loud")];
    assert_eq!(kinds(&read(&variables).1), [DiagnosticKind::Unknown]);
}

fn propagators_of(text: &str) -> (Option<Propagators>, Vec<DiagnosticKind>) {
    let (env, diagnostics) = read(&[(PROPAGATORS, text)]);
    (env.propagators, kinds(&diagnostics))
}

#[test]
fn c_012_propagators_are_a_set_and_others_are_skipped_aloud() {
    use DiagnosticKind::{NoPropagatorLeft, UnknownPropagator, UnsupportedPropagator};
    let all = Some(Propagators::TRACE_CONTEXT);
    assert_eq!(propagators_of("tracecontext"), (all, vec![]));
    assert_eq!(
        propagators_of(" TraceContext ,tracecontext,"),
        (all, vec![])
    );
    assert_eq!(
        propagators_of("tracecontext,baggage"),
        (all, vec![UnsupportedPropagator])
    );
    assert_eq!(
        propagators_of("b3,nonsense,tracecontext"),
        (all, vec![UnsupportedPropagator, UnknownPropagator])
    );
    assert_eq!(
        propagators_of("jaeger"),
        (None, vec![UnsupportedPropagator, NoPropagatorLeft])
    );
}

#[test]
fn c_013_none_wins_over_other_propagators() {
    let none = Some(Propagators::NONE);
    assert_eq!(propagators_of("none"), (none, vec![]));
    assert_eq!(propagators_of("none,none"), (none, vec![]));
    assert_eq!(
        propagators_of("tracecontext,none"),
        (none, vec![DiagnosticKind::NoneAmongOthers])
    );
}

// C.3 Sampler

#[test]
fn c_014_every_sampler_name() {
    for (text, sampler) in [
        ("always_on", SamplerChoice::AlwaysOn),
        ("always_off", SamplerChoice::AlwaysOff),
        ("traceidratio", SamplerChoice::TraceIdRatio(1.0)),
        ("parentbased_always_on", SamplerChoice::ParentBasedAlwaysOn),
        (
            "PARENTBASED_ALWAYS_OFF",
            SamplerChoice::ParentBasedAlwaysOff,
        ),
        (
            "parentbased_traceidratio",
            SamplerChoice::ParentBasedTraceIdRatio(1.0),
        ),
    ] {
        assert_eq!(read_clean(&[(SAMPLER, text)]).sampler, Some(sampler));
    }
    for (text, kind) in [
        ("jaeger_remote", DiagnosticKind::Unsupported),
        ("parentbased_jaeger_remote", DiagnosticKind::Unsupported),
        ("xray", DiagnosticKind::Unsupported),
        ("sometimes", DiagnosticKind::Unknown),
    ] {
        let (env, diagnostics) = read(&[(SAMPLER, text), (SAMPLER_ARG, "0.5")]);
        assert_eq!(env.sampler, None);
        assert_eq!(kinds(&diagnostics), [kind], "the argument adds nothing");
    }
}

#[test]
fn c_015_the_argument_is_a_ratio_of_a_ratio_sampler() {
    for (text, ratio) in [("0", 0.0), ("0.1", 0.1), ("1", 1.0), (" 2.5e-1 ", 0.25)] {
        let env = read_clean(&[(SAMPLER, "traceidratio"), (SAMPLER_ARG, text)]);
        assert_eq!(env.sampler, Some(SamplerChoice::TraceIdRatio(ratio)));
        let env = read_clean(&[(SAMPLER, "parentbased_traceidratio"), (SAMPLER_ARG, text)]);
        assert_eq!(
            env.sampler,
            Some(SamplerChoice::ParentBasedTraceIdRatio(ratio))
        );
    }
    for text in ["1.5", "abc", "-0.1", "+0.5", "nan", "inf", "1,0"] {
        let (env, diagnostics) = read(&[(SAMPLER, "traceidratio"), (SAMPLER_ARG, text)]);
        assert_eq!(
            env.sampler,
            Some(SamplerChoice::TraceIdRatio(1.0)),
            "{text}"
        );
        assert_eq!(kinds(&diagnostics), [DiagnosticKind::NotARatio], "{text}");
    }
    read_with(
        &[(SAMPLER, "traceidratio"), (SAMPLER_ARG, "1.5")],
        "OTEL_TRACES_SAMPLER_ARG: \"1.5\" is not a number from 0 to 1; using the default 1.0",
    );
}

#[test]
fn c_015_an_argument_without_a_ratio_sampler_is_ignored_aloud() {
    for (sampler, expected) in [("", None), ("always_off", Some(SamplerChoice::AlwaysOff))] {
        let (env, diagnostics) = read(&[(SAMPLER, sampler), (SAMPLER_ARG, "0.5")]);
        assert_eq!(env.sampler, expected);
        assert_eq!(kinds(&diagnostics), [DiagnosticKind::UnusedSamplerArg]);
    }
}

// C.4 Batches

#[test]
fn c_018_to_c_021_the_batch_processor() {
    let env = read_clean(&[
        ("OTEL_BSP_SCHEDULE_DELAY", "1000"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "2000"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "300"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "300"),
    ]);
    assert_eq!(env.schedule_delay, Some(Duration::from_secs(1)));
    assert_eq!(
        env.export_timeout,
        Some(Timeout::After(Duration::from_secs(2)))
    );
    assert_eq!(env.max_queue_size, Some(300));
    assert_eq!(env.max_export_batch_size, Some(300));
    for name in ["OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"] {
        let (env, diagnostics) = read(&[(name, "0")]);
        assert_eq!(
            (env.max_queue_size, env.max_export_batch_size),
            (None, None)
        );
        assert_eq!(kinds(&diagnostics), [DiagnosticKind::Zero]);
    }
    read_with(
        &[("OTEL_BSP_MAX_QUEUE_SIZE", "0")],
        "OTEL_BSP_MAX_QUEUE_SIZE: \"0\" is not more than zero; using the default 2048",
    );
}

#[test]
fn c_022_g3_a_batch_that_is_larger_than_the_queue_shrinks() {
    let env = read_with(
        &[
            ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "512"),
        ],
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE: \"512\" is more than the queue of 100 holds; using 100",
    );
    assert_eq!(env.max_export_batch_size, Some(100));

    // Against the default queue of 2,048.
    let variables = [("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "3000")];
    assert_eq!(read(&variables).0.max_export_batch_size, Some(512));

    assert_eq!(config::batch_size_within(None, 100), 100);
    assert_eq!(config::batch_size_within(None, 2048), 512);
    assert_eq!(config::batch_size_within(Some(2048), 2048), 2048);
}

// C.5 Limits

#[test]
fn c_023_to_c_030_limits_fall_back_to_the_general_ones() {
    let env = read_clean(&[
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "5"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "3"),
    ]);
    assert_eq!(env.attribute_value_length_limit, Some(5));
    assert_eq!(env.span_attribute_value_length_limit, Some(5));
    assert_eq!(env.attribute_count_limit, Some(3));
    assert_eq!(env.span_attribute_count_limit, Some(3));
    assert_eq!(env.event_attribute_count_limit, Some(3));
    assert_eq!(env.link_attribute_count_limit, Some(3));
    assert_eq!(env.span_event_count_limit, None);
    assert_eq!(env.span_link_count_limit, None);

    let env = read_clean(&[
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "5"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "3"),
        ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "0"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "1"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "2"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "4"),
        ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "6"),
        ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "7"),
    ]);
    assert_eq!(
        env.span_attribute_value_length_limit,
        Some(0),
        "zero is valid"
    );
    assert_eq!(env.span_attribute_count_limit, Some(1));
    assert_eq!(env.span_event_count_limit, Some(2));
    assert_eq!(env.span_link_count_limit, Some(4));
    assert_eq!(env.event_attribute_count_limit, Some(6));
    assert_eq!(env.link_attribute_count_limit, Some(7));
}

#[test]
fn c_026_a_bad_limit_falls_back_to_the_general_one_too() {
    let env = read_with(
        &[
            ("OTEL_ATTRIBUTE_COUNT_LIMIT", "3"),
            ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "-1"),
        ],
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: \"-1\" is less than zero; \
         using OTEL_ATTRIBUTE_COUNT_LIMIT if that is set, else the default 128",
    );
    assert_eq!(env.span_attribute_count_limit, Some(3));
}

#[test]
fn c_031_the_depth_limit_has_no_variable() {
    assert!(!VARIABLES.iter().any(|name| name.contains("DEPTH")));
}

// C.6 Exporters

#[test]
fn c_032_c_033_exporters() {
    let name = "OTEL_TRACES_EXPORTER";
    for (text, exporter) in [
        ("otlp", TracesExporter::Otlp),
        ("console", TracesExporter::Console),
        ("otlp/stdout", TracesExporter::OtlpStdout),
        ("None", TracesExporter::None),
    ] {
        assert_eq!(read_clean(&[(name, text)]).traces_exporter, Some(exporter));
    }
    for (text, kind) in [
        ("zipkin", DiagnosticKind::Unsupported),
        ("logging", DiagnosticKind::Unknown),
        ("otlp,console", DiagnosticKind::Unknown),
    ] {
        let (env, diagnostics) = read(&[(name, text)]);
        assert_eq!(env.traces_exporter, None);
        assert_eq!(kinds(&diagnostics), [kind]);
    }
}

#[test]
fn c_034_a_configuration_file_is_not_ignored_in_silence() {
    read_with(
        &[("OTEL_CONFIG_FILE", "/otel.yaml")],
        "OTEL_CONFIG_FILE: \"/otel.yaml\" is not read, configuration files are not supported; \
         using the variables",
    );
}

// Properties

/// Everything that can be printed about a configuration.
fn everything_said(env: &EnvConfig<'_>, diagnostics: &Diagnostics<'_>) -> String {
    let sentences: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
    format!("{env:?}\n{diagnostics:?}\n{}", sentences.join("\n"))
}

/// Text that is nearly right more often than chance would make it.
fn value() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[ -~]{0,8}",
        any::<String>(),
        proptest::sample::select(vec![
            "http://",
            "https://",
            "localhost",
            "[::1]",
            ":4318",
            "/v1/traces",
            "@",
            "?",
            "#",
            "=",
            ",",
            ";",
            "%",
            "%41",
            "%0d%0a",
            "%ff",
            "\r\n",
            "\t",
            "-",
            "+",
            "1",
            "65536",
            "0.5",
            "true",
            "gzip",
            "none",
            "tracecontext",
            "traceidratio",
            "service.name",
        ])
        .prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_input_panics_and_all_output_is_bounded_and_safe(
        values in proptest::collection::vec(proptest::option::of(value()), VARIABLES.len())
    ) {
        let lookups = Cell::new(0);
        let (env, diagnostics) = config::from_lookup(|name| {
            lookups.set(lookups.get() + 1);
            let place = VARIABLES.iter().position(|known| *known == name).unwrap();
            values[place].as_deref()
        });
        prop_assert!(lookups.get() <= 3 * VARIABLES.len());

        if let Some(endpoint) = env.endpoint {
            let url = url(endpoint);
            prop_assert!(url.bytes().all(|b| b.is_ascii_graphic()));
            prop_assert!(target(endpoint).starts_with('/'));
            prop_assert_ne!(endpoint.port(), 0);
            // What is written reads as the same place.
            let mut ignored = Diagnostics::new();
            let again = Endpoint::parse_exact(&url, &mut ignored).unwrap();
            prop_assert_eq!(again.port(), endpoint.port());
            prop_assert_eq!(again.host(), endpoint.host());
            prop_assert_eq!(self::url(again), url.clone());
        }
        if let Some(headers) = env.headers {
            let read = pairs(headers);
            prop_assert!(read.len() <= MAX_HEADERS);
            for (place, (key, value)) in read.iter().enumerate() {
                prop_assert!(!key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic()));
                prop_assert!(value.bytes().all(|b| (0x20..0x7f).contains(&b)));
                prop_assert!(read[..place].iter().all(|(k, _)| !k.eq_ignore_ascii_case(key)));
            }
        }
        if let Some(attributes) = env.resource_attributes {
            for (key, value) in attributes {
                let mut room = vec![0; value.encoded().len()];
                let bytes: Vec<_> = value.bytes().collect();
                prop_assert_eq!(value.write_to(&mut room), Some(bytes.as_slice()));
                prop_assert_eq!(value.to_string(), String::from_utf8_lossy(&bytes));
                prop_assert!(key.bytes().next().is_some());
            }
        }
        if let Some(SamplerChoice::TraceIdRatio(ratio)
            | SamplerChoice::ParentBasedTraceIdRatio(ratio)) = env.sampler
        {
            prop_assert!((0.0..=1.0).contains(&ratio));
        }
        let queue = env.max_queue_size.unwrap_or(config::DEFAULT_MAX_QUEUE_SIZE);
        prop_assert!(queue > 0);
        prop_assert!(env.max_export_batch_size.is_none_or(|batch| (1..=queue).contains(&batch)));
        prop_assert_eq!(env.client_key.is_some(), env.client_certificate.is_some());

        prop_assert!(diagnostics.len() <= 16);
        for diagnostic in &diagnostics {
            let sentence = diagnostic.to_string();
            prop_assert!(!sentence.contains(char::is_control), "{sentence:?}");
            prop_assert!(sentence.starts_with(diagnostic.variable()));
            prop_assert!(sentence.chars().count() < 1300, "{sentence}");
        }
    }

    #[test]
    fn g4_no_header_value_is_ever_shown(
        before in proptest::collection::vec("[a-z]{1,4}=[ -+--~]{0,6}", 0..3),
        start in "[a-z:;][a-z:; ]{0,5}(=[ -+--~é\r\n\t]{0,6})?",
        end in "=?[ -+--~é\r\n\t]{0,6}",
        remote in any::<bool>(),
    ) {
        let text = [before, vec![format!("{start} Hunter2{end}")]].concat().join(",");
        let endpoint = if remote { "http://c" } else { "https://c" };
        for name in [HEADERS, TRACES_HEADERS] {
            let (env, diagnostics) = read(&[(name, text.as_str()), (ENDPOINT, endpoint)]);
            let said = everything_said(&env, &diagnostics);
            prop_assert!(!said.contains("Hunter2"), "{said}");
        }
    }

    #[test]
    fn g4_no_credentials_of_a_url_are_ever_shown(
        scheme in "(http|https|ftp|HTTP)(://|:/|:)",
        user in "[ -~]{0,6}",
        password in "[ -~é\r\n]{0,6}",
        tail in "[ -~]{0,12}",
    ) {
        for text in [
            format!("{scheme}{user}:{password}Hunter2@{tail}"),
            format!("{scheme}c/p?key={password}Hunter2{tail}"),
        ] {
            for name in [ENDPOINT, TRACES_ENDPOINT] {
                let (env, diagnostics) = read(&[(name, text.as_str())]);
                let said = everything_said(&env, &diagnostics);
                prop_assert!(!said.contains("Hunter2"), "{text}: {said}");
            }
            let mut diagnostics = Diagnostics::new();
            let endpoint = Endpoint::parse_programmatic(&text, &mut diagnostics);
            let said = format!("{endpoint:?} {diagnostics:?}");
            prop_assert!(!said.contains("Hunter2"), "{text}: {said}");
            if let Err(error) = endpoint {
                prop_assert!(!error.to_string().contains("Hunter2"));
            }
        }
    }
}

/// Hundreds of kilobytes in every variable: linear work finishes at once, quadratic work would not.
#[test]
fn hostile_lengths_are_read_in_linear_time() {
    for piece in [
        ",",
        "a=1,",
        "a",
        "%41",
        "b3,",
        "=",
        "http://",
        "é",
        "k=%41%42,K=1,",
    ] {
        let text = piece.repeat(1 << 16);
        let (env, diagnostics) = config::from_lookup(|_| Some(&text));
        assert!(diagnostics.len() <= 16);
        assert!(env.headers.unwrap().iter().count() <= MAX_HEADERS);
        assert!(diagnostics.iter().all(|d| d.to_string().len() < 2000));
    }
}
