//! The exporter: buffer, batch trigger, retries and circuit breaker as one machine without I/O.
//!
//! It decides *when* to send *which bytes* and what the answer means; a driver does the sending.
//!
//! ```text
//!               poll_transmit: due, gate passed, permit granted
//!   ┌──────┐ ─────────────────────────────────────────────────▶ ┌──────────┐
//!   │ Idle │                                                    │ Sending  │
//!   └──────┘ ◀───────────────────────────────────────────────── └──────────┘
//!      ▲       accepted: exported    refused: dropped(reason)        │
//!      │                                                             │ retryable
//!      │     retries used up, circuit closed: dropped           ┌────▼─────┐
//!      └─────────────────────────────────────────────────────── │ Waiting  │
//!            circuit open: held, no retry is used up            └──────────┘
//! ```
//!
//! A driver is a loop of five lines. This one talks to a collector that is down at first:
//!
//! ```
//! use spandrel_core::prelude::*;
//! # use spandrel_core::test_support::TestRng;
//! # let resource = Resource { attributes: &[KeyValue::new("service.name", "demo")], schema_url: "" };
//! let registry = Registry::new([0_u8; 256], &resource)?;
//! let mut exporter = Exporter::new(ExporterConfig::DEFAULT, Buffer::new([0_u8; 4096]), registry)?;
//! let mut tracer = Tracer::new(AlwaysOn, RandomIdGenerator::new(TestRng::new(1)));
//!
//! let span = tracer.start::<256>(SpanBuilder::new("boot"), Instant::ZERO);
//! span.end(Instant::from_millis(3), &mut exporter)?;
//!
//! # let mut requests = 0;
//! # let mut post = |_: &[u8]| { requests += 1; if requests < 3 { 503 } else { 200 } };
//! let mut body = [0_u8; 1024];
//! let mut now = Instant::from_millis(3);
//! while let Some(wake) = exporter.poll_timeout() {
//!     now = now.max(wake); // here a real driver sleeps
//!     while let Some(mut transmit) = exporter.poll_transmit(now) {
//!         let len = exporter.read_body(&mut transmit, &mut body);
//!         let status = post(&body[..len]);
//!         exporter.handle_response(now, transmit, &Outcome::Response(Response::new(status)));
//!     }
//! }
//! assert_eq!(exporter.ledger().exported, 1);
//! assert!(exporter.ledger().is_closed());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rules
//!
//! - Each attempt counts in the breaker, which sits inside the retry loop. Being refused by it is
//!   not an attempt: it costs no retry and drops nothing (`reliability.md` 4.4).
//! - Time spent retrying (`max_elapsed`) counts from the first failure: the time limit of a request
//!   is as long by default, and one that hung would otherwise never be repeated.
//! - A batch that failed as often as the breaker's threshold, or as the probe twice, is a
//!   *suspect*: the next probe uses the next batch, so that one poisonous batch cannot silence
//!   everything. Once another batch got through, a suspect has its retries once more, without
//!   counting in the breaker, and is then dropped as `poison`. At most two suspects are set aside;
//!   a third one takes the place of one that is proven guilty, or else stays the batch in hand:
//!   while *nothing* gets through, the destination is at fault and no batch is dropped for it.
//! - Time never goes back: a reading before the latest one counts as the latest one.
//!   [`Instant::MAX`] stands for never.

mod answer;
mod config;
mod delivery;
mod event;
mod flush;
mod machine;
mod transmit;

pub use config::{ConfigError, ExporterConfig, OnTooLarge, WhenOpen};
#[cfg(feature = "std")]
pub(crate) use event::Count;
pub use event::{Cause, Event};
pub use flush::{Flush, FlushOutcome, FlushReport};
pub(crate) use machine::split_mix;
pub use transmit::Transmit;

use crate::breaker::State;
use crate::buffer::{Buffer, PushError, Record, RecordSink};
#[cfg(feature = "std")]
use crate::buffer::{Fill, Run};
use crate::request::{request_overhead, scope_overhead};
use crate::resource::{InstrumentationScope, Registry, RegistryError, Resource, ScopeId};
use crate::response::DropReason;
use crate::stats::{DeliveryStats, Ledger};
use crate::time::{Instant, WallClock};
use crate::wire::field_len;

use delivery::Batch;
use machine::Machine;

/// How many batches can be set aside as suspects.
const MAX_PARKED: usize = 2;

/// The machine that keeps finished spans and decides their delivery.
///
/// `B` is the memory of the span buffer, `R` that of the registry: arrays, `&mut [u8]`, boxed
/// slices.
#[derive(Debug)]
pub struct Exporter<B, R> {
    buffer: Buffer<B>,
    registry: Registry<R>,
    /// The batch in hand: waiting, or in flight when `machine.flight` is.
    current: Option<Batch>,
    /// Suspects, the oldest first.
    parked: [Option<Batch>; MAX_PARKED],
    machine: Machine,
}

