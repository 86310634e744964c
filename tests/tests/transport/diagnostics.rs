//! E: one clear line for each fault, and no secret in any. Each case is a process of its own, since
//! diagnostics belong to the process and are limited there.

use spandrel_tests::fault_server::{FaultServer, Front, Reply, Script};
use spandrel_tests::loopback::Blackhole;
use spandrel_tests::tls::{Authority, Identity, self_signed_authority};

use crate::child::{Process, SECRET};
use crate::harness::five;
use crate::said::Said;
use crate::tls::PemFile;

#[track_caller]
fn answers(script: impl Into<Script>, batches: usize, expected: &[&str]) {
    let server = FaultServer::start(script);
    let mut said = Said::of("diagnose", &server, batches, None);
    if said.lines.iter().any(|line| line.contains("dropped as ")) {
        let totals = said.totals();
        assert!(totals.contains("tracing ended: of "), "{totals}");
    }
    said.are(expected);
}

const ALL_LOST: &str = "ended 2 = exported 0 + dropped 2";
const REST: &str = "+ buffered 0 + in flight 0";

#[test]
fn e_nothing_is_said_when_all_is_well() {
    answers(
        Script::new(),
        3,
        &["ended 6 = exported 6 + dropped 0 + buffered 0 + in flight 0"],
    );
}

#[test]
fn e_each_change_of_the_circuit_is_one_line() {
    answers(
        five(&Reply::status(503)),
        1,
        &[
            "Warn BreakerOpened: circuit breaker open: too many export failures (5 in a row at @, \
             the last one: the collector answered with status 503); spans are held while there is \
             room for about N more",
            "Info BreakerHalfOpen: circuit breaker half-open: one request will try @",
            "Info BreakerClosed: circuit breaker closed: @ answers again",
            "ended 2 = exported 2 + dropped 0 + buffered 0 + in flight 0",
        ],
    );
}

#[test]
fn n1_connection_refused_is_named() {
    let server = FaultServer::start(Script::new());
    server.available(false);
    let mut said = Said::of("diagnose-shutdown", &server, 0, None);
    assert_eq!(
        said.totals(),
        "Warn Totals: tracing ended: of 2 spans, 0 exported to @ and 2 dropped (shutdown 2)"
    );
    said.are(&[
        "Warn BreakerOpened: circuit breaker open: too many export failures (5 in a row at @, the \
         last one: Connection refused (os error 111)); tracing is ending, so what is left is dropped",
        "Warn SpansDropped: 2 spans for @ dropped as shutdown after 6 attempts",
        &format!("{ALL_LOST} (shutdown 2) {REST}"),
    ]);
}

#[test]
fn s1_retries_that_are_used_up_are_counted_in_the_line() {
    answers(
        Reply::status(429),
        1,
        &[
            "Error ExportFailed: export failed after 6 attempts: 2 spans for @ dropped as \
             retry_exhausted: the collector answered with status 429",
            &format!("{ALL_LOST} (retry_exhausted 2) {REST}"),
        ],
    );
}

#[test]
fn s6_a_refusal_is_an_error_with_its_status() {
    answers(
        [Reply::status(400)],
        1,
        &[
            "Error ExportFailed: export failed after 1 attempt: 2 spans for @ dropped as \
             rejected_4xx: the collector answered with status 400; the request was compressed: if \
             the receiver does not read gzip, set OTEL_EXPORTER_OTLP_COMPRESSION=none",
            &format!("{ALL_LOST} (rejected_4xx 2) {REST}"),
        ],
    );
}

#[test]
fn s7_a_refusal_of_everything_is_said_once() {
    let server = FaultServer::start(Reply::status(400));
    let mut said = Said::of("diagnose", &server, 20, None);
    let totals = said.totals();
    assert!(totals.ends_with("40 dropped (rejected_4xx 40)"), "{totals}");
    assert_eq!(said.lines.len(), 2, "{:?}", said.lines);
}

