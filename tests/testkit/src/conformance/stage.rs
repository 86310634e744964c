//! Where a scenario is played: a collector, a pipeline, and an eye on the ledger.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use spandrel_core::stats::Ledger;

use super::{Pipeline, Scenario, Settings, Transport, Verdict};
use crate::fault_server::{FaultServer, Request, Script};

/// Only a transport that breaks a rule is waited for so long.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How late things may be, on a machine that is busy.
pub(super) const LATE: Duration = Duration::from_millis(1500);
/// How early, for clocks that are read at different places.
const EARLY: Duration = Duration::from_millis(10);
const LOOK: Duration = Duration::from_millis(2);

pub(super) fn play(scenario: &Scenario, transport: &mut dyn Transport) -> Verdict {
    let started = Instant::now();
    let mut stage = Stage {
        transport,
        violations: Vec::new(),
    };
    let played = catch_unwind(AssertUnwindSafe(|| (scenario.play)(&mut stage)));
    let mut violations = stage.violations;
    if let Err(panic) = played {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        violations.push(format!("it panicked: {}", text.unwrap_or("no text")));
    }
    Verdict {
        scenario: scenario.name,
        rule: scenario.rule,
        violations,
        took: started.elapsed(),
    }
}

pub(super) struct Stage<'a> {
    transport: &'a mut dyn Transport,
    violations: Vec<String>,
}

impl Stage<'_> {
    /// One act: a collector with this script, a new pipeline, and an end that must be orderly.
    pub(super) fn act(&mut self, script: impl Into<Script>, play: impl FnOnce(&mut Act)) {
        self.act_with(script, |_| {}, play);
    }

    /// The same with other settings.
    pub(super) fn act_with(
        &mut self,
        script: impl Into<Script>,
        set: impl FnOnce(&mut Settings),
        play: impl FnOnce(&mut Act),
    ) {
        let server = FaultServer::start(script);
        let mut settings = Settings::new(server.url());
        set(&mut settings);
        let mut act = Act {
            pipeline: self.transport.start(&settings),
            settings,
            server,
            recorded: 0,
            is_balanced: true,
            is_over: false,
            violations: Vec::new(),
        };
        play(&mut act);
        if !act.is_over {
            act.shutdown(Duration::from_millis(500));
        }
        self.violations.append(&mut act.violations);
    }
}

pub(super) struct Act {
    pipeline: Box<dyn Pipeline>,
    pub(super) settings: Settings,
    pub(super) server: FaultServer,
    recorded: u64,
    is_balanced: bool,
    is_over: bool,
    violations: Vec<String>,
}

impl Act {
    pub(super) fn record(&mut self, count: usize) {
        self.pipeline.record(count);
        self.recorded += count as u64;
        self.ledger();
    }

    /// The ledger, which must be balanced whenever it is read.
    pub(super) fn ledger(&mut self) -> Ledger {
        let ledger = self.pipeline.ledger();
        let is_right = ledger.is_balanced() && ledger.ended == self.recorded;
        if !is_right && self.is_balanced {
            let recorded = self.recorded;
            self.violation(format!("{recorded} spans have ended, but: {ledger}"));
        }
        self.is_balanced &= is_right;
        ledger
    }

    pub(super) fn flush(&mut self, timeout: Duration) -> bool {
        let started = Instant::now();
        let is_done = self.pipeline.flush(timeout);
        self.bounded("the flush", timeout, started);
        self.ledger();
        is_done
    }

    /// Ends the pipeline: in time, and with every span accounted for.
    pub(super) fn shutdown(&mut self, timeout: Duration) {
        self.is_over = true;
        let started = Instant::now();
        self.pipeline.shutdown(timeout);
        self.bounded("the shutdown", timeout, started);
        let ledger = self.ledger();
        self.require(ledger.is_closed() || !self.is_balanced, || {
            format!("spans are left after the shutdown: {ledger}")
        });
    }

    fn bounded(&mut self, what: &str, timeout: Duration, started: Instant) {
        let took = started.elapsed();
        self.require(took < timeout + LATE, || {
            format!("{what} took {took:?}, not {timeout:?} at most")
        });
    }

    pub(super) fn violation(&mut self, text: String) {
        self.violations.push(text);
    }

    pub(super) fn require(&mut self, is_met: bool, text: impl FnOnce() -> String) {
        if !is_met {
            self.violation(text());
        }
    }

    /// Waits until something holds. It is a violation if it does not in time, or cannot any more.
    pub(super) fn until(&mut self, what: &str, holds: impl Fn(&Ledger, &FaultServer) -> bool) {
        let limit = Instant::now() + PATIENCE;
        loop {
            let ledger = self.ledger();
            if holds(&ledger, &self.server) {
                return;
            }
            // Where no span is held, nothing will change.
            if ledger.is_closed() || Instant::now() > limit {
                let requests = self.server.requests().len();
                self.violation(format!(
                    "expected: {what}; but after {requests} requests: {ledger}"
                ));
                return;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Lets time pass, and looks at the ledger meanwhile.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.ledger();
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until all spans recorded are exported.
    pub(super) fn until_exported(&mut self) {
        let all = self.recorded;
        self.until("all spans are exported", |ledger, _| ledger.exported == all);
    }

    /// Waits until all spans recorded are dropped.
    pub(super) fn until_dropped(&mut self) {
        let all = self.recorded;
        self.until("all spans are dropped, and counted", |ledger, _| {
            ledger.dropped_total() == all
        });
    }

    /// How often the collector met each span, in requests that came whole.
    pub(super) fn meetings(&self) -> BTreeMap<Vec<u8>, usize> {
        let mut met = BTreeMap::new();
        for request in self.server.requests() {
            for span in request.spans() {
                *met.entry(span.span_id.clone()).or_default() += 1;
            }
        }
        met
    }

    /// Requires that the collector met every span so often.
    pub(super) fn require_met(&mut self, times: usize) {
        let met = self.meetings();
        let recorded = self.recorded;
        self.require(met.len() as u64 == recorded, || {
            format!("the collector saw {} of {recorded} spans", met.len())
        });
        let wrong = met.values().filter(|count| **count != times).count();
        self.require(wrong == 0, || {
            let most = met.values().max().copied().unwrap_or_default();
            format!("{wrong} spans were not sent {times} times, but up to {most} times")
        });
    }

    /// Requires that a request, counted from zero, came so long after the one before it.
    pub(super) fn require_pause(&mut self, number: usize, least: Duration, most: Duration) {
        let requests = self.server.requests();
        let at = |at: usize| {
            requests
                .get(at)
                .map(|request: &Arc<Request>| request.arrived)
        };
        let (Some(before), Some(after)) = (at(number - 1), at(number)) else {
            self.violation(format!("there is no request {}", number + 1));
            return;
        };
        let pause = after.saturating_duration_since(before);
        self.require(pause + EARLY >= least && pause <= most, || {
            format!(
                "request {} came {pause:?} after the one before it, not {least:?} to {most:?}",
                number + 1
            )
        });
    }
}
