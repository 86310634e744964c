//! The parts of Spandrel one by one.

use std::hint::black_box;
use std::time::Duration;

use spandrel_core::backoff::{Backoff, BackoffConfig};
use spandrel_core::breaker::{BreakerConfig, CircuitBreaker, Verdict};
use spandrel_core::buffer::{Buffer, Record, RecordFlags, RecordSink as _};
use spandrel_core::exporter::{Exporter, ExporterConfig};
use spandrel_core::resource::{Registry, Resource, ScopeId};
use spandrel_core::response::{Outcome, Response, TransportError, classify, decode_success};
use spandrel_core::time::Instant;

use crate::harness::{Case, Entry};
use crate::ours::{accept_all, long_queue, pipeline, trace};

const ROUND: u32 = 2000;
const SUBJECT: &str = "spandrel";
/// As long as anything here: larger than the largest record below.
static BYTES: [u8; 4096] = [7; 4096];

/// A machine and what it is asked to do.
pub struct Machine {
    /// A line of the table.
    pub name: &'static str,
    /// Bytes of an operation, where its cost is one per byte.
    pub bytes: Option<usize>,
    make: Box<dyn Fn() -> Entry>,
}

impl Machine {
    /// The case, with one entry.
    #[must_use]
    pub fn case(&self) -> Case {
        Case::new(ROUND, vec![(self.make)()])
    }
}

/// All of them.
#[must_use]
pub fn machines() -> Vec<Machine> {
    let buffer = |name, bytes| Machine {
        name,
        bytes: Some(bytes),
        make: Box::new(move || buffer(bytes)),
    };
    let other = |name, make: fn() -> Entry| Machine {
        name,
        bytes: None,
        make: Box::new(make),
    };
    vec![
        buffer("buffer: push, lease and release / record of 64 B", 64),
        buffer("buffer: push, lease and release / record of 163 B", 163),
        buffer("buffer: push, lease and release / record of 512 B", 512),
        buffer("buffer: push, lease and release / record of 4,096 B", 4096),
        other("exporter: poll_transmit with nothing due", exporter_poll),
        other("exporter: poll_timeout", exporter_timeout),
        other(
            "exporter: record, poll_transmit, acceptance of a batch of 1",
            exporter_cycle,
        ),
        other("pipeline: poll with nothing due", pipeline_idle),
        other("pipeline: shard to acceptance / span", pipeline_batch),
        other("breaker: acquire and success", breaker_closed),
        other("breaker: refusal while open", breaker_open),
        other("breaker: 5 failures, open, probe, closed", breaker_cycle),
        other("backoff: start and one step", backoff),
        other("classification: 200", || classification(200)),
        other("classification: 503", || classification(503)),
        other("classification: no connection", || {
            Entry::new(SUBJECT, || {
                let outcome = Outcome::Failed(black_box(TransportError::Connect));
                black_box(classify(&outcome));
            })
        }),
        other("classification: 429 with Retry-After in seconds", || {
            pause("30")
        }),
        other("classification: 429 with Retry-After as a date", || {
            pause("Sun, 06 Nov 1994 08:49:37 GMT")
        }),
        other("partial success: reading the body", partial_success),
    ]
}

fn record(len: usize) -> Record<'static> {
    Record {
        scope: ScopeId::default(),
        flags: RecordFlags::NONE,
        body: &BYTES[..len],
    }
}

fn buffer(len: usize) -> Entry {
    let room = (len + 64) * ROUND as usize;
    let mut buffer = Buffer::new(vec![0; room].into_boxed_slice());
    Entry::timed(SUBJECT, move |n| {
        let start = std::time::Instant::now();
        for _ in 0..n {
            buffer.push(black_box(&record(len))).expect("there is room");
        }
        let lease = buffer.lease(&mut |_| true).expect("records");
        buffer.release(lease);
        start.elapsed().as_nanos() as u64
    })
}

type SmallExporter = Exporter<Box<[u8]>, [u8; 256]>;

fn exporter() -> SmallExporter {
    let resource = Resource {
        attributes: &[],
        schema_url: "",
    };
    let registry = Registry::new([0; 256], &resource).expect("there is room");
    let buffer = Buffer::new(vec![0; 64 * 1024].into_boxed_slice());
    Exporter::new(ExporterConfig::DEFAULT, buffer, registry).expect("good settings")
}

fn push(exporter: &mut SmallExporter) {
    exporter.push_record(&record(163)).expect("there is room");
}

fn exporter_poll() -> Entry {
    let mut exporter = exporter();
    push(&mut exporter);
    Entry::new(SUBJECT, move || {
        black_box(exporter.poll_transmit(black_box(Instant::ZERO)));
    })
}

