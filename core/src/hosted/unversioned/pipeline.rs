//! The pipeline of a process: the shards of all threads, drained into one exporter.
//!
//! A transport owns a [`Pipeline`], asks it for requests, and sends them; the pipeline reads the
//! clock, moves finished spans from the shards into the exporter's buffer (one copy, which dates
//! and measures them on the way), and keeps the two halves of the ledger one.
//!
//! ```text
//!  thread ─▶ shard ─┐
//!  thread ─▶ shard ─┼─ collect ─▶ Exporter ─ poll_transmit ─▶ transport
//!  thread ─▶ shard ─┘                     ◀─ handle_response ─
//! ```
//!
//! Spans stay in their shards until they make a batch or the scheduled delay is over, and when the
//! exporter's buffer is full; when the shards are full too, new spans are dropped and counted, and
//! the pipeline reports it as [`Event::LossStarted`](crate::exporter::Event::LossStarted). Nothing grows.

mod branch;
mod closing;
mod error;
mod events;
mod held_back;
mod loss;
#[cfg(feature = "link")]
mod relay;
mod report;
#[cfg(test)]
mod tests;

use core::time::Duration;
use std::boxed::Box;
use std::sync::Arc;
use std::vec::Vec;

use heapless::Deque;

use crate::breaker::State;
use crate::buffer::{Buffer, Fill, PushError, Record, RecordSink, Run};
use crate::exporter::{Exporter, Flush, FlushOutcome, FlushReport, Transmit};
use crate::hosted::clock::Clock;
use crate::hosted::config::Settings;
use crate::hosted::metrics::{OperationCounts, SdkMetrics};
use crate::hosted::process::notice_fork;
use crate::hosted::shards::{Drain, DrainLimit, DrainOutcome, Hub, Memory, memory};
use crate::hosted::trace::TracerProvider;
use crate::hosted::unversioned::tail::Tail;
use crate::resource::{Registry, RegistryError, Resource};
use crate::response::Outcome;
use crate::stats::{DeliveryStats, Ledger};
#[cfg(feature = "testing")]
use crate::time::UnixNanos;
use crate::time::{Instant, WallClock};

pub use branch::Branch;
use closing::Closing;
pub use error::PipelineError;
use events::LossEvent;
pub use events::PipelineEvent;
pub use loss::LossCause;
use loss::LossWatch;
use report::report_between;

/// The exporter of a process with everything that feeds it.
#[derive(Debug)]
pub struct Pipeline {
    hub: Arc<Hub>,
    exporter: Exporter<Memory, Memory>,
    /// The pipelines of further destinations, which get every span, too.
    branches: Vec<Arc<dyn Branch>>,
    /// It is one of those, and another one drains the shards.
    is_branch: bool,
    /// Holds finished traces until they are decided, if the configuration says so.
    tail: Option<Box<Tail>>,
    clock: Clock,
    #[cfg(feature = "testing")]
    is_dated: bool,
    scheduled_delay: Duration,
    /// When the shards were last drained whole.
    collected: Instant,
    /// Whether the last drain left spans in the shards.
    left_in_shards: bool,
    /// Spans left there that a flush waits for.
    awaited: usize,
    flushes: Vec<PendingFlush>,
    next_flush: u64,
    /// Spans lost, as the last report that was handed out says.
    reported: u64,
    closing: Option<Closing>,
    losses: LossWatch,
    /// Of the loss under way, or of the last one.
    loss_cause: Option<LossCause>,
    oversized: LossWatch,
    /// Spans that were too large for the exporter.
    unsendable: u64,
    /// The events of both watches.
    loss_events: Deque<LossEvent, 4>,
    max_queue_size: u32,
    shard_bytes: usize,
    operations: OperationCounts,
}

/// Shows times of the process's clock as they are.
#[cfg(feature = "testing")]
const NO_OFFSET: WallClock = WallClock::from_pair(Instant::ZERO, UnixNanos::from_nanos(0));

/// The number of a flush, unique in its pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlushId(u64);

