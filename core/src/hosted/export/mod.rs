//! Exporters of your own: [`SpanExporter`], batches of finished spans to anything.
//!
//! A pipeline of the transports sends to a collector, or prints. With
//! [`Config::exporter`](super::config::Config::exporter) it hands its batches to an exporter instead,
//! with everything else as it is: the queue, the retries, the circuit breaker, the ledger.
//!
//! | exporter | batches go to |
//! |---|---|
//! | [`InMemoryExporter`] | a list, for tests |
//! | [`JsonLines`] | any `io::Write`, as OTLP/JSON lines |
//! | [`JsonFile`] | a file of OTLP/JSON lines, with rotation by size |
//! | yours | anything |
//!
//! ```
//! use spandrel_core::hosted::export::{ExportError, SpanBatch, SpanExporter};
//!
//! /// Prints the name of each span.
//! struct Names;
//!
//! impl SpanExporter for Names {
//!     fn export(&mut self, batch: &SpanBatch<'_>) -> Result<(), ExportError> {
//!         for span in batch.spans() {
//!             println!("{} took {:?}", span.name(), span.duration());
//!         }
//!         Ok(())
//!     }
//! }
//! ```

mod json_lines;
mod memory;

pub use json_lines::{JsonFile, JsonLines};
pub use memory::{AttributeValue, InMemoryExporter, SpanData, SpanEvent, SpanLink};

use core::fmt;
use std::string::String;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use crate::span::finished::RequestSpans;

/// A batch of finished spans of one process.
#[derive(Clone, Copy)]
pub struct SpanBatch<'a> {
    request: &'a [u8],
}

impl<'a> SpanBatch<'a> {
    /// The batch in an encoded `ExportTraceServiceRequest`.
    #[must_use]
    pub const fn new(request: &'a [u8]) -> Self {
        Self { request }
    }

    /// The spans, with scope and resource, read in place.
    #[must_use]
    pub const fn spans(&self) -> RequestSpans<'a> {
        RequestSpans::new(self.request)
    }

    /// The batch as an OTLP `ExportTraceServiceRequest` in protobuf, to be passed on as it is.
    #[must_use]
    pub const fn as_otlp(&self) -> &'a [u8] {
        self.request
    }
}

impl fmt::Debug for SpanBatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.spans()).finish()
    }
}

/// Takes batches of finished spans.
///
/// A pipeline calls it from one thread at a time, its sender's, where no spans are recorded. While
/// it works, spans wait in the queue, so it must end on its own: nothing can interrupt it. A panic
/// counts as a failed attempt.
///
/// <https://opentelemetry.io/docs/specs/otel/trace/sdk/#span-exporter>
pub trait SpanExporter: Send {
    /// The name in logs.
    fn name(&self) -> &str {
        "the exporter"
    }

    /// Takes a batch. After an error that asks for it, the same spans come again, as
    /// [`Config::backoff`](super::config::Config::backoff) has it.
    ///
    /// # Errors
    ///
    /// The batch did not arrive.
    fn export(&mut self, batch: &SpanBatch<'_>) -> Result<(), ExportError>;

    /// Has everything that was taken arrive. Called at the end of a flush and before the shutdown.
    ///
    /// # Errors
    ///
    /// Something did not arrive; it is reported, and the spans count as exported nevertheless.
    fn force_flush(&mut self) -> Result<(), ExportError> {
        Ok(())
    }

    /// Ends the work. Called once; no batch comes afterwards.
    fn shutdown(&mut self) {}
}

/// Why a batch was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportError {
    is_retryable: bool,
    text: String,
}

impl ExportError {
    /// The batch may be taken later, so it is to come again.
    pub fn retry(text: impl Into<String>) -> Self {
        Self {
            is_retryable: true,
            text: text.into(),
        }
    }

    /// The batch will never be taken: its spans are lost.
    pub fn refuse(text: impl Into<String>) -> Self {
        Self {
            is_retryable: false,
            text: text.into(),
        }
    }

    /// Returns true if the batch is to come again.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.is_retryable
    }
}

/// The text that it was made with.
impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl core::error::Error for ExportError {}

/// An I/O error may pass, as that of a full disk does.
impl From<std::io::Error> for ExportError {
    fn from(error: std::io::Error) -> Self {
        Self::retry(std::format!("{error}"))
    }
}

/// An exporter for [`Config::exporter`](super::config::Config::exporter). Clones are the same one.
#[derive(Clone)]
pub struct SharedExporter(Arc<Mutex<dyn SpanExporter>>);

impl SharedExporter {
    /// Shares `exporter`.
    pub fn new(exporter: impl SpanExporter + 'static) -> Self {
        Self(Arc::new(Mutex::new(exporter)))
    }

    /// Has it take the batch in an encoded `ExportTraceServiceRequest`. For transports.
    ///
    /// # Errors
    ///
    /// The exporter's.
    pub fn export(&self, request: &[u8]) -> Result<(), ExportError> {
        self.lock().export(&SpanBatch::new(request))
    }

    /// Has everything that was taken arrive, unless a batch is being taken. For transports.
    ///
    /// # Errors
    ///
    /// The exporter's.
    pub fn force_flush(&self) -> Result<(), ExportError> {
        match self.try_lock() {
            Some(mut exporter) => exporter.force_flush(),
            None => Ok(()),
        }
    }

    /// Ends its work, unless it hangs in a batch. For transports.
    ///
    /// # Errors
    ///
    /// That of its last flush.
    pub fn shutdown(&self) -> Result<(), ExportError> {
        let Some(mut exporter) = self.try_lock() else {
            return Ok(());
        };
        let flushed = exporter.force_flush();
        exporter.shutdown();
        flushed
    }

    pub(in crate::hosted) fn name(&self) -> String {
        self.lock().name().into()
    }

    fn lock(&self) -> MutexGuard<'_, dyn SpanExporter + 'static> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, dyn SpanExporter + 'static>> {
        match self.0.try_lock() {
            Ok(exporter) => Some(exporter),
            Err(TryLockError::Poisoned(exporter)) => Some(exporter.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl<E: SpanExporter + 'static> From<E> for SharedExporter {
    fn from(exporter: E) -> Self {
        Self::new(exporter)
    }
}

impl fmt::Debug for SharedExporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedExporter").finish_non_exhaustive()
    }
}
