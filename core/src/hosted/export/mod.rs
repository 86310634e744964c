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
use core::sync::atomic::{AtomicBool, Ordering};
use std::panic::{AssertUnwindSafe, catch_unwind};
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

    /// Ends the work. Called once, after a flush; no batch comes afterwards. A panic here, or in the
    /// flush, is reported and harms nothing.
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
pub struct SharedExporter {
    exporter: Arc<Mutex<dyn SpanExporter>>,
    is_shut_down: Arc<AtomicBool>,
}

impl SharedExporter {
    /// Shares `exporter`.
    pub fn new(exporter: impl SpanExporter + 'static) -> Self {
        Self {
            exporter: Arc::new(Mutex::new(exporter)),
            is_shut_down: Arc::default(),
        }
    }

    /// Has it take the batch in an encoded `ExportTraceServiceRequest`. For transports.
    ///
    /// # Errors
    ///
    /// The exporter's.
    pub fn export(&self, request: &[u8]) -> Result<(), ExportError> {
        self.lock().export(&SpanBatch::new(request))
    }

    /// Has everything that was taken arrive, unless a batch is being taken, or it was shut down. For
    /// transports.
    ///
    /// # Errors
    ///
    /// The exporter's, or that it panicked.
    pub fn force_flush(&self) -> Result<(), ExportError> {
        match self.try_lock() {
            Some(mut exporter) if !self.is_shut_down.load(Ordering::Relaxed) => {
                unless_it_panics(|| exporter.force_flush())
            }
            _ => Ok(()),
        }
    }

    /// Flushes and ends its work, unless it hangs in a batch. Only the first call does anything. For
    /// transports.
    ///
    /// # Errors
    ///
    /// That of its last flush, or that it panicked.
    pub fn shutdown(&self) -> Result<(), ExportError> {
        let Some(mut exporter) = self.try_lock() else {
            return Ok(());
        };
        if self.is_shut_down.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let flushed = unless_it_panics(|| exporter.force_flush());
        let ended = unless_it_panics(|| {
            exporter.shutdown();
            Ok(())
        });
        flushed.and(ended)
    }

    pub(in crate::hosted) fn name(&self) -> String {
        let exporter = self.lock();
        let name = catch_unwind(AssertUnwindSafe(|| String::from(exporter.name())));
        name.unwrap_or_else(|_| "the exporter".into())
    }

    fn lock(&self) -> MutexGuard<'_, dyn SpanExporter + 'static> {
        self.exporter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, dyn SpanExporter + 'static>> {
        match self.exporter.try_lock() {
            Ok(exporter) => Some(exporter),
            Err(TryLockError::Poisoned(exporter)) => Some(exporter.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// A flush and a shutdown may run in a destructor, where a panic would end the process.
fn unless_it_panics(work: impl FnOnce() -> Result<(), ExportError>) -> Result<(), ExportError> {
    let done = catch_unwind(AssertUnwindSafe(work));
    done.unwrap_or_else(|_| Err(ExportError::refuse("it panicked")))
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