#[derive(Debug)]
struct PendingFlush {
    id: FlushId,
    deadline: Instant,
    /// The exporter's flush, asked for again until it covers everything.
    flush: Flush,
    /// Whether all that it has to cover has left the shards.
    is_whole: bool,
    before: Ledger,
    /// Spans lost that an earlier report had told of when it began.
    reported: u64,
    /// Kept from its end until it is fetched.
    report: Option<FlushReport>,
    is_forgotten: bool,
}

impl Pipeline {
    /// A pipeline, and the provider that records into it.
    ///
    /// # Errors
    ///
    /// The settings do not fit together; [`Config::resolve`](crate::hosted::config::Config::resolve)
    /// has checked nearly everything.
    pub fn new(settings: &Settings) -> Result<(Self, TracerProvider), PipelineError> {
        let attributes: Vec<_> = settings.resource.attributes().collect();
        let resource = Resource {
            attributes: &attributes,
            schema_url: settings.resource.schema_url(),
        };
        Hub::check_shard(settings.shard_bytes)?;
        let mut pipeline = Self::over(settings, Registry::new(Hub::registry_memory()?, &resource))?;
        pipeline.tail = settings.keep.as_ref().map(|keep| Box::new(Tail::new(keep)));
        let provider = TracerProvider::new(settings, Arc::clone(&pipeline.hub));
        Ok((pipeline, provider))
    }

    /// A pipeline for spans of the resource and the scopes in `registry`.
    fn over(
        settings: &Settings,
        registry: Result<Registry<Memory>, RegistryError>,
    ) -> Result<Self, PipelineError> {
        notice_fork();
        let (batch, patience) = (settings.first_due(), settings.when_full.patience());
        let hub = registry
            .and_then(|registry| Hub::new(registry, settings.shard_bytes, &batch, patience))
            .map_err(PipelineError::Resource)?;
        Self::on(Arc::new(hub), settings, batch.scheduled_delay)
    }

    /// A pipeline that sends what comes over `hub`, whose shards are emptied after `delay`.
    fn on(hub: Arc<Hub>, settings: &Settings, delay: Duration) -> Result<Self, PipelineError> {
        let concurrency = settings.concurrent_exports as usize;
        let buffer = Buffer::new(memory("buffer_bytes", settings.buffer_bytes)?)
            .with_overflow(settings.when_full.overflow())
            .with_max_records(settings.max_queue_size)
            .with_leases(concurrency + 2);
        let mut exporter = Exporter::new(settings.exporter, buffer, hub.copy_registry())
            .map_err(PipelineError::Config)?;
        exporter.set_concurrency(concurrency);
        let clock = Clock::new();
        Ok(Self {
            hub,
            exporter,
            branches: Vec::new(),
            is_branch: false,
            tail: None,
            collected: clock.now(),
            clock,
            #[cfg(feature = "testing")]
            is_dated: true,
            scheduled_delay: delay,
            left_in_shards: false,
            awaited: 0,
            flushes: Vec::new(),
            next_flush: 0,
            reported: 0,
            closing: None,
            losses: LossWatch::default(),
            loss_cause: None,
            oversized: LossWatch::default(),
            unsendable: 0,
            loss_events: Deque::new(),
            max_queue_size: settings.max_queue_size,
            shard_bytes: settings.shard_bytes,
            operations: OperationCounts::default(),
        })
    }

    /// Has the pipelines of further destinations get every span, too. Called before any is recorded.
    pub fn set_branches(&mut self, branches: Vec<Arc<dyn Branch>>) {
        self.branches = branches;
    }

    /// Sets what is called when a shard wants to be drained soon: from any recording thread, so it
    /// must be quick and must not record spans. The first one stays.
    pub fn set_waker(&self, waker: Box<dyn Fn() + Send + Sync>) {
        self.hub.set_waker(waker);
    }

    /// Moves spans on while a request is under way, and looks for losses. Returns true if there is a
    /// loss to report.
    pub fn look(&mut self) -> bool {
        self.step();
        !self.loss_events.is_empty()
    }

