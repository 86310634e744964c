//! The exporter's events as diagnostics, in the same words for every transport.
//!
//! A transport collects events while it holds the pipeline's lock and emits them without it, so that
//! no lock is held while a program's own log handler runs.
//!
//! ```
//! use spandrel_core::hosted::config::Config;
//! use spandrel_core::hosted::unversioned::events::{EventLog, LastError};
//! use spandrel_core::hosted::unversioned::pipeline::Pipeline;
//!
//! let settings = Config { service_name: "shop".into(), ..Config::default() }.resolve()?;
//! let (mut pipeline, _provider) = Pipeline::new(&settings)?;
//! let mut log = EventLog::new(settings.target.to_string());
//! log.collect(&mut pipeline);
//! log.emit(&LastError::default());
//! assert!(log.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use core::any::Any;
use core::fmt::Display;
use core::mem::discriminant;
use std::borrow::ToOwned;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::answer::Secrets;
use super::client::Failure;
use super::pipeline::{Pipeline, PipelineEvent};
use super::restart::panic_message;
use crate::breaker::{State, Transition, TransitionReason};
use crate::exporter::{Cause, Count, Event};
use crate::hosted::diagnostics::{Kind, Severity, report, report_cause, sanitise};
use crate::hosted::export::ExportError;
use crate::response::{DropReason, Outcome, Response, TransportError};
use crate::stats::Ledger;

/// The last failed request in words, beyond the class that the machines need. Its texts are redacted
/// and short.
#[derive(Clone, Debug, Default)]
pub struct LastError {
    secrets: Secrets,
    /// The last answer's status, successes included, or why there was none.
    cause: Option<Cause>,
    text: String,
    /// Adds to the collector's status: what the server said, where it redirects to.
    detail: String,
    hint: &'static str,
}

impl LastError {
    /// Without a failure so far. No text will show a value of `secrets`.
    #[must_use]
    pub fn new(secrets: Secrets) -> Self {
        Self {
            secrets,
            ..Self::default()
        }
    }

    /// Notes that there was no answer, and why.
    pub fn set(&mut self, text: impl Into<String>, outcome: &Outcome<'_>) {
        let cause = Cause::of(outcome);
        self.text = text.into();
        self.detail.clone_from(&self.text);
        self.cause = Some(cause);
        self.hint = hint(cause);
    }

    /// Notes how an exporter of the program took a batch, and returns what that is to the pipeline.
    pub fn note_export(&mut self, exported: Result<(), ExportError>) -> Outcome<'static> {
        let error = match exported {
            Ok(()) => return Outcome::Response(Response::new(200)),
            Err(error) => error,
        };
        let outcome = match error.is_retryable() {
            true => Outcome::Failed(TransportError::Other),
            false => Outcome::Failed(TransportError::Refused),
        };
        self.set(sanitise(&std::format!("{error}")), &outcome);
        outcome
    }

    /// Notes a failure without an answer.
    pub fn set_failure(&mut self, failure: Failure) {
        self.set(failure.text, &Outcome::Failed(failure.error));
        if !failure.hint.is_empty() {
            self.hint = failure.hint;
        }
    }

    /// Notes that there was no answer because sending panicked.
    pub fn set_panic(&mut self, panic: &(dyn Any + Send)) {
        let text = format!("the sender panicked: {}", sanitise(panic_message(panic)));
        self.set(text, &Outcome::Failed(TransportError::Other));
    }

    /// Notes an answer; `location` is a redirect's target, redacted.
    pub fn note_answer(&mut self, response: &Response<'_>, location: Option<impl Display>) {
        self.detail = self.secrets.said(response);
        let cause = Cause::Status(response.status);
        self.cause = Some(cause);
        if (200..300).contains(&response.status) {
            // No failure; nearly every request ends here.
            return;
        }
        if let (Some(location), 300..=399) = (location, response.status) {
            self.detail = format!("redirected to {location}");
        }
        self.text = cause.to_string();
        self.hint = hint(cause);
    }

    /// Adds a remedy for the answer that was noted, unless it is empty.
    pub const fn set_hint(&mut self, hint: &'static str) {
        if !hint.is_empty() {
            self.hint = hint;
        }
    }

    /// The text; empty before the first failure.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the server said beside the status of the last answer, without secrets, at most 200
    /// characters; empty if it said nothing or gave no answer.
    #[must_use]
    pub fn said(&self) -> &str {
        match self.cause {
            Some(Cause::Status(_)) => &self.detail,
            _ => "",
        }
    }

    /// What to do about it, beginning with a semicolon; empty if that is not known.
    #[must_use]
    pub const fn hint(&self) -> &str {
        self.hint
    }

    /// The text with what the server said.
    fn sentence(&self) -> String {
        format!("{}{}", self.text, detail(self.said()))
    }

    /// What adds to `cause`, if that is what was noted last.
    fn after(&self, cause: Cause) -> &str {
        if self.is_about(cause) {
            &self.detail
        } else {
            ""
        }
    }

    fn hint_for(&self, cause: Cause) -> &'static str {
        if self.is_about(cause) {
            self.hint
        } else {
            hint(cause)
        }
    }

    /// Returns true if the last failure is of this cause. How much of a request had been sent is
    /// not compared: the driver knows it better.
    fn is_about(&self, cause: Cause) -> bool {
        match (self.cause, cause) {
            (Some(Cause::Transport(last)), Cause::Transport(error)) => {
                discriminant(&last) == discriminant(&error)
            }
            (last, cause) => last == Some(cause),
        }
    }
}

