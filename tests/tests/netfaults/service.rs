//! The child that is a service: it records spans and says what became of them.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use spandrel_core::env::LogLevel;
use spandrel_core::exporter::{FlushOutcome, FlushReport};
use spandrel_core::hosted::diagnostics::{set_handler, set_level};

use crate::remote::{commands, say};
use crate::sender::{Sender, config};
use crate::{fd_limit, memory, out_of_memory, panics, terminate};

/// Does what it is told until its input ends.
pub(crate) fn run(name: &str) {
    let reports = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&reports);
    set_level(LogLevel::Trace);
    set_handler(Box::new(move |report| {
        heard.lock().unwrap().push(report.text.to_owned());
    }));
    let mut service = Service::default();
    for command in commands() {
        let mut words = command.split_whitespace();
        let verb = words.next().unwrap_or_default();
        let first = words.next().unwrap_or_default();
        let number = first.parse().unwrap_or_default();
        match verb {
            "start" => {
                let timeout = millis(words.next());
                match Sender::start(name, config(first, timeout)) {
                    Ok(sender) => {
                        service.sender = Some(Arc::new(sender));
                        say("started");
                    }
                    Err(error) => say(&format!("refused: {error}")),
                }
            }
            "large" => {
                let plain = config(first, millis(words.next()));
                let large = out_of_memory::large(plain, words.next(), words.next());
                match Sender::start(name, large) {
                    Ok(sender) => {
                        service.sender = Some(Arc::new(sender));
                        say("started");
                    }
                    Err(error) => say(&format!("refused: {error}")),
                }
            }
            "limit-memory" => out_of_memory::limit(number),
            "record" => {
                service.record(number, words.next().and_then(|it| it.parse().ok()));
                say("recorded");
            }
            "flush" => say(&ended(|| service.sender().flush(millis(Some(first))))),
            "shutdown" => say(&ended(|| service.sender().shutdown(millis(Some(first))))),
            "books" => say(&books(service.sender())),
            "reports" => say(&reports.lock().unwrap().join("; ")),
            "exhaust" => fd_limit::exhaust(),
            "release" => fd_limit::release(),
            "soak" => memory::soak(service.sender(), number),
            "panic" => panics::arm(number),
            "panicked" => say(&format!("panicked {}", panics::happened())),
            "handle" => terminate::handle(service.sender(), millis(Some(first))),
            other => unreachable!("no such command: {other}"),
        }
    }
}

#[derive(Default)]
struct Service {
    sender: Option<Arc<Sender>>,
    slowest_end: Duration,
}

impl Service {
    fn sender(&self) -> &Arc<Sender> {
        self.sender.as_ref().expect("a service that was started")
    }

    /// Ends spans, each with as many bytes of text.
    fn record(&mut self, spans: u64, bytes: Option<usize>) {
        let tracer = self.sender().tracer();
        let text = "x".repeat(bytes.unwrap_or(8));
        for _ in 0..spans {
            let mut span = tracer.start("work");
            span.set_attribute("text", text.as_str());
            let started = Instant::now();
            span.end();
            self.slowest_end = self.slowest_end.max(started.elapsed());
        }
        // A scheduler may take a slice or two; a request's time limit is longer.
        assert!(
            self.slowest_end < Duration::from_millis(250),
            "{:?}",
            self.slowest_end
        );
    }
}

fn millis(word: Option<&str>) -> Duration {
    Duration::from_millis(word.and_then(|word| word.parse().ok()).unwrap_or_default())
}

fn ended(work: impl FnOnce() -> FlushReport) -> String {
    let started = Instant::now();
    let report = work();
    format!(
        "complete {} success {} left {} ms {}",
        u8::from(report.outcome == FlushOutcome::Complete),
        u8::from(report.is_success()),
        report.left,
        started.elapsed().as_millis()
    )
}

/// The ledger and the figures of the sender.
pub(crate) fn books(sender: &Sender) -> String {
    let (ledger, stats) = (sender.ledger(), sender.stats());
    assert!(ledger.is_balanced(), "{ledger}");
    format!(
        "ended {} exported {} dropped {} held {} closed {} attempts {} duplicates {} opened {}",
        ledger.ended,
        ledger.exported,
        ledger.dropped_total(),
        ledger.buffered + ledger.in_flight,
        u8::from(ledger.is_closed()),
        stats.attempts,
        stats.possible_duplicates,
        stats.circuit_opened
    )
}
