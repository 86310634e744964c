//! The general rules and the exporter's settings: spec B-001 to B-021.

use super::*;

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
            env::from_lookup(|name| variables.get(name).copied()).0
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
    let (env, diagnostics) = env::from_lookup(|_| Some(""));
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
