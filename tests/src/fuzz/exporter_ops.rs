//! The exporter under any driver: the loss equation holds after every call, counters only grow,
//! bodies are readable, and once the collector accepts everything, everything gets out.

use core::time::Duration;

use crate::rng::TestRng;
use arbitrary::{Arbitrary, Unstructured};
use spandrel_core::batch::BatchConfig;
use spandrel_core::buffer::{Buffer, Overflow};
use spandrel_core::exporter::{Exporter, ExporterConfig, OnTooLarge, Transmit, WhenOpen};
use spandrel_core::id::RandomIdGenerator;
use spandrel_core::resource::{Registry, Resource};
use spandrel_core::response::{Outcome, Response, TransportError};
use spandrel_core::sampler::AlwaysOn;
use spandrel_core::stats::Ledger;
use spandrel_core::time::{Instant, UnixNanos, WallClock};
use spandrel_core::tracer::{BareTracer, SpanBuilder};

use crate::wire_model::decode;

#[derive(Debug, Arbitrary)]
enum Op<'a> {
    Push {
        name: u8,
    },
    Wait {
        millis: u16,
    },
    WaitUntilDue,
    TimeGoesBack {
        millis: u16,
    },
    TimeOut,
    Poll,
    Read {
        bytes: u16,
    },
    Answer {
        outcome: Answer,
        retry_after: Option<u8>,
        body: &'a [u8],
    },
    Cancel,
    CancelInFlight,
    LoseTransmit,
    Flush {
        millis: u16,
    },
    Clock {
        unix: u64,
    },
    Shutdown {
        millis: u16,
    },
}

#[derive(Debug, Arbitrary)]
enum Answer {
    Success,
    Unavailable,
    Throttled,
    ServerError,
    TooLarge,
    Status(u16),
    ResponseTooLarge(u16),
    Connect,
    Reset(bool),
    Timeout(bool),
    Stale,
    Protocol,
}

#[derive(Debug, Arbitrary)]
struct Script<'a> {
    buffer: u16,
    drop_oldest: bool,
    batch: u8,
    max_request_bytes: u16,
    delay_millis: u16,
    threshold: u8,
    hold: bool,
    split: bool,
    no_timeout: bool,
    seed: u64,
    ops: Vec<Op<'a>>,
}

struct Runner {
    exporter: Exporter<Vec<u8>, [u8; 128]>,
    tracer: BareTracer<AlwaysOn, RandomIdGenerator<TestRng>>,
    transmit: Option<(Transmit, Vec<u8>)>,
    now: Instant,
    before: Ledger,
}

/// Runs the operations that `data` makes.
///
/// # Panics
///
/// When an invariant is broken.
pub fn run(data: &[u8]) {
    let Ok(script) = Unstructured::new(data).arbitrary::<Script<'_>>() else {
        return;
    };
    let mut config = ExporterConfig {
        batch: BatchConfig {
            max_export_batch_size: u32::from(script.batch % 16) + 1,
            scheduled_delay: Duration::from_millis(script.delay_millis.into()),
            ..BatchConfig::DEFAULT
        },
        max_request_bytes: usize::from(script.max_request_bytes % 4096),
        when_open: if script.hold {
            WhenOpen::Hold
        } else {
            WhenOpen::Drop
        },
        on_too_large: if script.split {
            OnTooLarge::Split
        } else {
            OnTooLarge::Drop
        },
        seed: script.seed,
        ..ExporterConfig::DEFAULT
    };
    config.breaker.failure_threshold = u32::from(script.threshold % 8) + 1;
    if script.no_timeout {
        config.request_timeout = Duration::ZERO;
    }
    let overflow = if script.drop_oldest {
        Overflow::DropOldest
    } else {
        Overflow::DropNewest
    };
    let buffer = Buffer::new(vec![0; usize::from(script.buffer % 4096)]).with_overflow(overflow);
    let registry = Registry::new([0; 128], &Resource::default()).expect("room");
    let ids = RandomIdGenerator::new(TestRng::new(script.seed));
    let mut runner = Runner {
        exporter: Exporter::new(config, buffer, registry).expect("a valid configuration"),
        tracer: BareTracer::new(AlwaysOn, ids),
        transmit: None,
        now: Instant::ZERO,
        before: Ledger::default(),
    };
    for op in script.ops.iter().take(300) {
        runner.step(op);
        runner.check();
    }
    runner.drain();
}

