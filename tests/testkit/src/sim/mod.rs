//! A world with a virtual clock around one exporter: a driver, a collector, and the books.
//!
//! [`Sim::run_until`] steps the clock to the smallest of the exporter's `poll_timeout` and the next
//! answer under way, so that a year of outages takes as long as its events. After every call into
//! the exporter, the [`Books`] check the rules that hold at all times: the ledger is balanced and
//! right to the span, one request is in flight, gates are
//! respected, batches are in order and within their limits, a
//! retry has the same bytes. The driver itself checks that `poll_timeout` is honest: nothing is due
//! after a poll, and time moves on.

mod bytes;
mod collector;
pub mod schedule;

use core::time::Duration;

use spandrel_core::buffer::{Buffer, Overflow, PushError, Record, RecordFlags, RecordSink};
use spandrel_core::exporter::{Exporter, ExporterConfig, Flush, FlushReport, Transmit};
use spandrel_core::resource::{Registry, Resource, ScopeId};
use spandrel_core::response::DropReason;
use spandrel_core::span::stored::StoredSpan;
use spandrel_core::stats::Ledger;
use spandrel_core::time::Instant;

pub use bytes::{SPAN_BYTES, span_ids, stored_span};
pub use collector::{Answer, Collector, Reply, Request, outages, script};

use crate::models::Draws;
use crate::models::coverage::Coverage;
use crate::models::exporter::Books;

/// How the exporter is made.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Its settings.
    pub config: ExporterConfig,
    /// Bytes of its buffer.
    pub buffer_bytes: usize,
    /// What it drops when it is full.
    pub overflow: Overflow,
    /// The most spans in it.
    pub max_records: u32,
    /// The largest piece in which a body is read.
    pub chunk: usize,
}

impl Setup {
    /// A buffer of 64 KiB that drops the newest.
    #[must_use]
    pub const fn new(config: ExporterConfig) -> Self {
        Self {
            config,
            buffer_bytes: 1 << 16,
            overflow: Overflow::DropNewest,
            max_records: u32::MAX,
            chunk: 97,
        }
    }
}

/// An attempt, as it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it was made.
    pub at: Instant,
    /// Which attempt of its batch, from 1.
    pub number: u32,
    /// The first span in it.
    pub first: u64,
    /// How many spans.
    pub spans: usize,
    /// What became of it.
    pub reply: Reply,
}

/// A request under way.
struct UnderWay {
    transmit: Transmit,
    reply: Reply,
    done_at: Instant,
    /// How many attempts had been made then, this one included.
    number: usize,
}

/// See the [module](self).
pub struct Sim {
    /// The exporter.
    pub exporter: Exporter<Vec<u8>, Vec<u8>>,
    /// The time that the exporter gets.
    pub now: Instant,
    /// Every attempt so far.
    pub attempts: Vec<Attempt>,
    /// What is known from the outside.
    pub books: Books,
    collector: Box<dyn Collector>,
    under_way: Vec<UnderWay>,
    /// The latest time that the exporter got.
    latest: Instant,
    draws: Draws,
    chunk: usize,
    next_id: u64,
    failures_at_once: u32,
    body: Vec<u8>,
}

impl Sim {
    /// A world at time zero.
    ///
    /// # Panics
    ///
    /// When the settings are not valid.
    #[must_use]
    pub fn new(setup: Setup, collector: impl Collector + 'static) -> Self {
        let Setup {
            config,
            buffer_bytes,
            overflow,
            max_records,
            chunk,
        } = setup;
        let buffer = Buffer::new(vec![0; buffer_bytes])
            .with_overflow(overflow)
            .with_max_records(max_records);
        let resource = Resource {
            attributes: &[],
            schema_url: "",
        };
        let Ok(registry) = Registry::new(vec![0; 256], &resource) else {
            unreachable!("an empty resource fits");
        };
        let exporter = match Exporter::new(config, buffer, registry) {
            Ok(exporter) => exporter,
            Err(error) => unreachable!("{error}"),
        };
        Self {
            exporter,
            now: Instant::ZERO,
            attempts: Vec::new(),
            books: Books::new(config),
            collector: Box::new(collector),
            under_way: Vec::new(),
            latest: Instant::ZERO,
            draws: Draws::new(config.seed),
            chunk,
            next_id: 0,
            failures_at_once: 0,
            body: Vec::new(),
        }
    }

    /// A span ends.
    ///
    /// # Errors
    ///
    /// What the exporter says.
    pub fn push(&mut self) -> Result<(), PushError> {
        self.push_sized(0)
    }

