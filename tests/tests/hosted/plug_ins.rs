//! Samplers and generators of ids of a program: what they are asked, what becomes of their answers,
//! and how they end.
#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::Span;
use spandrel_core::attribute::KeyValue;
use spandrel_core::context::{ParentContext, SpanContext, TraceFlags, TraceState};
use spandrel_core::hosted::current::{Context, ContextKey};
use spandrel_core::hosted::diagnostics::set_handler;
use spandrel_core::hosted::sampling::SharedIdGenerator;
use spandrel_core::id::{IdGenerator, SpanId, TraceId};
use spandrel_core::resource::InstrumentationScope;
use spandrel_core::sampler::{
    ComposableParentThreshold, ComposableProbability, CompositeSampler, ProbabilitySampler,
    Sampler, SamplingDecision, SamplingParameters, SamplingResult,
};
use spandrel_tests::fault_server::{FaultServer, Script};
use spandrel_transport_std::{Config, Telemetry, init};

const PATIENCE: Duration = Duration::from_secs(10);

fn config(server: &FaultServer) -> Config {
    Config {
        enabled: true,
        service_name: "plug-ins".into(),
        endpoint: server.url(),
        scheduled_delay: Some(Duration::from_secs(3600)),
        read_environment: false,
        set_global: false,
        ..Config::default()
    }
}

fn start(edit: impl FnOnce(&mut Config)) -> (FaultServer, Telemetry) {
    let server = FaultServer::start(Script::new());
    let mut config = config(&server);
    edit(&mut config);
    let telemetry = init(config).unwrap();
    (server, telemetry)
}

/// The spans that arrived, by name.
fn arrived(server: &FaultServer, telemetry: Telemetry) -> Vec<Span> {
    let report = telemetry.shutdown(PATIENCE);
    assert!(report.is_success(), "{report}");
    let requests = server.requests();
    let spans = requests.iter().flat_map(|request| request.spans());
    let mut spans: Vec<Span> = spans.cloned().collect();
    spans.sort_by(|a, b| a.name.cmp(&b.name));
    spans
}

fn remote(flags: TraceFlags) -> SpanContext {
    SpanContext::remote(
        TraceId::from_bytes([0xee; 16]),
        SpanId::from_bytes([7; 8]),
        flags,
    )
}

/// Computes a tracestate and an attribute for each span.
struct Computing;

impl Sampler for Computing {
    fn should_sample<'a>(&'a self, parameters: &SamplingParameters<'a>) -> SamplingResult<'a> {
        let scratch = parameters.scratch;
        let mut result = SamplingResult::new(SamplingDecision::RecordAndSample, parameters);
        let state: TraceState = parameters.parent.trace_state.parse().unwrap();
        let length = parameters.name.len();
        let state = state.insert("length", &format!("{length}")).unwrap();
        result.trace_state = scratch.keep_trace_state(state).unwrap();
        let text = scratch.keep_text(format!("{length} bytes")).unwrap();
        let attribute = KeyValue::new("name.length", text);
        result.attributes = scratch.keep_attributes([attribute]).unwrap();
        result
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Computing")
    }
}

/// spec D-079, H-053
#[test]
fn a_sampler_may_compute_a_tracestate_and_attributes() {
    let (server, telemetry) = start(|config| config.sampler = Some(Arc::new(Computing)));
    let tracer = telemetry.tracer("tests");
    let parent = ParentContext {
        span_context: remote(TraceFlags::SAMPLED),
        trace_state: "vendor=1,length=99",
    };
    let span = tracer.span("four").parent(parent).start();
    assert_eq!(span.to_context().trace_state(), "length=4,vendor=1");
    let child = tracer.span("another").parent(&span).start();
    drop((child, span));
    tracer.start("root").end();
    let spans = arrived(&server, telemetry);
    let states: Vec<_> = spans.iter().map(|span| &*span.trace_state).collect();
    assert_eq!(
        states,
        ["length=7,vendor=1", "length=4,vendor=1", "length=4"]
    );
    for span in &spans {
        let attribute = &span.attributes[0];
        assert_eq!(attribute.key, "name.length");
        let text = format!("{:?}", attribute.value);
        assert!(
            text.contains(&format!("{} bytes", span.name.len())),
            "{text}"
        );
    }
}

static TENANT: ContextKey<String> = ContextKey::new("tenant");

/// Writes down scope and tenant of each span.
#[derive(Default)]
struct Asking(Mutex<Vec<String>>);

impl Sampler for Asking {
    fn should_sample<'a>(&'a self, parameters: &SamplingParameters<'a>) -> SamplingResult<'a> {
        let scope = parameters.scope().unwrap();
        let context = parameters.context::<Context>();
        let tenant = context.and_then(|context| context.value(&TENANT));
        self.0.lock().unwrap().push(format!(
            "{} {}/{}/{} {}",
            parameters.name,
            scope.name,
            scope.version,
            scope.schema_url,
            tenant.map_or("-", String::as_str)
        ));
        SamplingResult::new(SamplingDecision::RecordAndSample, parameters)
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asking")
    }
}

