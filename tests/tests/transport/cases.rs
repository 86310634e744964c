//! The longer cases of [`child`](crate::child): what each does in a process of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use spandrel_core::backoff::BackoffConfig;
use spandrel_core::breaker::OpenInterval;
use spandrel_core::context::{ParentContext, SpanContext, TraceFlags};
use spandrel_core::hosted::diagnostics::{Kind, set_handler};
use spandrel_core::hosted::trace::TracerProvider;
use spandrel_core::id::{SpanId, TraceId};
use spandrel_core::sampler::{Sampler, SamplingDecision, SamplingParameters, SamplingResult};
use spandrel_tests::fault_server::{Reply, Script};
use spandrel_transport_std::{Config, KeyValue, init, start};

use crate::child::{deliver, end, end_within, record, say, settings, tell_everything};
use crate::harness::{PATIENCE, Rig, ms, until};

/// A logger that is itself traced: what it records on the sender's thread must not be exported, or
/// each export would cause the next.
pub(crate) fn handler_records() {
    let telemetry = init(settings()).unwrap();
    let tracer = telemetry.tracer("logger");
    set_handler(Box::new(move |_| tracer.start("log").end()));
    deliver(&telemetry);
    end(&telemetry);
}

/// Spans that do not hold all that was set on them.
pub(crate) fn incomplete() {
    tell_everything();
    let telemetry = init(settings()).unwrap();
    let tracer = telemetry.tracer("incomplete");
    for _ in 0..3 {
        let mut span = tracer.start("long");
        span.set_attribute("prompt", &"p".repeat(25_000));
        span.set_error(&"e".repeat(25_000));
        for _ in 0..129 {
            span.add_event("work", &[]);
        }
    }
    tracer.start("whole").end();
    // The other thread's report would say the same.
    let other = tracer.clone();
    let one = move || other.start(&"n".repeat(25_000)).end();
    std::thread::spawn(one).join().unwrap();
    let _ = telemetry.force_flush(PATIENCE);
    say(&format!("incomplete {}", telemetry.counts().incomplete));
    end(&telemetry);
}

/// The last handle goes away on the sender's own thread, which cannot wait for itself.
pub(crate) fn handler_drops() {
    let telemetry = init(Config {
        max_export_batch_size: Some(2),
        ..settings()
    })
    .unwrap();
    let tracer = telemetry.tracer("dropped");
    let (done, finished) = std::sync::mpsc::channel();
    let held = std::sync::Mutex::new(Some(telemetry));
    set_handler(Box::new(move |report| {
        if report.kind == Kind::Lifecycle {
            // The report of the start, which has waited for this handler.
            return;
        }
        let held = held.lock().unwrap().take();
        if let Some(telemetry) = held {
            let flushed = telemetry.force_flush(PATIENCE);
            let shut = telemetry.shutdown(PATIENCE);
            say(&format!("{} {}", flushed.is_success(), shut.is_success()));
            say(&telemetry.ledger().to_string());
            drop(telemetry);
            let _ = done.send(());
        }
    }));
    let started = Instant::now();
    for _ in 0..2 {
        tracer.start("work").end();
    }
    finished.recv_timeout(PATIENCE).unwrap();
    say(&format!(
        "in time {}",
        started.elapsed() < Duration::from_secs(2)
    ));
}

/// Channels and other libraries park threads too, and so may a handler on the sender's thread: the
/// token of a wake that came meanwhile is then gone.
pub(crate) fn handler_parks() {
    // What it is called for happens while nothing is sent: a batch gets too old.
    let hour = Duration::from_secs(3600);
    let telemetry = init(Config {
        scheduled_delay: Some(Duration::ZERO),
        max_batch_age: Some(ms(50)),
        timeout: Some(Duration::ZERO),
        export_timeout: Some(Duration::ZERO),
        backoff: Some(BackoffConfig {
            initial: hour,
            cap: hour,
            max_elapsed: Duration::MAX,
            ..BackoffConfig::DEFAULT
        }),
        ..settings()
    })
    .unwrap();
    let (called, is_called) = std::sync::mpsc::sync_channel(1);
    let (record, recorded) = std::sync::mpsc::sync_channel(1);
    let recorded = std::sync::Mutex::new(recorded);
    set_handler(Box::new(move |report| {
        if report.kind != Kind::ExportFailed {
            return;
        }
        let _ = called.send(());
        let _ = recorded.lock().unwrap().recv_timeout(PATIENCE);
        std::thread::park_timeout(ms(50));
    }));
    let tracer = telemetry.tracer("parked");
    tracer.start("expired").end();
    is_called.recv_timeout(PATIENCE).unwrap();
    tracer.start("meanwhile").end();
    record.send(()).unwrap();
    let limit = Instant::now() + PATIENCE;
    while telemetry.ledger().exported == 0 && Instant::now() < limit {
        std::thread::sleep(ms(1));
    }
    say(&telemetry.ledger().to_string());
}

