//! A conformance suite for transports: named rules, each played against a scripted collector.
//!
//! A transport is [`Transport`]: something that starts a [`Pipeline`], which records spans and sends
//! them to a URL. [`check`] starts one for each scenario, lets a collector on loopback answer by
//! script, and reports every rule that was broken, by name. A transport that is a single POST needs
//! neither trait: wrap the function in a [`PostTransport`].
//!
//! ```
//! use spandrel_core::response::TransportError;
//! use spandrel_testkit::conformance::{PostAnswer, PostRequest, PostTransport, scenario};
//!
//! /// Fails always, so no span ever arrives.
//! fn post(_: &PostRequest<'_>) -> PostAnswer {
//!     PostAnswer::Failed(TransportError::Connect)
//! }
//!
//! let verdict = scenario("delivers_once")
//!     .unwrap()
//!     .play(&mut PostTransport::new(post));
//! assert!(!verdict.is_met());
//! println!("{verdict}");
//! ```
//!
//! # The rules
//!
//! [`SCENARIOS`] lists them. A transport that passes delivers what was accepted once, repeats what is
//! worth it and nothing else, believes a partial success, follows no redirect, survives connections
//! that break at any point, ends every wait in time, and can say of every span where it is, at every
//! moment. Times are real and short: the whole suite takes about ten seconds.
//!
//! Rules with a number in them come from
//! [OTLP](https://opentelemetry.io/docs/specs/otlp/#otlphttp-response): 429, 502, 503 and 504 are worth
//! a retry, other failures are not.

mod post;
mod report;
mod scenarios;
mod stage;

pub use post::{PostAnswer, PostRequest, PostTransport};
pub use report::{Report, Verdict};
pub use scenarios::SCENARIOS;

use core::fmt;
use std::time::Duration;

use spandrel_core::backoff::{BackoffConfig, Jitter};
use spandrel_core::batch::BatchConfig;
use spandrel_core::breaker::{BreakerConfig, OpenInterval};
use spandrel_core::exporter::ExporterConfig;
use spandrel_core::hosted::config::Config;
use spandrel_core::stats::Ledger;

use stage::Stage;

/// How a pipeline under test must be set.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The base URL of the collector, such as `http://127.0.0.1:40681`; `/v1/traces` is appended to it.
    pub endpoint: String,
    /// Batches, retries, circuit breaker and the time limit of a request.
    pub exporter: ExporterConfig,
}

impl Settings {
    fn new(endpoint: String) -> Self {
        let millis = Duration::from_millis;
        Self {
            endpoint,
            exporter: ExporterConfig {
                batch: BatchConfig {
                    scheduled_delay: millis(50),
                    ..BatchConfig::DEFAULT
                },
                backoff: BackoffConfig {
                    initial: millis(50),
                    floor: millis(1),
                    cap: millis(100),
                    jitter: Jitter::None,
                    ..BackoffConfig::DEFAULT
                },
                breaker: BreakerConfig {
                    open: OpenInterval::Fixed(millis(600)),
                    ..BreakerConfig::DEFAULT
                },
                request_timeout: millis(400),
                ..ExporterConfig::DEFAULT
            },
        }
    }
}

impl Settings {
    /// These settings as the configuration of a process, for transports that start from one. It reads
    /// no variable and is never the process-wide pipeline.
    #[must_use]
    pub fn config(&self) -> Config {
        let exporter = &self.exporter;
        Config {
            enabled: true,
            service_name: "conformance".into(),
            endpoint: self.endpoint.clone(),
            backoff: Some(exporter.backoff),
            breaker: Some(exporter.breaker),
            timeout: Some(exporter.request_timeout),
            scheduled_delay: Some(exporter.batch.scheduled_delay),
            max_export_batch_size: Some(exporter.batch.max_export_batch_size),
            shutdown_timeout: Duration::from_millis(100),
            read_environment: false,
            set_global: false,
            ..Config::default()
        }
    }
}

/// The transport under test.
pub trait Transport {
    /// Starts a new pipeline, which samples everything and sends it where `settings` says.
    fn start(&mut self, settings: &Settings) -> Box<dyn Pipeline>;
}

/// A running pipeline.
pub trait Pipeline {
    /// Starts and ends `count` spans.
    fn record(&mut self, count: usize);

    /// Sends what has ended so far. Returns when that is done, or after `timeout`; true if everything
    /// was delivered or given up.
    fn flush(&mut self, timeout: Duration) -> bool;

    /// Sends what has ended so far and stops. Returns when that is done, or after `timeout`, and what
    /// is then left is dropped. Called once, last.
    fn shutdown(&mut self, timeout: Duration);

    /// Says where every span is. Asked at any moment, also after the shutdown.
    fn ledger(&self) -> Ledger;
}

/// A rule, and how it is tried.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Scenario {
    /// A name to quote, such as `follows_no_redirect`.
    pub name: &'static str,
    /// The rule in words.
    pub rule: &'static str,
    play: fn(&mut Stage<'_>),
}

impl Scenario {
    /// Tries this rule alone. A panic of the transport is a violation.
    pub fn play(&self, transport: &mut dyn Transport) -> Verdict {
        stage::play(self, transport)
    }
}

impl fmt::Debug for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scenario")
            .field("name", &self.name)
            .field("rule", &self.rule)
            .finish_non_exhaustive()
    }
}

/// The scenario of a name.
#[must_use]
pub fn scenario(name: &str) -> Option<Scenario> {
    SCENARIOS.iter().find(|it| it.name == name).copied()
}

/// Plays all [`SCENARIOS`], one after the other.
///
/// ```no_run
/// # use spandrel_testkit::conformance::{Transport, check};
/// # fn with(mut transport: impl Transport) {
/// let report = check(&mut transport);
/// println!("{report}");
/// report.assert_conformant();
/// # }
/// ```
pub fn check(transport: &mut dyn Transport) -> Report {
    Report::new(SCENARIOS.iter().map(|it| it.play(transport)).collect())
}