/// spec D-076, H-054
#[test]
fn a_sampler_sees_the_scope_and_the_values_of_the_parents_context() {
    let asking = Arc::new(Asking::default());
    let sampler = Arc::clone(&asking);
    let (_server, telemetry) = start(|config| config.sampler = Some(sampler));
    let scope = InstrumentationScope {
        schema_url: "https://example.com/1",
        ..InstrumentationScope::new("shop").with_version("1.2")
    };
    let tracer = telemetry.provider().tracer_with(&scope);
    let nameless = telemetry.tracer("");
    let context = Context::new().with_value(&TENANT, "acme".into());
    drop(tracer.start("alone"));
    {
        let _current = spandrel_core::hosted::current::attach(context.clone());
        drop(tracer.start("current"));
        drop(tracer.span("described").start());
        drop(
            tracer
                .span("bare parent")
                .parent(remote(TraceFlags::NONE))
                .start(),
        );
        drop(nameless.span("root").root().start());
        let parent = ParentContext {
            span_context: remote(TraceFlags::SAMPLED),
            trace_state: "a=b",
        };
        let _stated = spandrel_core::hosted::current::attach(context.with_span_context(parent));
        drop(tracer.start("stated"));
        drop(tracer.span("stated, described").start());
    }
    drop(tracer.span("given").parent(&context).start());
    assert_eq!(
        *asking.0.lock().unwrap(),
        [
            "alone shop/1.2/https://example.com/1 -",
            "current shop/1.2/https://example.com/1 acme",
            "described shop/1.2/https://example.com/1 acme",
            "bare parent shop/1.2/https://example.com/1 -",
            "root // -",
            "stated shop/1.2/https://example.com/1 acme",
            "stated, described shop/1.2/https://example.com/1 acme",
            "given shop/1.2/https://example.com/1 acme",
        ]
    );
}

/// Counts how often it was shut down, and panics then if it should.
struct Ending {
    times: Arc<AtomicUsize>,
    panics: bool,
}

impl Sampler for Ending {
    fn should_sample<'a>(&'a self, parameters: &SamplingParameters<'a>) -> SamplingResult<'a> {
        SamplingResult::new(SamplingDecision::RecordAndSample, parameters)
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ending")
    }

    fn shutdown(&self) {
        self.times.fetch_add(1, Ordering::Relaxed);
        if self.panics {
            std::panic::resume_unwind(Box::new("sampler"));
        }
    }
}

#[test]
fn a_sampler_is_shut_down_once_by_both_transports() {
    for panics in [false, true] {
        let times = Arc::new(AtomicUsize::new(0));
        let sampler = || {
            let times = Arc::clone(&times);
            Arc::new(Ending { times, panics })
        };
        let (server, telemetry) = start(|config| config.sampler = Some(sampler()));
        telemetry.tracer("tests").start("a").end();
        assert_eq!(times.load(Ordering::Relaxed), 0);
        for _ in 0..2 {
            let report = telemetry.shutdown(PATIENCE);
            assert_eq!(report.exported, 1, "{report}");
        }
        drop(telemetry);
        assert_eq!(times.load(Ordering::Relaxed), 1);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let config = Config {
                sampler: Some(sampler()),
                ..config(&server)
            };
            let telemetry = spandrel_transport_async::init(config).unwrap();
            telemetry.tracer("tests").start("a").end();
            let report = telemetry.shutdown(PATIENCE).await;
            assert_eq!(report.exported, 1, "{report}");
            let _ = telemetry.shutdown(PATIENCE).await;
        });
        assert_eq!(times.load(Ordering::Relaxed), 2);
    }
}

/// Counts; every third id is zero, and every fifth panics.
#[derive(Default)]
struct Unreliable(AtomicU64);

impl Unreliable {
    fn next(&self) -> u64 {
        let n = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        if n.is_multiple_of(5) {
            std::panic::resume_unwind(Box::new("ids"));
        }
        if n.is_multiple_of(3) { 0 } else { n }
    }
}

impl SharedIdGenerator for Unreliable {
    fn is_random(&self) -> bool {
        false
    }

    fn trace_id(&self) -> TraceId {
        TraceId::from_bytes(u128::from(self.next()).to_be_bytes())
    }

    fn span_id(&self) -> SpanId {
        SpanId::from_bytes(self.next().to_be_bytes())
    }
}

