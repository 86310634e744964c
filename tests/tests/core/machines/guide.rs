//! The scenarios of the guide, told as it tells them.

use core::time::Duration;

use spandrel_core::backoff::{Backoff, BackoffConfig, Exhausted, Jitter};
use spandrel_core::breaker::{BreakerConfig, CircuitBreaker, CircuitOpen, State, Verdict};
use spandrel_core::response::{Outcome, Response, TransportError, classify};
use spandrel_core::time::Instant;

const REFUSED: Outcome<'static> = Outcome::Failed(TransportError::Connect);
const TIMEOUT: Outcome<'static> = Outcome::Failed(TransportError::Timeout { body_sent: true });
const ACCEPTED: Outcome<'static> = Outcome::Response(Response::new(200));

/// How an export ends.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    Refused(CircuitOpen),
    Final { attempts: u32 },
}

/// The retry loop with the breaker inside it, as small as it can be; sleeping moves `now`.
struct Exporter {
    now: Instant,
    backoff: Backoff,
    breaker: CircuitBreaker,
    waits: Vec<u64>,
}

impl Exporter {
    fn new() -> Self {
        let config = BackoffConfig {
            jitter: Jitter::None,
            ..BackoffConfig::DEFAULT
        };
        Self {
            now: Instant::ZERO,
            backoff: Backoff::new(config).expect("valid settings"),
            breaker: CircuitBreaker::new(BreakerConfig::DEFAULT).expect("valid settings"),
            waits: Vec::new(),
        }
    }

    fn at(&mut self, secs: u64) -> State {
        self.now = Instant::from_secs(secs);
        self.breaker.handle_timeout(self.now);
        self.breaker.state()
    }

    /// One attempt, whose outcome is given.
    fn attempt(&mut self, outcome: Outcome<'_>) -> Result<bool, CircuitOpen> {
        let permit = self.breaker.try_acquire(self.now, 0)?;
        let class = classify(&outcome);
        self.breaker.record(self.now, 0, permit, class.verdict);
        Ok(class.loss.is_none())
    }

