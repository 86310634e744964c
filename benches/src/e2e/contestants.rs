//! The contestants, set up as their documentation recommends, each making the same traces.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{
    Compression, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use spandrel_core::hosted::opentelemetry_0_33::BridgeTracer;
use spandrel_transport_std::{Config, Telemetry, WhenFull, init};

use crate::rivals;
use crate::workload::{SPANS_PER_TRACE, values};

/// A contestant that has been set up.
pub struct Running {
    /// Makes one trace: a root and nine children under it.
    pub trace: Arc<dyn Fn(u64) + Send + Sync>,
    /// Delivers what is left, within a time where that can be chosen; tells what it knows of
    /// losses.
    pub finish: Box<dyn FnOnce(Duration) -> String>,
}

/// Spandrel as it comes, and with other settings: a line here is a line in the tables, and those that
/// begin with "spandrel, gzip" are in the README as well.
const OURS: [(&str, Change); 4] = [
    ("spandrel", |_| ()),
    ("spandrel, waiting", |config| {
        config.when_full = WhenFull::Wait(Duration::from_secs(60));
    }),
    ("spandrel, gzip level 1", |config| {
        config.gzip_level = Some(1);
    }),
    ("spandrel, gzip level 6", |config| {
        config.gzip_level = Some(6);
    }),
];

/// What is set differently.
type Change = fn(&mut Config);

const OTHERS: [&str; 7] = [
    "spandrel, tracing layer",
    "tracing-opentelemetry over spandrel",
    "opentelemetry_sdk",
    "tracing-opentelemetry",
    "fastrace",
    "emit",
    BARE,
];

/// All of them, ours first. The last one tells what the work itself costs.
pub fn names() -> impl Iterator<Item = &'static str> {
    OURS.into_iter().map(|(name, _)| name).chain(OTHERS)
}

/// The one that makes no spans.
pub const BARE: &str = "(no tracing)";

/// Sets up the contestant `name`, which sends to `endpoint`.
///
/// # Panics
///
/// When there is none of that name, or when it cannot be set up.
#[must_use]
pub fn start(name: &str, endpoint: &str) -> Running {
    if let Some((_, change)) = OURS.iter().find(|(ours, _)| *ours == name) {
        return spandrel(endpoint, *change);
    }
    match name {
        "spandrel, tracing layer" => spandrel_tracing(endpoint),
        "tracing-opentelemetry over spandrel" => tracing_opentelemetry_over_ours(endpoint),
        "opentelemetry_sdk" => opentelemetry(endpoint),
        "tracing-opentelemetry" => tracing_opentelemetry(endpoint),
        "fastrace" => fastrace(endpoint),
        "emit" => emit(endpoint),
        BARE => nothing(),
        _ => panic!("no contestant {name:?}"),
    }
}

fn telemetry(endpoint: &str, change: Change) -> Telemetry {
    let mut config = Config {
        enabled: true,
        service_name: "bench".into(),
        endpoint: endpoint.into(),
        ..Config::default()
    };
    change(&mut config);
    init(config).expect("spandrel")
}

fn spandrel(endpoint: &str, change: Change) -> Running {
    let telemetry = telemetry(endpoint, change);
    let tracer = telemetry.tracer("bench");
    Running {
        trace: Arc::new(move |n| crate::ours::trace(&tracer, n)),
        finish: Box::new(move |patience| shut_down_ours(&telemetry, patience)),
    }
}

fn spandrel_tracing(endpoint: &str) -> Running {
    let telemetry = telemetry(endpoint, |_| ());
    let subscriber = crate::ours::dispatch(&telemetry.tracer("bench"));
    tracing::dispatcher::set_global_default(subscriber).expect("the only subscriber");
    Running {
        trace: Arc::new(trace_by_tracing),
        finish: Box::new(move |patience| shut_down_ours(&telemetry, patience)),
    }
}

fn tracing_opentelemetry_over_ours(endpoint: &str) -> Running {
    use tracing_subscriber::filter::LevelFilter;
    use tracing_subscriber::layer::SubscriberExt as _;

    let telemetry = telemetry(endpoint, |_| ());
    let tracer = BridgeTracer::from(telemetry.tracer("bench"));
    let subscriber = tracing_subscriber::registry()
        .with(LevelFilter::INFO)
        .with(tracing_opentelemetry::layer().with_tracer(tracer));
    tracing::subscriber::set_global_default(subscriber).expect("the only subscriber");
    Running {
        trace: Arc::new(trace_by_tracing),
        finish: Box::new(move |patience| shut_down_ours(&telemetry, patience)),
    }
}

fn shut_down_ours(telemetry: &Telemetry, patience: Duration) -> String {
    let _ = telemetry.shutdown(patience);
    telemetry.ledger().to_string()
}

fn exporter(endpoint: &str) -> SpanExporter {
    SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{endpoint}/v1/traces"))
        .with_compression(Compression::Gzip)
        .build()
        .expect("an exporter")
}

