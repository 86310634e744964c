//! The conformance suite: a transport that is right meets every rule, and each rule is broken by a
//! transport with one flaw.

mod client;

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use spandrel_core::response::DropReason;
use spandrel_core::stats::Ledger;
use spandrel_testkit::conformance::{
    Pipeline, PostTransport, SCENARIOS, Settings, Transport, Verdict, check, scenario,
};

use client::{Flaw, post};

fn transport(flaw: Flaw) -> impl Transport {
    PostTransport::new(move |request| post(request, flaw))
}

/// What is wrong with a driver around a POST that is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Driver {
    FlushesNever,
    FlushesTooLong,
    ShutsDownAtOnce,
    ShutsDownTooLong,
    HasNoBreaker,
    Miscounts,
    Panics,
}

/// Too long for any limit of the suite.
const TOO_LONG: Duration = Duration::from_secs(2);

struct Flawed(Driver);

impl Transport for Flawed {
    fn start(&mut self, settings: &Settings) -> Box<dyn Pipeline> {
        assert!(self.0 != Driver::Panics, "it cannot start");
        let mut settings = settings.clone();
        if self.0 == Driver::HasNoBreaker {
            settings.exporter.breaker.failure_threshold = 1000;
        }
        let inner = transport(Flaw::None).start(&settings);
        Box::new(FlawedPipeline(self.0, inner))
    }
}

struct FlawedPipeline(Driver, Box<dyn Pipeline>);

impl Pipeline for FlawedPipeline {
    fn record(&mut self, count: usize) {
        self.1.record(count);
    }

    fn flush(&mut self, timeout: Duration) -> bool {
        match self.0 {
            Driver::FlushesNever => true,
            Driver::FlushesTooLong => self.1.flush(timeout + TOO_LONG),
            _ => self.1.flush(timeout),
        }
    }

    fn shutdown(&mut self, timeout: Duration) {
        match self.0 {
            Driver::ShutsDownAtOnce => self.1.shutdown(Duration::ZERO),
            Driver::ShutsDownTooLong => self.1.shutdown(timeout + TOO_LONG),
            _ => self.1.shutdown(timeout),
        }
    }

    fn ledger(&self) -> Ledger {
        let mut ledger = self.1.ledger();
        if self.0 == Driver::Miscounts && ledger.in_flight > 0 {
            ledger.drop_spans(DropReason::QueueFull, 1);
        }
        ledger
    }
}

#[test]
fn a_transport_that_is_right_meets_every_rule() {
    let report = check(&mut transport(Flaw::None));
    report.assert_conformant();
    assert_eq!(report.verdicts().len(), SCENARIOS.len());
    let text = report.to_string();
    let last = format!("{0} of {0} rules are met", SCENARIOS.len());
    assert!(text.ends_with(&last), "{text}");
    assert!(text.contains("✓ delivers_once "), "{text}");
}

#[test]
fn every_rule_is_broken_by_a_flaw() {
    let posts = [
        ("sends_otlp", Flaw::WrongPath),
        ("delivers_once", Flaw::Twice),
        ("retries_429", Flaw::Mistakes(429, 400)),
        ("retries_502", Flaw::Mistakes(502, 500)),
        ("retries_503", Flaw::Mistakes(503, 200)),
        ("retries_504", Flaw::Mistakes(504, 500)),
        ("obeys_retry_after", Flaw::ForgetsRetryAfter),
        ("drops_other_4xx", Flaw::Mistakes(404, 503)),
        ("drops_other_5xx", Flaw::Mistakes(500, 503)),
        ("drops_413", Flaw::Mistakes(413, 429)),
        ("counts_partial_success", Flaw::ForgetsBody),
        ("follows_no_redirect", Flaw::FollowsRedirects),
        ("survives_no_connection", Flaw::TakesNoConnectionForRefusal),
        ("survives_reset_in_request", Flaw::TakesResetForSuccess),
        ("survives_reset_before_answer", Flaw::TakesResetForSuccess),
        ("survives_reset_in_answer", Flaw::TakesResetForSuccess),
        ("ends_hang", Flaw::NoDeadline),
        ("ends_trickle", Flaw::DeadlineForEachRead),
        ("bounds_answer", Flaw::ReadsTooMuch),
    ];
    let drivers = [
        ("flush_delivers", Driver::FlushesNever),
        ("flush_is_bounded", Driver::FlushesTooLong),
        ("shutdown_delivers", Driver::ShutsDownAtOnce),
        ("shutdown_is_bounded", Driver::ShutsDownTooLong),
        ("breaker_opens", Driver::HasNoBreaker),
        ("ledger_is_balanced", Driver::Miscounts),
    ];
    let broken: BTreeSet<_> = posts.iter().map(|(name, _)| *name).collect();
    let broken: BTreeSet<_> = broken
        .into_iter()
        .chain(drivers.map(|(name, _)| name))
        .collect();
    let all: BTreeSet<_> = SCENARIOS.iter().map(|it| it.name).collect();
    assert_eq!(broken, all, "each rule once");
    let play = |name: &str, transport: &mut dyn Transport| -> Verdict {
        scenario(name).expect(name).play(transport)
    };
    thread::scope(|threads| {
        for (name, flaw) in posts {
            threads.spawn(move || {
                let verdict = play(name, &mut transport(flaw));
                assert!(!verdict.is_met(), "{flaw:?} breaks no rule");
                assert_eq!(verdict.scenario, name);
            });
        }
        for (name, flaw) in drivers {
            threads.spawn(move || {
                let verdict = play(name, &mut Flawed(flaw));
                assert!(!verdict.is_met(), "{flaw:?} breaks no rule");
            });
        }
    });
}

#[test]
fn a_panic_of_the_transport_is_a_violation() {
    let verdict = scenario("sends_otlp")
        .expect("a rule")
        .play(&mut Flawed(Driver::Panics));
    assert_eq!(verdict.violations, ["it panicked: it cannot start"]);
    assert!(verdict.to_string().contains("\n    it panicked"));
}

#[test]
fn a_report_names_what_is_broken() {
    let verdict = scenario("sends_otlp")
        .expect("a rule")
        .play(&mut transport(Flaw::WrongPath));
    assert_eq!(verdict.violations, ["the path is /v1/trace"]);
    assert!(scenario("no_such_rule").is_none());
}
