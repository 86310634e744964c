//! Spans on several threads at once.
//!
//! This is about what recording threads do to each other, so queues are long and the workers asleep
//! during a round, for those whose settings allow that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use fastrace::Span as FastSpan;
use fastrace::collector::SpanContext as FastContext;
use fastrace::local::LocalSpan;
use opentelemetry::trace::{Span as _, Tracer as _};

use crate::harness::{Case, Entry};
use crate::ours;
use crate::rivals::{self, otel, tracing_otel};

/// Spans of each thread in a round.
const ROUND: u32 = 4000;
/// Spans of a round of emit, all threads together: its queue has a fixed length, and it takes long
/// enough for the clock with so few.
const SHORT_ROUND: u32 = 2000;
/// For one round: who has not told its time by then never will.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes so many spans.
type Spans = Arc<dyn Fn(u32) + Send + Sync>;

/// Threads that wait for rounds.
struct Crew {
    jobs: Vec<Sender<(u32, Arc<AtomicU32>)>>,
    times: Receiver<(Instant, Instant)>,
}

impl Crew {
    fn new(threads: u32, spans: &Spans) -> Self {
        let (done, times) = channel();
        let jobs = (0..threads)
            .map(|_| {
                let (job, jobs) = channel::<(u32, Arc<AtomicU32>)>();
                let (done, spans) = (done.clone(), Arc::clone(spans));
                std::thread::spawn(move || {
                    for (count, waiting) in jobs {
                        // Start together, without a wake-up in the measured time.
                        waiting.fetch_sub(1, Ordering::SeqCst);
                        let mut spins = 0_u32;
                        while waiting.load(Ordering::SeqCst) > 0 {
                            spins += 1;
                            if spins.is_multiple_of(1000) {
                                std::thread::yield_now();
                            }
                            std::hint::spin_loop();
                        }
                        let start = Instant::now();
                        spans(count);
                        let _ = done.send((start, Instant::now()));
                    }
                });
                job
            })
            .collect();
        Self { jobs, times }
    }

    /// Nanoseconds from the first start to the last end.
    fn run(&self, each: u32) -> u64 {
        let waiting = Arc::new(AtomicU32::new(self.jobs.len() as u32));
        for job in &self.jobs {
            let job = job.send((each, Arc::clone(&waiting)));
            job.expect("no thread has panicked");
        }
        let times = self.jobs.iter().map(|_| {
            let time = self.times.recv_timeout(PATIENCE);
            time.expect("no thread has panicked")
        });
        let times: Vec<_> = times.collect();
        let start = times.iter().map(|t| t.0).min();
        let end = times.iter().map(|t| t.1).max();
        match (start, end) {
            (Some(start), Some(end)) => (end - start).as_nanos() as u64,
            _ => 0,
        }
    }
}

/// A contestant on so many threads; `make` makes one span.
fn entry(subject: &'static str, threads: u32, make: impl Fn() + Send + Sync + 'static) -> Entry {
    let spans: Spans = Arc::new(move |n| {
        for _ in 0..n {
            make();
        }
    });
    crewed(subject, threads, &spans)
}

fn crewed(subject: &'static str, threads: u32, spans: &Spans) -> Entry {
    let crew = Crew::new(threads, spans);
    Entry::timed(subject, move |n| crew.run(n / threads))
}

pub(super) fn case(threads: u32) -> Case {
    let all = ROUND * threads;
    Case::new(
        all,
        vec![
            spandrel(threads, all),
            spandrel_tracing(threads, all),
            opentelemetry(threads, all),
            tracing(threads, all),
            fastrace(threads),
            fastrace_local(threads),
            emit(threads),
            // Twice for each span is the least that timing it takes.
            entry("(two clock reads)", threads, || {
                std::hint::black_box(Instant::now());
                std::hint::black_box(Instant::now());
            }),
        ],
    )
}

fn spandrel(threads: u32, all: u32) -> Entry {
    let ours = Arc::new(ours::Discarding::with_long_queue(all + 100));
    let (tracer, flusher) = (ours.tracer(), Arc::clone(&ours));
    entry("spandrel", threads, move || tracer.start("operation").end())
        .settle(move || flusher.flush())
        .delivers(1, move || ours.exported())
}

fn opentelemetry(threads: u32, all: u32) -> Entry {
    let theirs = otel::Discarding::with_long_queue(all as usize + 100);
    let (tracer, flusher) = (theirs.tracer(), theirs.clone());
    let make = move || tracer.start("operation").end();
    entry("opentelemetry_sdk", threads, make)
        .settle(move || flusher.flush())
        .delivers(1, move || theirs.exported())
}

fn spandrel_tracing(threads: u32, all: u32) -> Entry {
    let ours = Arc::new(ours::Discarding::with_long_queue(all + 100));
    let (subscriber, flusher) = (ours::dispatch(&ours.tracer()), Arc::clone(&ours));
    crewed("spandrel, tracing layer", threads, &under(subscriber))
        .settle(move || flusher.flush())
        .delivers(1, move || ours.exported())
}

fn tracing(threads: u32, all: u32) -> Entry {
    let theirs = otel::Discarding::with_long_queue(all as usize + 100);
    let (subscriber, flusher) = (tracing_otel::dispatch(&theirs), theirs.clone());
    crewed("tracing-opentelemetry", threads, &under(subscriber))
        .settle(move || flusher.flush())
        .delivers(1, move || theirs.exported())
}

fn under(subscriber: tracing::Dispatch) -> Spans {
    Arc::new(move |n| {
        tracing::dispatcher::with_default(&subscriber, || {
            for _ in 0..n {
                drop(tracing::info_span!("operation"));
            }
        });
    })
}

/// Each thread has a queue of 10,240 commands, two for a root, and its worker empties them as it
/// always does.
fn fastrace(threads: u32) -> Entry {
    rivals::fastrace::install();
    let before = rivals::fastrace::reported();
    entry("fastrace", threads, || {
        drop(FastSpan::root("operation", FastContext::random()));
    })
    .settle(::fastrace::flush)
    .delivers(1, move || rivals::fastrace::reported() - before)
}

/// Every thread has a root for its round, which counts for nothing.
fn fastrace_local(threads: u32) -> Entry {
    rivals::fastrace::install();
    let spans: Spans = Arc::new(|n| {
        let root = FastSpan::root("root", FastContext::random());
        let _current = root.set_local_parent();
        for _ in 0..n {
            drop(LocalSpan::enter_with_local_parent("operation"));
        }
    });
    crewed("fastrace, child of a local root", threads, &spans).settle(::fastrace::flush)
}

/// Its queue holds 10,000 spans and its worker sends meanwhile.
fn emit(threads: u32) -> Entry {
    rivals::emit::install(true);
    let _ = rivals::emit::take_arrived();
    entry("emit", threads, emit_plain)
        .ops(SHORT_ROUND)
        .settle(rivals::emit::flush)
        .delivers(1, rivals::emit::take_arrived)
}

#[emit::span("operation")]
fn emit_plain() {
    std::hint::black_box(());
}
