//! The exporter: buffer, batch trigger, retries and circuit breaker as one machine without I/O.
//!
//! It decides *when* to send *which bytes*, and what the answer means; a driver does the sending.
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
//! # use rand_xoshiro::{SplitMix64, rand_core::SeedableRng};
//! # let resource = Resource { attributes: &[KeyValue::new("service.name", "demo")], schema_url: "" };
//! let registry = Registry::new([0_u8; 256], &resource)?;
//! let mut exporter = Exporter::new(ExporterConfig::DEFAULT, Buffer::new([0_u8; 4096]), registry)?;
//! let ids = RandomIdGenerator::new(SplitMix64::seed_from_u64(1));
//! let mut tracer = BareTracer::new(AlwaysOn, ids);
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
//! - Each attempt counts in the breaker, which sits inside the retry loop. A refusal by the breaker
//!   is not an attempt: it costs no retry and drops nothing.
//! - Time spent retrying (`max_elapsed`) counts from the first failure: by default the time limit of
//!   a request is as long, and a request that hung would otherwise never be repeated.
//! - An export that runs out of [its time](ExporterConfig::export_timeout) is over, and the batch is
//!   held, not lost: the circuit opens, although fewer failures were counted than it takes, until the
//!   batch's backoff is over. Then the batch is sent as the probe. What waits for a circuit that is not
//!   closed, or for the end of a `Retry-After`, is a queue and no export, and a shutdown has a deadline
//!   of its own: in these the time does not run.
//! - A batch that failed as often as the breaker's threshold, or twice as the probe, is a
//!   *suspect*: the next probe uses the next batch, so that one poisonous batch cannot silence
//!   everything. Once another batch got through, a suspect has its retries once more, without
//!   counting in the breaker, and is then dropped as `poison`. At most two suspects are set aside.
//!   A third one takes the place of one that is proven guilty, or else stays the batch in hand:
//!   while *nothing* gets through, the destination is at fault and no batch is dropped for it.
//! - Time never goes back: a reading before the latest one counts as the latest one.
//!   [`Instant::MAX`] stands for never.

mod batches;
mod books;
mod config;
mod event;
mod flush;
mod intake;
#[cfg(not(feature = "std"))]
mod lane;
#[cfg(feature = "std")]
mod lanes;
mod schedule;
mod settle;
mod transmit;

pub use config::{ConfigError, ExporterConfig, OnTooLarge, WhenOpen};
#[cfg(feature = "std")]
pub(crate) use event::Count;
pub use event::{Cause, Event};
pub use flush::{Flush, FlushOutcome, FlushReport};
#[cfg(feature = "std")]
pub(crate) use lanes::MAX_CONCURRENT_EXPORTS;
pub use transmit::Transmit;

use crate::breaker::State;
use crate::buffer::Buffer;
use crate::resource::{InstrumentationScope, Registry, RegistryError, Resource, ScopeId};
use crate::response::{Outcome, TransportError};
use crate::stats::{DeliveryStats, Ledger};
use crate::time::{Instant, WallClock};

use batches::{Batch, Batches};
use books::Books;
use flush::Closing;
use intake::Intake;
#[cfg(not(feature = "std"))]
use lane::Lanes;
#[cfg(feature = "std")]
use lanes::Lanes;
use schedule::Schedule;
use transmit::{Flights, Learned};

/// The most suspects that can be set aside.
const MAX_PARKED: usize = 2;

/// A request that the driver has not answered.
const TIMED_OUT: Outcome<'static> = Outcome::Failed(TransportError::Timeout { body_sent: true });

/// Keeps finished spans and decides about their delivery. See the [module](self) for the rules.
///
/// `B` is the memory of the span buffer, `R` the registry's: arrays, `&mut [u8]`, boxed slices.
#[derive(Debug)]
pub struct Exporter<B, R> {
    buffer: Buffer<B>,
    registry: Registry<R>,
    config: ExporterConfig,
    wall_clock: Option<WallClock>,
    schedule: Schedule,
    batches: Batches,
    flights: Flights,
    lanes: Lanes,
    learned: Learned,
    intake: Intake,
    closing: Closing,
    books: Books,
}

impl<B, R> Exporter<B, R> {
    /// An exporter for a `static`, with the nearest settings that are valid; see
    /// [`ExporterConfig::clamp`]. What is known only at run time is set later:
    /// [`set_resource`](Self::set_resource), [`set_seed`](Self::set_seed).
    ///
    /// In a `static`, arrays of memory become part of the program's image, zeros included, because
    /// the settings beside them are not zero. Where flash is scarce, pass `&'static mut [u8]`.
    ///
    /// ```
    /// use std::sync::Mutex; // on a device: `critical_section::Mutex`
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

