//! The ids of spans in lines of logs: of `tracing-subscriber` in all its forms, and of `log`.

use std::io::Write;
use std::sync::{Arc, Mutex};

use spandrel_core::context::{SpanContext, TraceFlags};
use spandrel_core::hosted::current::ContextFutureExt as _;
use spandrel_core::hosted::log_ids::{LogIds, TraceIds};
use spandrel_core::id::{SpanId, TraceId};
use spandrel_transport_std::layer::{SetParentError, SpanExt as _, layer};
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Span, debug, info, info_span};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::Registry;

use crate::tracing_layer::rig::{Rig, Spans};

/// What was written.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn all(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

type BoxedLayer = Box<dyn tracing_subscriber::Layer<Registry> + Send + Sync>;

/// One pipeline, whose subscriber has a `fmt` layer first, as most programs have.
fn rig(format: impl FnOnce(Lines) -> BoxedLayer) -> (Rig, Lines) {
    let lines = Lines::default();
    let layer_of_lines = format(lines.clone());
    let rig = Rig::subscribed(
        |_| (),
        |tracer| {
            let registry = tracing_subscriber::registry().with(layer_of_lines);
            // Events below this level are in the lines and not in the trace.
            let layer = layer(tracer).with_filter(LevelFilter::INFO);
            Dispatch::new(registry.with(layer))
        },
    );
    (rig, lines)
}

fn full(lines: Lines) -> BoxedLayer {
    let layer = fmt::layer().without_time().with_ansi(false);
    Box::new(layer.with_writer(lines).map_event_format(LogIds::new))
}

/// The ids of a span as a line in text has them.
fn in_text(spans: &Spans, name: &str) -> String {
    let (trace, span) = ids(spans, name);
    format!(" trace_id={trace} span_id={span}")
}

fn ids(spans: &Spans, name: &str) -> (TraceId, SpanId) {
    let span = spans.named(name);
    let trace = span.trace_id.clone().try_into().unwrap();
    let own = span.span_id.clone().try_into().unwrap();
    (TraceId::from_bytes(trace), SpanId::from_bytes(own))
}

fn program() {
    info!("outside");
    info_span!("work", step = 1).in_scope(|| info!(items = 3, "inside"));
    info!("outside again");
}

#[test]
fn the_full_form_ends_with_the_ids_of_the_span() {
    let (rig, lines) = rig(full);
    let spans = rig.trace(program);
    let ids = in_text(&spans, "work");
    assert_eq!(
        lines.all(),
        [
            " INFO hosted::log_ids: outside".into(),
            format!(" INFO work{{step=1}}: hosted::log_ids: inside items=3{ids}"),
            " INFO hosted::log_ids: outside again".into(),
        ]
    );
}

#[test]
fn the_compact_form_ends_with_the_ids_of_the_span() {
    let (rig, lines) = rig(|lines| {
        let layer = fmt::layer().compact().without_time().with_ansi(false);
        Box::new(layer.with_writer(lines).map_event_format(LogIds::new))
    });
    let spans = rig.trace(program);
    let all = lines.all();
    assert_eq!(all.len(), 3, "{all:?}");
    assert!(all[1].contains("inside items=3"), "{all:?}");
    assert!(all[1].ends_with(&in_text(&spans, "work")), "{all:?}");
    assert!(
        !all[0].contains("_id=") && !all[2].contains("_id="),
        "{all:?}"
    );
}

#[test]
fn the_pretty_form_has_a_line_with_the_ids_of_the_span() {
    let (rig, lines) = rig(|lines| {
        let layer = fmt::layer().pretty().without_time().with_ansi(false);
        Box::new(layer.with_writer(lines).map_event_format(LogIds::new))
    });
    let spans = rig.trace(program);
    let text = lines.text();
    let events: Vec<_> = text.split_terminator("\n\n").collect();
    assert_eq!(events.len(), 3, "{text}");
    let (trace, span) = ids(&spans, "work");
    let line = format!("\n    with trace_id: {trace}, span_id: {span}");
    assert!(events[1].contains("inside, items: 3"), "{text}");
    assert!(events[1].ends_with(&line), "{text}");
    assert_eq!(text.matches("trace_id").count(), 1, "{text}");
}

#[test]
fn objects_of_json_begin_with_the_ids_of_the_span() {
    let (rig, lines) = rig(|lines| {
        let layer = fmt::layer().json().without_time();
        Box::new(layer.with_writer(lines).map_event_format(LogIds::new))
    });
    let spans = rig.trace(program);
    let all = lines.all();
    let objects: Vec<serde_json::Value> = all
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(objects.len(), 3);
    let (trace, span) = ids(&spans, "work");
    assert_eq!(objects[1]["trace_id"], trace.to_string());
    assert_eq!(objects[1]["span_id"], span.to_string());
    assert_eq!(objects[1]["fields"]["items"], 3);
    assert_eq!(objects[1]["span"]["name"], "work");
    for outside in [&objects[0], &objects[2]] {
        assert!(outside.get("trace_id").is_none(), "{outside}");
        assert!(outside.get("span_id").is_none(), "{outside}");
    }
}