fn exporter_timeout() -> Entry {
    let mut exporter = exporter();
    push(&mut exporter);
    Entry::new(SUBJECT, move || {
        black_box(black_box(&exporter).poll_timeout());
    })
}

fn exporter_cycle() -> Entry {
    let mut exporter = exporter();
    let mut now = Instant::from_millis(1);
    Entry::new(SUBJECT, move || {
        push(&mut exporter);
        // It sees the record now, and is asked again after the scheduled delay.
        exporter.handle_timeout(now);
        now = now.saturating_add(Duration::from_secs(10));
        let transmit = exporter.poll_transmit(now).expect("a request");
        let outcome = Outcome::Response(Response::new(black_box(200)));
        exporter.handle_response(now, transmit, &outcome);
        while exporter.poll_event().is_some() {}
    })
}

fn pipeline_idle() -> Entry {
    let (mut pipeline, provider) = pipeline(long_queue(1000));
    let tracer = provider.tracer("bench");
    trace(&tracer, 1);
    Entry::new(SUBJECT, move || {
        black_box(pipeline.poll_transmit());
    })
}

/// Everything between the shard and the acceptance, without reading the body.
fn pipeline_batch() -> Entry {
    let (mut pipeline, provider) = pipeline(long_queue(2 * ROUND));
    let tracer = provider.tracer("bench");
    Entry::timed(SUBJECT, move |n| {
        for number in 0..u64::from(n) / 10 {
            trace(&tracer, number);
        }
        let deadline = pipeline.now().saturating_add(Duration::from_secs(5));
        let start = std::time::Instant::now();
        let flush = pipeline.force_flush(deadline);
        accept_all(&mut pipeline);
        let took = start.elapsed().as_nanos() as u64;
        pipeline.forget_flush(flush);
        took
    })
}

fn breaker_closed() -> Entry {
    let mut breaker = CircuitBreaker::clamped(BreakerConfig::DEFAULT);
    let mut now = Instant::from_millis(1);
    Entry::new(SUBJECT, move || {
        now = now.saturating_add(Duration::from_millis(1));
        let permit = breaker.try_acquire(now, 1).expect("a closed circuit");
        black_box(breaker.record(now, 1, permit, black_box(Verdict::Success)));
    })
}

/// Five failures at `now`.
fn open(breaker: &mut CircuitBreaker, now: Instant) {
    for draw in 0..5 {
        let permit = breaker.try_acquire(now, draw).expect("a closed circuit");
        breaker.record(now, draw, permit, black_box(Verdict::Failure));
    }
}

fn breaker_open() -> Entry {
    let mut breaker = CircuitBreaker::clamped(BreakerConfig::DEFAULT);
    let now = Instant::from_millis(1);
    open(&mut breaker, now);
    Entry::new(SUBJECT, move || {
        let refused = breaker.try_acquire(black_box(now), 1);
        black_box(refused.expect_err("an open circuit"));
    })
}

fn breaker_cycle() -> Entry {
    let mut breaker = CircuitBreaker::clamped(BreakerConfig::DEFAULT);
    let mut now = Instant::from_millis(1);
    Entry::new(SUBJECT, move || {
        open(&mut breaker, now);
        // Longer than the open interval.
        now = now.saturating_add(Duration::from_secs(60));
        let probe = breaker.try_acquire(now, 1).expect("a probe");
        black_box(breaker.record(now, 1, probe, Verdict::Success));
    })
}

fn backoff() -> Entry {
    let mut backoff = Backoff::clamped(BackoffConfig::DEFAULT);
    let mut now = Instant::from_millis(1);
    Entry::new(SUBJECT, move || {
        now = now.saturating_add(Duration::from_millis(1));
        backoff.reset();
        backoff.start(now);
        let _ = black_box(backoff.next_attempt(now, black_box(0x1234_5678_9abc)));
    })
}

fn classification(status: u16) -> Entry {
    Entry::new(SUBJECT, move || {
        let outcome = Outcome::Response(Response::new(black_box(status)));
        black_box(classify(&outcome));
    })
}

fn pause(retry_after: &'static str) -> Entry {
    Entry::new(SUBJECT, move || {
        let response = Response {
            retry_after: Some(black_box(retry_after)),
            date: Some("Sun, 06 Nov 1994 08:49:07 GMT"),
            ..Response::new(429)
        };
        black_box(classify(&Outcome::Response(response)));
        black_box(response.pause(None).expect("a pause"));
    })
}

fn partial_success() -> Entry {
    Entry::new(SUBJECT, || {
        let body = black_box(b"\x0a\x0b\x08\x05\x12\x07too old");
        black_box(decode_success(Some("application/x-protobuf"), body));
    })
}