impl Runner {
    fn step(&mut self, op: &Op<'_>) {
        let now = self.now;
        match *op {
            Op::Push { name } => {
                let name = "x".repeat(name.into());
                let mut span = self.tracer.start::<512>(SpanBuilder::new(&name), now);
                span.add_event("e", &[], now);
                let _ = span.end(now, &mut self.exporter);
            }
            Op::Wait { millis } => self.wait(millis.into()),
            Op::WaitUntilDue => {
                if let Some(due) = self
                    .exporter
                    .poll_timeout()
                    .filter(|due| *due < Instant::MAX)
                {
                    self.now = now.max(due);
                }
            }
            Op::TimeGoesBack { millis } => {
                let nanos = u64::from(millis) * 1_000_000;
                self.now = Instant::from_nanos(now.as_nanos().saturating_sub(nanos));
            }
            Op::TimeOut => self.exporter.handle_timeout(now),
            Op::Poll => self.poll(),
            Op::Read { bytes } => self.read(bytes.into()),
            Op::Answer {
                ref outcome,
                retry_after,
                body,
            } => {
                self.answer(outcome, retry_after, body);
            }
            Op::Cancel => {
                if let Some((transmit, _)) = self.transmit.take() {
                    self.exporter.cancel(now, transmit);
                }
            }
            Op::CancelInFlight => self.exporter.cancel_in_flight(now),
            Op::LoseTransmit => drop(self.transmit.take()),
            Op::Flush { millis } => {
                let deadline = now.saturating_add(Duration::from_millis(millis.into()));
                let flush = self.exporter.force_flush(now, deadline);
                if let Some(report) = self.exporter.poll_flush(&flush, deadline) {
                    assert!(report.left <= self.exporter.buffer().len() as u64);
                }
            }
            Op::Clock { unix } => {
                let clock = WallClock::from_pair(now, UnixNanos::from_nanos(unix));
                self.exporter.set_wall_clock(Some(clock));
            }
            Op::Shutdown { millis } => {
                let deadline = now.saturating_add(Duration::from_millis(millis.into()));
                self.exporter.shutdown(now, deadline);
            }
        }
    }

    fn wait(&mut self, millis: u64) {
        self.now = self.now.saturating_add(Duration::from_millis(millis));
    }

    fn poll(&mut self) {
        let Some(transmit) = self.exporter.poll_transmit(self.now) else {
            return;
        };
        assert!(transmit.spans() > 0);
        assert!(transmit.content_length() <= self.exporter.config().max_request_bytes);
        assert_eq!(self.exporter.ledger().in_flight, transmit.spans() as u64);
        // One that was lost before has been counted as timed out by now.
        self.transmit = Some((transmit, Vec::new()));
        assert!(
            self.exporter.poll_transmit(self.now).is_none(),
            "one in flight (I34)"
        );
    }

    fn read(&mut self, bytes: usize) {
        let Some((transmit, body)) = &mut self.transmit else {
            return;
        };
        let mut target = vec![0; bytes % 700 + 1];
        let len = self.exporter.read_body(transmit, &mut target);
        body.extend_from_slice(&target[..len]);
        if transmit.is_read() {
            assert_eq!(body.len(), transmit.content_length());
            let request = decode(body);
            let scopes = request.resource_spans.iter().flat_map(|r| &r.scope_spans);
            let spans: usize = scopes.map(|scope| scope.spans.len()).sum();
            assert_eq!(spans, transmit.spans());
        }
    }

    fn answer(&mut self, answer: &Answer, retry_after: Option<u8>, body: &[u8]) {
        let Some((transmit, _)) = self.transmit.take() else {
            return;
        };
        let header = retry_after.map(|seconds| seconds.to_string());
        let status = |status| {
            Outcome::Response(Response {
                retry_after: header.as_deref(),
                content_type: Some("application/x-protobuf"),
                body: Some(body),
                ..Response::new(status)
            })
        };
        let outcome = match *answer {
            Answer::Success => status(200),
            Answer::Unavailable => status(503),
            Answer::Throttled => status(429),
            Answer::ServerError => status(500),
            Answer::TooLarge => status(413),
            Answer::Status(code) => status(code),
            Answer::ResponseTooLarge(status) => Outcome::ResponseTooLarge { status },
            Answer::Connect => Outcome::Failed(TransportError::Connect),
            Answer::Reset(body_sent) => Outcome::Failed(TransportError::Reset { body_sent }),
            Answer::Timeout(body_sent) => Outcome::Failed(TransportError::Timeout { body_sent }),
            Answer::Stale => Outcome::Failed(TransportError::Stale),
            Answer::Protocol => Outcome::Failed(TransportError::Protocol),
        };
        self.exporter.handle_response(self.now, transmit, &outcome);
        assert_eq!(self.exporter.ledger().in_flight, 0);
    }

    /// Invariants I1 and I2, and that nothing is due without anything held.
    fn check(&mut self) {
        let ledger = self.exporter.ledger();
        assert!(ledger.is_balanced(), "{ledger}");
        assert!(ledger.ended >= self.before.ended);
        assert!(ledger.exported >= self.before.exported);
        assert!(ledger.dropped_total() >= self.before.dropped_total());
        assert_eq!(
            ledger.buffered + ledger.in_flight,
            self.exporter.buffer().len() as u64
        );
        if self.exporter.is_stopped() {
            assert!(ledger.is_closed());
            assert_eq!(self.exporter.poll_timeout(), None);
        }
        self.before = ledger;
        let _ = self.exporter.poll_event();
    }

    /// From now on the collector accepts everything: following `poll_timeout` alone, the exporter
    /// gets rid of all it holds, without spinning.
    fn drain(&mut self) {
        if let Some((transmit, _)) = self.transmit.take() {
            self.exporter.cancel(self.now, transmit);
        }
        self.exporter.cancel_in_flight(self.now);
        let mut steps = 0;
        while let Some(due) = self.exporter.poll_timeout() {
            self.now = self.now.max(due);
            match self.exporter.poll_transmit(self.now) {
                Some(transmit) => {
                    let accepted = Outcome::Response(Response::new(200));
                    self.exporter.handle_response(self.now, transmit, &accepted);
                }
                None => self.exporter.handle_timeout(self.now),
            }
            self.check();
            steps += 1;
            assert!(steps < 1000, "spinning: {:?}", self.exporter.ledger());
        }
        assert!(
            self.exporter.ledger().is_closed(),
            "{}",
            self.exporter.ledger()
        );
    }
}
