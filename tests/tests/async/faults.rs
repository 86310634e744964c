//! Faults over real sockets.

use std::time::{Duration, Instant};

use spandrel_core::breaker::State;
use spandrel_core::response::DropReason;
use spandrel_tests::fault_server::{FaultServer, Front, Reply, Script};
use spandrel_tests::tls::{Authority, self_signed};
use spandrel_transport_async::{Config, Telemetry, init};

use crate::support::{PATIENCE, assert_delivered, config, record};

/// Ten spans to a server that answers so, flushed for up to `PATIENCE`.
async fn export(server: &FaultServer, config: Config) -> Telemetry {
    let telemetry = init(config).unwrap();
    record(&telemetry.tracer("test"), server, 10);
    let _ = telemetry.force_flush(PATIENCE).await;
    telemetry
}

async fn export_to(script: impl Into<Script>) -> (FaultServer, Telemetry) {
    let server = FaultServer::start(script);
    let telemetry = export(&server, config(&server.url())).await;
    assert!(telemetry.ledger().is_balanced());
    (server, telemetry)
}

fn dropped(telemetry: &Telemetry, reason: DropReason) -> u64 {
    telemetry.ledger().dropped(reason)
}

#[tokio::test]
async fn n1_a_refused_connection_is_tried_again() {
    let server = FaultServer::start(Script::new());
    server.available(false);
    let telemetry = init(config(&server.url())).unwrap();
    record(&telemetry.tracer("test"), &server, 10);
    let (report, ()) = tokio::join!(telemetry.force_flush(PATIENCE), async {
        while telemetry.stats().attempts < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.available(true);
    });
    assert!(report.is_success(), "{report:?}");
    assert_delivered(&telemetry, &server, 10);
}

#[tokio::test]
async fn n3_a_server_that_never_answers_meets_the_deadline() {
    let server = FaultServer::start(Script::new().then(Reply::Hang));
    let config = Config {
        timeout: Some(Duration::from_millis(200)),
        ..config(&server.url())
    };
    let begin = Instant::now();
    let telemetry = export(&server, config).await;
    assert!(begin.elapsed() >= Duration::from_millis(200));
    assert_delivered(&telemetry, &server, 10);
    assert_eq!(telemetry.stats().attempts, 2);
    assert_eq!(telemetry.stats().possible_duplicates, 10);
}

// spec A-062, spec D-130
#[tokio::test]
async fn the_time_of_an_export_covers_its_retries_and_loses_nothing() {
    let script = Script::new().then(Reply::status(503)).then(Reply::Hang);
    let server = FaultServer::start(script);
    let config = Config {
        timeout: Some(Duration::from_millis(300)),
        ..config(&server.url())
    };
    let telemetry = export(&server, config).await;
    assert_delivered(&telemetry, &server, 10);
    // The hang ends with the export, and the circuit opens until the probe.
    let stats = telemetry.stats();
    assert_eq!((stats.attempts, stats.circuit_opened), (3, 1));
}

#[tokio::test]
async fn n4_an_answer_that_dribbles_does_not_outlast_the_deadline() {
    let server = FaultServer::start(Script::new().then(Reply::SlowLoris {
        byte_interval: Duration::from_millis(50),
    }));
    let config = Config {
        timeout: Some(Duration::from_millis(300)),
        ..config(&server.url())
    };
    let telemetry = export(&server, config).await;
    assert_eq!(
        telemetry.stats().attempts,
        2,
        "the head came too late as well"
    );
    assert!(telemetry.ledger().is_closed());
}

#[tokio::test]
async fn n8_a_connection_closed_while_idle_costs_no_attempt() {
    let script = Script::new()
        .then(Reply::Ok)
        .then(Reply::CloseBeforeResponse);
    let (server, telemetry) = export_to(script).await;
    record(&telemetry.tracer("test"), &server, 10);
    let report = telemetry.force_flush(PATIENCE).await;
    assert!(report.is_success(), "{report:?}");
    let requests = server.requests();
    assert_eq!((requests[1].connection, requests[1].on_connection), (1, 2));
    assert_eq!(requests[2].connection, 2);
    assert_delivered(&telemetry, &server, 20);
    let stats = telemetry.stats();
    assert_eq!(
        stats.possible_duplicates, 10,
        "it had been sent whole: {stats:?}"
    );
}

