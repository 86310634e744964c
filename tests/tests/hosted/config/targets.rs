//! Where spans go, and with which headers and certificates.

use super::*;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const LOCAL: &str = "http://localhost:4318/v1/traces";
const STDOUT: &str = "stdout";

fn to(endpoint: &str) -> Config {
    Config {
        enabled: true,
        endpoint: endpoint.into(),
        ..Config::default()
    }
}

fn shown(target: &Target) -> &str {
    match target {
        Target::Otlp { url, .. } => url,
        Target::Stdout { immediate: false } => STDOUT,
        Target::Stdout { immediate: true } => "console",
        Target::None => "none",
        _ => "unknown",
    }
}

#[test]
fn the_endpoint_in_code_is_an_address_or_a_base_url() {
    for (endpoint, url, origin) in [
        ("localhost:4318", LOCAL, "http://localhost:4318"),
        (
            "127.0.0.1",
            "http://127.0.0.1:4318/v1/traces",
            "http://127.0.0.1:4318",
        ),
        (
            "collector.example:4318",
            "https://collector.example:4318/v1/traces",
            "https://collector.example:4318",
        ),
        (
            "http://collector/otlp/",
            "http://collector/otlp/v1/traces",
            "http://collector:80",
        ),
        ("[::1]:9", "http://[::1]:9/v1/traces", "http://[::1]:9"),
    ] {
        let expected = Target::Otlp {
            url: url.into(),
            origin: origin.into(),
        };
        assert_eq!(alone(&to(endpoint)).target, expected);
    }
    for empty in ["", "  "] {
        assert_eq!(shown(&alone(&to(empty)).target), STDOUT);
    }
}

#[test]
fn the_exporter_and_the_endpoints_of_the_environment_are_weighed() {
    let env = (ENDPOINT, "https://env.example");
    let env_url = "https://env.example/v1/traces";
    let rows: &[(&[(&str, &str)], &str)] = &[
        (&[], STDOUT),
        (&[env], env_url),
        (
            &[env, (TRACES_ENDPOINT, "http://t/x?y=1")],
            "http://t/x?y=1",
        ),
        (&[(EXPORTER, "otlp")], LOCAL),
        (&[(EXPORTER, "otlp"), env], env_url),
        (&[(EXPORTER, "console")], "console"),
        (&[(EXPORTER, "console"), env], "console"),
        (&[(EXPORTER, "otlp/stdout"), env], STDOUT),
        (&[(EXPORTER, "none"), env], "none"),
    ];
    for (variables, expected) in rows {
        let settings = with(&to(""), variables);
        assert_eq!(settings.diagnostics, Vec::<String>::new());
        assert_eq!(shown(&settings.target), *expected, "{variables:?}");
        assert_eq!(settings.is_recording(), *expected != "none");
    }
}

#[test]
fn a_bad_wish_for_a_collector_goes_where_its_diagnostic_says() {
    for (variables, default) in [
        ([(ENDPOINT, "localhost:4318")], "http://localhost:4318"),
        ([(TRACES_ENDPOINT, "ftp://x")], LOCAL),
        ([(EXPORTER, "zipkin")], "otlp"),
    ] {
        let settings = with(&to(""), &variables);
        assert_eq!(shown(&settings.target), LOCAL, "{variables:?}");
        let [reported] = &settings.diagnostics[..] else {
            panic!("{:?}", settings.diagnostics);
        };
        let ending = format!("the default {default}");
        assert!(
            reported.starts_with(variables[0].0) && reported.ends_with(&ending),
            "{reported}"
        );
    }
}

#[test]
fn the_endpoint_in_code_beats_the_exporter_of_the_environment_and_says_so() {
    let config = to("localhost:4318");
    let settings = with(&config, &[(EXPORTER, "none"), (ENDPOINT, "%")]);
    assert_eq!(shown(&settings.target), LOCAL);
    assert_eq!(
        settings.diagnostics,
        [
            "OTEL_EXPORTER_OTLP_ENDPOINT: not used, because `endpoint` is set in code or by a \
             preset of `Config`; leave it out there to use the variable",
            "OTEL_TRACES_EXPORTER: not used, because the endpoint is set in code; \
             set OTEL_SDK_DISABLED=true to silence this program"
        ]
    );
    assert!(with(&config, &[(EXPORTER, "otlp")]).diagnostics.is_empty());
}

#[test]
fn an_odd_endpoint_in_code_is_reported() {
    let settings = with(&to("https://me:hunter2@collector:4317"), &[]);
    assert_eq!(shown(&settings.target), "https://collector:4317/v1/traces");
    assert_eq!(
        settings.diagnostics,
        [
            "endpoint: the user name or password in the URL is not sent; \
             use an authorization header in OTEL_EXPORTER_OTLP_HEADERS",
            "endpoint: 4317 is the port of OTLP over gRPC, and this is OTLP over HTTP; \
             collectors listen for it on 4318",
        ]
    );
}

#[test]
fn the_headers_of_the_signal_replace_the_generic_ones() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=1"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "b=2,c=%,Host=x"),
    ];
    let settings = with(&to(""), &variables);
    assert_eq!(settings.headers, [("b".into(), "2".into())]);
    assert_eq!(settings.diagnostics.len(), 2);
}

