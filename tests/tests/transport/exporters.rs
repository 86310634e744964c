//! Exporters of the program, in both transports.

use std::fs;
use std::io::{self, Write};
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use spandrel_core::context::SpanKind;
use spandrel_core::exporter::FlushReport;
use spandrel_core::hosted::config::{Config, Target};
use spandrel_core::hosted::export::{
    AttributeValue, ExportError, InMemoryExporter, JsonFile, JsonLines, SharedExporter, SpanBatch,
    SpanExporter,
};
use spandrel_core::hosted::trace::Tracer;
use spandrel_core::response::DropReason;
use spandrel_core::stats::Ledger;
use tokio::runtime::Builder;

use crate::harness::{PATIENCE, config};

fn into(exporter: impl Into<SharedExporter>) -> Config {
    Config {
        exporter: Some(exporter.into()),
        // It is not asked for anything.
        ..config("http://127.0.0.1:1")
    }
}

struct Ended {
    flushed: FlushReport,
    ledger: Ledger,
}

/// Runs `work` with a pipeline of each transport, flushes it and ends it.
fn in_both(config: impl Fn() -> Config, work: impl Fn(&Tracer), check: impl Fn(Ended)) {
    let telemetry = spandrel_transport_std::init(config()).unwrap();
    work(&telemetry.tracer("test"));
    let flushed = telemetry.force_flush(PATIENCE);
    let _ = telemetry.shutdown(PATIENCE);
    let ledger = telemetry.ledger();
    check(Ended { flushed, ledger });
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let telemetry = spandrel_transport_async::init(config()).unwrap();
        work(&telemetry.tracer("test"));
        let flushed = telemetry.force_flush(PATIENCE).await;
        let _ = telemetry.shutdown(PATIENCE).await;
        let ledger = telemetry.ledger();
        check(Ended { flushed, ledger });
    });
}

// spec D-132, spec D-139
#[test]
fn an_exporter_in_memory_gives_spans_as_they_were_recorded() {
    let exporter = InMemoryExporter::new();
    in_both(
        || into(exporter.clone()),
        |tracer| {
            let mut parent = tracer.span("parent").kind(SpanKind::Server).start();
            parent.set_attribute("items", 3);
            parent.set_attribute("name", "soup");
            parent.add_event("hot", &[]);
            parent.set_error("spilled");
            tracer.span("child").parent(&parent).start().end();
        },
        |ended| {
            assert!(ended.flushed.is_success(), "{:?}", ended.flushed);
            let spans = exporter.finished_spans();
            exporter.reset();
            let [child, parent] = &spans[..] else {
                panic!("{spans:#?}");
            };
            assert_eq!(child.name, "child");
            assert_eq!(child.parent_span_id, Some(parent.context.span_id()));
            assert_eq!(child.context.trace_id(), parent.context.trace_id());
            assert_eq!(parent.parent_span_id, None);
            assert_eq!(parent.kind, SpanKind::Server);
            assert_eq!(parent.attribute("items"), Some(&AttributeValue::I64(3)));
            assert_eq!(*parent.attribute("name").unwrap(), "soup");
            assert_eq!(parent.events[0].name, "hot");
            assert_eq!(parent.status, Some(Err("spilled".into())));
            assert_eq!(parent.scope_name, "test");
            assert!(parent.start_time <= child.start_time);
            assert!(parent.resource.iter().any(|(key, _)| key == "service.name"));
        },
    );
}

/// Fails as it is told to.
struct Script {
    answers: Vec<Answer>,
    log: Arc<Mutex<Vec<&'static str>>>,
}

#[derive(Clone, Copy)]
enum Answer {
    Retry,
    Refuse,
    Panic,
}

impl SpanExporter for Script {
    fn name(&self) -> &str {
        "the script"
    }

    fn export(&mut self, batch: &SpanBatch<'_>) -> Result<(), ExportError> {
        assert_eq!(batch.spans().count(), 1);
        self.log.lock().unwrap().push("export");
        match self.answers.pop() {
            None => Ok(()),
            Some(Answer::Retry) => Err(ExportError::retry("not now")),
            Some(Answer::Refuse) => Err(ExportError::refuse("never")),
            Some(Answer::Panic) => resume_unwind(Box::new("a fault of the exporter")),
        }
    }

