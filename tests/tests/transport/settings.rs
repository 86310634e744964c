//! Faults G1 to G4: settings that cannot work, and secrets that must not show.

use std::time::Duration;

use spandrel_core::backoff::BackoffConfig;
use spandrel_core::breaker::{BreakerConfig, OpenInterval};
use spandrel_core::response::DropReason;
use spandrel_tests::fault_server::{Reply, Script};
use spandrel_transport_std::{Config, init, start};

use crate::harness::{PATIENCE, Rig, complete, config};

const SECRET: &str = "s3cr3t";

#[track_caller]
fn refused(config: Config) -> String {
    assert!(!format!("{config:?}").contains(SECRET));
    let error = init(config).expect_err("settings that cannot work");
    let text = error.to_string();
    assert!(
        text.starts_with("failed to create OTLP exporter: "),
        "{text}"
    );
    assert!(!text.contains(SECRET), "{text}");
    assert!(!format!("{error:?}").contains(SECRET), "{error:?}");
    text
}

#[test]
fn g1_headers_that_cannot_be_sent_are_named_without_their_values() {
    let bad: [(&str, String); 5] = [
        ("x-line", format!("{SECRET}\r\nx-injected: 1")),
        ("x-nul", format!("{SECRET}\0")),
        ("x-control", format!("{SECRET}\u{7f}")),
        ("bad name", SECRET.into()),
        ("", SECRET.into()),
    ];
    for (name, value) in bad {
        let text = refused(Config {
            headers: vec![(name.into(), value)],
            ..config("localhost:4318")
        });
        assert!(text.contains("member 1"), "{text}");
        assert!(!name.starts_with("x-") || text.contains(name), "{text}");
    }
}

#[test]
fn g1_good_headers_arrive_once_each() {
    let rig = Rig::with(Script::new(), |config| {
        config.headers = vec![
            ("x-tenant".into(), "first".into()),
            ("X-Tenant".into(), "a=b,%20c".into()),
            ("authorization".into(), format!("Bearer {SECRET}")),
        ];
    });
    rig.deliver(1);
    let end = rig.close();
    let request = &end.server.requests()[0];
    assert_eq!(request.header_values("x-tenant"), ["a=b,%20c"]);
    assert_eq!(
        request.header_values("authorization"),
        [format!("Bearer {SECRET}")]
    );
}

#[test]
fn g2_endpoints_that_cannot_work_are_refused() {
    for endpoint in [
        "ftp://localhost:4318",
        "localhost:0",
        "http://",
        "http://localhost:99999",
        "https://user:s3cr3t@:4318",
        "local host:4318",
    ] {
        refused(config(endpoint));
    }
}

#[test]
fn g2_credentials_stay_off_plain_text_to_other_hosts() {
    let with_header = |endpoint: &str| Config {
        headers: vec![("authorization".into(), SECRET.into())],
        ..config(endpoint)
    };
    let text = refused(Config {
        refuse_plaintext_credentials: true,
        ..with_header("http://collector.example:4318")
    });
    assert!(text.contains("authorization"), "{text}");
    // Credentials in a URL are not sent at all.
    let in_url = config("http://user:s3cr3t@collector.example:4318")
        .resolve()
        .unwrap();
    assert_eq!(in_url.diagnostics.len(), 1);
    assert!(!in_url.diagnostics[0].contains(SECRET));
    let said = with_header("http://collector.example:4318")
        .resolve()
        .unwrap()
        .diagnostics;
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("`authorization` crosses the network in clear text"));
    assert!(!said[0].contains(SECRET));
    for config in [
        with_header("https://collector.example:4318"),
        with_header("http://collector.example:4318"),
        with_header("http://localhost:4318"),
        with_header("http://[::1]:4318"),
        Config {
            allow_plaintext_credentials: true,
            ..with_header("http://collector.example:4318")
        },
    ] {
        assert!(init(config).unwrap().shutdown(PATIENCE).is_success());
    }
}

#[test]
fn g3_numbers_that_cannot_work_are_refused() {
    let backoff = |edit: fn(&mut BackoffConfig)| {
        let mut backoff = BackoffConfig::DEFAULT;
        edit(&mut backoff);
        Config {
            backoff: Some(backoff),
            ..config("localhost:4318")
        }
    };
    let breaker = |edit: fn(&mut BreakerConfig)| {
        let mut breaker = BreakerConfig::DEFAULT;
        edit(&mut breaker);
        Config {
            breaker: Some(breaker),
            ..config("localhost:4318")
        }
    };
    for config in [
        backoff(|it| it.initial = Duration::ZERO),
        backoff(|it| it.multiplier_permille = 999),
        backoff(|it| it.cap = Duration::from_nanos(1)),
        breaker(|it| it.failure_threshold = 0),
        breaker(|it| it.open = OpenInterval::Fixed(Duration::ZERO)),
        breaker(|it| it.jitter_percent = 101),
        Config {
            max_queue_size: Some(0),
            ..config("localhost:4318")
        },
        Config {
            max_export_batch_size: Some(0),
            ..config("localhost:4318")
        },
        Config {
            max_request_bytes: Some((64 << 20) + 1),
            ..config("localhost:4318")
        },
        Config {
            shard_bytes: Some(16),
            ..config("localhost:4318")
        },
    ] {
        refused(config);
    }
}

#[test]
fn g3_no_retries_means_one_attempt() {
    let rig = Rig::with(Reply::status(503), |config| {
        config.backoff.as_mut().unwrap().max_retries = 0;
    });
    complete(rig.batch(2));
    rig.close()
        .is(0, &[(DropReason::RetryExhausted, 2)])
        .attempts(1);
}

#[test]
fn g3_a_batch_larger_than_the_queue_is_cut_and_said() {
    let config = Config {
        max_queue_size: Some(3),
        max_export_batch_size: Some(100),
        ..config("localhost:4318")
    };
    let settings = config.resolve().unwrap();
    assert_eq!(settings.exporter.batch.max_export_batch_size, 3);
    assert_eq!(settings.diagnostics.len(), 1);
}

#[test]
fn g4_no_secret_shows_in_any_debug_text() {
    let config = Config {
        endpoint: format!("https://user:{SECRET}@collector.example:4318/{SECRET}?key={SECRET}"),
        headers: vec![("authorization".into(), format!("Bearer {SECRET}"))],
        ..config("")
    };
    let settings = config.resolve().unwrap();
    let telemetry = start(&settings).unwrap();
    let token = telemetry.cancel_token();
    let provider = telemetry.provider().clone();
    for text in [
        format!("{config:?}"),
        format!("{settings:?}"),
        format!("{telemetry:?}"),
        format!("{token:?}"),
        format!("{provider:?}"),
        format!("{:?}", telemetry.tracer("any").start("span")),
    ] {
        // The path of an endpoint may be shown, its credentials and its query may not.
        let shown = text.replace(&format!("4318/{SECRET}"), "");
        assert!(!shown.contains(SECRET), "{text}");
    }
    let _ = telemetry.shutdown(Duration::ZERO);
}
