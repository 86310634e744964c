//! A collector, a pipeline that sends to it, and the judgement at the end.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use spandrel_core::backoff::{BackoffConfig, Jitter};
use spandrel_core::breaker::{BreakerConfig, OpenInterval};
use spandrel_core::response::DropReason;
use spandrel_core::stats::DeliveryStats;
use spandrel_tests::fault_server::{FaultServer, Reply, Script};
use spandrel_transport_std::{
    Config, FlushOutcome, FlushReport, Ledger, Span, Telemetry, Tracer, WhenFull, init,
};

/// Long enough for a loaded machine; only broken code waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// What must not wait has returned by then, even on a loaded machine.
pub(crate) const AT_ONCE: Duration = Duration::from_millis(750);
/// The longest that `Span::end` may wait for anything but a processor.
pub(crate) const END_LIMIT: Duration = ms(1);
/// How late a shutdown may return, on a machine that is not busy.
pub(crate) const LATE: Duration = ms(50);
/// How long the circuit stays open here.
pub(crate) const OPEN: Duration = Duration::from_millis(150);
/// The time limit of a request here.
pub(crate) const REQUEST: Duration = Duration::from_millis(300);

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The default settings but for the times, which are short, and the delay, which is endless: a
/// batch leaves when the test says so.
pub(crate) fn config(url: &str) -> Config {
    Config {
        enabled: true,
        service_name: "loopback".into(),
        endpoint: url.into(),
        backoff: Some(BackoffConfig {
            initial: ms(10),
            cap: ms(40),
            floor: ms(1),
            jitter: Jitter::None,
            ..BackoffConfig::DEFAULT
        }),
        breaker: Some(BreakerConfig {
            open: OpenInterval::Fixed(OPEN),
            ..BreakerConfig::DEFAULT
        }),
        timeout: Some(REQUEST),
        scheduled_delay: Some(Duration::from_secs(3600)),
        shutdown_timeout: ms(500),
        read_environment: false,
        set_global: false,
        ..Config::default()
    }
}

/// How long a span waits for room in the tests that do not say it: `SPANDREL_TEST_WAIT_MS`, or not at all.
fn when_full() -> WhenFull {
    let millis = std::env::var("SPANDREL_TEST_WAIT_MS");
    match millis.ok().and_then(|millis| millis.parse().ok()) {
        Some(millis) => WhenFull::Wait(ms(millis)),
        None => WhenFull::default(),
    }
}

/// Waits until `condition` holds; the test fails if it does not in time.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let limit = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < limit, "not in time: {what}");
        std::thread::sleep(ms(1));
    }
}

/// Runs `work`, which must not wait.
#[track_caller]
pub(crate) fn at_once<T>(work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let done = work();
    let took = started.elapsed();
    assert!(took < AT_ONCE, "took {took:?}");
    done
}

/// How often this thread gave its processor away to wait, for a lock, for input or for a time. A
/// scheduler that takes the processor away, as a loaded machine does, does not count.
fn waits() -> i64 {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("the figures of this thread");
    usage.voluntary_context_switches()
}

/// The shortest time that `work` takes in a few tries: what it needs, and not what the machine adds.
pub(crate) fn soonest(mut work: impl FnMut() -> Duration) -> Duration {
    (0..5).map(|_| work()).min().unwrap_or_default()
}

/// Notes `span` as one that is to arrive, and ends it; how long the end took if it waited at all.
pub(crate) fn end_issued(server: &FaultServer, span: Span) -> Duration {
    let context = *span.context();
    server
        .oracle()
        .issue(context.trace_id().to_bytes(), context.span_id().to_bytes());
    let before = waits();
    let started = Instant::now();
    span.end();
    let took = started.elapsed();
    if before == waits() {
        return Duration::ZERO;
    }
    took
}

/// A collector and a pipeline.
pub(crate) struct Rig {
    pub(crate) server: FaultServer,
    pub(crate) telemetry: Telemetry,
    tracer: Tracer,
    slowest_end: Mutex<Duration>,
}

impl Rig {
    pub(crate) fn new(script: impl Into<Script>) -> Self {
        Self::with(script, |_| ())
    }

    /// With settings changed by `edit`.
    pub(crate) fn with(script: impl Into<Script>, edit: impl FnOnce(&mut Config)) -> Self {
        let server = FaultServer::start(script);
        let url = server.url();
        Self::at(server, &url, edit)
    }

    /// Sends to `url`, behind which is `server` or nothing.
    pub(crate) fn at(server: FaultServer, url: &str, edit: impl FnOnce(&mut Config)) -> Self {
        let mut config = config(url);
        config.when_full = when_full();
        edit(&mut config);
        let telemetry = init(config).expect("settings that fit together");
        Self {
            server,
            tracer: telemetry.tracer("loopback"),
            telemetry,
            slowest_end: Mutex::default(),
        }
    }

    pub(crate) fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// Ends `count` spans.
    pub(crate) fn record(&self, count: usize) {
        for number in 0..count {
            let mut span = self.tracer.start("work");
            span.set_attribute("number", number as i64);
            self.end(span);
        }
    }