/// Two pipelines, one after the other, with `OTEL_LOG_LEVEL=error` and then with `debug`.
pub(crate) fn levels() {
    tell_everything();
    let config = Config {
        read_environment: true,
        ..settings()
    };
    for level in ["error", "debug"] {
        let variable = |name: &str| (name == "OTEL_LOG_LEVEL").then(|| level.to_owned());
        let telemetry = start(&config.resolve_with(variable).unwrap()).unwrap();
        deliver(&telemetry);
        end(&telemetry);
    }
}

/// `OTEL_TRACES_EXPORTER=console`: each span as soon as it has ended.
pub(crate) fn console() {
    let config = Config {
        endpoint: String::new(),
        read_environment: true,
        scheduled_delay: None,
        ..settings()
    };
    let settings = config
        .resolve_with(|name| (name == "OTEL_TRACES_EXPORTER").then(|| "console".into()))
        .unwrap();
    let telemetry = start(&settings).unwrap();
    let tracer = telemetry.tracer("console");
    for _ in 0..3 {
        let exported = telemetry.ledger().exported;
        tracer.start("work").end();
        let started = Instant::now();
        while telemetry.ledger().exported == exported && started.elapsed() < PATIENCE {
            std::thread::sleep(ms(1));
        }
    }
    say(&format!("{}", telemetry.ledger()));
}

/// Says what is acknowledged, and only then goes on.
pub(crate) fn work_until_killed() {
    let telemetry = init(settings()).unwrap();
    let tracer = telemetry.tracer("worker");
    loop {
        let span = tracer.start("work");
        let id = span.context().span_id();
        span.end();
        if telemetry.force_flush(PATIENCE).is_success() {
            say(&id.to_string());
        }
    }
}

pub(crate) fn files() {
    let open = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let cycle = || {
        let telemetry = init(settings()).unwrap();
        deliver(&telemetry);
        drop(telemetry);
    };
    cycle();
    let threads = || std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    let before = (open(), threads());
    for _ in 0..20 {
        cycle();
    }
    let limit = Instant::now() + PATIENCE;
    while (open(), threads()) > before && Instant::now() < limit {
        std::thread::sleep(ms(1));
    }
    let after = (open(), threads());
    say(&format!("{}", after.0 <= before.0 && after.1 <= before.1));
}

/// Processor time that this process has used, in ticks of 10 ms.
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields = after_name.split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// Each state in which there is nothing to do must cost nothing.
pub(crate) fn idle() {
    // The one wait here that is no condition: it measures a time in which nothing happens.
    let watch = |state: &str| {
        let before = ticks();
        std::thread::sleep(ms(200));
        say(&format!("{state} {}", ticks() - before <= 5));
    };
    let rig = Rig::with(Script::new(), |config| {
        config.scheduled_delay = Some(Duration::ZERO);
    });
    rig.deliver(1);
    watch("without a delay");
    drop(rig);
    let long = Duration::from_secs(3600);
    for (state, reply) in [
        ("open", Reply::status(503)),
        ("throttled", Reply::retry_after(503, &["300"])),
        ("hanging", Reply::Hang),
    ] {
        let rig = Rig::with(reply, |config| {
            config.breaker.as_mut().unwrap().open = OpenInterval::Fixed(long);
            config.timeout = Some(long);
            config.max_queue_size = Some(4);
            config.max_export_batch_size = Some(4);
            config.scheduled_delay = Some(Duration::ZERO);
            config.shutdown_timeout = ms(1);
        });
        rig.record(20);
        let _ = rig.telemetry.force_flush(ms(100));
        watch(state);
    }
}

/// More spans at once than fit, with a collector that is well.
pub(crate) fn burst() {
    tell_everything();
    let telemetry = init(Config {
        max_queue_size: Some(8),
        max_export_batch_size: Some(8),
        max_span_bytes: Some(1024),
        shard_bytes: Some(2048),
        ..settings()
    })
    .unwrap();
    record(&telemetry, 2_000);
    let report = telemetry.force_flush(PATIENCE);
    say(&format!("flush {} {report}", report.is_success()));
    let report = telemetry.shutdown(PATIENCE);
    say(&format!("shutdown {} {report}", report.is_success()));
}

