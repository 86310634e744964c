//! What is an error, what is a sentence, and what neither may show.

use super::*;
use spandrel_core::breaker::OpenInterval;
use spandrel_core::span::MIN_SCRATCH_BYTES;

fn one_header(name: &str, value: &str) -> Config {
    Config {
        headers: [("good".into(), "1".into()), (name.into(), value.into())].into(),
        ..Config::default()
    }
}

#[test]
fn every_mistake_in_code_says_what_to_do() {
    let empty = Config::default;
    let cases = [
        (
            Config {
                endpoint: "ftp://x".into(),
                ..empty()
            },
            "endpoint: \"ftp://x\" has a scheme other than http and https; give host:port or an \
             http or https URL, or leave it empty to ask the environment",
        ),
        (
            one_header("a b", "1"),
            "headers: member 2 has a key that is not a header name; correct it or leave it out",
        ),
        (
            one_header("", "1"),
            "headers: member 2 has a key that is not a header name; correct it or leave it out",
        ),
        (
            one_header("x-key", "a\r\nb: c"),
            "headers: member 2 (\"x-key\") has a value with other than visible ASCII characters, \
             spaces and tabs; correct it or leave it out",
        ),
        (
            Config {
                client_certificate: Some("c".into()),
                ..empty()
            },
            "client_certificate: there is no client_key with it; give the private key of the \
             certificate, or leave out both",
        ),
        (
            Config {
                client_key: Some("k".into()),
                ..empty()
            },
            "client_key: there is no client_certificate with it; give the certificate of the \
             key, or leave out both",
        ),
        (
            Config {
                max_queue_size: Some(0),
                ..empty()
            },
            "max_queue_size: must be at least 1; leave it out for 2048",
        ),
        (
            Config {
                max_export_batch_size: Some(0),
                ..empty()
            },
            "max_export_batch_size must be at least 1; leave it out for the default",
        ),
        (
            Config {
                gzip_level: Some(10),
                ..empty()
            },
            "gzip_level: 10 is above 9; give 1 (fastest) to 9 (smallest), or set compression to \
             none",
        ),
        (
            Config {
                max_span_bytes: Some(MIN_SCRATCH_BYTES - 1),
                ..empty()
            },
            "max_span_bytes: 97 cannot hold the fixed part of a span; give at least 98, and about \
             1024 for spans with attributes",
        ),
        (
            Config {
                buffer_bytes: Some(16_384),
                ..empty()
            },
            "buffer_bytes: 16384 cannot hold one span of max_span_bytes; raise it to at least \
             16392, or lower max_span_bytes",
        ),
        (
            Config {
                max_request_bytes: Some(usize::MAX),
                ..empty()
            },
            "max_request_bytes must be at most 64 MiB (67,108,864); leave it out for the default",
        ),
        (
            Config {
                backoff: Some(BackoffConfig {
                    initial: Duration::ZERO,
                    ..BackoffConfig::DEFAULT
                }),
                ..empty()
            },
            "backoff: the initial backoff delay is zero; start from BackoffConfig::DEFAULT",
        ),
        (
            Config {
                breaker: Some(BreakerConfig {
                    open: OpenInterval::Fixed(Duration::ZERO),
                    ..BreakerConfig::DEFAULT
                }),
                ..empty()
            },
            "breaker: the open interval of the circuit breaker is zero; start from \
             BreakerConfig::DEFAULT",
        ),
    ];
    for (config, sentence) in cases {
        assert_eq!(error(&config).to_string(), sentence);
        // A mistake does not hide behind the switch.
        let disabled =
            config.resolve_with(|name| (name == "OTEL_SDK_DISABLED").then(|| "true".into()));
        assert!(disabled.is_err());
    }
}

#[test]
fn no_mistake_in_the_environment_is_an_error() {
    for text in [
        "",
        " ",
        "-1",
        "0",
        "99999999999999999999",
        "%zz",
        "=",
        "\u{7f}ä",
        "a=b=c;",
    ] {
        for config in [Config::default(), Config::development("x"), full()] {
            let variables: Vec<_> = spandrel_core::env::VARIABLES
                .iter()
                .map(|name| (*name, text))
                .collect();
            let settings = with(&config, &variables);
            assert!(settings.exporter.validate().is_ok());
        }
    }
}

/// Fault X25.
#[test]
fn headers_of_a_variable_in_clear_text_are_said_once_and_kept() {
    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.ns:4318");
    const KEY: (&str, &str) = ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=abc");
    const TENANT: (&str, &str) = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-scope-orgid=abc");
    let in_code = |endpoint: &str| Config {
        endpoint: endpoint.into(),
        ..Config::default()
    };
    let sentence = |source: &str, name: &str| {
        format!(
            "{source}: `{name}` crosses the network in clear text, because the endpoint is http \
             and not this machine; use https, or set allow_plaintext_credentials in code if it may"
        )
    };
    for (config, variables, expected) in [
        (
            in_code(""),
            vec![ENDPOINT, KEY],
            vec![sentence(KEY.0, "api-key")],
        ),
        (
            in_code("http://elsewhere"),
            vec![KEY],
            vec![sentence(KEY.0, "api-key")],
        ),
        (
            in_code(""),
            vec![ENDPOINT, TENANT, KEY],
            vec![sentence(TENANT.0, "x-scope-orgid")],
        ),
        (
            one_header("api-key", "abc"),
            vec![ENDPOINT],
            vec![sentence("headers", "api-key")],
        ),
        (one_header("x-tenant", "abc"), vec![ENDPOINT], vec![]),
        (in_code("localhost"), vec![KEY], vec![]),
        (in_code("https://elsewhere"), vec![KEY], vec![]),
    ] {
        let settings = with(&config, &variables);
        assert_eq!(settings.diagnostics, expected);
        assert!(!settings.headers.is_empty());
        let http = settings.http().unwrap().check().unwrap();
        assert_eq!(http.diagnostics(), Vec::<String>::new(), "said twice");
        for quiet in [
            Config {
                allow_plaintext_credentials: true,
                ..config.clone()
            },
            Config {
                refuse_plaintext_credentials: true,
                ..config
            },
        ] {
            assert_eq!(with(&quiet, &variables).diagnostics, Vec::<String>::new());
        }
    }
}