/// All that can be left out is: what is left has no members, or a brace in the text.
#[test]
fn nothing_but_the_ids_is_an_object_too_and_a_brace_in_a_text_is_none() {
    let (bare, lines) = rig(|lines| {
        let format = fmt::format().json().flatten_event(true);
        let format = format.without_time().with_level(false).with_target(false);
        let format = format.with_current_span(false).with_span_list(false);
        let layer = fmt::layer().json().event_format(LogIds::new(format));
        Box::new(layer.with_writer(lines))
    });
    bare.trace(|| info_span!("work").in_scope(|| info!(nothing = tracing::field::Empty)));
    for line in lines.all() {
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(object["trace_id"].is_string(), "{line}");
    }

    let (bare, lines) = rig(|lines| {
        let format = fmt::format()
            .without_time()
            .with_level(false)
            .with_target(false);
        let layer = fmt::layer()
            .event_format(LogIds::new(format))
            .with_ansi(false);
        Box::new(layer.with_writer(lines))
    });
    let spans = bare.trace(|| tracing::info!("{{\"a\": 1}}"));
    assert_eq!(lines.text(), "{\"a\": 1}\n");
    assert!(spans.0.is_empty());
}

#[test]
fn colours_stay_and_the_ids_have_those_of_fields() {
    let (rig, lines) = rig(|lines| {
        let layer = fmt::layer().without_time().with_ansi(true);
        Box::new(layer.with_writer(lines).map_event_format(LogIds::new))
    });
    let spans = rig.trace(program);
    let (trace, span) = ids(&spans, "work");
    let all = lines.all();
    // The first has no span, so it is what the format itself makes.
    assert!(all[0].starts_with("\u{1b}[32m INFO\u{1b}[0m "), "{all:?}");
    assert!(all[1].starts_with("\u{1b}[32m INFO\u{1b}[0m "), "{all:?}");
    let field = |name: &str| format!(" \u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m");
    let items = format!("{}3", field("items"));
    assert!(all[1].contains(&items), "{all:?}");
    let ids = format!("{}{trace}{}{span}", field("trace_id"), field("span_id"));
    assert!(all[1].ends_with(&ids), "{all:?}");
}

#[test]
fn a_message_of_several_lines_has_the_ids_behind_its_last_one() {
    let (rig, lines) = rig(full);
    let spans = rig.trace(|| info_span!("work").in_scope(|| info!("one\ntwo\n")));
    let ids = in_text(&spans, "work");
    let expected = format!(" INFO work: hosted::log_ids: one\ntwo{ids}\n\n");
    assert_eq!(lines.text(), expected);
}

fn caller() -> SpanContext {
    let trace = TraceId::from_bytes([7; 16]);
    SpanContext::remote(trace, SpanId::from_bytes([8; 8]), TraceFlags::SAMPLED)
}

/// Fault X250.
#[test]
fn x250_lines_after_a_late_parent_have_its_trace_and_a_line_makes_the_parent_final() {
    let (rig, lines) = rig(full);
    let spans = rig.trace(|| {
        let early = info_span!("early");
        early.set_parent(caller()).unwrap();
        early.in_scope(|| info!("in early"));
        info_span!("inside").in_scope(|| {
            Span::current().set_parent(caller()).unwrap();
            info!("in inside");
        });
        info_span!("late").in_scope(|| {
            // The trace does not get this one, but the log shows the ids.
            debug!("in late");
            let set = Span::current().set_parent(caller());
            assert_eq!(set, Err(SetParentError::TooLate));
            info!("in late again");
        });
    });
    let all = lines.all();
    let trace = ids(&spans, "late").0;
    assert_ne!(trace, caller().trace_id());
    for (line, name) in all.iter().zip(["early", "inside", "late", "late"]) {
        assert!(line.contains(&format!(": in {name}")), "{all:?}");
        assert!(line.ends_with(&in_text(&spans, name)), "{name}: {all:?}");
    }
    for name in ["early", "inside"] {
        assert_eq!(ids(&spans, name).0, caller().trace_id());
    }
    assert_eq!(all.len(), 4);
}