impl<B, R> Exporter<B, R> {
    /// An exporter with the nearest settings that are valid, for a `static`; see
    /// [`ExporterConfig::clamp`]. What is known only at run time comes later:
    /// [`set_resource`](Self::set_resource), [`set_seed`](Self::set_seed).
    ///
    /// In a `static`, arrays of memory become part of the program's image, zeros and all, because
    /// the settings beside them are not zero. Where flash is scarce, give it `&'static mut [u8]`.
    ///
    /// ```
    /// use std::sync::Mutex; // on a device that of `critical-section`
    /// use spandrel_core::prelude::*;
    ///
    /// static SPANS: Mutex<Exporter<[u8; 4096], [u8; 256]>> = Mutex::new(Exporter::clamped(
    ///     ExporterConfig::DEFAULT,
    ///     Buffer::new([0; 4096]),
    ///     Registry::empty([0; 256]),
    /// ));
    ///
    /// let attributes = [KeyValue::new("service.name", "thermostat")];
    /// let mut spans = SPANS.lock()?;
    /// spans.set_seed(42); // the device's own number
    /// spans.set_resource(&Resource { attributes: &attributes, schema_url: "" })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn clamped(config: ExporterConfig, buffer: Buffer<B>, registry: Registry<R>) -> Self {
        Self::of_valid(config.clamp(), buffer, registry)
    }

    const fn of_valid(config: ExporterConfig, buffer: Buffer<B>, registry: Registry<R>) -> Self {
        let mut machine = Machine::new(config);
        machine.pushed = buffer.len() as u64;
        machine.ledger.ended = machine.pushed;
        Self {
            buffer,
            registry,
            current: None,
            parked: [const { None }; MAX_PARKED],
            machine,
        }
    }

    /// Starts the jitter anew from a seed that other devices do not have, when
    /// [`ExporterConfig::seed`] could not be chosen so (fault catalogue S20).
    pub const fn set_seed(&mut self, seed: u64) {
        self.machine.set_seed(seed);
    }
}

impl<B, R> Exporter<B, R>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    R: AsRef<[u8]> + AsMut<[u8]>,
{
    /// An exporter over a buffer, empty or [recovered](Buffer::recover): the spans in it count as
    /// ended now.
    ///
    /// # Errors
    ///
    /// Which setting is out of its range.
    pub fn new(
        config: ExporterConfig,
        buffer: Buffer<B>,
        registry: Registry<R>,
    ) -> Result<Self, ConfigError> {
        Ok(Self::of_valid(config.validate()?, buffer, registry))
    }

    /// Sets the resource; only before any scope, because every scope is forgotten.
    ///
    /// # Errors
    ///
    /// When it does not fit into the registry, which is then empty.
    pub fn set_resource(&mut self, resource: &Resource<'_>) -> Result<(), RegistryError> {
        self.registry.set_resource(resource)
    }

    /// The number of an instrumentation scope, for
    /// [`SpanBuilder::scope`](crate::tracer::SpanBuilder::scope).
    ///
    /// # Errors
    ///
    /// When the registry has no room for a new scope.
    pub fn scope(&mut self, scope: &InstrumentationScope<'_>) -> Result<ScopeId, RegistryError> {
        self.registry.scope(scope)
    }

    /// Tells the exporter what the wall clock shows, now or whenever it becomes known. Every
    /// record is dated once, at the next attempt to send it, and then keeps its date: setting the
    /// clock again changes only what has never been sent with one. Until it is known, the
    /// instants of the driver are taken for Unix time as they are.
    ///
    /// A hosted pipeline, which always knows the clock, dates spans as it takes them out of their
    /// shards.
    ///
    /// So the bytes of a retry are those of the attempt before, but for a batch that was sent
    /// without a date first.
    pub const fn set_wall_clock(&mut self, clock: Option<WallClock>) {
        self.machine.wall_clock = clock;
    }

    /// Tells since when the oldest queued span has been waiting, for a driver that fetched it from
    /// elsewhere: the scheduled delay counts from then.
    pub fn observe_oldest(&mut self, since: Instant) {
        self.machine.trigger.backdate(since, self.buffer.queued());
    }