#[test]
fn s8_wrong_credentials_and_wrong_paths_come_with_a_hint() {
    for (status, reason, hint) in [
        (
            401,
            "auth",
            "; check the credentials in `headers` (OTEL_EXPORTER_OTLP_HEADERS)",
        ),
        (
            403,
            "auth",
            "; check the credentials in `headers` (OTEL_EXPORTER_OTLP_HEADERS)",
        ),
        (
            404,
            "endpoint",
            "; check the path of the endpoint: OTLP is at /v1/traces",
        ),
    ] {
        let failed = format!(
            "Error ExportFailed: export failed after 1 attempt: 2 spans for @ dropped as \
             {reason}: the collector answered with status {status}{hint}"
        );
        let ledger = format!("{ALL_LOST} ({reason} 2) {REST}");
        answers([Reply::status(status)], 1, &[&failed, &ledger]);
    }
}

#[test]
fn s10_what_is_no_otlp_receiver_comes_with_a_hint() {
    answers(
        [Reply::status(415), Reply::status(415)],
        1,
        &[
            "Error ExportFailed: export failed after 1 attempt: 2 spans for @ dropped as \
             rejected_4xx: the collector answered with status 415; without gzip it was refused \
             too, so OTEL_EXPORTER_OTLP_COMPRESSION=none would not help; is there an OTLP/HTTP \
             receiver at this endpoint?",
            &format!("{ALL_LOST} (rejected_4xx 2) {REST}"),
        ],
    );
}