#[test]
fn headers_in_code_are_taken_as_they_are_and_each_once() {
    let pair = |name: &str, value: &str| (String::from(name), String::from(value));
    let config = Config {
        headers: [
            pair("X-Key", "old"),
            pair("other", "a%20b;c=d"),
            pair("Content-Length", "1"),
            pair("x-key", "new"),
        ]
        .into(),
        ..to("")
    };
    let settings = with(&config, &[]);
    assert_eq!(
        settings.headers,
        [pair("other", "a%20b;c=d"), pair("x-key", "new")]
    );
    assert_eq!(
        settings.diagnostics,
        ["headers: member 3 (\"Content-Length\") is set by the protocol itself; leaving it out"]
    );
}

#[test]
fn a_client_certificate_and_its_key_come_from_one_source() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "env.pem"),
        ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "env.key"),
    ];
    let pair = |settings: Settings| (settings.client_certificate, settings.client_key);
    assert_eq!(
        pair(with(&to(""), &variables)),
        (Some("env.pem".into()), Some("env.key".into()))
    );
    assert_eq!(
        pair(with(&full(), &variables)),
        (Some("code.pem".into()), Some("code.key".into()))
    );
    // Half a pair in the environment is no use, and no error.
    let half = with(&to(""), &variables[..1]);
    assert_eq!(half.diagnostics.len(), 1);
    assert_eq!(pair(half), (None, None));
    // Half a pair in code is not completed from elsewhere.
    let mixed = Config {
        client_certificate: None,
        ..full()
    };
    let refused = mixed.resolve_with(|name| {
        let mut variables = variables.iter();
        let found = variables.find(|(known, _)| *known == name);
        found.map(|(_, text)| String::from(*text))
    });
    assert_eq!(refused.unwrap_err(), SettingsError::KeyWithoutCertificate);
}

// spec A-030, spec C-032
#[test]
fn further_destinations_have_their_own_settings_and_nothing_secret_of_the_first() {
    use spandrel_core::hosted::config::{FurtherDestination, SettingsError};
    let mut vendor = FurtherDestination::collector("https://vendor.example");
    vendor.headers = vec![("api-key".into(), "hunter2".into())];
    vendor.timeout = Some(Duration::from_secs(3));
    assert!(!format!("{vendor:?}").contains("hunter2"));
    let config = Config {
        headers: vec![("authorization".into(), "secret".into())],
        max_queue_size: Some(77),
        further_destinations: vec![vendor],
        ..to("https://collector.example")
    };
    let settings = with(&config, &[("OTEL_BSP_SCHEDULE_DELAY", "1234")]);
    let [further] = &settings.further[..] else {
        panic!("{:?}", settings.further);
    };
    assert_eq!(shown(&further.target), "https://vendor.example/v1/traces");
    assert_eq!(further.headers, [("api-key".into(), "hunter2".into())]);
    assert_eq!(further.max_queue_size, 77);
    let millis = Duration::from_millis;
    assert_eq!(further.exporter.batch.scheduled_delay, millis(1234));
    assert_eq!(further.exporter.export_timeout, millis(3_000));
    assert_eq!(settings.exporter.export_timeout, millis(10_000));
    assert_eq!(
        settings.headers,
        [("authorization".into(), "secret".into())]
    );
    assert_eq!(
        settings.targets(),
        "https://collector.example:443 and https://vendor.example:443"
    );
    for endpoint in ["", " ", "ftp://x"] {
        let config = Config {
            further_destinations: vec![FurtherDestination::collector(endpoint)],
            ..to("here:1")
        };
        let error = config.resolve_with(|_| None).err();
        let Some(SettingsError::Further { number: 1, .. }) = error else {
            panic!("{error:?}");
        };
    }
}

// spec C-032
#[test]
fn a_list_of_exporters_in_the_environment_is_obeyed_where_code_says_nothing() {
    let env = (ENDPOINT, "https://env.example");
    for (text, first, further) in [
        (
            "otlp,console",
            "https://env.example/v1/traces",
            &["console"][..],
        ),
        (
            "console,otlp",
            "https://env.example/v1/traces",
            &["console"],
        ),
        ("console, otlp/stdout", "console", &[STDOUT]),
        ("console,console", "console", &[]),
    ] {
        let settings = with(&to(""), &[(EXPORTER, text), env]);
        assert_eq!(settings.diagnostics, Vec::<String>::new());
        assert_eq!(shown(&settings.target), first, "{text}");
        let shown: Vec<_> = settings
            .further
            .iter()
            .map(|it| shown(&it.target))
            .collect();
        assert_eq!(shown, further, "{text}");
    }
    let settings = with(&to("here:1"), &[(EXPORTER, "otlp,console")]);
    assert!(settings.further.is_empty());
    assert_eq!(settings.diagnostics.len(), 1, "{:?}", settings.diagnostics);
    let settings = with(&to(""), &[(EXPORTER, "otlp,zipkin,loki"), env]);
    assert!(settings.further.is_empty());
    assert_eq!(
        settings.diagnostics,
        [
            "OTEL_TRACES_EXPORTER: \"zipkin\" is not known here; leaving it out",
            "OTEL_TRACES_EXPORTER: \"loki\" is not known here; leaving it out",
        ]
    );
    assert!(!with(&to(""), &[(EXPORTER, "none,zipkin")]).is_recording());
}
