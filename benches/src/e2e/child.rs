//! The process of one contestant.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::contestants::{self, Running};
use crate::usage::{Usage, usage};
use crate::workload::SPANS_PER_TRACE;

/// What one process is to do.
#[derive(Clone, Debug)]
pub struct Job {
    /// One of [`contestants::names`].
    pub contestant: String,
    /// Of the sink.
    pub endpoint: String,
    /// Producing threads.
    pub threads: u64,
    /// Spans to make, all threads together.
    pub spans: u64,
    /// Spans in a second, all threads together; 0 = as fast as possible.
    pub rate: u64,
    /// Milliseconds for what is left at the end.
    pub patience: u64,
}

/// What it did.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Spans that were made.
    pub created: u64,
    /// From the first span until everything was delivered or given up.
    pub wall: Duration,
    /// Until the last span was made.
    pub producing: Duration,
    /// Of the whole process from `main` on: fastrace's clock is calibrated before it, in every
    /// program that it is linked into, which would be laid on all contestants.
    pub usage: Usage,
    /// What the contestant says about its losses.
    pub account: String,
}

/// Does it, in this process.
#[must_use]
pub fn work(job: &Job) -> Outcome {
    let before = usage();
    let Running { trace, finish } = contestants::start(&job.contestant, &job.endpoint);
    let traces = job.spans / SPANS_PER_TRACE / job.threads;
    let pause = (BURST * 1_000_000_000).checked_div(job.rate);
    let pace = pause.map(|pause| Pace {
        rate: job.rate / job.threads,
        pause: Duration::from_nanos(pause),
    });
    let start = Instant::now();
    let threads: Vec<_> = (0..job.threads)
        .map(|thread| {
            let trace = Arc::clone(&trace);
            let first = thread * traces;
            std::thread::spawn(move || produce(&*trace, first, traces, pace))
        })
        .collect();
    for thread in threads {
        thread.join().expect("a producer panicked");
    }
    let producing = start.elapsed();
    let account = finish(Duration::from_millis(job.patience));
    Outcome {
        created: traces * SPANS_PER_TRACE * job.threads,
        wall: start.elapsed(),
        producing,
        usage: usage().since(&before),
        account,
    }
}

/// Spans between two pauses, all threads together: well below every queue's limit, and shorter
/// pauses would cost more processor time than the spans.
const BURST: u64 = 400;

/// Of one thread.
#[derive(Clone, Copy)]
struct Pace {
    /// Spans in a second.
    rate: u64,
    pause: Duration,
}

fn produce(trace: &dyn Fn(u64), first: u64, traces: u64, pace: Option<Pace>) {
    let start = Instant::now();
    for n in 0..traces {
        if let Some(Pace { rate, pause }) = pace {
            let due = n * SPANS_PER_TRACE * 1_000_000_000 / rate;
            if Duration::from_nanos(due) > start.elapsed() {
                std::thread::sleep(pause);
            }
        }
        trace(first + n);
    }
}

impl Job {
    /// The job as arguments of a process.
    #[must_use]
    pub fn to_arguments(&self) -> Vec<String> {
        vec![
            "child".into(),
            self.contestant.clone(),
            self.endpoint.clone(),
            self.threads.to_string(),
            self.spans.to_string(),
            self.rate.to_string(),
            self.patience.to_string(),
        ]
    }

    /// The inverse, without the first argument.
    #[must_use]
    pub fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        Some(Self {
            contestant: arguments.next()?,
            endpoint: arguments.next()?,
            threads: arguments.next()?.parse().ok()?,
            spans: arguments.next()?.parse().ok()?,
            rate: arguments.next()?.parse().ok()?,
            patience: arguments.next()?.parse().ok()?,
        })
    }
}

impl Outcome {
    /// One line for the parent.
    #[must_use]
    pub fn to_line(&self) -> String {
        format!(
            "{} {} {} {} {} {} {}",
            self.created,
            self.wall.as_nanos(),
            self.producing.as_nanos(),
            self.usage.user.as_nanos(),
            self.usage.system.as_nanos(),
            self.usage.peak_kib,
            self.account
        )
    }

    /// The inverse.
    #[must_use]
    pub fn from_line(line: &str) -> Option<Self> {
        let mut parts = line.splitn(7, ' ');
        let mut number = || parts.next()?.parse::<u64>().ok();
        let created = number()?;
        let wall = Duration::from_nanos(number()?);
        let producing = Duration::from_nanos(number()?);
        let usage = Usage {
            user: Duration::from_nanos(number()?),
            system: Duration::from_nanos(number()?),
            peak_kib: number()?,
        };
        Some(Self {
            created,
            wall,
            producing,
            usage,
            account: parts.next().unwrap_or_default().trim().into(),
        })
    }
}