    /// The next request, if one is to be sent now.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        let now = self.step();
        self.exporter.poll_transmit(now)
    }

    /// See [`Exporter::read_body`].
    pub fn read_body(&self, transmit: &mut Transmit, target: &mut [u8]) -> usize {
        self.exporter.read_body(transmit, target)
    }

    /// See [`Exporter::handle_response`].
    pub fn handle_response(&mut self, transmit: Transmit, outcome: &Outcome<'_>) {
        let now = self.clock.now();
        self.exporter.handle_response(now, transmit, outcome);
        self.step();
    }

    /// See [`Exporter::note_resent`].
    pub fn note_resent(&mut self, transmit: &Transmit) {
        self.exporter.note_resent(transmit);
    }

    /// Takes back all requests in flight, which will not be answered: their futures were dropped.
    pub fn cancel_in_flight(&mut self) {
        let now = self.clock.now();
        self.exporter.cancel_in_flight(now);
        self.step();
    }

    /// See [`Exporter::fail_in_flight`].
    pub fn fail_in_flight(&mut self, body_sent: bool) {
        let now = self.clock.now();
        self.exporter.fail_in_flight(now, body_sent);
        self.step();
    }

    /// A sender panicked over one of several requests: this counts as a failed attempt. See
    /// [`Exporter::fail_in_flight`].
    pub fn fail(&mut self, transmit: &Transmit, body_sent: bool) {
        let now = self.clock.now();
        self.exporter.fail(now, transmit, body_sent);
        self.step();
    }

    /// Asks for everything ended so far to be sent. [`Pipeline::flush_report`] gives the report once
    /// the flush has ended: at once if there is nothing to wait for.
    pub fn force_flush(&mut self, deadline: Instant) -> FlushId {
        let id = FlushId(self.next_flush);
        self.next_flush += 1;
        let before = self.ledger();
        if !self.is_branch {
            self.hub.mark();
        }
        let flush = self.exporter.force_flush(self.clock.now(), deadline);
        self.flushes.push(PendingFlush {
            id,
            deadline,
            flush,
            is_whole: false,
            before,
            reported: self.reported,
            report: None,
            is_forgotten: false,
        });
        self.step();
        id
    }

    /// The report of a flush that has ended. `None` while it is under way, and after its report was
    /// fetched: reports are kept until then, or until [`Pipeline::forget_flush`].
    pub fn flush_report(&mut self, id: FlushId) -> Option<FlushReport> {
        self.end_flushes(self.clock.now());
        let is_it = |flush: &PendingFlush| flush.id == id && flush.report.is_some();
        let at = self.flushes.iter().position(is_it)?;
        let report = self.flushes.swap_remove(at).report?;
        self.note_reported(&report);
        Some(report)
    }

    /// Ends a flush that is not waited for any longer, and reports what it has reached. `None` after
    /// its report was fetched.
    pub fn end_flush(&mut self, id: FlushId) -> Option<FlushReport> {
        let now = self.clock.now();
        self.end_flushes(now);
        let at = self.flushes.iter().position(|flush| flush.id == id)?;
        let flush = self.flushes.swap_remove(at);
        let report = flush.report.unwrap_or_else(|| self.report_of(&flush, now));
        self.note_reported(&report);
        Some(report)
    }

    /// What `report` says of losses is known to its caller.
    fn note_reported(&mut self, report: &FlushReport) {
        self.reported = self.reported.max(report.lost);
    }

    /// Lets a flush go on without keeping its report.
    pub fn forget_flush(&mut self, id: FlushId) {
        for flush in &mut self.flushes {
            flush.is_forgotten |= flush.id == id;
        }
        self.end_flushes(self.clock.now());
    }

    /// Returns true if there are reports of ended flushes to fetch.
    #[must_use]
    pub fn has_flush_reports(&self) -> bool {
        self.flushes.iter().any(|flush| flush.report.is_some())
    }

    /// When to call [`Pipeline::poll_transmit`] next. Sooner does no harm.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.exporter.is_stopped() {
            return None;
        }
        let mut next = self.exporter.poll_timeout().unwrap_or(Instant::MAX);
        // Without a delay every span wakes.
        if !self.scheduled_delay.is_zero() {
            next = next.min(self.collected.saturating_add(self.scheduled_delay));
        }
        if let Some(tail) = &self.tail {
            next = next.min(tail.look_at(self.collected));
        }
        for flush in self.flushes_under_way() {
            next = next.min(flush.deadline);
        }
        if let Some(closing) = &self.closing {
            next = next.min(closing.deadline);
        }
        next = next
            .min(self.losses.look_at())
            .min(self.oversized.look_at());
        Some(next)
    }

    /// Where every span is, over all threads.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        let mut ledger = self.exporter.ledger();
        if self.is_branch {
            return ledger;
        }
        self.hub.add_to(&mut ledger);
        if let Some(tail) = &self.tail {
            tail.add_to(&mut ledger);
        }
        ledger
    }

    /// Counts of requests, retries and answers.
    #[must_use]
    pub fn stats(&self) -> DeliveryStats {
        let decided_early = self.tail.as_ref().map_or(0, |tail| tail.counts().early);
        DeliveryStats {
            decided_early,
            ..self.exporter.stats()
        }
    }

    /// What the pipeline tells about itself.
    #[must_use]
    pub fn metrics(&self) -> SdkMetrics {
        let ledger = self.ledger();
        let counts = self.hub.counts();
        let mut metrics = SdkMetrics {
            started: counts.started,
            live: counts.live,
            queue_size: ledger.buffered,
            queue_capacity: self.max_queue_size.into(),
            ledger,
            stats: self.stats(),
            ..SdkMetrics::default()
        };
        self.operations.enter(&mut metrics);
        metrics
    }

    /// The state of the circuit breaker.
    #[must_use]
    pub const fn circuit(&self) -> State {
        self.exporter.circuit()
    }

    /// See [`Exporter::server_message`].
    #[must_use]
    pub fn server_message(&self) -> &str {
        self.exporter.server_message()
    }

    /// The clock's present time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    #[cfg(not(feature = "testing"))]
    fn wall(&mut self) -> WallClock {
        self.clock.re_anchor()
    }

    #[cfg(feature = "testing")]
    fn wall(&mut self) -> WallClock {
        let wall = self.clock.re_anchor();
        if self.is_dated { wall } else { NO_OFFSET }
    }

    /// From now on, spans have the times of the process's clock as times since 1970. Returns how they
    /// would have been dated.
    #[cfg(feature = "testing")]
    pub(crate) fn stop_dating(&mut self) -> WallClock {
        self.is_dated = false;
        self.clock.re_anchor()
    }

    /// Moves time and spans on; the time to go on with.
    fn step(&mut self) -> Instant {
        let now = self.clock.now();
        let wall = self.wall();
        self.exporter.set_wall_clock(Some(wall));
        self.collect(now);
        for pending in &mut self.flushes {
            if !pending.is_whole {
                // The exporter's buffer must be emptied before the rest can come.
                pending.flush = self.exporter.force_flush(now, pending.deadline);
                pending.is_whole = self.awaited == 0;
            }
        }
        self.close(now);
        self.end_flushes(now);
        now
    }

    fn flushes_under_way(&self) -> impl Iterator<Item = &PendingFlush> {
        self.flushes.iter().filter(|flush| flush.report.is_none())
    }

    /// Keeps the reports of the flushes that have ended.
    fn end_flushes(&mut self, now: Instant) {
        if self.flushes.is_empty() {
            return;
        }
        let mut flushes = core::mem::take(&mut self.flushes);
        for flush in &mut flushes {
            if flush.report.is_none() && self.outcome_of(flush, now).is_some() {
                flush.report = Some(self.report_of(flush, now));
            }
        }
        flushes.retain(|flush| !flush.is_forgotten || flush.report.is_none());
        self.flushes = flushes;
    }

    /// Copies finished spans from the shards into the exporter's buffer, as far as there is room.
    fn collect(&mut self, now: Instant) {
        let limit = self.drain_limit(now);
        if self.exporter.is_stopped() {
            return;
        }
        self.hub.sync_registry(self.exporter.registry_mut());
        if self.is_branch {
            self.pass_time(now);
            return;
        }
        let drained = match self.tail.take() {
            None => self.collect_at_once(limit),
            Some(mut tail) => {
                let drained = self.collect_held_back(&mut tail, limit, now);
                self.tail = Some(tail);
                drained
            }
        };
        self.left_in_shards = !drained.is_complete;
        self.awaited = drained.awaited;
        if let Some(oldest) = drained.oldest {
            // An end that the application chose may lie in the future.
            self.exporter.observe_oldest(oldest.min(now));
        }
        if matches!(limit, DrainLimit::All) {
            self.collected = now;
        }
        self.watch(now, drained.lost);
    }

    #[inline]
    fn collect_at_once(&mut self, limit: DrainLimit) -> DrainOutcome {
        let mut collector = Collector {
            exporter: &mut self.exporter,
            branches: &self.branches,
            unsendable: 0,
        };
        let drained = self.hub.drain(limit, &mut collector);
        self.unsendable += collector.unsendable;
        drained
    }

    /// How much to drain. Usually one batch, so that spans reach this thread's cache just before they
    /// are encoded, in the same small part of the exporter's buffer. Everything, if a flush or a
    /// shutdown waits, if a span may have waited for the scheduled delay, or if the circuit is not
    /// closed: the exporter then chooses among all spans.
    fn drain_limit(&self, now: Instant) -> DrainLimit {
        let due = self.collected.saturating_add(self.scheduled_delay);
        let awaited = self.closing.is_some() || self.flushes_under_way().next().is_some();
        let undecided = self.tail.as_ref().is_some_and(|tail| tail.has_due());
        // Each destination has its own batches.
        let is_shared = !self.branches.is_empty();
        if now >= due
            || awaited
            || undecided
            || is_shared
            || self.exporter.circuit() != State::Closed
        {
            return DrainLimit::All;
        }
        let batch = &self.exporter.config().batch;
        let buffer = self.exporter.buffer();
        DrainLimit::Batch {
            spans: (batch.max_export_batch_size as usize).saturating_sub(buffer.queued()),
            bytes: batch.max_batch_bytes.saturating_sub(buffer.queued_bytes()),
        }
    }

    /// How a flush has ended, and the number of spans left; `None` while it is under way.
    fn outcome_of(&self, pending: &PendingFlush, now: Instant) -> Option<(FlushOutcome, u64)> {
        let report = self.exporter.poll_flush(&pending.flush, now);
        if pending.is_whole || self.exporter.is_stopped() {
            return report.map(|report| (report.outcome, report.left));
        }
        let awaited = self.awaited as u64;
        match report {
            // Of what has left the shards: the rest is still to come.
            Some(report) if report.outcome == FlushOutcome::Complete => {
                (now >= pending.deadline).then_some((FlushOutcome::TimedOut, awaited))
            }
            Some(report) => Some((report.outcome, report.left.saturating_add(awaited))),
            None => None,
        }
    }

    fn report_of(&self, pending: &PendingFlush, now: Instant) -> FlushReport {
        let ledger = self.ledger();
        let held = ledger.buffered.saturating_add(ledger.in_flight);
        let (outcome, left) = self
            .outcome_of(pending, now)
            .unwrap_or((FlushOutcome::TimedOut, held));
        report_between(outcome, left, &pending.before, pending.reported, &ledger)
    }
}

/// Moves spans from the shards into the exporter, as long as there is room.
struct Collector<'a> {
    exporter: &'a mut Exporter<Memory, Memory>,
    branches: &'a [Arc<dyn Branch>],
    unsendable: u64,
}

impl Drain for Collector<'_> {
    fn take_run(&mut self, fill: &mut Fill<'_>) -> Option<Run> {
        // Every destination gets each record.
        match self.branches.is_empty() {
            true => self.exporter.push_run(fill),
            false => None,
        }
    }

    fn take(&mut self, record: &Record<'_>) -> bool {
        for branch in self.branches {
            branch.push(record);
        }
        // With several destinations a full queue loses the span for its destination alone, and
        // holds nothing back.
        let has_room = self.exporter.has_room_for(record) || !self.branches.is_empty();
        if has_room {
            // A refusal for good has been counted by the exporter.
            let pushed = self.exporter.push_record(record);
            self.unsendable += u64::from(pushed == Err(PushError::TooLarge));
        }
        has_room
    }
}