    fn force_flush(&mut self) -> Result<(), ExportError> {
        self.log.lock().unwrap().push("flush");
        Ok(())
    }

    fn shutdown(&mut self) {
        self.log.lock().unwrap().push("shutdown");
    }
}

// spec D-134, spec D-136, spec D-137
#[test]
fn an_exporter_that_fails_is_asked_again_or_not_as_it_says() {
    for (answers, calls, exported) in [
        (vec![], 1, 1),
        (vec![Answer::Retry, Answer::Retry], 3, 1),
        (vec![Answer::Panic], 2, 1),
        (vec![Answer::Refuse], 1, 0),
    ] {
        let log = Arc::new(Mutex::new(Vec::new()));
        in_both(
            || {
                into(Script {
                    answers: answers.clone(),
                    log: Arc::clone(&log),
                })
            },
            |tracer| tracer.start("one").end(),
            |ended| {
                let ledger = ended.ledger;
                assert!(ledger.is_closed(), "{ledger}");
                assert_eq!(ledger.exported, exported, "{ledger}");
                assert_eq!(ledger.dropped(DropReason::Rejected4xx), 1 - exported);
                let log = core::mem::take(&mut *log.lock().unwrap());
                let exports = log.iter().filter(|it| **it == "export").count();
                assert_eq!(exports, calls, "{log:?}");
                assert_eq!(log[exports..], ["flush", "flush", "shutdown"], "{log:?}");
            },
        );
    }
}

/// A folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("spandrel-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

/// The spans in a file of lines, read with the official types.
fn spans_in(path: &PathBuf) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines()
        .map(|line| serde_json::from_str::<ExportTraceServiceRequest>(line).unwrap())
        .flat_map(|request| request.resource_spans)
        .flat_map(|resource| resource.scope_spans)
        .flat_map(|scope| scope.spans)
        .map(|span| span.name)
        .collect()
}

