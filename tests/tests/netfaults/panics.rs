//! Fault D4: a panic on the thread, or in the task, that sends.
//!
//! The pipeline calls no code of the program there but the handler of diagnostics, whose panics it
//! catches by itself. The HTTP clients do: they write to the log, and a logger may panic. So the
//! n-th line that is logged panics, for every n that a request has.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use log::{LevelFilter, Log, Metadata, Record};
use spandrel_tests::fault_server::{FaultServer, Reply, Script};

use crate::remote::{Remote, say};
use crate::sender::SENDERS;

/// Lines that may still be written; the one after them panics, and none when this is `u64::MAX`.
static LEFT: AtomicU64 = AtomicU64::new(u64::MAX);
static HAPPENED: AtomicU64 = AtomicU64::new(0);

struct Logger;

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, _: &Record<'_>) {
        if LEFT.load(SeqCst) != u64::MAX && LEFT.fetch_sub(1, SeqCst) == 0 {
            LEFT.store(u64::MAX, SeqCst);
            HAPPENED.fetch_add(1, SeqCst);
            // As `panic!`, without a message on the error output.
            resume_unwind(Box::new("the logger"));
        }
    }

    fn flush(&self) {}
}

/// In the child: lets `lines` be logged and panics with the next one.
pub(crate) fn arm(lines: u64) {
    let _ = log::set_logger(&Logger);
    log::set_max_level(LevelFilter::Trace);
    LEFT.store(lines, SeqCst);
    say("armed");
}

/// In the child: how many panics there were.
pub(crate) fn happened() -> u64 {
    LEFT.store(u64::MAX, SeqCst);
    HAPPENED.load(SeqCst)
}

#[test]
fn d4_a_panic_where_spans_are_sent_costs_an_attempt_and_no_span() {
    for sender in SENDERS {
        // A connection for each request: clients log most while they connect.
        let server = FaultServer::start(Script::new().otherwise(Reply::ConnectionClose));
        let mut service = Remote::start(sender, &[]).expect("a child");
        service.ask(&format!("start {} 5000", server.url()));
        let (mut lines, mut panics) = (0, 0);
        loop {
            service.ask(&format!("panic {lines}"));
            service.ask("record 2");
            let flush = service.books("flush 20000");
            assert_eq!(flush["success"], 1, "{sender}, line {lines}: {flush:?}");
            let happened = service.books("panicked")["panicked"];
            lines += 1;
            if happened == panics {
                break;
            }
            panics = happened;
        }
        // The client of the tokio transport logs one line only.
        let least = if sender == "tokio" { 1 } else { 3 };
        assert!(panics >= least, "{sender}: {panics} panics");
        let reports = service.ask("reports");
        assert!(
            reports.contains("the sender panicked"),
            "{sender}: {reports}"
        );
        service.books("shutdown 10000");
        let books = service.books("books");
        let spans = 2 * lines;
        assert_eq!((books["closed"], books["exported"]), (1, spans), "{sender}");
        assert_eq!(server.oracle().stored().len() as u64, spans, "{sender}");
    }
}