// fault X43, fault X44
#[test]
fn a_refusal_is_told_in_the_servers_words_without_secrets() {
    let server = FaultServer::start([Reply::Status {
        code: 422,
        headers: vec![("content-type".into(), "application/json".into())],
        body: format!(r#"{{"detail":"Bearer {SECRET} lacks x-id"}}"#).into(),
    }]);
    let said = Said::of("diagnose", &server, 1, None);
    let failed = &said.lines[0];
    let told = r#"status 422 ({"detail":"[redacted] lacks x-id"})"#;
    assert!(failed.ends_with(told), "{failed}");
}

// fault X45
#[test]
fn a_receiver_without_gzip_is_named_once() {
    let server = FaultServer::start([Reply::status(415)]);
    let said = Said::of("diagnose", &server, 3, None);
    let [warning, ledger] = said.lines.as_slice() else {
        panic!("{:?}", said.lines);
    };
    let remedy = "OTEL_EXPORTER_OTLP_COMPRESSION=none";
    assert!(
        warning.starts_with("Warn Config: the collector does not read gzip")
            && warning.contains(remedy),
        "{warning}"
    );
    assert!(ledger.contains("dropped 0"), "{ledger}");
}

#[test]
fn s11_a_redirect_names_its_target_without_secrets() {
    let location = format!("https://user:{SECRET}@elsewhere.example/v1/traces?key={SECRET}");
    let server = FaultServer::start([Reply::Redirect {
        code: 307,
        location,
    }]);
    let said = Said::of("diagnose", &server, 1, None);
    let failed = &said.lines[0];
    assert!(failed.contains("status 307"), "{failed}");
    assert!(failed.contains("elsewhere.example"), "{failed}");
    assert!(failed.contains("redirects are never followed"), "{failed}");
}

#[test]
fn s12_a_partial_success_is_said_with_the_servers_words_tamed() {
    let message = "too old\u{1b}[31m\r\nforged line".to_owned();
    let server = FaultServer::start([Reply::PartialSuccess {
        rejected: 1,
        message,
    }]);
    let mut said = Said::of("diagnose", &server, 1, None);
    let totals = said.totals();
    assert!(
        totals.ends_with("1 dropped (partial_rejected 1)"),
        "{totals}"
    );
    assert_eq!(said.lines.len(), 2, "{:?}", said.lines);
    let warning = &said.lines[0];
    assert!(warning.starts_with("Warn PartialSuccess: "), "{warning}");
    assert!(warning.contains("rejected 1 span (too old"), "{warning}");
    assert!(!warning.contains('\u{1b}'), "{warning}");
}

#[test]
fn s13_a_senseless_success_is_a_warning() {
    let server = FaultServer::start([Reply::OkBody {
        body: b"<html>login</html>".to_vec(),
        content_type: "text/html".into(),
    }]);
    let said = Said::of("diagnose", &server, 1, None);
    assert!(
        said.lines[0].starts_with("Warn ResponseInvalid: "),
        "{:?}",
        said.lines
    );
    assert!(!said.lines[0].contains("login"), "{:?}", said.lines);
}

#[test]
fn s14_an_answer_without_end_is_named() {
    let server = FaultServer::start([Reply::BigBody {
        len: 5 << 20,
        chunked: false,
    }]);
    let said = Said::of("diagnose", &server, 1, None);
    assert!(
        said.lines[0].contains("over the size limit"),
        "{:?}",
        said.lines
    );
}

#[test]
fn s23_a_port_for_grpc_comes_with_a_hint() {
    let server = FaultServer::start(Reply::Http2Only);
    let said = Said::of("diagnose", &server, 1, None);
    assert!(
        said.lines
            .iter()
            .any(|line| line.contains("port 4317 is for gRPC")),
        "{:?}",
        said.lines
    );
}

fn certificate(name: &str, trusted: &str, identity: &Identity, named: &str) {
    let trusted = PemFile::new(name, trusted);
    let front = Front::Tls(identity.server_config());
    let server = FaultServer::start_with(Script::new(), front);
    let said = Said::of("diagnose", &server, 1, Some(&trusted));
    let failed = &said.lines[0];
    assert!(
        failed.starts_with("Error ExportFailed: export failed after 1 attempt"),
        "{failed}"
    );
    assert!(failed.contains(named), "{failed}");
}

#[test]
fn n17_each_bad_certificate_is_named() {
    let authority = Authority::new();
    let trusted = authority.pem();
    let expired = authority.expired_server();
    certificate("e-expired", &trusted, &expired, "xpired");
    let wrong_host = authority.server_for(&["example.org"]);
    certificate("e-host", &trusted, &wrong_host, "not valid for name");
    let stranger = Authority::new().server();
    certificate("e-unknown", &trusted, &stranger, "UnknownIssuer");
}

/// Fault X32.
#[test]
fn the_hint_about_a_certificate_fits_its_fault() {
    let authority = Authority::new();
    let trusted = authority.pem();
    let expired = authority.expired_server();
    certificate(
        "x32-expired",
        &trusted,
        &expired,
        "; the collector's certificate has expired: it needs a new one",
    );
    let wrong_host = authority.server_for(&["example.org"]);
    certificate(
        "x32-host",
        &trusted,
        &wrong_host,
        "issue it with this one as a subjectAltName",
    );
    let stranger = Authority::new().server();
    let hint =
        "; set `certificate` (OTEL_EXPORTER_OTLP_CERTIFICATE) to the authority that signed it";
    certificate("x32-unknown", &trusted, &stranger, hint);
    // The user has named it already.
    let own = self_signed_authority();
    certificate(
        "x32-own",
        own.cert_pem(),
        &own,
        "shows an authority's own certificate (CA:TRUE",
    );
}

#[test]
fn g1_a_start_that_fails_says_so_without_the_value() {
    let said = Said::of("bad-header", &FaultServer::start(Script::new()), 0, None);
    assert_eq!(said.lines.len(), 2, "{:?}", said.lines);
    let failed = &said.lines[0];
    let start = "Error ExporterCreation: failed to create OTLP exporter: ";
    assert!(failed.starts_with(start), "{failed}");
    assert!(failed.contains("x-bad"), "{failed}");
    assert_eq!(said.lines[1], "failed true");
}

#[test]
fn g2_credentials_in_the_url_are_neither_sent_nor_shown() {
    let server = FaultServer::start(Script::new());
    let url = server.url().replace("://", &format!("://user:{SECRET}@"));
    let lines = Process::start("diagnose", &url, 1, None).lines();
    assert!(lines.iter().all(|line| !line.contains(SECRET)), "{lines:?}");
    let warned = "Warn Config: endpoint: the user name or password in the URL is not sent";
    assert!(
        lines.iter().any(|line| line.starts_with(warned)),
        "{lines:?}"
    );
    let sent = format!("Bearer {SECRET}");
    assert_eq!(server.requests()[0].header_values("authorization"), [sent]);
}

#[test]
fn a_second_init_is_said() {
    let said = Said::of("twice", &FaultServer::start(Script::new()), 0, None);
    assert_eq!(said.lines.len(), 1, "{:?}", said.lines);
    assert!(said.lines[0].starts_with("Warn Misuse: tracing was initialised twice"));
}

#[test]
fn disabled_tracing_is_said() {
    let server = FaultServer::start(Script::new());
    let lines = Process::start("disabled", &server.url(), 0, None).lines();
    assert_eq!(
        lines,
        ["Info Lifecycle: tracing is disabled: no span is recorded"]
    );
}

#[test]
fn d4_a_handler_that_panics_harms_nothing() {
    let server = FaultServer::start([Reply::status(503), Reply::status(400)]);
    let lines = Process::start("handler-panics", &server.url(), 2, None).lines();
    let ledger = "ended 4 = exported 2 + dropped 2 (rejected_4xx 2) + buffered 0 + in flight 0";
    assert_eq!(lines, [ledger]);
}

#[test]
fn l4_a_handler_that_is_traced_causes_no_exports_of_its_own() {
    let server = FaultServer::start(Script::new());
    let lines = Process::start("handler-records", &server.url(), 3, None).lines();
    assert_eq!(
        lines,
        ["ended 6 = exported 6 + dropped 0 + buffered 0 + in flight 0"]
    );
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn d4_a_handler_that_parks_the_senders_thread_strands_no_span() {
    let server = FaultServer::start([Reply::status(503)]);
    let lines = Process::start("handler-parks", &server.url(), 0, None).lines();
    let ledger = "ended 2 = exported 1 + dropped 1 (expired 1) + buffered 0 + in flight 0";
    assert_eq!(lines, [ledger]);
}

#[test]
fn d7_a_handle_dropped_by_the_handler_on_the_senders_thread_returns() {
    let server = FaultServer::start(Reply::status(503));
    let lines = Process::start("handler-drops", &server.url(), 0, None).lines();
    assert_eq!(
        lines,
        [
            "false false",
            "ended 2 = exported 0 + dropped 2 (shutdown 2) + buffered 0 + in flight 0",
            "in time true"
        ]
    );
}

/// spec C-011.
#[test]
fn e_the_level_of_the_environment_decides_what_is_said() {
    let [busy, well] = [503, 200].map(Reply::status);
    let server = FaultServer::start([busy.clone(), well.clone(), busy, well]);
    let lines = Process::start("levels", &server.url(), 1, None).lines();
    let ledger = "ended 2 = exported 2 + dropped 0 + buffered 0 + in flight 0";
    let [first, started, retried, exported, totals, last] = &lines[..] else {
        panic!("{lines:?}");
    };
    assert_eq!((first.as_str(), last.as_str()), (ledger, ledger));
    assert!(
        started.starts_with("Info Lifecycle: tracing started"),
        "{started}"
    );
    assert!(retried.starts_with("Debug ExportRetried: "), "{retried}");
    // The information of the same kind does not hold it back.
    assert!(
        exported.starts_with("Debug Lifecycle: exported 2 spans"),
        "{exported}"
    );
    assert!(totals.starts_with("Info Totals: "), "{totals}");
}

/// Faults X1 and X2.
#[test]
fn x1_a_burst_that_is_lost_is_said_and_no_report_reads_as_success() {
    let server = FaultServer::start(Script::new());
    let mut said = Said::of("burst", &server, 0, None);
    let totals = said.totals();
    assert!(totals.contains("tracing ended: of 2000 spans"), "{totals}");
    assert!(totals.contains("(queue_full "), "{totals}");
    assert!(totals.contains("raise `shard_bytes` (2048)"), "{totals}");
    let [loss, flush, shutdown] = &said.lines[..] else {
        panic!("{:?}", said.lines);
    };
    let begin = "Warn SpansDropped: the span buffer is full: new spans are dropped and counted, ";
    assert!(loss.starts_with(begin), "{loss}");
    assert!(
        loss.contains("; spans end faster than they are sent: "),
        "{loss}"
    );
    assert!(loss.contains("raise `shard_bytes` (2048)"), "{loss}");
    assert!(flush.starts_with("flush false "), "{flush}");
    assert!(
        flush.contains("queue_full") || flush.contains(", 0 left"),
        "{flush}"
    );
    assert!(shutdown.starts_with("shutdown false "), "{shutdown}");
    assert!(
        shutdown.contains(" dropped before: queue_full"),
        "{shutdown}"
    );
}

/// Words that the documents quote and that nothing else looks for.
#[test]
fn the_start_says_where_spans_go_and_a_wrong_protocol_is_named() {
    let server = FaultServer::start(Script::new());
    let url = server.url();
    let lines = Process::start("diagnose", &url, 1, None).lines();
    let started = format!("Info Lifecycle: tracing started: spans go to {url}");
    assert!(
        lines.iter().any(|line| line.starts_with(&started)),
        "{lines:?}"
    );

    let server = FaultServer::start(Script::new().otherwise(Reply::Http2Only));
    let lines = Process::start("diagnose", &server.url(), 1, None).lines();
    let hint = "; this does not speak HTTP/1.1: port 4317 is for gRPC, OTLP/HTTP has 4318";
    assert!(lines.iter().any(|line| line.contains(hint)), "{lines:?}");
}

/// A span that is larger than its thread's shard takes, or than a request.
#[test]
fn a_span_that_fits_nowhere_is_said_with_the_limits() {
    let server = FaultServer::start(Script::new());
    let said = Said::of("too-large", &server, 0, None);
    let begin =
        "Warn SpansDropped: 1 span dropped as too_large: a span must fit into `shard_bytes` ";
    let is_it = |line: &String| line.starts_with(begin);
    assert!(said.lines.iter().any(is_it), "{:?}", said.lines);
}

/// Fault X130.
#[test]
fn x130_a_sampler_that_gives_nonsense_is_named_and_its_spans_arrive() {
    let server = FaultServer::start(Script::new());
    let said = Said::of("bad-sampler", &server, 0, None);
    let [bad, first, incomplete, second, ..] = &said.lines[..] else {
        panic!("{:?}", said.lines);
    };
    assert_eq!(
        bad,
        "Warn Misuse: the sampler BadSampler gave a tracestate that is not valid or longer than 512 \
         bytes; spans keep their parent's"
    );
    let states = ["vendor=1", ""].map(|state| format!("state {state:?}"));
    assert_eq!([first, second], [&states[0], &states[1]]);
    assert!(
        incomplete.starts_with("Warn SpanIncomplete: span \"work\" lacks some of what was set")
    );
    let spans: Vec<_> = server
        .requests()
        .iter()
        .flat_map(|it| it.spans().cloned().collect::<Vec<_>>())
        .collect();
    assert_eq!(spans.len(), 2);
    for span in spans {
        let kept = span.attributes.len();
        assert!(kept > 0 && kept <= 128, "{kept}");
        assert_eq!(span.dropped_attributes_count as usize + kept, 10_000);
    }
}

/// Fault X128.
#[test]
fn x128_a_loss_is_said_while_a_request_hangs() {
    let hole = Blackhole::start();
    let hanging = FaultServer::start(Reply::Hang);
    let urls = [Some(hanging.url()), hole.as_ref().ok().map(Blackhole::url)];
    for url in urls.into_iter().flatten() {
        for case in ["loses-while-hanging", "loses-while-hanging-async"] {
            let lines = Process::start(case, &url, 0, None).lines();
            let [line] = &lines[..] else {
                panic!("{lines:?}")
            };
            let (seconds, said) = line.split_once(' ').unwrap();
            assert!(
                said.starts_with("the span buffer is full: new spans are dropped and counted, "),
                "{case}: {line}"
            );
            assert!(
                said.contains("; the collector takes nothing: raise "),
                "{line}"
            );
            assert!(seconds.parse::<f64>().unwrap() < 3.0, "{case}: {line}");
        }
    }
}

/// Fault X4.
#[test]
fn x4_a_caller_that_gives_up_says_so_once_whatever_holds_the_sender() {
    let hole = Blackhole::start();
    let hanging = FaultServer::start(Reply::Hang);
    let urls = [Some(hanging.url()), hole.as_ref().ok().map(Blackhole::url)];
    for url in urls.into_iter().flatten() {
        let lines = Process::start("gives-up", &url, 0, None).lines();
        let count = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
        let totals = format!(
            "Warn Totals: tracing ended: of 3 spans, 0 exported to {url} and 3 dropped (shutdown 3)"
        );
        assert_eq!(count(&totals), 1, "{lines:?}");
        assert_eq!(count("dropped as shutdown after"), 1, "{lines:?}");
        assert_eq!(count("ended 3 = exported 0"), 1, "{lines:?}");
    }
}