/// spec D-023, D-024, H-057
#[test]
fn ids_of_the_program_are_checked_replaced_counted_and_reported_once() {
    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&said);
    set_handler(Box::new(move |report| {
        if report.text.contains("id_generator") {
            heard.lock().unwrap().push(report.text.to_owned());
        }
    }));
    let (server, telemetry) =
        start(|config| config.id_generator = Some(Arc::new(Unreliable::default())));
    let tracer = telemetry.tracer("tests");
    for _ in 0..30 {
        tracer.start("root").end();
    }
    // 60 ids: 12 panic, and of the other multiples of three 16 are zero.
    assert_eq!(telemetry.counts().ids_replaced, 28);
    let spans = arrived(&server, telemetry);
    let mut ids: Vec<_> = spans.iter().map(|span| span.span_id.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 30);
    assert!(
        spans
            .iter()
            .all(|span| span.trace_id.iter().any(|&byte| byte != 0))
    );
    let own = |span: &&Span| span.trace_id.starts_with(&[0; 15]);
    assert_eq!(spans.iter().filter(own).count(), 16);
    let said = said.lock().unwrap();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("gave a zero id"), "{said:?}");
}

struct Numbers<const RANDOM: bool>(u8);

impl<const RANDOM: bool> IdGenerator for Numbers<RANDOM> {
    const RANDOM: bool = RANDOM;

    fn trace_id(&mut self) -> TraceId {
        self.0 += 1;
        TraceId::from_bytes([self.0; 16])
    }

    fn span_id(&mut self) -> SpanId {
        self.0 += 1;
        SpanId::from_bytes([self.0; 8])
    }
}

/// spec D-026
#[test]
fn the_random_flag_is_what_the_generator_of_the_program_says() {
    let generators: [(bool, Arc<dyn SharedIdGenerator>); 2] = [
        (true, Arc::new(Mutex::new(Numbers::<true>(0)))),
        (false, Arc::new(Mutex::new(Numbers::<false>(0)))),
    ];
    for (is_random, generator) in generators {
        let (_server, telemetry) = start(|config| config.id_generator = Some(generator));
        let tracer = telemetry.tracer("tests");
        let root = tracer.start("root");
        let context = *root.context();
        assert_eq!(context.trace_id(), TraceId::from_bytes([1; 16]));
        assert_eq!(context.span_id(), SpanId::from_bytes([2; 8]));
        assert_eq!(context.trace_flags().is_random(), is_random);
        // A child has its parent's flag.
        let parent = remote(TraceFlags::SAMPLED.with_random(!is_random));
        let child = *tracer.span("child").parent(parent).start().context();
        assert_eq!(child.trace_flags().is_random(), !is_random);
        assert_eq!(child.span_id(), SpanId::from_bytes([3; 8]));
        assert_eq!(telemetry.counts().ids_replaced, 0);
    }
}

/// spec D-092 to D-097, D-105, H-062, H-063
#[test]
fn services_agree_on_a_trace_and_tell_how_many_it_stands_for() {
    let share = |ratio| ComposableProbability::new(ratio).unwrap();
    // The first decides, the second follows, the third decides by itself with a higher share.
    let samplers: [Arc<dyn Sampler + Send + Sync>; 3] = [
        Arc::new(ProbabilitySampler::new(0.25).unwrap()),
        Arc::new(CompositeSampler::new(ComposableParentThreshold::new(
            share(0.001),
        ))),
        Arc::new(CompositeSampler::new(share(0.5))),
    ];
    let services = samplers.map(|sampler| start(|config| config.sampler = Some(sampler)));
    let (mut traces, mut third_only) = (0, 0);
    for _ in 0..200 {
        let mut parent = Context::new();
        let mut sampled = [false; 3];
        for (i, (_, telemetry)) in services.iter().enumerate() {
            let span = telemetry
                .tracer("tests")
                .span("hop")
                .parent(&parent)
                .start();
            sampled[i] = span.context().is_sampled();
            let state = span.to_context();
            let th = match (i, sampled[i]) {
                (_, false) => "",
                (2, true) => "ot=th:8",
                (_, true) => "ot=th:c",
            };
            assert_eq!(state.trace_state(), th);
            parent = state;
        }
        assert_eq!(sampled[0], sampled[1]);
        assert!(
            sampled[2] || !sampled[0],
            "a higher share keeps what a lower one keeps"
        );
        traces += usize::from(sampled[0]);
        third_only += usize::from(sampled[2] && !sampled[0]);
    }
    assert!((15..95).contains(&traces), "{traces}");
    assert!((15..95).contains(&third_only), "{third_only}");
    for (i, (server, telemetry)) in services.into_iter().enumerate() {
        let th = if i == 2 { "ot=th:8" } else { "ot=th:c" };
        let spans = arrived(&server, telemetry);
        assert!(spans.iter().all(|span| span.trace_state == th));
    }
}
