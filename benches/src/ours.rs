//! Spandrel with an exporter that sends nothing: a pipeline whose requests are all accepted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use spandrel_core::exporter::Transmit;
use spandrel_core::hosted::config::Config;
use spandrel_core::hosted::trace::{Span, Tracer, TracerProvider};
use spandrel_core::hosted::unversioned::pipeline::Pipeline;
use spandrel_core::response::{Outcome, Response};
use tracing::Dispatch;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::workload::{SPANS_PER_TRACE, values};

/// A provider whose spans are accepted unseen by a thread of its own.
pub struct Discarding {
    provider: TracerProvider,
    pipeline: Arc<Mutex<Pipeline>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Discarding {
    /// With the default settings and a sample rate.
    #[must_use]
    pub fn new(sample_rate: f64) -> Self {
        Self::with(Config {
            sample_rate: Some(sample_rate),
            ..Config::default()
        })
    }

    /// With queues that hold a long round, whose worker is not woken meanwhile.
    #[must_use]
    pub fn with_long_queue(spans: u32) -> Self {
        Self::with(long_queue(spans))
    }

    fn with(config: Config) -> Self {
        let (pipeline, provider) = pipeline(config);
        let pipeline = Arc::new(Mutex::new(pipeline));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (pipeline, stop) = (Arc::clone(&pipeline), Arc::clone(&stop));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::thread::park_timeout(Duration::from_secs(5));
                    accept_all(&mut pipeline.lock().expect("no panic"));
                }
            })
        };
        let handle = thread.thread().clone();
        let waker = Box::new(move || handle.unpark());
        pipeline.lock().expect("no panic").set_waker(waker);
        Self {
            provider,
            pipeline,
            stop,
            thread: Some(thread),
        }
    }

    /// A tracer.
    #[must_use]
    pub fn tracer(&self) -> Tracer {
        self.provider.tracer("bench")
    }

    /// Has everything accepted that has ended.
    pub fn flush(&self) {
        let mut pipeline = self.pipeline.lock().expect("no panic");
        let deadline = pipeline.now().saturating_add(Duration::from_secs(5));
        let flush = pipeline.force_flush(deadline);
        accept_all(&mut pipeline);
        pipeline.forget_flush(flush);
    }

    /// Spans that were accepted.
    #[must_use]
    pub fn exported(&self) -> u64 {
        self.flush();
        let ledger = self.pipeline.lock().expect("no panic").ledger();
        assert!(ledger.is_closed(), "every span is accounted for: {ledger}");
        ledger.exported
    }
}

/// A subscriber with our layer; spans below the level info are disabled.
#[must_use]
pub fn dispatch(tracer: &Tracer) -> Dispatch {
    let subscriber = tracing_subscriber::registry()
        .with(LevelFilter::INFO)
        .with(spandrel_core::hosted::layer::layer(tracer));
    Dispatch::new(subscriber)
}

/// A pipeline that nobody drives yet, and its provider.
#[must_use]
pub fn pipeline(config: Config) -> (Pipeline, TracerProvider) {
    let settings = Config {
        enabled: true,
        service_name: "bench".into(),
        endpoint: "localhost:4318".into(),
        read_environment: false,
        set_global: false,
        ..config
    }
    .resolve()
    .expect("the settings are good");
    Pipeline::new(&settings).expect("a pipeline")
}

/// Queues that hold `spans`, in one request, and no waking before they are full.
#[must_use]
pub fn long_queue(spans: u32) -> Config {
    Config {
        max_queue_size: Some(spans),
        max_export_batch_size: Some(spans),
        shard_bytes: Some(spans as usize * 512),
        buffer_bytes: Some(spans as usize * 1024),
        max_request_bytes: Some(32 << 20),
        scheduled_delay: Some(Duration::from_secs(3600)),
        ..Config::default()
    }
}

/// One trace of the end-to-end workload.
#[inline]
pub fn trace(tracer: &Tracer, n: u64) {
    let mut root = tracer.start("http.request");
    set(&mut root, n, 0);
    root.in_scope(|_| {
        for child in 1..SPANS_PER_TRACE {
            let mut span = tracer.start("db.query");
            set(&mut span, n, child);
        }
    });
}

fn set(span: &mut Span, trace: u64, child: u64) {
    let (route, rows, load, hit) = values(trace, child);
    span.set_attribute("http.route", route);
    span.set_attribute("db.rows", rows);
    span.set_attribute("server.load", load);
    span.set_attribute("cache.hit", hit);
}

/// A pipeline with one request of `spans` spans of the end-to-end workload, ready to be read.
pub fn loaded(spans: u32) -> (Pipeline, Transmit) {
    let (mut pipeline, provider) = pipeline(long_queue(spans));
    let tracer = provider.tracer("bench");
    for n in 0..u64::from(spans).div_ceil(SPANS_PER_TRACE) {
        trace(&tracer, n);
    }
    let deadline = pipeline.now().saturating_add(Duration::from_secs(5));
    pipeline.force_flush(deadline);
    let transmit = pipeline.poll_transmit().expect("a request");
    (pipeline, transmit)
}

/// Has everything that waits accepted, unseen.
pub fn accept_all(pipeline: &mut Pipeline) {
    while let Some(transmit) = pipeline.poll_transmit() {
        pipeline.handle_response(transmit, &Outcome::Response(Response::new(200)));
    }
    while pipeline.poll_event().is_some() {}
}

impl Drop for Discarding {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}
