//! The finished spans of `opentelemetry_sdk` 0.33 through this pipeline (feature
//! `opentelemetry-sdk-0-33`).
//!
//! A program that stays with the SDK, for its samplers or its own processors, changes its exporter alone:
//! the spans go through Spandrel's queue, retries, circuit breaker, compression and ledger, and
//! `opentelemetry-otlp` is not needed.
//!
//! ```
//! use opentelemetry_sdk::trace::SdkTracerProvider;
//! use spandrel_core::hosted::opentelemetry_sdk_0_33::BridgeProcessor;
//! # use opentelemetry_sdk_0_33 as opentelemetry_sdk;
//! # use spandrel_core::hosted::trace::TracerProvider;
//! # let provider = TracerProvider::disabled();
//!
//! // `provider` is that of a transport's handle.
//! let sdk = SdkTracerProvider::builder()
//!     .with_span_processor(BridgeProcessor::new(&provider))
//!     .build();
//! # drop(sdk);
//! ```
//!
//! - A span is handed over when it ends, so `force_flush` and `shutdown` of the SDK's provider have nothing
//!   left to do here: flush and shut down the transport's handle after them, or give [`with_flush`] what
//!   does it.
//! - Spans that the SDK has not sampled are not sent. Neither the sampler nor the processors of this
//!   pipeline see the others; its limits hold, and `Config::keep` does.
//! - The resource is the pipeline's, not the SDK's.
//! - Left out: what a root's tracestate says, and the SDK's own counts of attributes, events and links that
//!   it dropped.
//!
//! [`with_flush`]: BridgeProcessor::with_flush

use core::fmt;
use core::time::Duration;
use std::boxed::Box;
use std::sync::RwLock;
use std::vec::Vec;

use ::opentelemetry_0_33::{Context, InstrumentationScope as TheirScope};
use ::opentelemetry_sdk_0_33::Resource;
use ::opentelemetry_sdk_0_33::error::{OTelSdkError, OTelSdkResult};
use ::opentelemetry_sdk_0_33::trace::{Span as SdkSpan, SpanData, SpanProcessor};

use super::opentelemetry::Times;
use super::opentelemetry_0_33::{kind_of, our_span, status_of, with_attributes};
use super::process;
use super::trace::{ImportedSpan, Tracer, TracerProvider};
use crate::context::{Link, ParentContext, SpanContext};
use crate::id::SpanId;
use crate::resource::InstrumentationScope;

/// The SDK's own limit where none is given.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

type Flush = Box<dyn Fn(Duration) -> bool + Send + Sync>;

/// A span processor of the SDK that hands finished spans to this pipeline; see the [module](self).
pub struct BridgeProcessor {
    provider: TracerProvider,
    /// A tracer for each scope that was seen.
    tracers: RwLock<Vec<(TheirScope, Tracer)>>,
    flush: Option<Flush>,
}

impl BridgeProcessor {
    /// A processor over `provider`, such as the one of a transport's handle.
    #[must_use]
    pub fn new(provider: &TracerProvider) -> Self {
        Self {
            provider: provider.clone(),
            tracers: RwLock::new(Vec::new()),
            flush: None,
        }
    }

    /// Sets what the SDK's `force_flush` and `shutdown` call with the time they have: usually the flush of
    /// a transport's handle. It returns true if all spans have been sent.
    #[must_use]
    pub fn with_flush(mut self, flush: impl Fn(Duration) -> bool + Send + Sync + 'static) -> Self {
        self.flush = Some(Box::new(flush));
        self
    }

    fn tracer(&self, scope: &TheirScope) -> Option<Tracer> {
        let known = process::read(&self.tracers)?;
        if let Some((_, tracer)) = known.iter().find(|(known, _)| known == scope) {
            return Some(tracer.clone());
        }
        drop(known);
        let attributes: Vec<_> = scope.attributes().cloned().collect();
        let tracer = with_attributes(&attributes, |attributes| {
            self.provider.tracer_with(&InstrumentationScope {
                name: scope.name(),
                version: scope.version().unwrap_or_default(),
                schema_url: scope.schema_url().unwrap_or_default(),
                attributes,
            })
        });
        // A second thread may have put it there meanwhile, which does no harm.
        process::write(&self.tracers)?.push((scope.clone(), tracer.clone()));
        Some(tracer)
    }

    fn flush(&self, timeout: Duration) -> OTelSdkResult {
        match &self.flush {
            Some(flush) if !flush(timeout) => Err(OTelSdkError::Timeout(timeout)),
            _ => Ok(()),
        }
    }
}

impl SpanProcessor for BridgeProcessor {
    fn on_start(&self, _: &mut SdkSpan, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        let Some(tracer) = self.tracer(&span.instrumentation_scope) else {
            return;
        };
        let context = our_span(&span.span_context);
        let state = span.span_context.trace_state().header();
        let make = match span.parent_span_is_remote {
            true => SpanContext::remote,
            false => SpanContext::new,
        };
        let parent = ParentContext {
            span_context: make(
                context.trace_id(),
                SpanId::from_bytes(span.parent_span_id.to_bytes()),
                context.trace_flags(),
            ),
            trace_state: &state,
        };
        let imported = with_attributes(&span.attributes, |attributes| {
            tracer.import(&ImportedSpan {
                context,
                parent,
                name: &span.name,
                kind: kind_of(Some(&span.span_kind)),
                attributes,
                start: Times::Given.instant_of(span.start_time),
            })
        });
        let Some(mut imported) = imported else {
            return;
        };
        for event in span.events.iter() {
            let at = Times::Given.instant_of(event.timestamp);
            with_attributes(&event.attributes, |attributes| {
                imported.add_event_at(&event.name, attributes, at);
            });
        }
        for link in span.links.iter() {
            let state = link.span_context.trace_state().header();
            with_attributes(&link.attributes, |attributes| {
                imported.add_link(&Link {
                    span_context: our_span(&link.span_context),
                    trace_state: &state,
                    attributes,
                });
            });
        }
        imported.set_status(status_of(&span.status));
        imported.end_at(Times::Given.instant_of(span.end_time));
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.flush(FLUSH_TIMEOUT)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.flush(timeout)
    }

    fn set_resource(&mut self, _: &Resource) {}
}

impl fmt::Debug for BridgeProcessor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BridgeProcessor")
            .field("provider", &self.provider)
            .finish_non_exhaustive()
    }
}