    // With the parts' constructors always inlined, or each part is made on the stack first: on
    // devices that is 600 bytes more of it.
    #[inline(always)]
    const fn of_valid(config: ExporterConfig, buffer: Buffer<B>, registry: Registry<R>) -> Self {
        let config = config.with_long_enough_lease();
        let held = buffer.len() as u64;
        let mut books = Books::new();
        books.count_ended(held);
        Self {
            buffer,
            registry,
            config,
            wall_clock: None,
            schedule: Schedule::new(&config),
            batches: Batches::none(),
            flights: Flights::none(),
            lanes: Lanes::one(),
            learned: Learned::NOTHING,
            intake: Intake::new(held),
            closing: Closing::none(),
            books,
        }
    }

    /// Restarts the jitter from a seed that other devices do not have, when
    /// [`ExporterConfig::seed`] could not be chosen so.
    pub const fn set_seed(&mut self, seed: u64) {
        self.config.seed = seed;
        self.schedule.set_seed(seed);
    }
}

impl<B, R> Exporter<B, R>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    R: AsRef<[u8]> + AsMut<[u8]>,
{
    /// An exporter over a buffer that is empty or [recovered](Buffer::retained): the spans in it
    /// count as ended now.
    ///
    /// # Errors
    ///
    /// The first setting that is out of its range.
    pub fn new(
        config: ExporterConfig,
        buffer: Buffer<B>,
        registry: Registry<R>,
    ) -> Result<Self, ConfigError> {
        Ok(Self::of_valid(config.validate()?, buffer, registry))
    }

    /// Sets the resource and forgets every scope, so call it before [`scope`](Self::scope).
    ///
    /// # Errors
    ///
    /// Fails when the resource does not fit into the registry, which is then empty.
    pub fn set_resource(&mut self, resource: &Resource<'_>) -> Result<(), RegistryError> {
        self.registry.set_resource(resource)
    }

    /// Returns the number of an instrumentation scope, for
    /// [`SpanBuilder::scope`](crate::tracer::SpanBuilder::scope).
    ///
    /// # Errors
    ///
    /// Fails when the registry has no room for a new scope.
    pub fn scope(&mut self, scope: &InstrumentationScope<'_>) -> Result<ScopeId, RegistryError> {
        self.registry.scope(scope)
    }

    /// Sets the wall clock, at the start or once it becomes known. Every record is dated once, at
    /// the next attempt to send it, and then keeps its date: setting the clock again changes only
    /// records that have never been sent with one. Until the clock is known, the driver's instants
    /// are sent as if they were Unix time, in 1970, unless
    /// [`hold_until_dated`](ExporterConfig::hold_until_dated) is set. Wake the driver after this.
    ///
    /// So a retry has the same bytes as the attempt before, unless that one was sent without a date.
    ///
    /// A hosted pipeline, which always knows the clock, dates spans as it takes them out of their
    /// shards.
    pub const fn set_wall_clock(&mut self, clock: Option<WallClock>) {
        self.wall_clock = clock;
    }

    /// Reports since when the oldest queued span has been waiting, for a driver that fetched it from
    /// elsewhere: the scheduled delay counts from then.
    pub fn observe_oldest(&mut self, since: Instant) {
        self.schedule.backdate(since, self.buffer.queued());
    }

