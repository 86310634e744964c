//! A collector, a pipeline, and a subscriber with the layer.

use std::collections::BTreeMap;
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use spandrel_tests::fault_server::{FaultServer, Script};
use spandrel_transport_std::layer::{TracingLayer, layer};
use spandrel_transport_std::{Config, Ledger, Telemetry, Tracer, init};
use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt as _;

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Rig {
    pub(crate) server: FaultServer,
    pub(crate) telemetry: Telemetry,
    pub(crate) tracer: Tracer,
    pub(crate) dispatch: Dispatch,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(|_| (), |layer| layer)
    }

    /// With options of the layer.
    pub(crate) fn layer(edit: impl FnOnce(TracingLayer) -> TracingLayer) -> Self {
        Self::with(|_| (), edit)
    }

    pub(crate) fn sampling(rate: f64) -> Self {
        Self::with(|config| config.sample_rate = Some(rate), |layer| layer)
    }

    pub(crate) fn with(
        settings: impl FnOnce(&mut Config),
        edit: impl FnOnce(TracingLayer) -> TracingLayer,
    ) -> Self {
        Self::subscribed(settings, |tracer| {
            tracing_subscriber::registry()
                .with(edit(layer(tracer)))
                .into()
        })
    }

    /// With a subscriber of the test's own.
    pub(crate) fn subscribed(
        settings: impl FnOnce(&mut Config),
        subscriber: impl FnOnce(&Tracer) -> Dispatch,
    ) -> Self {
        let server = FaultServer::start(Script::new());
        let mut config = Config {
            enabled: true,
            service_name: "tracing".into(),
            endpoint: server.url(),
            scheduled_delay: Some(Duration::from_secs(3600)),
            read_environment: false,
            set_global: false,
            ..Config::default()
        };
        settings(&mut config);
        let telemetry = init(config).expect("settings that fit together");
        let tracer = telemetry.tracer("layer");
        Self {
            server,
            telemetry,
            dispatch: subscriber(&tracer),
            tracer,
        }
    }

    /// Runs a program under the subscriber.
    pub(crate) fn run<T>(&self, program: impl FnOnce() -> T) -> T {
        tracing::dispatcher::with_default(&self.dispatch, program)
    }

    /// Runs a program and returns what arrives of it.
    pub(crate) fn trace(&self, program: impl FnOnce()) -> Spans {
        self.run(program);
        self.received()
    }

    pub(crate) fn received(&self) -> Spans {
        let report = self.telemetry.force_flush(PATIENCE);
        assert!(report.is_success(), "{report:?}");
        let ledger = self.ledger();
        assert!(ledger.is_closed(), "{ledger}");
        let requests = self.server.requests();
        let spans = requests.iter().flat_map(|request| request.spans());
        Spans(spans.cloned().collect())
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.telemetry.ledger()
    }

    /// No span was started that has not ended.
    #[track_caller]
    pub(crate) fn assert_none_live(&self) {
        let counts = self.telemetry.counts();
        assert_eq!(counts.live, 0, "{counts:?}");
        assert_eq!(counts.started.recorded, counts.ended, "{counts:?}");
    }
}

/// What arrived.
#[derive(Debug)]
pub(crate) struct Spans(pub(crate) Vec<Span>);

impl Spans {
    /// The only span of that name.
    #[track_caller]
    pub(crate) fn named(&self, name: &str) -> &Span {
        let mut found = self.0.iter().filter(|span| span.name == name);
        let span = found.next();
        let Some(span) = span else {
            panic!("no span {name:?} among {:?}", self.names());
        };
        assert!(found.next().is_none(), "two spans {name:?}");
        span
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.0.iter().map(|span| span.name.as_str()).collect();
        names.sort_unstable();
        names
    }

    #[track_caller]
    pub(crate) fn is_child(&self, child: &str, parent: &str) {
        let (child, parent) = (self.named(child), self.named(parent));
        assert_eq!(child.parent_span_id, parent.span_id, "{}", child.name);
        assert_eq!(child.trace_id, parent.trace_id, "{}", child.name);
    }

    #[track_caller]
    pub(crate) fn is_root(&self, name: &str) {
        assert!(self.named(name).parent_span_id.is_empty(), "{name}");
    }
}

/// Attributes by key; a key that comes twice fails.
#[track_caller]
pub(crate) fn attributes(list: &[KeyValue]) -> BTreeMap<&str, Value> {
    let mut map = BTreeMap::new();
    for item in list {
        let value = item.value.clone().and_then(|value| value.value);
        let value = value.expect("a value");
        assert!(
            map.insert(item.key.as_str(), value).is_none(),
            "{}",
            item.key
        );
    }
    map
}

pub(crate) fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

pub(crate) fn int(int: i64) -> Value {
    Value::IntValue(int)
}