#[test]
fn a_file_of_lines_is_appended_to_by_one_pipeline_after_the_other() {
    let folder = folder("append");
    let path = folder.join("spans.jsonl");
    // A process that died in the middle of a line.
    fs::write(&path, "{\"resourceSpans\":[").unwrap();
    in_both(
        || into(JsonFile::new(&path)),
        |tracer| tracer.start("line").end(),
        |ended| assert!(ended.flushed.is_success(), "{:?}", ended.flushed),
    );
    let text = fs::read_to_string(&path).unwrap();
    let (torn, lines) = text.split_once('\n').unwrap();
    assert_eq!(torn, "{\"resourceSpans\":[");
    fs::write(&path, lines).unwrap();
    assert_eq!(spans_in(&path), ["line", "line"]);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_file_of_lines_is_rotated_by_size_and_the_oldest_go() {
    let folder = folder("rotate");
    let path = folder.join("spans.jsonl");
    let config = Config {
        exporter: Some(JsonFile::new(&path).rotated(1, 2).into()),
        ..config("")
    };
    let telemetry = spandrel_transport_std::init(config).unwrap();
    for name in ["a", "b", "c", "d"] {
        telemetry.tracer("test").start(name).end();
        assert!(telemetry.force_flush(PATIENCE).is_success());
    }
    drop(telemetry);
    let backup = |number: u32| folder.join(format!("spans.jsonl.{number}"));
    assert_eq!(spans_in(&path), ["d"]);
    assert_eq!(spans_in(&backup(1)), ["c"]);
    assert_eq!(spans_in(&backup(2)), ["b"]);
    assert!(!backup(3).exists());
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_file_that_cannot_be_written_keeps_its_spans_until_it_can() {
    let folder = folder("missing");
    let path = folder.join("later/spans.jsonl");
    let config = Config {
        exporter: Some(JsonFile::new(&path).into()),
        ..config("")
    };
    let telemetry = spandrel_transport_std::init(config).unwrap();
    telemetry.tracer("test").start("patient").end();
    let report = telemetry.force_flush(Duration::from_millis(20));
    assert_eq!((report.exported, report.left), (0, 1), "{report:?}");
    fs::create_dir(folder.join("later")).unwrap();
    assert!(telemetry.shutdown(PATIENCE).is_success());
    assert_eq!(spans_in(&path), ["patient"]);
    fs::remove_dir_all(folder).unwrap();
}

/// A writer with room for so many bytes.
#[derive(Clone)]
struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (written, room) = &mut *self.0.lock().unwrap();
        let len = bytes.len().min(*room);
        if len == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        written.extend_from_slice(&bytes[..len]);
        *room -= len;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_line_after_a_torn_one_stands_alone() {
    let disk = Disk(Arc::new(Mutex::new((Vec::new(), 5))));
    let mut lines = JsonLines::new(disk.clone());
    let mut write = |room| {
        disk.0.lock().unwrap().1 += room;
        lines.export(&SpanBatch::new(b"")).is_ok()
    };
    assert_eq!(
        [0, 0, 1, 10, 3].map(&mut write),
        [true, false, false, true, true]
    );
    let text = String::from_utf8(disk.0.lock().unwrap().0.clone()).unwrap();
    assert!(
        text.lines().filter(|line| *line == "{}").count() >= 3,
        "{text:?}"
    );
}

#[test]
fn an_exporter_in_code_wins_over_everything_but_the_switch() {
    let exporter = InMemoryExporter::new();
    let settings = |value: &'static str| {
        let config = Config {
            read_environment: true,
            ..into(exporter.clone())
        };
        config
            .resolve_with(|name| match name {
                "OTEL_TRACES_EXPORTER" => Some("console".into()),
                "OTEL_SDK_DISABLED" => Some(value.into()),
                _ => None,
            })
            .unwrap()
    };
    let enabled = settings("false");
    assert_eq!(
        enabled.target,
        Target::Exporter {
            name: "memory".into()
        }
    );
    assert!(enabled.is_recording());
    assert!(
        enabled.diagnostics[0].contains("an exporter is set in code"),
        "{:?}",
        enabled.diagnostics
    );
    assert!(!settings("true").is_recording());
}

/// Takes batches, and panics at its ends.
struct BadEnds(Arc<Mutex<u32>>);

impl SpanExporter for BadEnds {
    fn export(&mut self, _: &SpanBatch<'_>) -> Result<(), ExportError> {
        Ok(())
    }

    fn force_flush(&mut self) -> Result<(), ExportError> {
        resume_unwind(Box::new("a fault of the flush"))
    }

    fn shutdown(&mut self) {
        *self.0.lock().unwrap() += 1;
        resume_unwind(Box::new("a fault of the end"))
    }
}

#[test]
fn an_exporter_that_panics_at_its_ends_harms_nothing_and_is_ended_once() {
    let ends = Arc::new(Mutex::new(0));
    in_both(
        || into(BadEnds(Arc::clone(&ends))),
        |tracer| tracer.start("one").end(),
        |ended| assert_eq!(ended.ledger.exported, 1, "{}", ended.ledger),
    );
    assert_eq!(*ends.lock().unwrap(), 2, "once for each pipeline");
}

#[test]
fn a_dropped_handle_ends_its_exporter() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let config = || {
        into(Script {
            answers: Vec::new(),
            log: Arc::clone(&log),
        })
    };
    let ended = || {
        log.lock()
            .unwrap()
            .iter()
            .filter(|it| **it == "shutdown")
            .count()
    };
    let telemetry = spandrel_transport_std::init(config()).unwrap();
    telemetry.tracer("test").start("one").end();
    drop(telemetry);
    assert_eq!(ended(), 1);
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    let entered = runtime.enter();
    let telemetry = spandrel_transport_async::init(config()).unwrap();
    telemetry.tracer("test").start("one").end();
    drop(telemetry);
    let begun = std::time::Instant::now();
    while ended() < 2 && begun.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
    assert_eq!(ended(), 2);
    drop(entered);
}
