//! Spans on several threads at once.
//!
//! Queues are long and the workers asleep during a round: this is about what recording threads do
//! to each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use opentelemetry::trace::{Span as _, Tracer as _};

use crate::harness::{Case, Entry};
use crate::ours;
use crate::rivals::otel;

/// Spans of each thread in a round.
const ROUND: u32 = 4000;

type Span = Arc<dyn Fn() + Send + Sync>;

/// Threads that wait for rounds.
struct Crew {
    jobs: Vec<Sender<(Span, u32, Arc<AtomicU32>)>>,
    times: Receiver<(Instant, Instant)>,
}

impl Crew {
    fn new(threads: usize) -> Self {
        let (done, times) = channel();
        let jobs = (0..threads)
            .map(|_| {
                let (job, jobs) = channel::<(Span, u32, Arc<AtomicU32>)>();
                let done = done.clone();
                std::thread::spawn(move || {
                    for (span, count, waiting) in jobs {
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
                        for _ in 0..count {
                            span();
                        }
                        let _ = done.send((start, Instant::now()));
                    }
                });
                job
            })
            .collect();
        Self { jobs, times }
    }

    /// Nanoseconds from the first start to the last end.
    fn run(&self, span: &Span, each: u32) -> u64 {
        let waiting = Arc::new(AtomicU32::new(self.jobs.len() as u32));
        for job in &self.jobs {
            job.send((Arc::clone(span), each, Arc::clone(&waiting)))
                .expect("the crew is there");
        }
        let times: Vec<_> = self
            .jobs
            .iter()
            .map(|_| self.times.recv().expect("a time"))
            .collect();
        let start = times.iter().map(|t| t.0).min();
        let end = times.iter().map(|t| t.1).max();
        match (start, end) {
            (Some(start), Some(end)) => (end - start).as_nanos() as u64,
            _ => 0,
        }
    }
}

fn entry(subject: &'static str, threads: u32, span: Span) -> Entry {
    let crew = Crew::new(threads as usize);
    let mut entry = Entry::new(subject, || ());
    entry.run = Box::new(move |n| crew.run(&span, n / threads));
    entry
}

fn case(name: &'static str, threads: u32) -> Case {
    let all = ROUND * threads;
    let ours = Arc::new(ours::Discarding::with_long_queue(all + 100));
    let tracer = ours.tracer();
    let span: Span = Arc::new(move || tracer.start("operation").end());
    let flusher = Arc::clone(&ours);
    let first = entry("spandrel", threads, span)
        .settle(move || flusher.flush())
        .delivers(1, move || ours.exported());

    let theirs = otel::Discarding::with_long_queue(all as usize + 100);
    let tracer = theirs.tracer();
    let span: Span = Arc::new(move || tracer.start("operation").end());
    let flusher = theirs.clone();
    let second = entry("opentelemetry_sdk", threads, span)
        .settle(move || flusher.flush())
        .delivers(1, move || theirs.exported());
    // Twice for each span is the least that timing it takes.
    let floor: Span = Arc::new(|| {
        std::hint::black_box(Instant::now());
        std::hint::black_box(Instant::now());
    });
    let third = entry("(two clock reads)", threads, floor);
    Case {
        name,
        ops: all,
        entries: vec![first, second, third],
    }
}

pub(super) fn one() -> Case {
    case("1 thread, wall time / span", 1)
}

pub(super) fn two() -> Case {
    case("2 threads, wall time / span", 2)
}

pub(super) fn four() -> Case {
    case("4 threads, wall time / span", 4)
}

pub(super) fn eight() -> Case {
    case("8 threads, wall time / span", 8)
}
