//! Alone in its process: it sets the process-wide subscriber.
//!
//! Fields whose `Debug` uses `tracing` itself. A subscriber that is set for a scope ignores nested
//! uses by itself, and would prove nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail at once, with the reason"
)]

use std::fmt;
use std::sync::OnceLock;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::Span as Received;
use spandrel_tests::fault_server::{FaultServer, Script};
use spandrel_transport_std::layer::{SpanExt as _, layer};
use spandrel_transport_std::{Config, Telemetry, init};
use tracing::{Span, info, info_span};
use tracing_subscriber::layer::SubscriberExt as _;

const PATIENCE: Duration = Duration::from_secs(10);

fn pipeline() -> &'static (FaultServer, Telemetry) {
    static PIPELINE: OnceLock<(FaultServer, Telemetry)> = OnceLock::new();
    PIPELINE.get_or_init(|| {
        let server = FaultServer::start(Script::new());
        let telemetry = init(Config {
            enabled: true,
            endpoint: server.url(),
            read_environment: false,
            set_global: false,
            ..Config::default()
        })
        .unwrap();
        let tracer = telemetry.tracer("layer");
        let subscriber = tracing_subscriber::registry().with(layer(&tracer));
        tracing::subscriber::set_global_default(subscriber).unwrap();
        (server, telemetry)
    })
}

/// Runs `program` on a thread, where it must not hang, and returns its spans.
fn trace(program: impl FnOnce() + Send + 'static) -> impl Fn(&str) -> Received {
    let (server, telemetry) = pipeline();
    let (done, is_done) = channel();
    thread::spawn(move || {
        program();
        done.send(()).unwrap();
    });
    is_done
        .recv_timeout(PATIENCE)
        .expect("it neither hangs nor panics");
    assert!(telemetry.force_flush(PATIENCE).is_success());
    |name| {
        let requests = server.requests();
        let mut spans = requests.iter().flat_map(|request| request.spans());
        let span = spans.find(|span| span.name == name);
        span.cloned().expect("a span of that name")
    }
}

/// Does all that can be done with `tracing` while it is being formatted, with itself inside.
struct Chatty {
    name: &'static str,
    depth: u32,
}

impl fmt::Debug for Chatty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(depth) = self.depth.checked_sub(1) {
            let inner = Self {
                name: self.name,
                depth,
            };
            let outer = Span::current();
            info!(field = ?inner, "nested event");
            outer.record("later", tracing::field::debug(&inner));
            outer.set_attribute("set", "while formatting");
            let _ = outer.context();
            let span = info_span!("nested", otel.name = self.name, field = ?inner);
            span.follows_from(&outer);
            span.in_scope(|| info!(field = ?inner, "in nested"));
        }
        f.write_str("chatty")
    }
}

impl fmt::Display for Chatty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Chatty {}

fn chatty(name: &'static str) -> Chatty {
    Chatty { name, depth: 2 }
}

fn text<'a>(span: &'a Received, key: &str) -> Option<&'a str> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let attribute = span
        .attributes
        .iter()
        .find(|attribute| attribute.key == key)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

#[test]
fn fields_of_spans_may_use_tracing() {
    let span = trace(|| {
        let outer = info_span!("outer 1", later = tracing::field::Empty);
        outer.in_scope(|| drop(info_span!("inner 1", field = ?chatty("deep 1"), other = 1)));
    });
    assert_eq!(text(&span("inner 1"), "field"), Some("chatty"));
    assert_eq!(span("inner 1").attributes.len(), 2);
    assert_eq!(text(&span("outer 1"), "later"), Some("chatty"));
    assert_eq!(text(&span("outer 1"), "set"), Some("while formatting"));
}

#[test]
fn recorded_fields_may_use_tracing() {
    let span = trace(|| {
        let outer = info_span!(
            "outer 2",
            field = tracing::field::Empty,
            later = tracing::field::Empty
        );
        let _inside = outer.enter();
        outer.record("field", tracing::field::debug(chatty("deep 2")));
    });
    let outer = span("outer 2");
    assert_eq!(text(&outer, "field"), Some("chatty"));
    assert_eq!(text(&outer, "later"), Some("chatty"));
}

#[test]
fn fields_of_events_may_use_tracing() {
    let span = trace(|| {
        let outer = info_span!("outer 3", later = tracing::field::Empty);
        let _inside = outer.enter();
        info!(field = ?chatty("deep 3"), "outer event");
    });
    let outer = span("outer 3");
    let last = outer.events.last().unwrap();
    assert_eq!(last.name, "outer event");
    assert_eq!(last.attributes.len(), 3);
    assert!(
        outer
            .events
            .iter()
            .any(|event| event.name == "nested event")
    );
}

#[test]
fn errors_may_use_tracing() {
    let span = trace(|| {
        let error = chatty("deep 4");
        let outer = info_span!("outer 4", later = tracing::field::Empty);
        let _inside = outer.enter();
        outer.record_error(&error);
        info!(
            error = &error as &(dyn std::error::Error + 'static),
            "failed"
        );
    });
    let outer = span("outer 4");
    assert!(outer.events.iter().any(|event| event.name == "exception"));
    assert!(outer.events.iter().any(|event| event.name == "failed"));
}