    /// A span with a name of so many bytes ends.
    ///
    /// # Errors
    ///
    /// What the exporter says.
    pub fn push_sized(&mut self, padding: u8) -> Result<(), PushError> {
        let id = self.next_id;
        self.next_id += 1;
        let body = stored_span(id, padding);
        let record = Record {
            scope: ScopeId::default(),
            flags: RecordFlags::NONE,
            body: &body,
        };
        let evicted = self.exporter.buffer().evicted();
        let result = self.exporter.push_record(&record);
        match result {
            Ok(()) => self
                .books
                .pushed(id, self.exporter.buffer().evicted() - evicted),
            Err(PushError::Full) => self.books.refused(DropReason::QueueFull),
            Err(PushError::TooLarge) => self.books.refused(DropReason::TooLarge),
            Err(_) => self.books.refused(DropReason::Shutdown),
        }
        self.note();
        result
    }

    /// So many spans end, whether there is room or not.
    pub fn push_many(&mut self, count: u64) {
        for _ in 0..count {
            let _ = self.push();
        }
    }

    /// Does everything that is due now.
    pub fn poll(&mut self) {
        loop {
            while let Some(place) = self.next_done() {
                let done = self.under_way.remove(place);
                self.answer(done);
            }
            self.latest = self.latest.max(self.now);
            let transmit = self.exporter.poll_transmit(self.now);
            match transmit {
                Some(transmit) => self.send(transmit),
                None => {
                    self.note();
                    break;
                }
            }
        }
        let wake = self.exporter.poll_timeout();
        assert!(
            wake.is_none_or(|wake| wake > self.latest),
            "busy: {wake:?} after a poll at {:?}",
            self.latest
        );
    }

    /// When something happens next, if nothing is pushed.
    #[must_use]
    pub fn next_event(&self) -> Option<Instant> {
        let done = self.under_way.iter().map(|flight| flight.done_at).min();
        match (self.exporter.poll_timeout(), done) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Lets time pass up to `end`.
    pub fn run_until(&mut self, end: Instant) {
        self.poll();
        while let Some(next) = self.next_event().filter(|&next| next <= end) {
            self.now = self.now.max(next);
            self.poll();
        }
        self.now = self.now.max(end);
        self.poll();
    }

    /// Lets time pass by `span`.
    pub fn run_for(&mut self, span: Duration) {
        self.run_until(self.now.saturating_add(span));
    }

    /// Lets time pass until nothing is left to do, or the limit of a day; whether nothing is left.
    pub fn settle(&mut self) -> bool {
        self.run_for(Duration::from_secs(86_400));
        self.next_event().is_none()
    }

    /// Sets the clock, back as well.
    pub fn set_clock(&mut self, now: Instant) {
        self.books.seen.clock_back += u32::from(now < self.now);
        self.now = now;
    }

    /// Asks for a flush.
    pub fn force_flush(&mut self, within: Duration) -> Flush {
        let flush = self
            .exporter
            .force_flush(self.now, self.now.saturating_add(within));
        self.latest = self.latest.max(self.now);
        self.note();
        flush
    }

    /// Flushes and lets time pass until it is over or its deadline has come.
    pub fn flush(&mut self, within: Duration) -> FlushReport {
        let deadline = self.now.saturating_add(within);
        let flush = self.force_flush(within);
        loop {
            self.poll();
            if let Some(report) = self.exporter.poll_flush(&flush, self.now) {
                return report;
            }
            let next = self.next_event().unwrap_or(deadline);
            self.now = self.now.max(next.min(deadline));
        }
    }

    /// Begins the shutdown.
    pub fn shut_down(&mut self, within: Duration) {
        self.books.shut_down();
        self.exporter
            .shutdown(self.now, self.now.saturating_add(within));
        self.latest = self.latest.max(self.now);
        self.note();
    }

    /// Shuts down and lets time pass until it is over.
    ///
    /// # Panics
    ///
    /// When it is not over at its deadline.
    pub fn shutdown(&mut self, within: Duration) -> FlushReport {
        let deadline = self.now.max(self.latest).saturating_add(within);
        self.shut_down(within);
        loop {
            self.poll();
            if let Some(report) = self.exporter.poll_shutdown() {
                return report;
            }
            assert!(self.now < deadline, "I44: the deadline is over");
            let next = self.next_event().unwrap_or(deadline);
            self.now = self.now.max(next.min(deadline));
        }
    }

    /// The exporter's ledger.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.exporter.ledger()
    }

    /// What happened so far.
    #[must_use]
    pub const fn seen(&self) -> &Coverage {
        &self.books.seen
    }

    /// The times of all attempts, in milliseconds.
    #[must_use]
    pub fn attempt_millis(&self) -> Vec<u64> {
        self.attempts
            .iter()
            .map(|attempt| attempt.at.as_millis())
            .collect()
    }

    /// The place of a request that is over by now.
    fn next_done(&self) -> Option<usize> {
        self.under_way
            .iter()
            .position(|flight| flight.done_at <= self.now)
    }