/// Events on their way from the pipeline to the log.
#[derive(Debug)]
pub struct EventLog {
    target: String,
    entries: Vec<Entry>,
}

/// An event with the text that has to be read under the lock.
#[derive(Debug)]
struct Entry {
    event: PipelineEvent,
    /// The collector's message or what is known of the room, for the events that it belongs to.
    message: String,
}

impl EventLog {
    /// An empty log of events about `target`.
    #[must_use]
    pub fn new(target: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            entries: Vec::new(),
        }
    }

    /// Returns true if there is nothing to emit.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets what was collected.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Takes all events out of the pipeline.
    pub fn collect(&mut self, pipeline: &mut Pipeline) {
        while let Some(event) = pipeline.poll_event() {
            let message = match &event {
                PipelineEvent::Exporter(event) => message_of(event, pipeline),
                PipelineEvent::Ended(ledger) if ledger.dropped(DropReason::QueueFull) > 0 => {
                    format!("; {}", pipeline.loss_cause())
                }
                _ => String::new(),
            };
            self.entries.push(Entry { event, message });
        }
    }

    /// Reports the collected events to the `log` facade or the program's own handler. Call it without
    /// a lock.
    pub fn emit(&mut self, last: &LastError) {
        for Entry { event, message } in self.entries.drain(..) {
            match event {
                PipelineEvent::Exporter(event) => emit_one(&event, &message, &self.target, last),
                PipelineEvent::Oversized {
                    spans,
                    shard_bytes,
                    max_request_bytes,
                } => report(
                    Kind::SpansDropped,
                    Severity::Warn,
                    format_args!(
                        "{} dropped as too_large: a span must fit into `shard_bytes` \
                         ({shard_bytes}) and, with its resource, into `max_request_bytes` \
                         ({max_request_bytes})",
                        Count(spans, "span")
                    ),
                ),
                PipelineEvent::Ended(ledger) => emit_totals(&ledger, &message, &self.target),
            }
        }
    }
}

/// The text for `event` that has to be read under the lock.
fn message_of(event: &Event, pipeline: &Pipeline) -> String {
    match event {
        Event::PartialSuccess { .. } => pipeline.server_message().to_owned(),
        Event::Circuit(transition) if transition.to == State::Open => held(pipeline),
        Event::LossStarted => {
            let dropped = Count(pipeline.losing(), "span");
            format!("{dropped} so far; {}", pipeline.loss_cause())
        }
        Event::LossEnded { .. } => pipeline.loss_cause().to_string(),
        _ => String::new(),
    }
}

/// What becomes of spans while nothing is sent.
fn held(pipeline: &Pipeline) -> String {
    if pipeline.is_closing() {
        return "tracing is ending, so what is left is dropped".to_owned();
    }
    match pipeline.room() {
        0 => "the span buffer is full, so new spans are dropped".to_owned(),
        room => format!("spans are held while there is room for about {room} more"),
    }
}

/// The last words: where all spans went.
fn emit_totals(ledger: &Ledger, advice: &str, target: &str) {
    let dropped = ledger.dropped_total();
    let severity = match ledger.lost_total() {
        0 => Severity::Info,
        _ => Severity::Warn,
    };
    let mut reasons = String::new();
    for (reason, count) in ledger.dropped_reasons() {
        let before = if reasons.is_empty() { " (" } else { ", " };
        reasons.push_str(&format!("{before}{} {count}", reason.as_str()));
    }
    let close = if dropped > 0 { ")" } else { "" };
    report(
        Kind::Totals,
        severity,
        format_args!(
            "tracing ended: of {}, {} exported to {target} and {dropped} dropped{reasons}{close}{advice}",
            Count(ledger.ended, "span"),
            ledger.exported,
        ),
    );
}

