//! The parts of Spandrel one by one: machines, encoding, compression.

use std::hint::black_box;
use std::time::Duration;

use spandrel_core::backoff::{Backoff, BackoffConfig};
use spandrel_core::breaker::{BreakerConfig, CircuitBreaker, Verdict};
use spandrel_core::buffer::{Buffer, Record, RecordFlags};
use spandrel_core::json;
use spandrel_core::resource::ScopeId;
use spandrel_core::response::{Outcome, Response, classify};
use spandrel_core::time::Instant;
use spandrel_transport_std::Gzip;

use crate::harness::{Case, Entry, Measured};
use crate::ours::{accept_all, loaded, long_queue, pipeline, trace};

const ROUND: u32 = 2000;
/// Bytes of a stored span of the end-to-end workload, nearly.
const BODY: [u8; 163] = [7; 163];
/// Batch sizes of encoding and compression.
const BATCHES: [u32; 4] = [64, 512, 2048, 8192];
const LEVELS: [u32; 5] = [1, 2, 3, 4, 6];

fn record() -> Record<'static> {
    Record {
        scope: ScopeId::default(),
        flags: RecordFlags::NONE,
        body: &BODY,
    }
}

fn one(name: &'static str, entry: Entry) -> Case {
    Case {
        name,
        ops: ROUND,
        entries: vec![entry],
    }
}

/// The machines, each with one entry.
#[must_use]
pub fn cases() -> Vec<Case> {
    vec![
        buffer(),
        exporter_idle(),
        exporter_batch(),
        breaker(),
        backoff(),
        classification(),
    ]
}

fn buffer() -> Case {
    let mut buffer = Buffer::new(vec![0; 1 << 20].into_boxed_slice());
    one(
        "buffer: push, lease and release / record of 163 B",
        Entry::new("spandrel", || ()),
    )
    .with_run(move |n| {
        let start = std::time::Instant::now();
        for _ in 0..n {
            buffer.push(black_box(&record())).expect("there is room");
        }
        let lease = buffer.lease(&mut |_| true).expect("records");
        buffer.release(lease);
        start.elapsed().as_nanos() as u64
    })
}

fn exporter_idle() -> Case {
    let (mut pipeline, provider) = pipeline(long_queue(1000));
    let tracer = provider.tracer("bench");
    trace(&tracer, 1);
    one(
        "pipeline: poll with nothing due",
        Entry::new("spandrel", move || {
            black_box(pipeline.poll_transmit());
        }),
    )
}

/// Everything between the shard and the acceptance, without reading the body.
fn exporter_batch() -> Case {
    let (mut pipeline, provider) = pipeline(long_queue(2 * ROUND));
    let tracer = provider.tracer("bench");
    one(
        "pipeline: shard to acceptance / span",
        Entry::new("spandrel", || ()),
    )
    .with_run(move |n| {
        for number in 0..u64::from(n) / 10 {
            trace(&tracer, number);
        }
        let deadline = pipeline.now().saturating_add(Duration::from_secs(5));
        let start = std::time::Instant::now();
        pipeline.force_flush(deadline);
        accept_all(&mut pipeline);
        let took = start.elapsed().as_nanos() as u64;
        while pipeline.poll_flush().is_some() {}
        took
    })
}

fn breaker() -> Case {
    let mut breaker = CircuitBreaker::clamped(BreakerConfig::DEFAULT);
    let mut now = Instant::from_millis(1);
    one(
        "breaker: acquire and record",
        Entry::new("spandrel", move || {
            now = now.saturating_add(Duration::from_millis(1));
            let permit = breaker.try_acquire(now, 1).expect("a closed circuit");
            black_box(breaker.record(now, 1, permit, black_box(Verdict::Success)));
        }),
    )
}

fn backoff() -> Case {
    let mut backoff = Backoff::clamped(BackoffConfig::DEFAULT);
    let mut now = Instant::from_millis(1);
    one(
        "backoff: start and one step",
        Entry::new("spandrel", move || {
            now = now.saturating_add(Duration::from_millis(1));
            backoff.reset();
            backoff.start(now);
            let _ = black_box(backoff.next_attempt(now, black_box(0x1234_5678_9abc)));
        }),
    )
}

fn classification() -> Case {
    one(
        "classification of an answer",
        Entry::new("spandrel", || {
            let outcome = Outcome::Response(Response::new(black_box(503)));
            black_box(classify(&outcome));
        }),
    )
}

impl Case {
    fn with_run(mut self, run: impl FnMut(u32) -> u64 + 'static) -> Self {
        if let Some(entry) = self.entries.first_mut() {
            entry.run = Box::new(run);
        }
        self
    }
}

/// Encoding or compressing one batch, per span.
pub struct Encoded {
    /// What was done.
    pub name: String,
    /// Spans of a request.
    pub batch: u32,
    /// Per span.
    pub measured: Measured,
    /// Bytes per span that came out.
    pub bytes: f64,
}

/// Protobuf, JSON, and gzip by level, for each batch size.
#[must_use]
pub fn encodings(rounds: usize) -> Vec<Encoded> {
    let mut all = Vec::new();
    for batch in BATCHES {
        let (pipeline, mut transmit) = loaded(batch);
        let spans = transmit.spans() as u32;
        let mut body = vec![0; transmit.content_length()];
        let read = pipeline.read_body(&mut transmit, &mut body);
        assert_eq!(read, body.len(), "the whole body");
        let mut text = String::new();
        json::export_request(&body, &mut text).expect("a request of ours");

        let mut entries = vec![("protobuf".to_owned(), body.len(), {
            let mut chunk = vec![0; 16 * 1024];
            Entry::new("spandrel", move || {
                transmit.rewind();
                while pipeline.read_body(&mut transmit, &mut chunk) > 0 {
                    black_box(&chunk);
                }
            })
        })];
        entries.push(("JSON of the protobuf".to_owned(), text.len(), {
            let body = body.clone();
            Entry::new("spandrel", move || {
                text.clear();
                json::export_request(&body, &mut text).expect("a request of ours");
            })
        }));
        for level in LEVELS {
            let mut gzip = Gzip::new(level);
            let len = compress(&mut gzip, &body);
            let body = body.clone();
            let entry = Entry::new("spandrel", move || {
                black_box(compress(&mut gzip, &body));
            });
            entries.push((format!("gzip level {level}"), len, entry));
        }
        for (name, bytes, entry) in entries {
            let mut case = Case {
                name: "",
                ops: 1,
                entries: vec![entry],
            };
            let mut measured = case.measure(rounds).remove(0);
            measured.min /= f64::from(spans);
            measured.median /= f64::from(spans);
            let bytes = bytes as f64 / f64::from(spans);
            all.push(Encoded {
                name,
                batch,
                measured,
                bytes,
            });
        }
    }
    all
}

fn compress(gzip: &mut Gzip, body: &[u8]) -> usize {
    let mut left = body;
    let compressed = gzip.compress(|chunk| {
        let len = left.len().min(chunk.len());
        let (now, later) = left.split_at(len);
        chunk[..len].copy_from_slice(now);
        left = later;
        len
    });
    compressed.expect("it compresses").len()
}