    /// One batch with retries, against these outcomes.
    fn export(&mut self, outcomes: &[Outcome<'_>]) -> Result<(), Failure> {
        self.backoff.start(self.now);
        for (n, &outcome) in (1..).zip(outcomes) {
            match self.attempt(outcome) {
                Ok(true) => return Ok(()),
                Ok(false) if self.breaker.state() == State::Closed => {}
                Ok(false) => return Err(Failure::Final { attempts: n }),
                Err(refused) => return Err(Failure::Refused(refused)),
            }
            match self.backoff.next_attempt(self.now, 0) {
                Ok(next) => {
                    let wait = next.saturating_since(self.now);
                    self.waits.extend(u64::try_from(wait.as_millis()));
                    self.now = next;
                }
                Err(Exhausted { attempts, .. }) => return Err(Failure::Final { attempts }),
            }
        }
        unreachable!("the script of outcomes is too short");
    }
}

#[test]
fn breaker_scenario_1_a_short_outage() {
    let mut exporter = Exporter::new();
    // t=0 s: the collector is down; exports 1 to 5 fail and the circuit opens.
    for n in 1..=5 {
        assert_eq!(exporter.breaker.state(), State::Closed, "before export {n}");
        assert_eq!(exporter.attempt(REFUSED), Ok(false));
    }
    assert_eq!(exporter.breaker.state(), State::Open);
    // t=1 s: export 6 is refused at once.
    assert_eq!(exporter.at(1), State::Open);
    let refused = exporter.attempt(ACCEPTED).expect_err("the circuit is open");
    assert_eq!(
        refused.to_string(),
        "circuit breaker open: too many export failures"
    );
    // t=30 s: half-open, by itself.
    assert_eq!(exporter.at(29), State::Open);
    assert_eq!(exporter.at(30), State::HalfOpen);
    // t=31 s: export 7 succeeds and the circuit closes.
    assert_eq!(exporter.at(31), State::HalfOpen);
    assert_eq!(exporter.attempt(ACCEPTED), Ok(true));
    // t=32 s: normal.
    assert_eq!(exporter.at(32), State::Closed);
    assert_eq!(exporter.attempt(ACCEPTED), Ok(true));
}

#[test]
fn breaker_scenario_2_lasting_trouble() {
    let mut exporter = Exporter::new();
    for _ in 1..=5 {
        assert_eq!(exporter.attempt(REFUSED), Ok(false));
    }
    assert_eq!(exporter.breaker.state(), State::Open);
    // t=30 s half-open, t=31 s the probe fails, t=61 s half-open again, and so on.
    for round in 0..10 {
        assert_eq!(exporter.at(29 + 31 * round), State::Open);
        assert_eq!(exporter.at(30 + 31 * round), State::HalfOpen);
        assert_eq!(exporter.at(31 + 31 * round), State::HalfOpen);
        assert_eq!(exporter.attempt(REFUSED), Ok(false));
        assert_eq!(exporter.breaker.state(), State::Open);
    }
    // Until recovery.
    assert_eq!(exporter.at(340), State::HalfOpen);
    assert_eq!(exporter.attempt(ACCEPTED), Ok(true));
    assert_eq!(exporter.breaker.state(), State::Closed);
}

#[test]
fn retry_scenario_1_delivered_after_one_retry() {
    let mut exporter = Exporter::new();
    assert_eq!(exporter.export(&[TIMEOUT, ACCEPTED]), Ok(()));
    assert_eq!(exporter.waits, [100]);
    assert_eq!(exporter.backoff.retries(), 1);
}

#[test]
fn retry_scenario_2_delivered_after_two_retries() {
    let mut exporter = Exporter::new();
    exporter.backoff.start(exporter.now);
    for failures in 1..=2 {
        assert_eq!(exporter.attempt(REFUSED), Ok(false));
        // The breaker has seen 1, then 2 failures of its 5.
        assert_eq!(exporter.breaker.consecutive_failures(), failures);
        exporter.now = exporter
            .backoff
            .next_attempt(exporter.now, 0)
            .expect("a retry is left");
    }
    assert_eq!(exporter.now, Instant::from_millis(100 + 150));
    assert_eq!(exporter.attempt(ACCEPTED), Ok(true));
    assert_eq!(exporter.breaker.consecutive_failures(), 0);
}

#[test]
fn retry_scenario_3_five_failures_open_the_circuit() {
    let mut exporter = Exporter::new();
    let ended = exporter.export(&[REFUSED; 6]);
    assert_eq!(ended, Err(Failure::Final { attempts: 5 }));
    assert_eq!(exporter.waits, [100, 150, 225, 338]);
    assert_eq!(exporter.breaker.consecutive_failures(), 5);
    assert_eq!(exporter.breaker.state(), State::Open);
    // The next exports are refused until the circuit resets.
    let opened = exporter.now;
    let retry_at = opened.saturating_add(Duration::from_secs(30));
    for _ in 0..3 {
        let refused = exporter.export(&[ACCEPTED]);
        assert_eq!(refused, Err(Failure::Refused(CircuitOpen { retry_at })));
    }
    exporter.now = retry_at;
    assert_eq!(exporter.export(&[ACCEPTED]), Ok(()));
}

#[test]
fn all_retries_fail_with_a_breaker_that_stays_closed() {
    // A throttled destination is alive: the circuit stays closed, the retries run out.
    let mut exporter = Exporter::new();
    let throttled = Outcome::Response(Response::new(429));
    let ended = exporter.export(&[throttled; 6]);
    assert_eq!(ended, Err(Failure::Final { attempts: 6 }));
    assert_eq!(exporter.waits, [100, 150, 225, 338, 507]);
    assert_eq!(exporter.breaker.state(), State::Closed);
}

/// Section 4.5 of the delivery rules.
#[test]
fn retry_after_on_a_fifth_failure_only_prolongs_the_open_circuit() {
    for (seconds, until) in [("7", 30), ("120", 120), ("86400", 300)] {
        let mut exporter = Exporter::new();
        for _ in 1..=5 {
            assert_eq!(exporter.attempt(REFUSED), Ok(false));
        }
        let response = Response {
            retry_after: Some(seconds),
            ..Response::new(503)
        };
        let pause = response.pause(None).expect("delay-seconds");
        let next = exporter.backoff.after_pause(exporter.now, pause, 0);
        exporter.breaker.hold_until(next);
        let retry_at = exporter.breaker.retry_at(exporter.now);
        assert_eq!(retry_at, Instant::from_secs(until), "{seconds}");
    }
}

#[test]
fn cancellation_ends_an_attempt_without_a_verdict() {
    let mut exporter = Exporter::new();
    for _ in 0..10 {
        let cancelled = Outcome::Failed(TransportError::Cancelled);
        assert_eq!(classify(&cancelled).verdict, Verdict::Cancelled);
        assert_eq!(exporter.attempt(cancelled), Ok(false));
    }
    assert_eq!(exporter.breaker.state(), State::Closed);
    assert_eq!(exporter.breaker.consecutive_failures(), 0);
}