fn emit_one(event: &Event, message: &str, target: &str, last: &LastError) {
    match event {
        Event::Exported { .. } => report(
            Kind::Lifecycle,
            Severity::Debug,
            format_args!("{event}, to {target}"),
        ),
        Event::AttemptFailed { cause, .. } => report_cause(
            Kind::ExportRetried,
            Severity::Debug,
            cause.to_string(),
            format_args!(
                "export to {target}: {event}{}{}",
                detail(last.after(*cause)),
                last.hint_for(*cause)
            ),
        ),
        Event::Paused { pause } => report(
            Kind::ExportRetried,
            Severity::Info,
            format_args!("{target} asked for a pause of {pause:.1?}"),
        ),
        Event::Dropped {
            spans,
            reason,
            attempts,
            cause,
            ..
        } => emit_drop(*spans, *reason, *attempts, *cause, target, last),
        Event::Circuit(transition) => emit_circuit(transition, message, target, last),
        Event::PartialSuccess { rejected: 0 } => report(
            Kind::PartialSuccess,
            Severity::Info,
            format_args!(
                "{target} accepted everything and says: {}",
                last.secrets.mask(message)
            ),
        ),
        Event::PartialSuccess { rejected } => report(
            Kind::PartialSuccess,
            Severity::Warn,
            format_args!(
                "{target} rejected {}{}",
                Count(*rejected, "span"),
                detail(&last.secrets.mask(message))
            ),
        ),
        Event::ResponseInvalid => report(
            Kind::ResponseInvalid,
            Severity::Warn,
            format_args!(
                "{target} accepted the spans with an answer that is not OTLP; is this the right \
                 endpoint?"
            ),
        ),
        Event::LossStarted => report(
            Kind::SpansDropped,
            Severity::Warn,
            format_args!("{event}, {message}"),
        ),
        Event::LossEnded { .. } => report(
            Kind::SpansDropped,
            Severity::Warn,
            format_args!("{event} as {}; {message}", DropReason::QueueFull.as_str()),
        ),
    }
}

fn emit_drop(
    spans: u64,
    reason: DropReason,
    attempts: u32,
    cause: Option<Cause>,
    target: &str,
    last: &LastError,
) {
    let attempts = Count(attempts.into(), "attempt");
    let spans = Count(spans, "span");
    let (kind, severity) = match reason {
        DropReason::Shutdown => (Kind::SpansDropped, Severity::Warn),
        _ => (Kind::ExportFailed, Severity::Error),
    };
    match cause {
        Some(cause) => report_cause(
            kind,
            severity,
            (reason.as_str(), cause.to_string()),
            format_args!(
                "export failed after {attempts}: {spans} for {target} dropped as \
                 {}: {cause}{}{}",
                reason.as_str(),
                detail(last.after(cause)),
                last.hint_for(cause),
            ),
        ),
        None => report_cause(
            kind,
            severity,
            reason.as_str(),
            format_args!(
                "{spans} for {target} dropped as {} after {attempts}",
                reason.as_str()
            ),
        ),
    }
}

fn emit_circuit(transition: &Transition, held: &str, target: &str, last: &LastError) {
    let failures = transition.failures;
    match transition.to {
        State::Open if transition.reason == TransitionReason::Tripped => report(
            Kind::BreakerOpened,
            Severity::Warn,
            format_args!(
                "circuit breaker open: an export ran out of time ({target}, the last failure: {}); {held}; \
                 a request follows soon; if exports are often too slow, raise `timeout`",
                last.sentence(),
            ),
        ),
        State::Open => report(
            Kind::BreakerOpened,
            Severity::Warn,
            format_args!(
                "circuit breaker open: too many export failures ({failures} in a row at {target}, \
                 the last one: {}); {held}{}",
                last.sentence(),
                last.hint
            ),
        ),
        State::HalfOpen => report(
            Kind::BreakerHalfOpen,
            Severity::Info,
            format_args!("circuit breaker half-open: one request will try {target}"),
        ),
        State::Closed => report(
            Kind::BreakerClosed,
            Severity::Info,
            format_args!("circuit breaker closed: {target} answers again"),
        ),
    }
}

/// ` (text)`, or nothing.
fn detail(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(" ({text})")
    }
}

/// The remedy, where one is known.
const fn hint(cause: Cause) -> &'static str {
    match cause {
        Cause::Status(401 | 403) => {
            "; check the credentials in `headers` (OTEL_EXPORTER_OTLP_HEADERS)"
        }
        Cause::Status(407) => "; the proxy asks for a user name and a password",
        Cause::Status(404) => "; check the path of the endpoint: OTLP is at /v1/traces",
        Cause::Status(405 | 415) => "; is there an OTLP/HTTP receiver at this endpoint?",
        Cause::Status(413) => {
            "; set `on_too_large` to `Split`, or a smaller `max_export_batch_size` \
             (OTEL_BSP_MAX_EXPORT_BATCH_SIZE)"
        }
        Cause::Status(300..=399) => "; redirects are never followed: set the final URL",
        // Not a pause like 502 to 504, but a fault over there.
        Cause::Status(500 | 501 | 505..=599) => "; the collector's log may say why",
        Cause::ResponseTooLarge(_) => "; is there an OTLP/HTTP receiver at this endpoint?",
        Cause::Transport(TransportError::Protocol) => {
            "; this does not speak HTTP/1.1: port 4317 is for gRPC, OTLP/HTTP has 4318"
        }
        Cause::Transport(TransportError::OutOfMemory) => {
            "; lower `max_export_batch_size` or `max_request_bytes`, or give the process more memory"
        }
        Cause::Transport(TransportError::Certificate) => {
            "; set `certificate` (OTEL_EXPORTER_OTLP_CERTIFICATE) to the authority that signed it"
        }
        _ => "",
    }
}