/// One span that fits into its memory, and with the resource into no request.
pub(crate) fn too_large() {
    tell_everything();
    let telemetry = init(Config {
        max_span_bytes: Some(4096),
        max_request_bytes: Some(4104),
        ..settings()
    })
    .unwrap();
    let mut span = telemetry.tracer("large").start("large");
    for key in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        span.set_attribute(key, &"x".repeat(4096));
    }
    span.end();
    end(&telemetry);
}

/// Gives a tracestate that no header may carry, and far more attributes than a span holds.
struct BadSampler(Vec<KeyValue<'static>>);

impl Sampler for BadSampler {
    fn should_sample<'a>(&'a self, _: &SamplingParameters<'a>) -> SamplingResult<'a> {
        SamplingResult {
            decision: SamplingDecision::RecordAndSample,
            attributes: &self.0,
            trace_state: "a=b\r\nx: y",
        }
    }

    fn description(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BadSampler")
    }
}

pub(crate) fn bad_sampler() {
    tell_everything();
    let text: &'static str = "x".repeat(100_000).leak();
    let keys = (0..10_000).map(|number| &*number.to_string().leak());
    let telemetry = init(Config {
        sampler: Some(Arc::new(BadSampler(
            keys.map(|key| KeyValue::new(key, text)).collect(),
        ))),
        ..settings()
    })
    .unwrap();
    let tracer = telemetry.tracer("sampled");
    let trace = TraceId::from_bytes([1; 16]);
    let parent = SpanContext::remote(trace, SpanId::from_bytes([2; 8]), TraceFlags::SAMPLED);
    for trace_state in ["vendor=1", "a=b\r\nx: y"] {
        let span = tracer
            .span("work")
            .parent(ParentContext {
                span_context: parent,
                trace_state,
            })
            .start();
        say(&format!("state {:?}", span.to_context().trace_state()));
        span.end();
    }
    end(&telemetry);
}

/// Spans are lost while a request gets no answer; what is said of it before the request ends.
pub(crate) fn loses_while_hanging(asynchronous: bool) {
    let config = Config {
        timeout: Some(Duration::from_secs(3600)),
        max_queue_size: Some(8),
        max_export_batch_size: Some(8),
        max_span_bytes: Some(1024),
        shard_bytes: Some(2048),
        ..settings()
    };
    let (tell, told) = std::sync::mpsc::channel();
    set_handler(Box::new(move |report| {
        if report.kind == Kind::SpansDropped {
            let _ = tell.send(report.to_string());
        }
    }));
    let wait = |provider: &TracerProvider, ended: &mut dyn FnMut() -> bool| {
        let tracer = provider.tracer("lost");
        let end = |spans| (0..spans).for_each(|_| tracer.start("work").end());
        end(8);
        // The loss comes when the request has been under way for long.
        until("a request", ended);
        std::thread::sleep(ms(1_100));
        end(2_000);
        let started = Instant::now();
        let said = told.recv_timeout(PATIENCE).unwrap_or_default();
        say(&format!("{:.1} {said}", started.elapsed().as_secs_f64()));
    };
    if asynchronous {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let telemetry = runtime
            .block_on(async { spandrel_transport_async::init(config) })
            .unwrap();
        wait(telemetry.provider(), &mut || telemetry.stats().attempts > 0);
        std::process::exit(0);
    }
    let telemetry = init(config).unwrap();
    wait(telemetry.provider(), &mut || telemetry.stats().attempts > 0);
    std::process::exit(0);
}

/// The caller's patience ends while the sender is still busy, and then the process ends.
pub(crate) fn gives_up() {
    tell_everything();
    let telemetry = init(settings()).unwrap();
    record(&telemetry, 2);
    let _ = telemetry.force_flush(ms(50));
    record(&telemetry, 1);
    end_within(&telemetry, ms(100));
    std::process::exit(0);
}

/// A program that handles signals itself.
#[cfg(unix)]
pub(crate) fn terminated() {
    let telemetry = init(settings()).unwrap();
    record(&telemetry, 3);
    let (stop, stopped) = std::sync::mpsc::channel();
    ctrlc::set_handler(move || {
        let _ = stop.send(());
    })
    .unwrap();
    say("ready");
    stopped.recv_timeout(PATIENCE).unwrap();
    let report = telemetry.shutdown(PATIENCE);
    say(&format!("{report}"));
}