    pub(crate) fn end(&self, span: Span) {
        let took = end_issued(&self.server, span);
        let mut slowest = self
            .slowest_end
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *slowest = took.max(*slowest);
    }

    /// Sends what has ended and waits for it.
    pub(crate) fn flush(&self) -> FlushReport {
        self.telemetry.force_flush(PATIENCE)
    }

    /// Ends `count` spans and sends them as one batch.
    pub(crate) fn batch(&self, count: usize) -> FlushReport {
        self.record(count);
        self.flush()
    }

    /// As [`Rig::batch`], and it must arrive.
    #[track_caller]
    pub(crate) fn deliver(&self, count: usize) {
        let before = self.telemetry.ledger().exported;
        let report = self.batch(count);
        assert!(
            report.is_success(),
            "{report:?} {}",
            self.telemetry.ledger()
        );
        // A full batch may have left before the flush began.
        let exported = self.telemetry.ledger().exported - before;
        assert_eq!(exported, count as u64, "{report:?}");
    }

    pub(crate) fn attempts(&self) -> u64 {
        self.telemetry.stats().attempts
    }

    #[track_caller]
    pub(crate) fn wait_for_attempts(&self, count: u64) {
        until("attempts", || self.attempts() >= count);
    }

    /// Shuts down and judges; see the module of the tests.
    #[track_caller]
    pub(crate) fn close(self) -> End {
        self.close_within(PATIENCE)
    }

    #[track_caller]
    pub(crate) fn close_within(self, timeout: Duration) -> End {
        let end = self.settle(timeout);
        let acked = end.server.oracle().acked().len() as u64;
        assert_eq!(end.ledger.exported, acked, "acknowledged: {acked}");
        end
    }

    /// As [`Rig::close_within`], for servers that keep spans and say so in no way that anybody
    /// could understand, or the other way round.
    #[track_caller]
    pub(crate) fn settle(self, timeout: Duration) -> End {
        let report = self.telemetry.shutdown(timeout);
        let (ledger, stats) = (self.telemetry.ledger(), self.telemetry.stats());
        assert!(ledger.is_closed(), "{ledger}");
        assert_eq!(report.left, 0, "{report:?}");
        let oracle = self.server.oracle();
        assert_eq!(oracle.malformed(), 0);
        assert!(oracle.unknown().is_empty(), "{:?}", oracle.unknown());
        let missing = oracle.missing().len() as u64;
        let lost = ledger.dropped_total();
        assert!(missing <= lost, "{missing} are missing: {ledger}");
        let twice = oracle.duplicated().len() as u64;
        assert!(
            twice <= stats.possible_duplicates,
            "{twice} arrived twice: {stats:?}"
        );
        let slowest = self
            .slowest_end
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let limit = match when_full() {
            WhenFull::Wait(_) => AT_ONCE,
            _ => END_LIMIT,
        };
        assert!(slowest < limit, "`end` waited {slowest:?}");
        End {
            ledger,
            stats,
            report,
            server: self.server,
        }
    }
}

/// What is left of a [`Rig`].
pub(crate) struct End {
    pub(crate) server: FaultServer,
    pub(crate) ledger: Ledger,
    pub(crate) stats: DeliveryStats,
    pub(crate) report: FlushReport,
}

impl End {
    /// Exactly this was exported and lost.
    #[track_caller]
    pub(crate) fn is(&self, exported: u64, lost: &[(DropReason, u64)]) -> &Self {
        assert_eq!(self.ledger.exported, exported, "{}", self.ledger);
        let mut reasons: Vec<_> = self.ledger.dropped_reasons().collect();
        let mut lost = lost.to_vec();
        reasons.sort_by_key(|(reason, _)| reason.as_str());
        lost.sort_by_key(|(reason, _)| reason.as_str());
        assert_eq!(reasons, lost, "{}", self.ledger);
        self
    }

    /// Requests sent, repeated ones included.
    #[track_caller]
    pub(crate) fn attempts(&self, count: u64) -> &Self {
        assert_eq!(self.stats.attempts, count, "{:?}", self.stats);
        self
    }

    /// Spans that were announced as possibly arriving twice.
    #[track_caller]
    pub(crate) fn possible_duplicates(&self, count: u64) -> &Self {
        assert_eq!(self.stats.possible_duplicates, count, "{:?}", self.stats);
        self
    }

    /// Times that the circuit opened.
    #[track_caller]
    pub(crate) fn opened(&self, count: u64) -> &Self {
        assert_eq!(self.stats.circuit_opened, count, "{:?}", self.stats);
        self
    }
}

/// A flush or a shutdown that ended without waiting for its deadline.
#[track_caller]
pub(crate) fn complete(report: FlushReport) {
    assert_eq!(report.outcome, FlushOutcome::Complete, "{report:?}");
}

/// As many of one reply as open the circuit.
pub(crate) fn five(reply: &Reply) -> Script {
    Script::new().times(5, reply)
}
