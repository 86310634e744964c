//! A collector, a pipeline of either transport with processors, and a processor that notes its calls.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::trace::v1::Span as Received;
use spandrel_core::hosted::current::Context;
use spandrel_core::hosted::processor::{LiveSpan, SpanFate, SpanProcessor};
use spandrel_core::hosted::trace::{SpanCounts, Tracer, TracerProvider};
use spandrel_core::span::finished::FinishedSpan;
use spandrel_core::stats::Ledger;
use spandrel_tests::fault_server::{FaultServer, Script};
use spandrel_transport_std::{Config, FlushReport};

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A transport that is running.
enum Running {
    Blocking(spandrel_transport_std::Telemetry),
    Async(tokio::runtime::Runtime, spandrel_transport_async::Telemetry),
}

pub(crate) struct Rig {
    server: FaultServer,
    running: Running,
}

impl Rig {
    /// With the blocking transport.
    pub(crate) fn new(processors: Vec<Arc<dyn SpanProcessor>>) -> Self {
        Self::with(|config| config.processors = processors)
    }

    pub(crate) fn with(edit: impl FnOnce(&mut Config)) -> Self {
        let server = FaultServer::start(Script::new());
        let started = spandrel_transport_std::init(config(&server, edit));
        let running = Running::Blocking(started.expect("settings that fit together"));
        Self { server, running }
    }

    /// One rig for each transport.
    pub(crate) fn of_both(edit: impl Fn(&mut Config)) -> [Self; 2] {
        let server = FaultServer::start(Script::new());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let started = {
            let _inside = runtime.enter();
            spandrel_transport_async::init(config(&server, &edit))
        };
        let started = started.expect("settings that fit together");
        let running = Running::Async(runtime, started);
        [Self::with(edit), Self { server, running }]
    }

    pub(crate) fn tracer(&self) -> Tracer {
        match &self.running {
            Running::Blocking(telemetry) => telemetry.tracer("rig"),
            Running::Async(_, telemetry) => telemetry.tracer("rig"),
        }
    }

    pub(crate) fn provider(&self) -> &TracerProvider {
        match &self.running {
            Running::Blocking(telemetry) => telemetry.provider(),
            Running::Async(_, telemetry) => telemetry.provider(),
        }
    }

    pub(crate) fn ledger(&self) -> Ledger {
        match &self.running {
            Running::Blocking(telemetry) => telemetry.ledger(),
            Running::Async(_, telemetry) => telemetry.ledger(),
        }
    }

    pub(crate) fn counts(&self) -> SpanCounts {
        match &self.running {
            Running::Blocking(telemetry) => telemetry.counts(),
            Running::Async(_, telemetry) => telemetry.counts(),
        }
    }

    pub(crate) fn flush(&self) -> FlushReport {
        match &self.running {
            Running::Blocking(telemetry) => telemetry.force_flush(PATIENCE),
            Running::Async(runtime, telemetry) => runtime.block_on(telemetry.force_flush(PATIENCE)),
        }
    }

    pub(crate) fn shutdown(&self) -> FlushReport {
        match &self.running {
            Running::Blocking(telemetry) => telemetry.shutdown(PATIENCE),
            Running::Async(runtime, telemetry) => runtime.block_on(telemetry.shutdown(PATIENCE)),
        }
    }

    /// All that has arrived after a flush.
    #[track_caller]
    pub(crate) fn received(&self) -> Vec<Received> {
        let report = self.flush();
        assert!(report.is_success(), "{report:?}");
        let ledger = self.ledger();
        assert!(ledger.is_closed(), "{ledger}");
        let requests = self.server.requests();
        let spans = requests.iter().flat_map(|request| request.spans());
        spans.cloned().collect()
    }

    /// The names of what has arrived.
    #[track_caller]
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.received().into_iter().map(|span| span.name).collect();
        names.sort_unstable();
        names
    }
}

fn config(server: &FaultServer, edit: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config {
        enabled: true,
        service_name: "processors".into(),
        endpoint: server.url(),
        scheduled_delay: Some(Duration::from_secs(3600)),
        read_environment: false,
        set_global: false,
        ..Config::default()
    };
    edit(&mut config);
    config
}

/// The value of a text attribute of what arrived.
pub(crate) fn text_of<'a>(span: &'a Received, key: &str) -> Option<&'a str> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let found = span.attributes.iter().find(|item| item.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// Lines that several threads and processors write.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    pub(crate) fn add(&self, line: String) {
        self.lock().push(line);
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes each call with its own name and the span's.
pub(crate) struct Noting {
    pub(crate) name: &'static str,
    pub(crate) notes: Notes,
}

impl Noting {
    pub(crate) fn arc(name: &'static str, notes: &Notes) -> Arc<dyn SpanProcessor> {
        let notes = notes.clone();
        Arc::new(Self { name, notes })
    }

    fn note(&self, method: &str, what: &str) {
        self.notes.add(format!("{} {method} {what}", self.name));
    }
}

impl SpanProcessor for Noting {
    fn on_start(&self, span: &mut LiveSpan<'_>, _: &Context) {
        self.note("start", span.view().map_or("", |span| span.name()));
    }

    fn on_ending(&self, span: &mut LiveSpan<'_>) {
        self.note("ending", span.view().map_or("", |span| span.name()));
    }

    fn on_end(&self, span: &FinishedSpan<'_>) -> SpanFate {
        self.note("end", span.name());
        SpanFate::Keep
    }

    fn force_flush(&self, _: Instant) -> bool {
        self.note("flush", "");
        true
    }

    fn shutdown(&self, _: Instant) -> bool {
        self.note("shutdown", "");
        true
    }
}

/// Calls `end` with each span that has ended.
pub(crate) struct AtEnd<F>(pub(crate) F);

impl<F: Fn(&FinishedSpan<'_>) -> SpanFate + Send + Sync> SpanProcessor for AtEnd<F> {
    fn on_end(&self, span: &FinishedSpan<'_>) -> SpanFate {
        (self.0)(span)
    }
}

/// A processor of one function.
pub(crate) fn at_end(
    end: impl Fn(&FinishedSpan<'_>) -> SpanFate + Send + Sync + 'static,
) -> Arc<dyn SpanProcessor> {
    Arc::new(AtEnd(end))
}

/// Calls `ending` with each span that is about to end.
struct AtEnding<F>(F);

impl<F: Fn(&mut LiveSpan<'_>) + Send + Sync> SpanProcessor for AtEnding<F> {
    fn on_ending(&self, span: &mut LiveSpan<'_>) {
        (self.0)(span);
    }
}

/// A processor of one function.
pub(crate) fn at_ending(
    ending: impl Fn(&mut LiveSpan<'_>) + Send + Sync + 'static,
) -> Arc<dyn SpanProcessor> {
    Arc::new(AtEnding(ending))
}
