//! Faults S11 to S18, S22, S23: answers that are no plain yes or no.

use std::time::Duration;

use spandrel_core::response::DropReason;
use spandrel_tests::fault_server::{FaultServer, Reply, Script};

use crate::harness::{PATIENCE, Rig, complete, ms, until};

#[test]
fn s11_a_redirect_is_neither_followed_nor_a_success() {
    let elsewhere = FaultServer::start(Script::new());
    let targets = [
        "/v1/traces/".to_owned(),
        format!("{}/v1/traces", elsewhere.url()),
        "file:///etc/passwd".to_owned(),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "//".to_owned(),
    ];
    for code in [301, 302, 303, 307, 308] {
        for location in &targets {
            let rig = Rig::with(
                [Reply::Redirect {
                    code,
                    location: location.clone(),
                }],
                |config| config.headers = vec![("x-api-key".into(), "s3cr3t".into())],
            );
            complete(rig.batch(1));
            let end = rig.close();
            end.is(0, &[(DropReason::Redirect, 1)]).attempts(1);
            assert_eq!(end.server.requests().len(), 1);
        }
    }
    assert_eq!(elsewhere.counters().accepted, 0);
}

#[test]
fn s11_redirects_for_ever_open_the_circuit() {
    let rig = Rig::new(Reply::Redirect {
        code: 302,
        location: "/v1/traces".into(),
    });
    for _ in 0..5 {
        complete(rig.batch(1));
    }
    rig.record(1);
    let report = rig.telemetry.force_flush(ms(20));
    assert_eq!((report.dropped, report.left), (0, 1), "{report:?}");
    let end = rig.close();
    end.is(0, &[(DropReason::Redirect, 6)]);
    assert_eq!(end.server.requests().len(), 6);
}

#[test]
fn s12_a_partial_success_is_counted_and_not_retried() {
    for (rejected, lost, invalid) in [(0, 0, 0), (2, 2, 0), (4, 4, 0), (9, 4, 1), (-3, 0, 1)] {
        let message = "too old: \u{1b}[31m".repeat(200);
        let rig = Rig::new([Reply::PartialSuccess { rejected, message }]);
        let report = rig.batch(4);
        assert_eq!((report.exported, report.dropped), (4 - lost, lost));
        let end = rig.settle(PATIENCE);
        let reasons = [(DropReason::PartialRejected, lost)];
        end.is(4 - lost, if lost > 0 { &reasons } else { &[] });
        end.attempts(1);
        assert_eq!(end.stats.responses_invalid, invalid, "rejected {rejected}");
    }
}

#[test]
fn s13_a_success_with_a_senseless_body_is_a_success() {
    for (body, content_type, invalid) in [
        ("", "application/x-protobuf", 0),
        ("", "text/html", 0),
        ("\u{7f}garbage", "application/x-protobuf", 1),
        ("<html>fine</html>", "text/html", 1),
        ("{\"partialSuccess\":", "application/json", 1),
        ("{}", "application/json", 0),
    ] {
        let rig = Rig::new([Reply::OkBody {
            body: body.into(),
            content_type: content_type.into(),
        }]);
        rig.deliver(2);
        let end = rig.close();
        end.is(2, &[]).attempts(1);
        assert_eq!(end.stats.responses_invalid, invalid, "{body:?}");
    }
}

#[test]
fn s14_an_answer_without_end_is_cut_off_and_its_connection_not_used_again() {
    for reply in [
        Reply::BigBody {
            len: 10 << 30,
            chunked: false,
        },
        Reply::BigBody {
            len: 5 << 20,
            chunked: true,
        },
        Reply::EndlessBody,
    ] {
        let rig = Rig::with([reply], |config| config.timeout = Some(PATIENCE));
        complete(rig.batch(2));
        rig.deliver(1);
        let end = rig.settle(PATIENCE);
        // The collector may have kept them, but nobody can know.
        end.is(1, &[(DropReason::ResponseTooLarge, 2)]).attempts(2);
        let requests = end.server.requests();
        let connections: Vec<_> = requests.iter().map(|r| r.connection).collect();
        assert_eq!(connections, [1, 2]);
        assert!(end.server.counters().response_bytes < 64 << 20);
    }
}

#[test]
fn s15_a_gzip_bomb_is_neither_asked_for_nor_inflated() {
    let rig = Rig::with(
        [Reply::GzipBomb {
            decoded_len: 256 << 20,
        }],
        |config| config.timeout = Some(PATIENCE),
    );
    rig.deliver(2);
    let end = rig.close();
    end.is(2, &[]).attempts(1);
    assert_eq!(end.stats.responses_invalid, 1);
    assert_eq!(end.server.requests()[0].header("accept-encoding"), None);
}

#[test]
fn s16_heads_beyond_measure_are_failures() {
    for reply in [
        Reply::ManyHeaders { count: 1000 },
        Reply::HugeHeader { len: 1 << 20 },
        Reply::GarbageStatusLine,
    ] {
        let rig = Rig::new([reply]);
        rig.deliver(2);
        let end = rig.close();
        end.is(2, &[]).attempts(2);
        assert_eq!(end.server.counters().accepted, 2, "a new connection");
    }
}

#[test]
fn s16_a_body_with_broken_framing_leaves_the_status_standing() {
    for reply in [Reply::BadChunks, Reply::BothLengthAndChunked] {
        let rig = Rig::new([reply]);
        rig.deliver(2);
        until("the end of the connection", || {
            rig.server.counters().open == 0
        });
        rig.deliver(1);
        let end = rig.settle(PATIENCE);
        end.is(3, &[]).attempts(2);
        assert_eq!(end.server.oracle().stored().len(), 3);
        assert_eq!(end.server.counters().accepted, 2, "a new connection");
    }
}

#[test]
fn s17_interim_answers_are_skipped() {
    for code in [100, 102, 103] {
        let rig = Rig::new([Reply::Informational { code, count: 2 }]);
        rig.deliver(2);
        rig.close().is(2, &[]).attempts(1);
    }
}

#[test]
fn s17_a_flood_of_interim_answers_meets_the_deadline() {
    let flood = Reply::Informational {
        code: 103,
        count: u64::MAX,
    };
    let rig = Rig::new([flood]);
    rig.deliver(2);
    rig.close().is(2, &[]).attempts(2);
}

#[test]
fn s18_a_request_stored_unanswered_is_an_announced_duplicate() {
    let rig = Rig::new([Reply::StoreThenDrop, Reply::StoreThenDrop]);
    rig.deliver(3);
    let end = rig.close();
    // Counted once, however often it happens.
    end.is(3, &[]).attempts(3);
    let duplicated = end.server.oracle().duplicated();
    assert!(duplicated.len() == 3 && duplicated.values().all(|copies| *copies == 3));
}

#[test]
fn s22_a_slow_server_has_one_request_at_a_time() {
    let slow = Reply::Ok.delayed(ms(60));
    let rig = Rig::with(slow, |config| {
        config.max_export_batch_size = Some(4);
        config.max_queue_size = Some(8);
    });
    rig.record(40);
    let report = rig.telemetry.force_flush(Duration::from_secs(5));
    complete(report);
    let end = rig.close();
    end.is(40, &[]).attempts(10);
    assert_eq!(end.server.counters().accepted, 1, "they share a connection");
}

#[test]
fn s23_a_server_of_http_2_alone_is_a_failure_like_others() {
    let rig = Rig::new([Reply::Http2Only]);
    rig.deliver(2);
    rig.close().is(2, &[]).attempts(2);
}