    /// Puts a request on its way.
    fn send(&mut self, mut transmit: Transmit) {
        self.drain_events();
        let ledger = self.exporter.ledger();
        self.books.next_request(&ledger);
        self.read_body(&mut transmit);
        let ids = span_ids(&self.body);
        assert_eq!(transmit.spans(), ids.len());
        let circuit = self.exporter.circuit();
        self.books
            .sent(self.latest, transmit.attempt(), &ids, &self.body, circuit);
        let request = Request {
            at: self.latest,
            ids: &ids,
            bytes: self.body.len(),
        };
        let Answer { reply, after } = self.collector.answer(&request);
        self.attempts.push(Attempt {
            at: self.latest,
            number: transmit.attempt(),
            first: ids[0],
            spans: ids.len(),
            reply,
        });
        self.note();
        let deadline = transmit.deadline();
        let slack = self.exporter.config().timeout_slack;
        let done_at = match reply {
            Reply::Lost => {
                self.books.seen.lost += 1;
                return;
            }
            Reply::Hang if deadline == Instant::MAX => return,
            Reply::Hang => deadline,
            Reply::TooLate(_) => deadline
                .saturating_add(slack)
                .saturating_add(Duration::from_secs(1)),
            _ => self.now.saturating_add(after),
        };
        let number = self.attempts.len();
        self.under_way.push(UnderWay {
            transmit,
            reply,
            done_at,
            number,
        });
    }

    /// Reads the body in pieces of random sizes, empty ones among them.
    fn read_body(&mut self, transmit: &mut Transmit) {
        let mut piece = vec![0; self.chunk];
        self.body.clear();
        while !transmit.is_read() {
            let size = self.draws.below(self.chunk as u64 + 1);
            let size = usize::try_from(size).unwrap_or(1);
            let read = self.exporter.read_body(transmit, &mut piece[..size]);
            self.body.extend_from_slice(&piece[..read]);
        }
        assert_eq!(
            transmit.content_length(),
            self.body.len(),
            "the announced length"
        );
        assert_eq!(self.exporter.read_body(transmit, &mut piece), 0);
    }

    fn answer(&mut self, done: UnderWay) {
        let UnderWay {
            transmit,
            reply,
            number,
            ..
        } = done;
        let waits = self.exporter.ledger().in_flight > 0 && number == self.attempts.len();
        if !waits || matches!(reply, Reply::TooLate(_)) {
            self.answer_too_late(transmit, reply);
            return;
        }
        self.latest = self.latest.max(self.now);
        self.books.expect(reply);
        match reply {
            Reply::Cancel => self.exporter.cancel(self.now, transmit),
            Reply::CancelInFlight => {
                drop(transmit);
                self.exporter.cancel_in_flight(self.now);
                // Once more: a driver may say so twice.
                self.exporter.cancel_in_flight(self.now);
            }
            _ => {
                let outcome = reply.outcome(&mut self.body);
                self.exporter.handle_response(self.now, transmit, &outcome);
            }
        }
        self.drain_events();
        self.books.answered(self.latest, reply);
        self.check();
        if matches!(reply, Reply::Cancel | Reply::CancelInFlight) {
            // The driver's own doing.
            self.books.seen.cancelled += 1;
        } else {
            self.count_failures_at_once();
        }
    }

    fn answer_too_late(&mut self, transmit: Transmit, reply: Reply) {
        self.latest = self.latest.max(self.now);
        self.exporter.handle_timeout(self.now);
        self.note();
        let before = (
            self.exporter.ledger(),
            self.exporter.stats(),
            self.exporter.circuit(),
        );
        let outcome = reply.outcome(&mut self.body);
        self.exporter.handle_response(self.now, transmit, &outcome);
        let after = (
            self.exporter.ledger(),
            self.exporter.stats(),
            self.exporter.circuit(),
        );
        assert_eq!(before, after, "I30: a late answer changes nothing");
        self.books.seen.late_ignored += 1;
    }

    /// A machine that fails again and again without time passing would burn the processor.
    fn count_failures_at_once(&mut self) {
        let Some([.., before, last]) = self.attempts.last_chunk::<2>().map(|pair| pair.each_ref())
        else {
            return;
        };
        let again =
            before.at == last.at && before.first == last.first && before.spans == last.spans;
        self.failures_at_once = if again { self.failures_at_once + 1 } else { 0 };
        assert!(
            self.failures_at_once < 8,
            "busy: the same request again and again at {:?}",
            last.at
        );
    }

    /// Fetches the events and compares the books.
    fn note(&mut self) {
        self.drain_events();
        self.check();
    }

    fn drain_events(&mut self) {
        while let Some(event) = self.exporter.poll_event() {
            self.books.event(self.latest, &event);
        }
    }

    fn check(&mut self) {
        self.books
            .check(&self.exporter.ledger(), &self.exporter.stats());
        let queued = self.books.queue();
        assert_eq!(self.exporter.buffer().queued(), queued.len(), "I2");
        let front = self
            .exporter
            .buffer()
            .front()
            .and_then(|record| StoredSpan::new(record.body))
            .map(|frame| frame.span_id().to_bytes());
        let expected = queued.front().map(|id| id.to_be_bytes());
        assert_eq!(front, expected, "I2, I7");
    }
}
