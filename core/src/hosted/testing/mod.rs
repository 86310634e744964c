//! Spans in tests (feature `testing`): recorded, captured and compared without a collector, a thread
//! or a state of the process.
//!
//! A [`Capture`] is a pipeline of its own. Tests that run at the same time never see each other's
//! spans, and nothing is left when one ends.
//!
//! ```
//! use spandrel_core::hosted::testing::Capture;
//! use spandrel_core::hosted::trace::Tracer;
//!
//! /// The code under test gets its tracer from outside.
//! fn place_order(tracer: &Tracer, items: i64) {
//!     tracer.span("order.place").in_scope(|span| {
//!         span.set_attribute("order.items", items);
//!         tracer.start("stock.reserve").end();
//!         tracer.start("payment.charge").set_error("declined");
//!     });
//! }
//!
//! let capture = Capture::new();
//! place_order(&capture.tracer("shop"), 3);
//!
//! let spans = capture.spans();
//! assert_eq!(*spans.one("order.place").attribute("order.items").unwrap(), 3);
//! spans.assert_tree("
//!     order.place order.items=3
//!     ├─ stock.reserve
//!     └─ payment.charge ✗ declined
//! ");
//! ```
//!
//! # With the macros of `tracing`
//!
//! Install the layer for the thread of the test alone:
//!
//! ```
//! # #[cfg(feature = "tracing")] {
//! use spandrel_core::hosted::layer::layer;
//! use spandrel_core::hosted::testing::Capture;
//! use tracing_subscriber::layer::SubscriberExt as _;
//!
//! let capture = Capture::new();
//! let subscriber = tracing_subscriber::registry().with(layer(&capture.tracer("shop")));
//! tracing::subscriber::with_default(subscriber, || {
//!     tracing::info_span!("order.place").in_scope(|| tracing::info!("stock.reserved"));
//! });
//! assert_eq!(capture.spans().one("order.place").events[0].name, "stock.reserved");
//! # }
//! ```
//!
//! For code on other threads use `tracing::Dispatch` there, or `WithSubscriber` for its futures.
//!
//! # Times
//!
//! With a [virtual clock](Capture::virtual_clock) times are exact, on all threads, and a snapshot can
//! show them:
//!
//! ```
//! # use spandrel_core::hosted::testing::Capture;
//! use std::time::Duration;
//!
//! let capture = Capture::new();
//! let clock = capture.virtual_clock();
//! let tracer = capture.tracer("shop");
//! tracer.span("order.place").in_scope(|span| {
//!     clock.advance(Duration::from_millis(5));
//!     tracer.span("stock.reserve").in_scope(|_| clock.advance(Duration::from_millis(20)));
//!     span.add_event("reserved", &[]);
//! });
//!
//! let spans = capture.spans();
//! assert_eq!(spans.one("order.place").duration(), Duration::from_millis(25));
//! assert_eq!(spans.tree().with_offsets().to_string(), "\
//! order.place 0ns..25ms
//! ├─ ◆ reserved 25ms
//! └─ stock.reserve 5ms..25ms
//! ");
//! ```

mod clock;
mod spans;
mod tree;

pub use clock::VirtualClock;

pub use spans::Spans;
pub use tree::Tree;

use core::fmt;
use std::boxed::Box;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use super::config::{Config, SettingsError};
use super::export::SpanData;
use super::trace::{SpanCounts, Tracer, TracerProvider};
use super::unversioned::pipeline::{Pipeline, PipelineError};
use crate::response::{Outcome, Response};
use crate::span::finished::RequestSpans;
use crate::stats::Ledger;
use crate::time::Instant;

/// A pipeline whose spans stay in the test; see the [module](self).
///
/// Clones are the same one.
#[derive(Clone, Debug)]
pub struct Capture {
    provider: TracerProvider,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug)]
struct Taken {
    pipeline: Pipeline,
    clock: Option<VirtualClock>,
    /// Spans at the start of `spans` that are older than the clock.
    older: usize,
    spans: Vec<SpanData>,
    request: Vec<u8>,
}

