//! The decision about finished traces: the machine beside a naive model, and in a pipeline.

use std::collections::VecDeque;
use std::sync::LazyLock;
use std::time::Duration;

use spandrel_core::context::{SpanContext, TraceFlags};
use spandrel_core::hosted::config::Keep;
use spandrel_core::id::{SpanId, TraceId};
use spandrel_core::response::DropReason;
use spandrel_core::span::Status;
use spandrel_core::time::Instant;
use spandrel_tests::fault_server::{FaultServer, Script};
use spandrel_tests::models::Draws;
use spandrel_tests::models::tail::{TailRun, TailSpan};
use spandrel_transport_std::{Config, Telemetry, init};

/// A few seconds' worth in a debug build; `SPANDREL_TAIL_TRACES` says another number.
static TRACES: LazyLock<u64> = LazyLock::new(|| match std::env::var("SPANDREL_TAIL_TRACES") {
    Ok(traces) => traces.parse().expect("a number of traces"),
    Err(_) if cfg!(debug_assertions) => 60_000,
    Err(_) => 1_000_000,
});
/// The traces whose spans come mixed.
const AT_A_TIME: usize = 40;

/// The spans of a trace in the order of their ends, some out of order and some after the root.
fn trace(number: u64, draws: &mut Draws) -> VecDeque<TailSpan> {
    let children = draws.below(7);
    let is_failed = draws.below(20) == 0;
    let span = |id: u64, parent, millis, is_error| TailSpan {
        trace: number,
        id,
        parent,
        is_error,
        millis,
    };
    let mut spans: Vec<TailSpan> = (0..children)
        .map(|n| span(n + 2, 1 + draws.below(n + 1), 1 + draws.below(50), false))
        .collect();
    spans.reverse();
    if let Some(last) = spans.last_mut() {
        last.is_error = is_failed;
    }
    let remote = 99 * draws.below(2);
    spans.push(span(
        1,
        remote,
        1 + draws.below(120),
        is_failed && children == 0,
    ));
    if draws.below(4) == 0 {
        let (a, b) = (
            draws.below(spans.len() as u64),
            draws.below(spans.len() as u64),
        );
        spans.swap(a as usize, b as usize);
    }
    spans.into()
}

/// Runs many traces through a machine that keeps as `keep` says. Returns how many were kept.
fn run(keep: Keep, seed: u64, exactly: bool) -> (TailRun, u64) {
    let mut draws = Draws::new(seed);
    let mut run = TailRun::new(keep);
    let mut open: Vec<VecDeque<TailSpan>> = Vec::new();
    let (mut next, mut retired, mut kept, mut steps) = (0, 0, 0, 0_u64);
    run.begin_pass();
    while next < *TRACES || !open.is_empty() {
        while open.len() < AT_A_TIME && next < *TRACES {
            open.push(trace(next, &mut draws));
            next += 1;
        }
        let which = draws.below(open.len() as u64) as usize;
        let now = Instant::from_millis(steps);
        if let Some(&span) = open[which].front() {
            if run.push(span, now) {
                open[which].pop_front();
            } else {
                run.take(20);
            }
        }
        if open[which].is_empty() {
            open.swap_remove(which);
        }
        steps += 1;
        if steps.is_multiple_of(64) {
            run.end_pass(draws.below(4) != 0);
            run.begin_pass();
            run.take(50);
        }
        if steps.is_multiple_of(1 << 14) {
            run.check();
            // What began long ago has come whole, but for what is open.
            let oldest = open
                .iter()
                .filter_map(|spans| Some(spans.front()?.trace))
                .min();
            for _ in 0..2 {
                run.end_pass(true);
                run.begin_pass();
            }
            run.take(usize::MAX);
            let until = oldest.unwrap_or(next);
            if run.tail.has_due() {
                continue;
            }
            kept += run.retire(retired..until, exactly);
            retired = until;
        }
    }
    run.end_pass(true);
    run.begin_pass();
    run.end_pass(true);
    run.finish();
    run.take(usize::MAX);
    run.check_end(exactly);
    kept += run.retire(retired..next, exactly);
    (run, kept)
}

#[test]
fn every_kept_trace_is_whole_and_those_are_kept_that_should() {
    let keep = Keep {
        slower_than: Some(Duration::from_millis(110)),
        share: 0.1,
        max_bytes: usize::MAX,
        max_trace_spans: usize::MAX,
        ..Keep::default()
    };
    let (run, kept) = run(keep, 1, true);
    let share = kept as f64 / *TRACES as f64;
    // One in ten, one in twenty of the rest, and one in twelve of that.
    assert!((0.18..0.26).contains(&share), "{share}");
    assert_eq!(run.tail.counts().early, 0);
}

#[test]
fn every_kept_trace_is_whole_in_too_little_memory() {
    let keep = Keep {
        share: 0.5,
        max_bytes: 8 << 10,
        max_trace_spans: 4,
        ..Keep::default()
    };
    let (run, kept) = run(keep, 2, false);
    assert!(kept > *TRACES / 4, "{kept}");
    assert!(
        run.tail.counts().early > *TRACES / 20,
        "{:?}",
        run.tail.counts()
    );
}

