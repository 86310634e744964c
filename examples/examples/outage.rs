//! A collector goes down for a minute and comes back. No span is lost.
//!
//! ```text
//! cargo run --example outage
//! ```
//!
//! It prints a table of what the exporter does. Look at the pauses between the attempts, at the
//! circuit, which opens after five failures, and at the column `held`, which empties once the
//! collector is back.
//!
//! The requests are real HTTP to a collector in this process. The time is not real: the state
//! machines of `spandrel-core` take it as an argument, so a minute and a half passes in an instant.
//! All settings are the defaults (a batch every 5 s, five failures open the circuit for 30 s) but
//! one: the jitter of the retries is off, so that every run prints the same table.

use std::fmt::Display;
use std::io::IsTerminal;
use std::time::{Duration, SystemTime};

use spandrel_core::backoff::{BackoffConfig, Jitter};
use spandrel_core::hosted::rng::ThreadRng;
use spandrel_core::prelude::*;
use spandrel_examples::waterfall::style_of_stdout;
use spandrel_examples::{Collector, Failure, println};
use spandrel_transport_std::{HttpSender, HttpSettings};

/// A span ends this often.
const PACE: Duration = Duration::from_millis(250);
const DOWN: Instant = Instant::from_secs(12);
const UP: Instant = Instant::from_secs(70);
const END: Instant = Instant::from_secs(90);

fn main() -> Result<(), Failure> {
    let collector = Collector::start()?;
    let mut pipeline = Pipeline::new(&collector)?;
    println!(
        "a span every {} ms, for {} s\n",
        PACE.as_millis(),
        END.as_nanos() / 1_000_000_000
    );
    println!("    time  circuit    held  exported  dropped  what happened");

    let mut next_span = Instant::ZERO;
    let mut changes = [(DOWN, false), (UP, true)].into_iter().peekable();
    let mut now = Instant::ZERO;
    while now < END {
        if let Some((_, available)) = changes.next_if(|&(at, _)| at <= now) {
            collector.set_available(available);
            let what = if available {
                "is back"
            } else {
                "goes down: it answers 503"
            };
            pipeline.row(now, format_args!("-- the collector {what}"));
        }
        if next_span <= now {
            pipeline.record(now);
            next_span = now.saturating_add(PACE);
        }
        pipeline.deliver(now);
        // On to whatever is due first: a virtual clock is no more than that.
        now = [
            pipeline.exporter.poll_timeout(),
            changes.peek().map(|&(at, _)| at),
        ]
        .into_iter()
        .flatten()
        .fold(next_span, Instant::min)
        .max(now);
    }
    pipeline
        .exporter
        .shutdown(now, now.saturating_add(Duration::from_secs(5)));
    pipeline.row(now, "-- the program ends, and sends what is left");
    pipeline.deliver(now);

    let ledger = pipeline.exporter.ledger();
    let stats = pipeline.exporter.stats();
    let arrived = collector.spans().len() as u64;
    println!("\n{ledger}");
    println!(
        "{} attempts, {} accepted; the collector has {arrived} spans: {}",
        stats.attempts,
        stats.accepted,
        if arrived == ledger.ended {
            "all of them, once"
        } else {
            "NOT ALL"
        },
    );
    if ledger.is_closed() && arrived == ledger.ended {
        Ok(())
    } else {
        Err(Failure::new("spans were lost"))
    }
}

/// A pipeline from its parts: what a transport is made of.
struct Pipeline {
    exporter: Exporter<Box<[u8]>, [u8; 256]>,
    tracer: BareTracer<AlwaysOn, RandomIdGenerator<ThreadRng>>,
    sender: HttpSender,
}

impl Pipeline {
    fn new(collector: &Collector) -> Result<Self, Failure> {
        let config = ExporterConfig {
            backoff: BackoffConfig {
                jitter: Jitter::None,
                ..BackoffConfig::DEFAULT
            },
            ..ExporterConfig::DEFAULT
        };
        let resource = Resource {
            attributes: &[KeyValue::new("service.name", "shop")],
            schema_url: "",
        };
        let buffer = Buffer::new(vec![0; 64 << 10].into_boxed_slice());
        let mut exporter = Exporter::new(config, buffer, Registry::new([0; 256], &resource)?)?;
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let started = UnixNanos::from_secs(unix.as_secs());
        exporter.set_wall_clock(Some(WallClock::from_pair(Instant::ZERO, started)));
        let url = format!("{}/v1/traces", collector.endpoint());
        Ok(Self {
            exporter,
            tracer: BareTracer::new(AlwaysOn, RandomIdGenerator::new(ThreadRng)),
            sender: HttpSender::new(&HttpSettings::new(url))?,
        })
    }

    fn record(&mut self, now: Instant) {
        let span = self
            .tracer
            .start::<256>(SpanBuilder::new("order.place"), now);
        // The ledger counts what does not fit.
        let _ = span.end(now, &mut self.exporter);
    }

    /// Sends what is due, and shows the result.
    fn deliver(&mut self, now: Instant) {
        while let Some(mut transmit) = self.exporter.poll_transmit(now) {
            self.show_events(now);
            let Self {
                exporter, sender, ..
            } = self;
            // What cannot be encoded fails in `send`.
            let _ = sender.encode(|chunk| exporter.read_body(&mut transmit, chunk));
            let outcome = sender.send(Duration::from_secs(10));
            exporter.handle_response(now, transmit, &outcome);
            self.show_events(now);
        }
        self.show_events(now);
    }

    fn show_events(&mut self, now: Instant) {
        while let Some(event) = self.exporter.poll_event() {
            self.row(now, event);
        }
    }

    fn row(&self, now: Instant, what: impl Display) {
        let ledger = self.exporter.ledger();
        let what = wrap(&what.to_string());
        println!(
            "{:6.2} s  {:9}  {:5}  {:8}  {:7}  {what}",
            now.as_nanos() as f64 / 1e9,
            self.exporter.circuit(),
            ledger.buffered + ledger.in_flight,
            ledger.exported,
            ledger.dropped_total(),
        );
    }
}

/// Breaks the last column between words where the terminal ends.
fn wrap(text: &str) -> String {
    const BEFORE: usize = 46;
    let columns = match std::io::stdout().is_terminal() {
        true => style_of_stdout().width.saturating_sub(BEFORE).max(20),
        false => usize::MAX,
    };
    let (mut wrapped, mut used) = (String::new(), 0);
    for word in text.split(' ') {
        if used > 0 && used + 1 + word.len() > columns {
            wrapped += &format!("\n{:BEFORE$}", "");
            used = 0;
        } else if used > 0 {
            wrapped.push(' ');
            used += 1;
        }
        wrapped += word;
        used += word.len();
    }
    wrapped
}