    /// Handles time limits that have passed: of an unanswered request, of a lost probe, of a batch
    /// that is too old, of the shutdown. [`Exporter::poll_transmit`] does the same.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.tick(now);
    }

    /// Returns the oldest event that has not been fetched.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.books.pop_event()
    }

    /// When to call [`Exporter::poll_transmit`] next: [`Instant::ZERO`] = now, `None` = not before
    /// something changes.
    ///
    /// Changes with a push, an answer, a flush, a shutdown. An early call does nothing; a late one
    /// delays what was due and costs nothing else. While a request is in flight this is its time
    /// limit.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.closing.is_stopped() {
            return None;
        }
        let mut next = match self.flights.current() {
            Some(flight) => flight.expires,
            None => self.next_expiry(),
        };
        next = next.min(self.lanes.expires());
        if !self.is_busy() {
            next = next.min(self.next_attempt());
        }
        if let Some(timer) = self.schedule.breaker_timeout().filter(|_| self.holds_any()) {
            next = next.min(timer);
        }
        next = next.min(self.closing.deadline());
        (next < Instant::MAX).then_some(next)
    }

    /// Where every span is. Costs a copy of counters.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        let in_flight = match self.flights.current() {
            Some(flight) => flight.layout.window,
            None => 0,
        };
        let in_flight = in_flight + self.lanes.spans_in_flight();
        let mut ledger = *self.books.ledger();
        ledger.buffered = self.buffer.len().saturating_sub(in_flight) as u64;
        ledger.in_flight = in_flight as u64;
        ledger
    }

    /// Spans lost for `reason`: one count of the [`ledger`](Self::ledger).
    #[cfg(feature = "std")]
    pub(crate) fn lost_for(&self, reason: crate::response::DropReason) -> u64 {
        self.books.ledger().dropped(reason)
    }

    /// Counts of what the delivery has done.
    #[must_use]
    pub const fn stats(&self) -> DeliveryStats {
        DeliveryStats {
            circuit_opened: self.schedule.opened() as u64,
            ..self.books.stats()
        }
    }

    /// The state of the circuit breaker.
    #[must_use]
    pub const fn circuit(&self) -> State {
        self.schedule.circuit()
    }

    /// The latest text that the collector sent for people: with a partial success, or with a
    /// refusal. At most 256 bytes, control characters replaced by spaces.
    #[must_use]
    pub fn server_message(&self) -> &str {
        self.books.server_message()
    }

    /// The registry, for a driver that keeps it equal to another one.
    ///
    /// Change it only between two requests: the body in flight is encoded from it while it is read.
    pub const fn registry_mut(&mut self) -> &mut Registry<R> {
        &mut self.registry
    }

    /// The buffer of finished spans.
    #[must_use]
    pub const fn buffer(&self) -> &Buffer<B> {
        &self.buffer
    }

    /// The settings in force.
    #[must_use]
    pub const fn config(&self) -> &ExporterConfig {
        &self.config
    }

    fn holds_any(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Handles everything that happens by the passing of time, and returns the time to go on with.
    fn tick(&mut self, now: Instant) -> Instant {
        let now = self.schedule.advance(now);
        if self
            .flights
            .current()
            .is_some_and(|flight| flight.expires <= now)
        {
            self.settle(now, &TIMED_OUT);
        }
        while self.bring_expired(now) {
            self.settle(now, &TIMED_OUT);
        }
        if let Some(transition) = self.schedule.handle_timeout(now) {
            self.on_transition(transition, now);
        }
        if !self.schedule.is_healthy() {
            self.schedule
                .set_filling(self.buffer.is_more_than_half_full());
        }
        self.expire(now);
        self.schedule.observe(now, self.buffer.queued());
        self.advance_shutdown(now);
        now
    }

    fn is_any_in_flight(&self) -> bool {
        self.flights.is_any() || self.lanes.in_flight() > 0
    }

    /// Returns true if no request may begin before one that is under way has ended. A slow start has
    /// one at a time; a circuit that is not closed admits what it admits.
    fn is_busy(&self) -> bool {
        let under_way = usize::from(self.flights.is_any()) + self.lanes.in_flight();
        under_way >= self.lanes.most() || (under_way > 0 && self.schedule.is_ramping())
    }

    /// When the next attempt may start; [`Instant::MAX`] when there is nothing to send. While a batch
    /// waits for its retry, no other one begins.
    fn next_attempt(&self) -> Instant {
        let in_hand = match self.flights.is_any() {
            true => None,
            false => self.batches.in_hand().map(Batch::next_at),
        };
        let waiting = self.lanes.next_at();
        let mut ready = in_hand.unwrap_or(Instant::MAX);
        ready = ready.min(waiting.unwrap_or(Instant::MAX));
        if in_hand.is_none() && waiting.is_none() {
            ready = self.batches.parked_until();
            ready = ready.min(self.queue_due().unwrap_or(Instant::MAX));
        }
        ready.max(self.schedule.gate(self.closing.pace()))
    }

    /// When the oldest batch gets too old; [`Instant::MAX`] when none does.
    fn next_expiry(&self) -> Instant {
        let age = self.config.max_batch_age;
        if age.is_zero() {
            return Instant::MAX;
        }
        let first = self.batches.first_attempt();
        first.min(self.lanes.first_attempt()).saturating_add(age)
    }
}