#[tokio::test]
async fn s1_a_503_is_tried_again() {
    let (server, telemetry) = export_to([Reply::status(503), Reply::status(429)]).await;
    assert_delivered(&telemetry, &server, 10);
    assert_eq!(telemetry.stats().attempts, 3);
    assert_eq!(telemetry.circuit(), State::Closed);
}

#[tokio::test]
async fn s2_the_pause_that_was_asked_for_is_kept_and_junk_is_not() {
    let begin = Instant::now();
    let (server, telemetry) = export_to([Reply::retry_after(503, &["1"])]).await;
    assert!(begin.elapsed() >= Duration::from_secs(1));
    assert_delivered(&telemetry, &server, 10);
    for junk in ["-5", "1.5", "", "abc"] {
        let (server, telemetry) = export_to([Reply::retry_after(503, &[junk])]).await;
        assert_delivered(&telemetry, &server, 10);
    }
}

#[tokio::test]
async fn s8_refusals_for_credentials_drop_the_batch_and_then_keep_the_rest() {
    let server = FaultServer::start(Script::from(Reply::status(401)));
    let telemetry = init(config(&server.url())).unwrap();
    for _ in 0..5 {
        record(&telemetry.tracer("test"), &server, 1);
        let _ = telemetry.force_flush(PATIENCE).await;
    }
    assert_eq!(telemetry.circuit(), State::Open);
    record(&telemetry.tracer("test"), &server, 3);
    let report = telemetry.force_flush(Duration::from_secs(1)).await;
    assert_eq!(
        (report.left, report.dropped),
        (3, 0),
        "held, not burnt: {report:?}"
    );
    assert_eq!(dropped(&telemetry, DropReason::Auth), 5);
}

#[tokio::test]
async fn s11_a_redirect_is_never_followed_and_no_header_leaves() {
    let elsewhere = FaultServer::start(Script::new());
    for code in [301, 302, 303, 307, 308] {
        let server = FaultServer::start([Reply::Redirect {
            code,
            location: format!("{}/v1/traces", elsewhere.url()),
        }]);
        let config = Config {
            headers: vec![("x-api-key".into(), "hunter2".into())],
            ..config(&server.url())
        };
        let telemetry = export(&server, config).await;
        assert_eq!(dropped(&telemetry, DropReason::Redirect), 10);
        assert_eq!(server.requests()[0].header("x-api-key"), Some("hunter2"));
    }
    assert_eq!(elsewhere.counters().accepted, 0);
}