#[test]
fn the_ids_are_those_of_the_innermost_span_of_either_kind() {
    let (rig, lines) = rig(full);
    let tracer = rig.tracer.clone();
    let spans = rig.trace(|| {
        info_span!("outer").in_scope(|| {
            tracer.start("native").in_scope(|_| {
                info!("in native");
                info_span!("inner").in_scope(|| info!("in inner"));
            });
            info!("in outer");
        });
    });
    let all = lines.all();
    for (line, name) in all.iter().zip(["native", "inner", "outer"]) {
        assert!(line.contains(&format!(": in {name}")), "{all:?}");
        assert!(line.ends_with(&in_text(&spans, name)), "{all:?}");
    }
    spans.is_child("native", "outer");
    spans.is_child("inner", "native");
}

#[test]
fn an_event_with_a_parent_of_its_own_has_the_ids_of_that() {
    let (first, lines) = rig(full);
    // Its subscriber has spans of the same ids.
    let (second, others) = rig(full);
    let kept = second.run(|| info_span!("second"));
    let spans = first.trace(|| {
        let one = info_span!("one");
        let hidden = tracing::debug_span!(parent: &one, "hidden");
        let _inside = info_span!("two").entered();
        info!(parent: &one, "given to one");
        info!(parent: &hidden, "given to hidden");
        info!(parent: None, "given to none");
    });
    let all = lines.all();
    assert!(all[0].ends_with(&in_text(&spans, "one")), "{all:?}");
    assert!(all[1].ends_with(&in_text(&spans, "one")), "{all:?}");
    assert!(all[2].ends_with("given to none"), "{all:?}");
    second.run(|| {
        info!(parent: &kept, "given to second");
        drop(kept);
    });
    let spans = second.received();
    let ids = in_text(&spans, "second");
    assert!(
        others.text().trim_end().ends_with(&ids),
        "{}",
        others.text()
    );
}

#[test]
fn spans_that_are_not_sampled_and_futures_have_ids_as_well() {
    let lines = Lines::default();
    let rig = Rig::subscribed(
        |config| config.sample_rate = Some(0.0),
        |tracer| {
            let registry = tracing_subscriber::registry().with(full(lines.clone()));
            Dispatch::new(registry.with(layer(tracer)))
        },
    );
    rig.run(|| {
        let span = info_span!("unsampled");
        let context = span.context().unwrap();
        span.in_scope(|| info!("inside"));
        let work = async { info!("polled") }.with_context(context.clone());
        let mut task = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(std::pin::pin!(work).poll(&mut task).is_ready());
        let ids = TraceIds::from(context.span_context()).to_string();
        let all = lines.all();
        assert!(all.iter().all(|line| line.ends_with(&ids)), "{all:?}");
        assert_eq!(all.len(), 2);
    });
}

#[test]
fn formats_of_the_program_have_ids_too() {
    let text = |lines: Lines| -> BoxedLayer {
        let layer = fmt::layer().without_time().with_ansi(false);
        Box::new(layer.with_writer(lines).map_event_format(LogIds::text))
    };
    let (rig_of_text, lines) = rig(text);
    let spans = rig_of_text.trace(program);
    assert!(lines.all()[1].ends_with(&in_text(&spans, "work")));
    let json = |lines: Lines| -> BoxedLayer {
        let layer = fmt::layer().json().with_writer(lines);
        Box::new(layer.map_event_format(LogIds::json))
    };
    let (rig_of_json, lines) = rig(json);
    let spans = rig_of_json.trace(program);
    let begin = format!("{{\"trace_id\":\"{}\",", ids(&spans, "work").0);
    assert!(lines.all()[1].starts_with(&begin), "{}", lines.text());
}

/// As the documentation shows it.
#[test]
fn lines_of_env_logger_have_the_ids_of_the_current_span() {
    let lines = Lines::default();
    let logger = env_logger::Builder::new()
        .filter_level(log::LevelFilter::Info)
        .target(env_logger::Target::Pipe(Box::new(lines.clone())))
        .format(|line, record| {
            let (level, target) = (record.level(), record.target());
            let ids = TraceIds::current();
            writeln!(line, "[{level:<5} {target}] {}{ids}", record.args())
        })
        .build();
    let write = |text: &str| {
        let text = format_args!("{text}");
        let mut record = log::Record::builder();
        let record = record.level(log::Level::Info).target("shop").args(text);
        log::Log::log(&logger, &record.build());
    };
    let rig = Rig::new();
    let tracer = rig.tracer.clone();
    let spans = rig.trace(|| {
        write("outside");
        tracer.start("work").in_scope(|_| write("inside"));
    });
    let ids = in_text(&spans, "work");
    let expected = [
        "[INFO  shop] outside".into(),
        format!("[INFO  shop] inside{ids}"),
    ];
    assert_eq!(lines.all(), expected);
}
