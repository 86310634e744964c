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

use super::pipeline::Pipeline;
use super::restart::panic_message;
use crate::breaker::{State, Transition};
use crate::exporter::{Cause, Count, Event};
use crate::hosted::diagnostics::{Kind, Severity, report, sanitise};
use crate::response::{DropReason, Outcome, TransportError};

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
            Outcome::Failed(error) => hint(Some(Cause::Transport(*error))),
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
        self.hint = hint(Some(cause));
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
    event: Event,
    /// The collector's message, for the events that it belongs to.
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
            let message = match event {
                Event::PartialSuccess { .. }
                | Event::Dropped {
                    cause: Some(Cause::Status(_)),
                    ..
                } => pipeline.server_message().to_owned(),
                _ => String::new(),
            };
            self.entries.push(Entry { event, message });
        }
    }

    /// Reports the collected events to the `log` facade or the program's own handler. Call it without
    /// a lock.
    pub fn emit(&mut self, last: &LastError) {
        for Entry { event, message } in self.entries.drain(..) {
            emit_one(&event, &message, &self.target, last);
        }
    }
}

fn emit_one(event: &Event, message: &str, target: &str, last: &LastError) {
    match event {
        Event::Exported { .. } => report(
            Kind::Lifecycle,
            Severity::Debug,
            format_args!("{event}, to {target}"),
        ),
        Event::AttemptFailed { cause, .. } => report(
            Kind::ExportRetried,
            Severity::Debug,
            format_args!(
                "export to {target}: {event}{}{}",
                detail(last.after(Some(*cause))),
                hint(Some(*cause))
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
        Event::Circuit(transition) => emit_circuit(transition, target, last),
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
        Event::LossStarted => report(Kind::SpansDropped, Severity::Warn, format_args!("{event}")),
        Event::LossEnded { .. } => {
            report(Kind::SpansDropped, Severity::Info, format_args!("{event}"))
        }
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
        Some(cause) => report(
            kind,
            severity,
            format_args!(
                "export failed after {attempts}: {spans} for {target} dropped as \
                 {}: {cause}{}{}{}",
                reason.as_str(),
                detail(last.after(Some(cause))),
                detail(message),
                hint(Some(cause)),
            ),
        ),
        None => report(
            kind,
            severity,
            format_args!(
                "{spans} for {target} dropped as {} after {attempts}",
                reason.as_str()
            ),
        ),
    }
}

fn emit_circuit(transition: &Transition, target: &str, last: &LastError) {
    let failures = transition.failures;
    match transition.to {
        State::Open => report(
            Kind::BreakerOpened,
            Severity::Warn,
            format_args!(
                "circuit breaker open: too many export failures ({failures} in a row at {target}, \
                 the last one: {}); spans are held, not lost{}",
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

/// The remedy, where one is known.
const fn hint(cause: Option<Cause>) -> &'static str {
    match cause {
        Some(Cause::Status(401 | 403 | 407)) => "; check the credentials in `headers`",
        Some(Cause::Status(404)) => "; check the path of the endpoint: OTLP is at /v1/traces",
        Some(Cause::Status(405 | 415)) => "; is there an OTLP/HTTP receiver at this endpoint?",
        Some(Cause::Status(300..=399)) => "; redirects are never followed: set the final URL",
        Some(Cause::Transport(TransportError::Protocol)) => {
            "; this does not speak HTTP/1.1: port 4317 is for gRPC, OTLP/HTTP has 4318"
        }
        Some(Cause::Transport(TransportError::Certificate)) => {
            "; set `certificate` to the authority that signed it"
        }
        Some(Cause::Transport(TransportError::OutOfMemory)) => {
            "; lower `max_export_batch_size` or `max_request_bytes`, or give the process more memory"
        }
        _ => "",
    }
}
