//! What happened, in words: the exporter's events as diagnostics, the same for every transport.
//!
//! A transport calls [`fetch`] while it has the pipeline, and [`tell`] when it has let go of it, so
//! that no lock is held while a program's own log handler runs.

use core::fmt::Display;
use std::borrow::ToOwned;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::pipeline::Pipeline;
use crate::breaker::{State, Transition};
use crate::exporter::{Cause, Event};
use crate::hosted::diagnostics::{Kind, Severity, report};
use crate::response::{DropReason, Outcome, TransportError};

/// What is known of the last failed request, beyond the class that the machines need. Its texts are
/// redacted and short.
#[derive(Clone, Debug, Default)]
pub struct LastError {
    /// What happened.
    text: String,
    /// What the collector's status does not say by itself.
    detail: String,
    hint: &'static str,
}

impl LastError {
    /// There was no answer, for this reason.
    pub fn set(&mut self, text: impl Into<String>, outcome: &Outcome<'_>) {
        self.text = text.into();
        self.detail.clone_from(&self.text);
        self.hint = match outcome {
            Outcome::Failed(error) => hint(Some(Cause::Transport(*error))),
            _ => "",
        };
    }

    /// There was an answer; `location` is where a redirect leads, redacted.
    pub fn note_answer(&mut self, status: u16, location: Option<impl Display>) {
        self.detail.clear();
        if let Some(location) = location {
            self.detail = format!("redirected to {location}");
        }
        if (200..300).contains(&status) {
            // Nothing that could be the last failure; and the way of nearly every request.
            return;
        }
        let cause = Cause::Status(status);
        self.text = cause.to_string();
        self.hint = hint(Some(cause));
    }

    /// What happened, or nothing before the first failure.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What is to be said behind `cause`.
    fn after(&self, cause: Option<Cause>) -> &str {
        match cause {
            Some(Cause::Transport(_) | Cause::Status(300..=399)) => &self.detail,
            _ => "",
        }
    }
}

/// An event with what has to be read under the lock.
#[derive(Debug)]
pub struct Told {
    event: Event,
    /// What the collector said, for the events that it concerns.
    message: String,
}

/// Takes all events out of the pipeline, to be reported when its lock is released.
pub fn fetch(pipeline: &mut Pipeline, told: &mut Vec<Told>) {
    while let Some(event) = pipeline.poll_event() {
        let message = match event {
            Event::PartialSuccess { .. }
            | Event::Dropped {
                cause: Some(Cause::Status(_)),
                ..
            } => pipeline.server_message().to_owned(),
            _ => String::new(),
        };
        told.push(Told { event, message });
    }
}

/// Reports events to the `log` facade or the program's own handler. No lock is held here.
pub fn tell(told: &mut Vec<Told>, target: &str, last: &LastError) {
    for Told { event, message } in told.drain(..) {
        tell_one(&event, &message, target, last);
    }
}

fn tell_one(event: &Event, message: &str, target: &str, last: &LastError) {
    match event {
        Event::Exported { spans, attempts } => report(
            Kind::Lifecycle,
            Severity::Debug,
            format_args!("exported {spans} spans to {target} in {attempts} attempts"),
        ),
        Event::AttemptFailed { attempt, cause, .. } => report(
            Kind::ExportRetried,
            Severity::Debug,
            format_args!(
                "export to {target}: attempt {attempt} failed: {cause}{}{}",
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
        } => tell_drop(*spans, *reason, *attempts, *cause, message, target, last),
        Event::Circuit(transition) => tell_circuit(transition, target, last),
        Event::PartialSuccess { rejected: 0 } => report(
            Kind::PartialSuccess,
            Severity::Info,
            format_args!("{target} accepted everything and says: {message}"),
        ),
        Event::PartialSuccess { rejected } => report(
            Kind::PartialSuccess,
            Severity::Warn,
            format_args!("{target} rejected {rejected} spans{}", detail(message)),
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
            format_args!("the span buffer is full: new spans are dropped and counted"),
        ),
        Event::LossEnded { dropped } => report(
            Kind::SpansDropped,
            Severity::Info,
            format_args!("spans fit into the buffer again; {dropped} were dropped"),
        ),
    }
}

fn tell_drop(
    spans: u64,
    reason: DropReason,
    attempts: u32,
    cause: Option<Cause>,
    message: &str,
    target: &str,
    last: &LastError,
) {
    let (kind, severity) = match reason {
        DropReason::Shutdown => (Kind::SpansDropped, Severity::Warn),
        _ => (Kind::ExportFailed, Severity::Error),
    };
    match cause {
        Some(cause) => report(
            kind,
            severity,
            format_args!(
                "export failed after {attempts} attempts: {spans} spans for {target} dropped as \
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
                "{spans} spans for {target} dropped as {} after {attempts} attempts",
                reason.as_str()
            ),
        ),
    }
}

fn tell_circuit(transition: &Transition, target: &str, last: &LastError) {
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

/// What to do about it, where that is known.
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
        _ => "",
    }
}