/// Spec C-012, fault X31.
#[test]
fn propagators_that_are_not_obeyed_are_said() {
    let said = |text: &str| with(&Config::default(), &[("OTEL_PROPAGATORS", text)]).diagnostics;
    for obeyed in [
        "tracecontext",
        "tracecontext,baggage",
        "b3",
        "b3multi",
        "none",
    ] {
        assert_eq!(said(obeyed), Vec::<String>::new());
    }
    let xray = said("tracecontext,xray");
    assert_eq!(xray.len(), 1, "{xray:?}");
    assert!(xray[0].contains("\"xray\" is not supported here"));
}

/// Fault X27.
#[test]
fn what_does_not_fit_into_the_resource_is_left_out_and_named() {
    let long = "x".repeat(70_000);
    let list = format!("team=storage,huge={long},zone=a");
    let settings = with(
        &Config::default(),
        &[
            ("OTEL_RESOURCE_ATTRIBUTES", &list),
            ("OTEL_SERVICE_NAME", &long),
        ],
    );
    assert_eq!(settings.resource.text("team"), Some("storage"));
    assert_eq!(settings.resource.text("zone"), Some("a"));
    assert_eq!(settings.resource.text("huge"), None);
    let name = settings.resource.text("service.name").unwrap();
    assert!(name.starts_with("unknown_service:"), "{name}");
    let said = &settings.diagnostics;
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].ends_with("leaving out \"service.name\", \"huge\""),
        "{said:?}"
    );
    // What fits is all there.
    let many: String = (0..1_000).map(|n| format!("key{n}=value{n},")).collect();
    let settings = with(&Config::default(), &[("OTEL_RESOURCE_ATTRIBUTES", &many)]);
    assert_eq!(settings.resource.text("key999"), Some("value999"));
    assert!(settings.diagnostics.is_empty());
}

#[test]
fn diagnostics_beyond_the_limit_are_counted() {
    let variables: Vec<_> = spandrel_core::env::VARIABLES
        .iter()
        .map(|name| (*name, "%"))
        .collect();
    let settings = with(&Config::default(), &variables);
    // The names of detectors are judged apart.
    assert_eq!(settings.diagnostics.len(), 17 + 1);
    let counted = &settings.diagnostics[16];
    assert!(
        counted.ends_with("more problems with the variables are not shown"),
        "{counted}"
    );
}

#[test]
fn an_attribute_without_a_key_is_reported() {
    let config = Config {
        resource_attributes: [(String::new(), "x".into())].into(),
        ..Config::default()
    };
    assert_eq!(
        with(&config, &[]).diagnostics,
        ["resource_attributes: member 1 has no key; leaving it out"]
    );
}

#[test]
fn nothing_shows_a_secret() {
    let config = Config {
        endpoint: "https://me:hunter2@collector.example/p?key=hunter2".into(),
        ..one_header("authorization", "Bearer hunter2")
    };
    let exact = "https://collector.example/p?key=hunter2";
    let variables = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", exact),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "authorization=hunter2,hunter2,hunter2 x=1,a=%hunter2",
        ),
    ];
    let from_code = with(&config, &variables);
    let from_env = with(&Config::default(), &variables);
    for text in [
        format!("{config:?}"),
        format!("{from_code:?}"),
        format!("{from_env:?}"),
    ] {
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("https://collector.example/p"), "{text}");
        assert!(text.contains("authorization"), "{text}");
    }
    // They are there nevertheless.
    assert!(matches!(&from_env.target, Target::Otlp { url, origin }
        if url == exact && !origin.contains("hunter2")));
    assert!(
        from_code
            .headers
            .iter()
            .any(|(_, value)| value == "Bearer hunter2")
    );

    for refused in [
        one_header("authorization", "hunter2\n"),
        one_header("Bearer hunter2", "x"),
        Config {
            endpoint: "ftp://me:hunter2@x".into(),
            ..Config::default()
        },
        Config {
            endpoint: "https://me:hun/ter2@x:0?hunter2".into(),
            ..Config::default()
        },
    ] {
        let error = error(&refused);
        assert!(
            !format!("{error:?} {error}").contains("hunter2"),
            "{error:?}"
        );
    }
}

#[test]
fn the_debug_output_names_every_field_and_a_sampler() {
    let config = Config {
        sampler: Some(Arc::new(spandrel_core::sampler::AlwaysOn)),
        ..Config::default()
    };
    let text = format!("{config:?}");
    assert!(text.starts_with("Config { enabled: false, service_name: \"\","));
    assert!(text.contains("sampler: Some(AlwaysOnSampler)"), "{text}");
    assert!(format!("{:?}", alone(&config)).contains("sampler: AlwaysOnSampler"));
}

#[test]
fn the_environment_of_the_process_is_read() {
    let config = Config::development("x");
    let settings = config.resolve().unwrap();
    assert_eq!(settings.resource.text("service.name"), Some("x"));
}
