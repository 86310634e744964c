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
use std::borrow::ToOwned;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::pipeline::{Pipeline, PipelineEvent};
use super::restart::panic_message;
use crate::breaker::{State, Transition};
use crate::exporter::{Cause, Count, Event};
use crate::hosted::diagnostics::{Kind, Severity, report, report_cause, sanitise};
use crate::response::{DropReason, Outcome, TransportError};
use crate::stats::Ledger;

/// The last failed request in words, beyond the class that the machines need. Its texts are redacted
/// and short.
#[derive(Clone, Debug, Default)]
pub struct LastError {
    text: String,
    /// Adds to the collector's status.
    detail: String,
    hint: &'static str,
}

impl LastError {
    /// Notes that there was no answer, and why.
    pub fn set(&mut self, text: impl Into<String>, outcome: &Outcome<'_>) {
        self.text = text.into();
        self.detail.clone_from(&self.text);
        self.hint = match outcome {
            Outcome::Failed(error) => hint(Some(Cause::Transport(*error)), &self.text),
            _ => "",
        };
    }

    /// Notes that there was no answer because sending panicked.
    pub fn set_panic(&mut self, panic: &(dyn Any + Send)) {
        let text = format!("the sender panicked: {}", sanitise(panic_message(panic)));
        self.set(text, &Outcome::Failed(TransportError::Other));
    }

    /// Notes an answer; `location` is a redirect's target, redacted.
    pub fn note_answer(&mut self, status: u16, location: Option<impl Display>) {
        self.detail.clear();
        if let Some(location) = location {
            self.detail = format!("redirected to {location}");
        }
        if (200..300).contains(&status) {
            // No failure; nearly every request ends here.
            return;
        }
        let cause = Cause::Status(status);
        self.text = cause.to_string();
        self.hint = hint(Some(cause), "");
    }

    /// The text; empty before the first failure.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    fn after(&self, cause: Option<Cause>) -> &str {
        match cause {
            Some(Cause::Transport(_) | Cause::Status(300..=399)) => &self.detail,
            _ => "",
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
        Event::PartialSuccess { .. }
        | Event::Dropped {
            cause: Some(Cause::Status(_)),
            ..
        } => pipeline.server_message().to_owned(),
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
    let severity = match dropped {
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
                detail(last.after(Some(*cause))),
                hint(Some(*cause), &last.text)
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
        } => emit_drop(*spans, *reason, *attempts, *cause, message, target, last),
        Event::Circuit(transition) => emit_circuit(transition, message, target, last),
        Event::PartialSuccess { rejected: 0 } => report(
            Kind::PartialSuccess,
            Severity::Info,
            format_args!("{target} accepted everything and says: {message}"),
        ),
        Event::PartialSuccess { rejected } => report(
            Kind::PartialSuccess,
            Severity::Warn,
            format_args!(
                "{target} rejected {}{}",
                Count(*rejected, "span"),
                detail(message)
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
    message: &str,
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
                 {}: {cause}{}{}{}",
                reason.as_str(),
                detail(last.after(Some(cause))),
                detail(message),
                hint(Some(cause), &last.text),
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
        State::Open => report(
            Kind::BreakerOpened,
            Severity::Warn,
            format_args!(
                "circuit breaker open: too many export failures ({failures} in a row at {target}, \
                 the last one: {}); {held}{}",
                last.text, last.hint
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

/// The remedy, where one is known. `text` is the failure in words.
fn hint(cause: Option<Cause>, text: &str) -> &'static str {
    match cause {
        Some(Cause::Status(401 | 403 | 407)) => "; check the credentials in `headers`",
        Some(Cause::Status(404)) => "; check the path of the endpoint: OTLP is at /v1/traces",
        Some(Cause::Status(405 | 415)) => "; is there an OTLP/HTTP receiver at this endpoint?",
        Some(Cause::Status(300..=399)) => "; redirects are never followed: set the final URL",
        Some(Cause::Transport(TransportError::Protocol)) => {
            "; this does not speak HTTP/1.1: port 4317 is for gRPC, OTLP/HTTP has 4318"
        }
        Some(Cause::Transport(TransportError::Certificate)) => certificate_hint(text),
        Some(Cause::Transport(TransportError::OutOfMemory)) => {
            "; lower `max_export_batch_size` or `max_request_bytes`, or give the process more memory"
        }
        _ => "",
    }
}

/// The remedy by the reason that the TLS library gives.
fn certificate_hint(text: &str) -> &'static str {
    const HINTS: [(&str, &str); 4] = [
        (
            "CaUsedAsEndEntity",
            "; the server shows a certificate of an authority: give it one that is none (CA:FALSE), \
             and `certificate` the authority that signed that",
        ),
        (
            "not valid for name",
            "; the host of the endpoint must be a subjectAltName of the certificate",
        ),
        (
            "expired",
            "; renew the server's certificate, or correct this machine's clock",
        ),
        (
            "not valid yet",
            "; correct this machine's clock, or the server's certificate",
        ),
    ];
    let found = HINTS.iter().find(|(reason, _)| text.contains(reason));
    found.map_or(
        "; set `certificate` to the authority that signed it",
        |(_, hint)| hint,
    )
}