fn resource() -> Resource {
    Resource::builder().with_service_name("bench").build()
}

fn provider(endpoint: &str) -> SdkTracerProvider {
    SdkTracerProvider::builder()
        .with_batch_exporter(exporter(endpoint))
        .with_resource(resource())
        .build()
}

/// It counts what it dropped and logs that once, at its shutdown; there is no way to ask.
fn shut_down(provider: &SdkTracerProvider, patience: Duration) -> String {
    match provider.shutdown_with_timeout(patience) {
        Ok(()) => "shutdown: Ok".into(),
        Err(error) => format!("shutdown: {error}"),
    }
}

fn opentelemetry(endpoint: &str) -> Running {
    let provider = provider(endpoint);
    let tracer = provider.tracer("bench");
    Running {
        trace: Arc::new(move |n| rivals::otel::trace(&tracer, n)),
        finish: Box::new(move |patience| shut_down(&provider, patience)),
    }
}

fn tracing_opentelemetry(endpoint: &str) -> Running {
    use tracing_subscriber::filter::LevelFilter;
    use tracing_subscriber::layer::SubscriberExt as _;

    let provider = provider(endpoint);
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("bench"));
    let subscriber = tracing_subscriber::registry()
        .with(LevelFilter::INFO)
        .with(layer);
    tracing::subscriber::set_global_default(subscriber).expect("the only subscriber");
    Running {
        trace: Arc::new(trace_by_tracing),
        finish: Box::new(move |patience| shut_down(&provider, patience)),
    }
}

/// For both layers.
fn trace_by_tracing(n: u64) {
    let (route, rows, load, hit) = values(n, 0);
    let root = tracing::info_span!(
        "http.request",
        http.route = route,
        db.rows = rows,
        server.load = load,
        cache.hit = hit,
    );
    root.in_scope(|| {
        for child in 1..SPANS_PER_TRACE {
            let (route, rows, load, hit) = values(n, child);
            drop(tracing::info_span!(
                "db.query",
                http.route = route,
                db.rows = rows,
                server.load = load,
                cache.hit = hit,
            ));
        }
    });
}

fn fastrace(endpoint: &str) -> Running {
    use ::fastrace::Span;
    use ::fastrace::collector::{Config, SpanContext};
    use ::fastrace::local::LocalSpan;

    let scope = opentelemetry::InstrumentationScope::builder("bench").build();
    let reporter = fastrace_opentelemetry::OpenTelemetryReporter::new(
        exporter(endpoint),
        Cow::Owned(resource()),
        scope,
    );
    ::fastrace::set_reporter(reporter, Config::default());
    Running {
        trace: Arc::new(|n| {
            let root = Span::root("http.request", SpanContext::random())
                .with_properties(|| properties(n, 0));
            let _current = root.set_local_parent();
            for child in 1..SPANS_PER_TRACE {
                drop(
                    LocalSpan::enter_with_local_parent("db.query")
                        .with_properties(|| properties(n, child)),
                );
            }
        }),
        finish: Box::new(|_| {
            ::fastrace::flush();
            "flush tells nothing".into()
        }),
    }
}

/// Properties are texts in fastrace.
fn properties(trace: u64, child: u64) -> [(&'static str, Cow<'static, str>); 4] {
    let (route, rows, load, hit) = values(trace, child);
    [
        ("http.route", route.into()),
        ("db.rows", rows.to_string().into()),
        ("server.load", load.to_string().into()),
        ("cache.hit", if hit { "true" } else { "false" }.into()),
    ]
}

fn emit(endpoint: &str) -> Running {
    let runtime = ::emit::setup().emit_to(rivals::emit::otlp(endpoint)).init();
    Running {
        trace: Arc::new(|n| {
            let (route, rows, load, hit) = values(n, 0);
            emit_root(n, route, rows, load, hit);
        }),
        finish: Box::new(move |patience| format!("flushed: {}", runtime.blocking_flush(patience))),
    }
}

#[emit::span(
    "http.request",
    #[emit::key("http.route")] route,
    #[emit::key("db.rows")] rows,
    #[emit::key("server.load")] load,
    #[emit::key("cache.hit")] hit,
)]
fn emit_root(trace: u64, route: &str, rows: i64, load: f64, hit: bool) {
    for child in 1..SPANS_PER_TRACE {
        let (route, rows, load, hit) = values(trace, child);
        emit_child(route, rows, load, hit);
    }
}

#[emit::span(
    "db.query",
    #[emit::key("http.route")] route,
    #[emit::key("db.rows")] rows,
    #[emit::key("server.load")] load,
    #[emit::key("cache.hit")] hit,
)]
fn emit_child(route: &str, rows: i64, load: f64, hit: bool) {
    std::hint::black_box(());
}

fn nothing() -> Running {
    Running {
        trace: Arc::new(|n| {
            for span in 0..SPANS_PER_TRACE {
                std::hint::black_box(values(n, span));
            }
        }),
        finish: Box::new(|_| String::new()),
    }
}