const PATIENCE: Duration = Duration::from_secs(10);

fn start(keep: Keep) -> (FaultServer, Telemetry) {
    let server = FaultServer::start(Script::new());
    let telemetry = init(Config {
        enabled: true,
        service_name: "tail".into(),
        endpoint: server.url(),
        scheduled_delay: Some(Duration::from_secs(3600)),
        read_environment: false,
        set_global: false,
        keep: Some(keep),
        ..Config::default()
    });
    (server, telemetry.expect("settings that fit together"))
}

fn names(server: &FaultServer) -> Vec<String> {
    let requests = server.requests();
    let spans = requests.iter().flat_map(|request| request.spans());
    let mut names: Vec<String> = spans.map(|span| span.name.clone()).collect();
    names.sort();
    names
}

fn fail(span: &mut spandrel_transport_std::Span) {
    span.set_status(Status::error("it failed"));
}

#[test]
fn a_flush_sends_what_is_kept_and_what_is_dropped_is_no_loss() {
    let (server, telemetry) = start(Keep::default());
    let tracer = telemetry.tracer("tests");
    for is_failed in [false, true] {
        tracer.span("root").in_scope(|_| {
            // On another thread, whose shard may be drained before or after the root's.
            let context = spandrel_core::hosted::current::current();
            let tracer = &tracer;
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    let _current = context.map(spandrel_core::hosted::current::attach);
                    tracer.span("child").in_scope(|span| {
                        if is_failed {
                            fail(span);
                        }
                    });
                });
            });
        });
    }
    let open = tracer.span("open").root().start();
    let held = tracer.span("held").parent(&open).start();
    drop(held);
    let report = telemetry.force_flush(PATIENCE);
    assert!(report.is_success(), "{report}");
    assert_eq!((report.exported, report.dropped, report.lost), (2, 0, 0));
    assert_eq!(names(&server), ["child", "root"]);
    let ledger = telemetry.ledger();
    assert_eq!(ledger.dropped(DropReason::TailDropped), 2);
    assert_eq!(ledger.buffered, 1, "the child of the open one");
    drop(open);
    // The shutdown decides the rest.
    let report = telemetry.shutdown(PATIENCE);
    assert!(report.is_success(), "{report}");
    let ledger = telemetry.ledger();
    assert!(ledger.is_closed(), "{ledger}");
    assert_eq!(ledger.dropped(DropReason::TailDropped), 4);
    assert_eq!(telemetry.stats().decided_early, 0);
}

#[test]
fn what_is_undecided_at_the_shutdown_is_decided_by_what_is_known() {
    let (server, telemetry) = start(Keep::default());
    let tracer = telemetry.tracer("tests");
    let roots = ["good", "bad"].map(|name| {
        let root = tracer.span(name).start();
        let mut child = tracer
            .span(&format!("child of {name}"))
            .parent(&root)
            .start();
        if name == "bad" {
            fail(&mut child);
        }
        drop(child);
        root
    });
    let report = telemetry.shutdown(PATIENCE);
    assert_eq!((report.exported, report.lost), (1, 0), "{report}");
    assert_eq!(names(&server), ["child of bad"]);
    assert_eq!(telemetry.stats().decided_early, 2);
    drop(roots);
    assert!(telemetry.ledger().is_closed(), "{}", telemetry.ledger());
}

#[test]
fn each_request_of_one_trace_is_a_local_root_of_its_own() {
    let (server, telemetry) = start(Keep::default());
    let tracer = telemetry.tracer("tests");
    let caller = SpanContext::remote(
        TraceId::from_bytes([7; 16]),
        SpanId::from_bytes([7; 8]),
        TraceFlags::SAMPLED,
    );
    for name in ["first", "second"] {
        tracer.span(name).parent(caller).in_scope(|span| {
            tracer.span("child").in_scope(|_| ());
            if name == "second" {
                fail(span);
            }
        });
        let report = telemetry.force_flush(PATIENCE);
        assert!(report.is_success(), "{report}");
    }
    assert_eq!(names(&server), ["child", "second"]);
    assert_eq!(telemetry.ledger().dropped(DropReason::TailDropped), 2);
}

#[test]
fn a_share_out_of_range_is_moved_into_it_with_a_note() {
    for (share, used) in [(1.5, 1.0), (-0.1, 0.0), (f64::NAN, 0.0)] {
        let config = Config {
            keep: Some(Keep {
                share,
                max_bytes: 0,
                max_trace_spans: 0,
                ..Keep::default()
            }),
            read_environment: false,
            ..Config::default()
        };
        let settings = config.resolve().expect("settings that fit together");
        let keep = settings.keep.expect("what was given");
        assert!((keep.share - used).abs() < f64::EPSILON);
        assert!(keep.max_bytes > settings.max_span_bytes && keep.max_trace_spans == 1);
        let said = &settings.diagnostics;
        assert!(
            said.iter().any(|it| it.starts_with("keep.share: ")),
            "{said:?}"
        );
    }
}
