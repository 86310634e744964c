//! Every variable with every kind of wrong value, through the start of both transports.

use std::time::Duration;

use spandrel_core::hosted::diagnostics::set_handler;
use spandrel_transport_std::Config;

use crate::child::say;
use crate::start::{TRANSPORT, config};

/// Values that people write by mistake, or by malice.
fn nasty() -> Vec<String> {
    let long = "x".repeat(70_000);
    let many: String = (0..5_000).map(|n| format!("key{n}=value{n},")).collect();
    let mut values: Vec<String> = [
        "",
        " ",
        "\"\"",
        "'x'",
        "true",
        "TRUE ",
        "0",
        "1",
        "-1",
        "1.5",
        "5s",
        "NaN",
        "inf",
        "1e400",
        "4294967295",
        "18446744073709551615",
        "99999999999999999999",
        "%",
        "%zz",
        "=",
        ",,,",
        "a=b",
        "a=b=c;",
        "\u{7f}\u{e4}",
        "\u{1b}[31m\r\n\t",
        "\u{feff}1",
        "none",
        "console",
        "otlp,console",
        "otlp",
        "gzip",
        "grpc",
        "baggage",
        "none,b3",
        "always_off",
        "http/json",
        "off",
        // Files.
        "/",
        "/dev/null",
        "/dev/zero",
        ".",
        "/proc/self/mem",
        "missing.pem",
        "/etc/passwd",
        // Headers.
        "api-key=abc",
        "Authorization: Bearer abc",
        "authorization=Bearer abc",
        "host=evil",
        "content-length=3",
        "a=b\nc: d",
        "user-agent=%00",
        "connection=close",
        "x=%0d%0ay",
        // Addresses.
        "\"http://localhost:1\"",
        "http://",
        "https://",
        "http://localhost:1",
        "localhost:4317",
        "https://localhost:1/v1/traces",
        "http://user:pw@h:1",
        "http://192.0.2.1:1",
        "//h",
        "https://other.example:4318",
        "http://[::1]:1",
        "http://[::1%25lo]:1",
        "http://[::1",
        "http://256.256.256.256:1",
        "http://1.2.3:1",
        "http://a..b:1",
        "http://-x-:1",
        "http://.:1",
        "https://xn--:1",
        "http://xn--a:1",
        "http://a_b:1",
        "http://0x7f.1:1",
        "http://h:0",
        "http://h:99999",
        "http://h?x#y",
        "http://h/%zz",
        "http://h/a b",
        "http://h/|^`<>",
        "http://h\\x:1",
        "http://*:1",
        "http://a%b:1",
        "http://h:1:2",
        "ftp://h",
        "file:///etc",
        "unix:///run/x",
        "grpc://h:4317",
        "http://%31:1",
        "http://h!$&'()*+,;=:1",
        "http://~:1",
    ]
    .map(String::from)
    .to_vec();
    values.extend([
        long.clone(),
        format!("http://{long}:1"),
        format!("https://h/{long}"),
        format!("a={long},b=1"),
        many,
    ]);
    values
}

/// Starts a pipeline for each variable with each value, beside variables that make it matter.
pub(crate) fn table() {
    let is_std = std::env::var(TRANSPORT).is_ok_and(|name| name == "std");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let start = |config: &Config, variables: &[(&str, &str)], what: &str| {
        let lookup = |wanted: &str| {
            let found = variables.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| (*value).to_owned())
        };
        let settings = match config.resolve_with(lookup) {
            Ok(settings) => settings,
            Err(error) => return say(&format!("{what}: {error}")),
        };
        let error = match is_std {
            true => spandrel_transport_std::start(&settings)
                .err()
                .map(|it| it.to_string()),
            false => spandrel_transport_async::start(&settings)
                .err()
                .map(|it| it.to_string()),
        };
        if let Some(error) = error {
            say(&format!("{what}: {error}"));
        }
    };
    set_handler(Box::new(|_| {}));
    let config = Config {
        shutdown_timeout: Duration::ZERO,
        set_global: false,
        ..config()
    };
    let in_code = Config {
        endpoint: "https://localhost:1".into(),
        ..config.clone()
    };
    const HTTPS: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://localhost:1");
    const ELSEWHERE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://192.0.2.1:1");
    const PEM: (&str, &str) = ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/etc/passwd");
    const KEY: (&str, &str) = ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=abc");
    let mut starts = 0;
    for value in nasty() {
        for name in spandrel_core::env::VARIABLES {
            let what = || format!("{name}={:.60?}", value);
            // With a client of its own each start takes long; these are the variables it sees.
            let reaches_client = name.contains("OTLP") || name.contains("EXPORTER");
            if !is_std && !reaches_client {
                continue;
            }
            let mine = (*name, value.as_str());
            start(&config, &[mine], &what());
            starts += 1;
            if reaches_client {
                start(&config, &[mine, HTTPS, PEM], &what());
                start(&config, &[mine, ELSEWHERE, KEY], &what());
                start(&in_code, &[mine, KEY], &what());
                starts += 3;
            }
        }
        let all: Vec<_> = spandrel_core::env::VARIABLES
            .iter()
            .map(|name| (*name, value.as_str()))
            .collect();
        start(&config, &all, &format!("all={value:.60?}"));
        runtime.block_on(tokio::task::yield_now());
    }
    say(&format!(
        "{} starts",
        if starts > 2000 { "many" } else { "few" }
    ));
}
