//! What the programs share: a pipeline, a server on loopback, and the check of the trace.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::exit;
use std::time::Duration;

use axum::Router;
use spandrel_core::hosted::export::{InMemoryExporter, SpanData};
use spandrel_core::id::SpanId;
use spandrel_transport_std::{Config, Telemetry, Tracer, TracerProvider, init};

/// A pipeline whose spans are looked at in the end.
pub struct Proof {
    telemetry: Telemetry,
    exporter: InMemoryExporter,
}

impl Proof {
    /// Starts a pipeline.
    pub fn begin() -> Self {
        let exporter = InMemoryExporter::new();
        let config = Config {
            enabled: true,
            read_environment: false,
            service_name: "ecosystem".into(),
            exporter: Some(exporter.clone().into()),
            ..Config::default()
        };
        let telemetry = init(config).unwrap_or_else(|error| fail(&error.to_string()));
        Self {
            telemetry,
            exporter,
        }
    }

    /// The provider to bridge.
    pub fn provider(&self) -> &TracerProvider {
        self.telemetry.provider()
    }

    /// A tracer of this crate.
    pub fn tracer(&self) -> Tracer {
        self.telemetry.tracer("ecosystem")
    }

    /// Ends the pipeline and compares the one trace with `expected`: a line for each span with its
    /// kind, indented by two blanks below its parent. Ends the process with 1 if something is wrong.
    pub fn end(self, expected: &str) {
        let report = self.telemetry.shutdown(Duration::from_secs(5));
        let ledger = self.telemetry.ledger();
        let spans = self.exporter.finished_spans();
        let seen = tree(&spans);
        let expected = expected.trim_matches('\n');
        if seen.trim_end() != expected.trim_end() {
            fail(&format!("the spans are\n{seen}\nand should be\n{expected}"));
        }
        let is_closed = ledger.exported == spans.len() as u64 && ledger.ended == ledger.exported;
        if !is_closed {
            fail(&format!("the ledger is not closed: {ledger}; {report}"));
        }
        println!("{seen}\n{ledger}");
    }
}

/// The spans as lines, each below its parent. More than one trace, and a parent that is not there, are
/// said.
fn tree(spans: &[SpanData]) -> String {
    let mut text = String::new();
    let ids: HashMap<SpanId, &SpanData> =
        spans.iter().map(|it| (it.context.span_id(), it)).collect();
    let mut traces: Vec<_> = spans.iter().map(|span| span.context.trace_id()).collect();
    traces.sort();
    traces.dedup();
    if traces.len() != 1 {
        let _ = writeln!(text, "({} traces)", traces.len());
    }
    let mut sorted: Vec<&SpanData> = spans.iter().collect();
    sorted.sort_by_key(|span| span.start_time);
    for span in &sorted {
        match span.parent_span_id {
            None => below(span, 0, &sorted, &mut text),
            Some(id) if !ids.contains_key(&id) => {
                text.push_str("(parent not there) ");
                below(span, 0, &sorted, &mut text);
            }
            Some(_) => {}
        }
    }
    text
}

fn below(span: &SpanData, depth: usize, all: &[&SpanData], text: &mut String) {
    let _ = writeln!(
        text,
        "{:1$}{2} ({3:?})",
        "",
        2 * depth,
        span.name,
        span.kind
    );
    for child in all {
        if child.parent_span_id == Some(span.context.span_id()) {
            below(child, depth + 1, all, text);
        }
    }
}

/// Says what is wrong and ends the process.
pub fn fail(what: &str) -> ! {
    eprintln!("error: {what}");
    exit(1)
}

/// Serves `app` on loopback, in the background.
pub async fn serve(app: Router) -> SocketAddr {
    let bound = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = bound.unwrap_or_else(|error| fail(&error.to_string()));
    let address = listener.local_addr();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address.unwrap_or_else(|error| fail(&error.to_string()))
}

/// The text of an answer; anything else is a failure.
pub async fn text(answer: Result<reqwest::Response, impl std::fmt::Display>) -> String {
    match answer {
        Ok(answer) if answer.status().is_success() => answer.text().await.unwrap_or_default(),
        Ok(answer) => fail(&answer.status().to_string()),
        Err(error) => fail(&error.to_string()),
    }
}

/// Headers of a request, for the API's propagators.
pub struct Headers<'a>(pub &'a mut http::HeaderMap);

impl opentelemetry::propagation::Injector for Headers<'_> {
    fn set(&mut self, key: &str, value: String) {
        let name = http::HeaderName::from_bytes(key.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value.parse()) {
            self.0.insert(name, value);
        }
    }
}

impl opentelemetry::propagation::Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