    /// Handles time-outs that are due: of a request that nobody answered for, of a lost probe, of
    /// an expired batch, of the shutdown. [`Exporter::poll_transmit`] does the same.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.tick(now);
    }

    /// The oldest event that has not been fetched.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.machine.events.pop()
    }

    /// When to call [`Exporter::poll_transmit`] next; `None` = not before something changes.
    ///
    /// Changes with a push, an answer, a flush, a shutdown. An early call does nothing; a late one
    /// delays what was due and costs nothing else. While a request is in flight this is its time
    /// limit.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let machine = &self.machine;
        if machine.stopped {
            return None;
        }
        let mut next = match &machine.flight {
            Some(flight) => flight.expires,
            None => self.next_attempt().min(self.next_expiry()),
        };
        if let Some(timer) = machine.breaker.poll_timeout().filter(|_| self.holds_any()) {
            next = next.min(timer);
        }
        if let Some(shutdown) = &machine.shutdown {
            next = next.min(shutdown.deadline);
        }
        (next < Instant::MAX).then_some(next)
    }

    /// Where every span is. Costs a copy of counters.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        let in_flight = match &self.machine.flight {
            Some(flight) => flight.layout.window,
            None => 0,
        };
        let mut ledger = self.machine.ledger;
        ledger.buffered = self.buffer.len().saturating_sub(in_flight) as u64;
        ledger.in_flight = in_flight as u64;
        ledger
    }

    /// What the delivery has done.
    #[must_use]
    pub const fn stats(&self) -> DeliveryStats {
        DeliveryStats {
            circuit_opened: self.machine.breaker.opened() as u64,
            events_lost: self.machine.events.lost,
            ..self.machine.stats
        }
    }

    /// The state of the circuit breaker.
    #[must_use]
    pub const fn circuit(&self) -> State {
        self.machine.breaker.state()
    }

    /// The latest text that the collector sent for people: with a partial success, or with a
    /// refusal. At most 256 bytes, control characters replaced.
    #[must_use]
    pub fn server_message(&self) -> &str {
        self.machine.server_message.as_str()
    }

    /// Whether a push of `record` would succeed now, or be refused for good.
    #[must_use]
    pub fn has_room_for(&self, record: &Record<'_>) -> bool {
        self.machine.intake_has_ended()
            || !self.can_be_sent(record)
            || self.buffer.has_room_for(record)
    }

    /// Tells whether a shutdown must wait for spans that the driver holds elsewhere, for lack of
    /// room here: they ended before it and are still taken in.
    #[cfg(feature = "std")]
    pub(crate) const fn expect_more(&mut self, more: bool) {
        self.machine.more_to_come = more;
    }

    /// Takes a run of records in that `fill` writes into the buffer. `None`, and nothing changes, when
    /// there is no room for what it has: then they are to come one by one.
    #[cfg(feature = "std")]
    pub(crate) fn push_run(&mut self, fill: &mut Fill<'_>) -> Option<Run> {
        let machine = &mut self.machine;
        if machine.intake_has_ended() {
            return None;
        }
        // No record is larger than all of them and the whole registry.
        let around = self.registry.used_bytes() + 64;
        let most = machine.config.max_request_bytes.saturating_sub(around);
        let run = self.buffer.push_run(most, machine.wall_clock, fill)?;
        let spans = u64::from(run.records);
        machine.ledger.ended = machine.ledger.ended.saturating_add(spans);
        machine.pushed = machine.pushed.saturating_add(spans);
        machine.found_room();
        Some(run)
    }

    /// The registry, for a driver that keeps a copy of another one up to date.
    #[cfg(feature = "std")]
    pub(crate) const fn registry_mut(&mut self) -> &mut Registry<R> {
        &mut self.registry
    }

    /// The buffer of finished spans.
    #[must_use]
    pub const fn buffer(&self) -> &Buffer<B> {
        &self.buffer
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &ExporterConfig {
        &self.machine.config
    }

    /// Whether the exporter has been shut down and holds nothing any more.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        self.machine.stopped
    }

    fn holds_any(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Whether a request could ever carry this record.
    fn can_be_sent(&self, record: &Record<'_>) -> bool {
        let limit = self.machine.config.max_request_bytes;
        // Nearly always: even with everything in the registry around it the record is far below.
        if record.body.len() + self.registry.used_bytes() + 64 <= limit {
            return true;
        }
        let entries = self.registry.view();
        let around = request_overhead(entries) + scope_overhead(entries, record.scope);
        around + field_len(record.body.len()) <= limit
    }
}

/// Takes finished spans in and keeps the ledger: what is refused here is counted here.
impl<B, R> RecordSink for Exporter<B, R>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    R: AsRef<[u8]> + AsMut<[u8]>,
{
    fn has_room_for(&self, record: &Record<'_>) -> bool {
        // The method of the type itself.
        Self::has_room_for(self, record)
    }

    fn push_record(&mut self, record: &Record<'_>) -> Result<(), PushError> {
        self.machine.ledger.ended = self.machine.ledger.ended.saturating_add(1);
        let evicted = self.buffer.evicted();
        let result = if self.machine.intake_has_ended() {
            Err(PushError::Shutdown)
        } else if self.can_be_sent(record) {
            self.buffer.push(record)
        } else {
            Err(PushError::TooLarge)
        };
        let evicted = self.buffer.evicted() - evicted;
        if evicted > 0 {
            self.machine.lost_room(evicted);
        }
        match result {
            Ok(()) => {
                self.machine.pushed = self.machine.pushed.saturating_add(1);
                if evicted == 0 {
                    self.machine.found_room();
                }
            }
            Err(PushError::Full) => self.machine.lost_room(1),
            Err(PushError::TooLarge) => self.machine.ledger.drop_spans(DropReason::TooLarge, 1),
            Err(PushError::Shutdown) => self.machine.ledger.drop_spans(DropReason::Shutdown, 1),
        }
        result
    }
}