/// Why a capture could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum CaptureError {
    /// A field of the configuration is wrong.
    Settings(SettingsError),
    /// The settings do not fit together.
    Pipeline(PipelineError),
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(error) => error.fmt(f),
            Self::Pipeline(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for CaptureError {}

impl Capture {
    /// A capture that samples everything.
    ///
    /// # Panics
    ///
    /// There is no memory for it.
    #[must_use]
    #[track_caller]
    #[allow(clippy::panic, reason = "a test that cannot begin is to fail")]
    pub fn new() -> Self {
        match Self::with(&Config::default()) {
            Ok(capture) => capture,
            Err(error) => panic!("{error}"),
        }
    }

    /// A capture with the sampler, the limits, the processors and the resource of `config`. It is
    /// enabled, reads no variable, sends nothing, and is never the process-wide pipeline, whatever
    /// the configuration says.
    ///
    /// # Errors
    ///
    /// The configuration does not work.
    pub fn with(config: &Config) -> Result<Self, CaptureError> {
        let config = Config {
            enabled: true,
            read_environment: false,
            set_global: false,
            exporter: None,
            buffer_bytes: config.buffer_bytes.or(Some(256 << 10)),
            shard_bytes: config.shard_bytes.or(Some(64 << 10)),
            max_queue_size: config.max_queue_size.or(Some(1 << 16)),
            ..config.clone()
        };
        let settings = config.resolve().map_err(CaptureError::Settings)?;
        let (pipeline, provider) = Pipeline::new(&settings).map_err(CaptureError::Pipeline)?;
        let taken = Arc::new(Mutex::new(Taken {
            pipeline,
            clock: None,
            older: 0,
            spans: Vec::new(),
            request: Vec::new(),
        }));
        let weak = Arc::downgrade(&taken);
        // A recording thread makes room itself, so that no test loses a span.
        let waker = Box::new(move || {
            if let Some(taken) = weak.upgrade() {
                lock(&taken).take();
            }
        });
        lock(&taken).pipeline.set_waker(waker);
        Ok(Self { provider, taken })
    }

    /// A tracer whose spans are captured.
    #[must_use]
    pub fn tracer(&self, name: &str) -> Tracer {
        self.provider.tracer(name)
    }

    /// The provider, for tracers with versions and attributes.
    #[must_use]
    pub const fn provider(&self) -> &TracerProvider {
        &self.provider
    }

    /// Makes the times of this capture's spans and events those of a clock that stands still until the
    /// test [advances](VirtualClock::advance) it, and begins at 1970-01-01 00:00:00. Call it first: a
    /// time before the call keeps its place in the real world, and so does one that the code under
    /// test gives itself and that does not lie between the call and [`spans`](Self::spans). Further
    /// calls return the same clock.
    ///
    /// What runs is not virtual: processors, `Tracer::now` and a sampler see real times.
    #[must_use]
    pub fn virtual_clock(&self) -> VirtualClock {
        let taken = &mut *lock(&self.taken);
        taken.take();
        if let Some(clock) = &taken.clock {
            return clock.clone();
        }
        let clock = VirtualClock::new(taken.pipeline.stop_dating());
        taken.older = taken.spans.len();
        taken.clock.insert(clock).clone()
    }

    /// The spans that have ended so far, on all threads, in the order of their starts.
    #[must_use]
    pub fn spans(&self) -> Spans {
        let taken = &mut *lock(&self.taken);
        taken.take();
        let mut spans = taken.spans.clone();
        if let (Some(clock), Some(newer)) = (&taken.clock, spans.get_mut(taken.older..)) {
            // What starts while the clock stands still stays in its order.
            newer.sort_by_key(|span| span.start_time);
            clock.date(newer);
        }
        Spans::new(spans)
    }

    /// Forgets the spans that have ended so far.
    pub fn reset(&self) {
        let taken = &mut *lock(&self.taken);
        taken.take();
        taken.spans.clear();
        taken.older = 0;
    }

    /// Numbers of spans that were started, have ended, and are still open.
    #[must_use]
    pub fn counts(&self) -> SpanCounts {
        self.provider.counts()
    }

    /// Where every span is. Captured ones count as exported.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        lock(&self.taken).pipeline.ledger()
    }
}

impl Default for Capture {
    fn default() -> Self {
        Self::new()
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Taken {
    /// Takes over all spans that have ended.
    fn take(&mut self) {
        let flush = self.pipeline.force_flush(Instant::MAX);
        while let Some(mut transmit) = self.pipeline.poll_transmit() {
            self.request.resize(transmit.content_length(), 0);
            let read = self.pipeline.read_body(&mut transmit, &mut self.request);
            let request = self.request.get(..read).unwrap_or_default();
            let spans = RequestSpans::new(request).map(|span| SpanData::from(&span));
            self.spans.extend(spans);
            let accepted = Outcome::Response(Response::new(200));
            self.pipeline.handle_response(transmit, &accepted);
        }
        let _ = self.pipeline.end_flush(flush);
        while self.pipeline.poll_event().is_some() {}
    }
}