#[tokio::test]
async fn s12_a_partial_success_is_counted_and_not_sent_again() {
    for (rejected, lost) in [(0, 0), (3, 3), (99, 10), (-1, 0)] {
        let message = "too old".to_owned();
        let (server, telemetry) = export_to([Reply::PartialSuccess { rejected, message }]).await;
        assert_eq!(dropped(&telemetry, DropReason::PartialRejected), lost);
        assert_eq!(telemetry.ledger().exported, 10 - lost);
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn s14_answers_without_end_are_cut_at_the_limit() {
    for reply in [
        Reply::EndlessBody,
        Reply::BigBody {
            len: 1 << 30,
            chunked: false,
        },
        Reply::BigBody {
            len: 1 << 30,
            chunked: true,
        },
    ] {
        let (server, telemetry) = export_to([reply]).await;
        assert_eq!(dropped(&telemetry, DropReason::ResponseTooLarge), 10);
        assert!(server.counters().response_bytes < 64 << 20);
        record(&telemetry.tracer("test"), &server, 1);
        assert!(telemetry.force_flush(PATIENCE).await.is_success());
        assert_eq!(server.requests()[1].connection, 2, "not reused");
    }
}

#[tokio::test]
async fn s15_a_gzip_bomb_is_not_blown_up() {
    let bomb = Reply::GzipBomb {
        decoded_len: 256 << 20,
    };
    let (server, telemetry) = export_to([bomb]).await;
    assert_eq!(telemetry.ledger().exported, 10, "the status holds");
    assert_eq!(telemetry.stats().responses_invalid, 1);
    assert_eq!(server.requests()[0].header("accept-encoding"), None);
}

#[tokio::test]
async fn s16_answers_that_are_no_http_are_failures_or_unreadable_but_never_hang() {
    for reply in [
        Reply::GarbageStatusLine,
        Reply::Http2Only,
        Reply::BadChunks,
        Reply::HugeHeader { len: 1 << 20 },
        Reply::ManyHeaders { count: 1000 },
        Reply::ResetInResponse { after: 10 },
    ] {
        let (_server, telemetry) = export_to([reply.clone()]).await;
        let ledger = telemetry.ledger();
        assert!(ledger.is_closed(), "{reply:?}: {ledger}");
    }
}

#[tokio::test]
async fn tls_works_with_a_named_authority_and_with_no_other() {
    let authority = Authority::new();
    let folder = std::env::temp_dir().join(format!("spandrel-async-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("authority.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    for (identity, works) in [
        (authority.server(), true),
        (authority.expired_server(), false),
        (self_signed(), false),
    ] {
        let front = Front::Tls(identity.server_config());
        let server = FaultServer::start_with(Script::new(), front);
        let config = Config {
            certificate: Some(file.clone()),
            ..config(&server.url())
        };
        let telemetry = export(&server, config).await;
        assert_eq!(telemetry.ledger().exported == 10, works);
        assert_eq!(dropped(&telemetry, DropReason::Endpoint) == 10, !works);
        assert_eq!(server.oracle().copies_stored() == 10, works);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn credentials_do_not_go_out_in_the_clear() {
    let config = Config {
        headers: vec![("authorization".into(), "Bearer hunter2".into())],
        ..config("http://192.0.2.1:4318")
    };
    let strict = Config {
        refuse_plaintext_credentials: true,
        ..config.clone()
    };
    let error = init(strict).unwrap_err().to_string();
    assert!(
        error.contains("authorization") && !error.contains("hunter2"),
        "{error}"
    );
    let said = config.resolve().unwrap().diagnostics;
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("`authorization` crosses the network in clear text"));
    let permitted = Config {
        allow_plaintext_credentials: true,
        ..config.clone()
    };
    assert!(permitted.resolve().unwrap().diagnostics.is_empty());
    for config in [config, permitted] {
        let telemetry = init(config).unwrap();
        assert!(telemetry.shutdown(PATIENCE).await.is_success());
    }
}

/// Fault X3.
#[tokio::test]
async fn x3_a_request_that_hangs_in_a_shutdown_leaves_time_for_another() {
    let server = FaultServer::start([Reply::Hang]);
    let config = Config {
        timeout: Some(PATIENCE),
        ..config(&server.url())
    };
    let telemetry = init(config).unwrap();
    record(&telemetry.tracer("test"), &server, 10);
    let report = telemetry.shutdown(Duration::from_millis(1_500)).await;
    assert!(report.is_success(), "{report}");
    assert_eq!(telemetry.stats().attempts, 2);
    assert_delivered(&telemetry, &server, 10);
}

/// Fault X3: the same when the request was under way before.
#[tokio::test]
async fn x3_a_request_that_hangs_when_the_shutdown_begins_leaves_time_for_another() {
    let server = FaultServer::start([Reply::Hang]);
    let config = Config {
        timeout: Some(PATIENCE),
        ..config(&server.url())
    };
    let telemetry = init(config).unwrap();
    record(&telemetry.tracer("test"), &server, 10);
    let _ = telemetry.force_flush(Duration::from_millis(200)).await;
    assert_eq!(telemetry.stats().attempts, 1);
    let report = telemetry.shutdown(Duration::from_millis(1_500)).await;
    assert!(report.is_success(), "{report}");
    assert_eq!(telemetry.stats().attempts, 2);
    assert_delivered(&telemetry, &server, 10);
}
