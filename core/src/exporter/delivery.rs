//! The delivery loop: which batch goes next, and what an answer does to it
//! (`reliability.md` 4.3 to 4.8).

use super::Exporter;
use super::event::Cause;
use super::transmit::{Flight, Transmit};
use crate::backoff::Backoff;
use crate::breaker::{State, Transition};
#[cfg(feature = "std")]
use crate::buffer::Run;
use crate::buffer::{Lease, RecordFlags};
use crate::request::{Body, BodyCursor, SCOPE_BYTES, request_overhead, scope_overhead};
use crate::resource::ScopeId;
use crate::response::{DropReason, Outcome, TransportError};
use crate::span::stored;
use crate::time::{Instant, duration_nanos};
use crate::wire::field_len;

/// A leased run of spans on its way to the collector.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) lease: Lease,
    /// The number of its first span, counted over all spans ever taken in.
    pub(super) first_number: u64,
    /// How many of its spans the next request carries: all, or fewer after a 413.
    pub(super) window: usize,
    pub(super) attempts: u32,
    /// Attempts that the breaker counted as failures.
    pub(super) failures: u32,
    pub(super) failed_probes: u32,
    pub(super) backoff: Backoff,
    pub(super) first_attempt: Option<Instant>,
    /// No attempt before this.
    pub(super) next_at: Instant,
    pub(super) suspect: bool,
    /// Another batch got through while this one was set aside: the destination is fine.
    pub(super) proven: bool,
    /// The one free repetition after a stale connection has been used for this attempt.
    pub(super) repeated: bool,
    pub(super) counted_as_duplicate: bool,
    /// What is known of its spans, if they came in by runs.
    #[cfg(feature = "std")]
    run: Option<Run>,
}

impl Batch {
    /// Whether all spans are known to have their wall-clock times.
    fn is_dated(&self) -> bool {
        #[cfg(feature = "std")]
        if let Some(run) = &self.run {
            return run.dated;
        }
        false
    }

    /// The scope of the spans that are to be sent, and the bytes of their fields, if both are known.
    fn known_fields(&self) -> Option<(ScopeId, usize)> {
        #[cfg(feature = "std")]
        if let Some(run) = self.run.filter(|run| run.records as usize == self.window) {
            return Some((run.scope?, run.field_bytes));
        }
        None
    }
}

impl<B, R> Exporter<B, R>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    R: AsRef<[u8]> + AsMut<[u8]>,
{
    /// The next request, if one is to be sent now. At most one is in flight (invariant I34).
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        let now = self.tick(now);
        if self.machine.stopped || self.machine.flight.is_some() {
            return None;
        }
        if self.machine.gate() > now || !self.select(now) {
            return None;
        }
        let mut batch = self.current.take()?;
        // A wait that does not fit into time has no end: at the end of time nothing may spin.
        if batch.next_at > now || batch.next_at == Instant::MAX {
            self.current = Some(batch);
            return None;
        }
        let draw = self.machine.draw();
        let permit = self
            .machine
            .breaker
            .try_acquire(now, draw)
            .or_else(|refused| {
                // The last attempt of a shutdown, which `gate` let through.
                match &mut self.machine.shutdown {
                    Some(shutdown) if !shutdown.forced => {
                        shutdown.forced = true;
                        self.machine.breaker.acquire_forced(now, draw)
                    }
                    _ => Err(refused),
                }
            });
        let Ok(permit) = permit else {
            self.current = Some(batch);
            return None;
        };
        if !batch.is_dated() {
            self.date(&batch);
        }
        batch.attempts = batch.attempts.saturating_add(1);
        if batch.first_attempt.is_none() {
            batch.first_attempt = Some(now);
        }
        let layout = Body {
            buffer: &self.buffer,
            lease: &batch.lease,
            entries: self.registry.view(),
        }
        .layout(batch.window, batch.known_fields());
        let machine = &mut self.machine;
        let timeout = machine.config.request_timeout;
        let deadline = if timeout.is_zero() {
            Instant::MAX
        } else {
            now.saturating_add(timeout)
        };
        machine.generation = machine.generation.wrapping_add(1);
        machine.stats.attempts = machine.stats.attempts.saturating_add(1);
        machine.flight = Some(Flight {
            permit,
            expires: deadline.saturating_add(machine.config.timeout_slack),
            layout,
        });
        let transmit = Transmit {
            generation: machine.generation,
            cursor: BodyCursor::START,
            layout,
            deadline,
            attempt: batch.attempts,
        };
        self.current = Some(batch);
        Some(transmit)
    }

    /// Lets time pass: everything that is due by itself. The time to go on with.
    pub(super) fn tick(&mut self, now: Instant) -> Instant {
        let now = self.machine.advance(now);
        if self
            .machine
            .flight
            .as_ref()
            .is_some_and(|flight| flight.expires <= now)
        {
            let lost = TransportError::Timeout { body_sent: true };
            self.settle(now, &Outcome::Failed(lost));
        }
        if let Some(transition) = self.machine.breaker.handle_timeout(now) {
            self.on_transition(transition, now);
        }
        self.expire(now);
        self.machine.trigger.observe(now, self.buffer.queued());
        self.advance_shutdown(now);
        now
    }

    /// When the next attempt may start; [`Instant::MAX`] when there is nothing to send.
    pub(super) fn next_attempt(&self) -> Instant {
        let mut ready = Instant::MAX;
        match &self.current {
            Some(batch) => ready = batch.next_at,
            None => {
                for batch in self.parked.iter().flatten() {
                    ready = ready.min(batch.next_at);
                }
                if let Some(due) = self.queue_due() {
                    ready = ready.min(due);
                }
            }
        }
        ready.max(self.machine.gate())
    }

    /// When the oldest batch gets too old; [`Instant::MAX`] when none does.
    pub(super) fn next_expiry(&self) -> Instant {
        let age = self.machine.config.max_batch_age;
        let mut first = Instant::MAX;
        if !age.is_zero() {
            for started in self.batches().filter_map(|batch| batch.first_attempt) {
                first = first.min(started);
            }
        }
        first.saturating_add(age)
    }

    pub(super) fn batches(&self) -> impl Iterator<Item = &Batch> {
        // As references of one size: pointers to batches would have to be divided by their size.
        let [first, second] = &self.parked;
        [first, second, &self.current].into_iter().flatten()
    }

    pub(super) fn batches_mut(&mut self) -> impl Iterator<Item = &mut Batch> {
        let [first, second] = &mut self.parked;
        [first, second, &mut self.current].into_iter().flatten()
    }

    pub(super) fn take_any_batch(&mut self) -> Option<Batch> {
        self.take_parked().or_else(|| self.current.take())
    }

    /// Drops a whole batch.
    pub(super) fn drop_batch(&mut self, batch: Batch, reason: DropReason, cause: Option<Cause>) {
        let spans = self.buffer.lease_len(&batch.lease) as u64;
        let attempts = batch.attempts;
        self.buffer.release(batch.lease);
        self.machine.give_up(spans, reason, attempts, cause);
    }

    /// Makes sure that `current` is the batch to send next; false when there is none.
    fn select(&mut self, now: Instant) -> bool {
        let healthy = self.machine.breaker.state() == State::Closed;
        // A suspect that nothing could stand in for when it failed makes way for spans that have
        // come in since.
        if !healthy && self.buffer.queued() > 0 {
            if let Some(suspect) = self.current.take_if(|batch| batch.suspect) {
                self.park(suspect);
            }
        }
        if self.current.is_some() {
            return true;
        }
        let suspect_due = self
            .parked
            .iter()
            .flatten()
            .any(|batch| batch.next_at <= now);
        // A healthy destination gets the oldest spans first, an unhealthy one gets any batch but
        // a suspect.
        if healthy && suspect_due {
            self.current = self.take_parked();
        } else if self.queue_due().is_some_and(|due| due <= now) {
            self.current = self.lease(now);
        }
        if self.current.is_none() && suspect_due {
            self.current = self.take_parked();
        }
        self.current.is_some()
    }

    /// When the queued spans are due.
    fn queue_due(&self) -> Option<Instant> {
        let queued = self.buffer.queued();
        let first = self.machine.pushed.saturating_sub(queued as u64);
        let probe_wanted = self.machine.breaker.state() != State::Closed
            && self.parked.iter().any(Option::is_some);
        let at_once = probe_wanted || self.machine.shutdown.is_some();
        if queued > 0 && (first < self.machine.flush_target || at_once) {
            return Some(Instant::ZERO);
        }
        self.machine
            .trigger
            .due_at(queued, self.buffer.queued_bytes())
    }

    fn lease(&mut self, now: Instant) -> Option<Batch> {
        let first_number = self
            .machine
            .pushed
            .saturating_sub(self.buffer.queued() as u64);
        let config = &self.machine.config;
        let limit = match self.machine.learned {
            Some((limit, until)) if now < until => limit,
            _ => config.max_request_bytes,
        };
        let entries = self.registry.view();
        let mut size = request_overhead(entries);
        let mut count = 0;
        // Scopes counted so far; one that does not fit in here is counted again, which only makes
        // the estimate larger.
        let mut scopes = heapless::Vec::<ScopeId, 8>::new();
        let most = config.batch.max_export_batch_size;
        // Nearly always all that is queued would fit, whatever its scopes: nothing to add up then.
        let queued = self.buffer.queued_bytes() + self.buffer.queued() * SCOPE_BYTES;
        let fits = size + queued + self.registry.used_bytes() <= limit;
        #[cfg(feature = "std")]
        if fits {
            let whole = self.buffer.lease_queue(|run| run.records <= most);
            if let Some((lease, run)) = whole {
                let batch = self.batch(now, first_number, lease);
                return Some(Batch {
                    run: Some(run),
                    ..batch
                });
            }
        }
        let lease = self.buffer.lease(&mut |record| {
            if fits {
                count += 1;
                return count <= most;
            }
            let mut need = field_len(record.body.len());
            if !scopes.contains(&record.scope) {
                need += scope_overhead(entries, record.scope);
            }
            if count >= most || (count > 0 && size + need > limit) {
                return false;
            }
            if !scopes.contains(&record.scope) && scopes.push(record.scope).is_err() {
                scopes.clear();
            }
            count += 1;
            size += need;
            true
        })?;
        Some(self.batch(now, first_number, lease))
    }

    /// A batch of what has just been leased.
    #[inline]
    fn batch(&mut self, now: Instant, first_number: u64, lease: Lease) -> Batch {
        self.machine.trigger.taken(now, self.buffer.queued());
        Batch {
            window: self.buffer.lease_len(&lease),
            lease,
            first_number,
            attempts: 0,
            failures: 0,
            failed_probes: 0,
            backoff: Backoff::clamped(self.machine.config.backoff),
            first_attempt: None,
            next_at: Instant::ZERO,
            suspect: false,
            proven: false,
            repeated: false,
            counted_as_duplicate: false,
            #[cfg(feature = "std")]
            run: None,
        }
    }

    /// Gives the records of a batch their wall-clock times, each once.
    fn date(&mut self, batch: &Batch) {
        let Some(clock) = self.machine.wall_clock else {
            return;
        };
        self.buffer.update(&batch.lease, &mut |flags, body| {
            if flags.contains(RecordFlags::DATED) {
                return flags;
            }
            stored::date(body, flags.contains(RecordFlags::HAS_EVENTS), clock);
            flags.with(RecordFlags::DATED)
        });
    }

    /// Drops batches that are too old, but not the one in flight.
    fn expire(&mut self, now: Instant) {
        let age = self.machine.config.max_batch_age;
        if age.is_zero() || self.machine.flight.is_some() {
            return;
        }
        let age = duration_nanos(age);
        // Not by a sum, which at the end of time is reached by what has just begun.
        let is_old = |batch: &Batch| {
            batch
                .first_attempt
                .is_some_and(|first| now.nanos_since(first) >= age)
        };
        if let Some(batch) = self.current.take_if(|batch| is_old(batch)) {
            self.drop_batch(batch, DropReason::Expired, None);
        }
        while let Some(batch) = self
            .parked
            .iter()
            .position(|parked| parked.as_ref().is_some_and(is_old))
            .and_then(|place| self.take_parked_at(place))
        {
            self.drop_batch(batch, DropReason::Expired, None);
        }
    }

    /// Sets a suspect aside, so that the next probe uses another batch.
    pub(super) fn park(&mut self, batch: Batch) {
        let full = self.parked.iter().all(Option::is_some);
        if full {
            let proven = self
                .parked
                .iter()
                .flatten()
                .next()
                .is_some_and(|b| b.proven);
            if !proven {
                // Nothing got through since: the destination is at fault, not these batches.
                self.current = Some(batch);
                return;
            }
            if let Some(guilty) = self.take_parked() {
                self.drop_batch(guilty, DropReason::Poison, None);
            }
        }
        if let Some(place) = self.parked.iter_mut().find(|place| place.is_none()) {
            *place = Some(batch);
        }
    }

    /// The suspect set aside first; the others move up.
    fn take_parked(&mut self) -> Option<Batch> {
        self.take_parked_at(0)
    }

    fn take_parked_at(&mut self, place: usize) -> Option<Batch> {
        let behind = self.parked.get_mut(place..)?;
        let batch = behind.first_mut()?.take();
        behind.rotate_left(1);
        batch
    }

    /// Reports a change of the circuit. When it has closed: how many nanoseconds it was not, which do
    /// not count as time spent retrying.
    pub(super) fn on_transition(&mut self, transition: Transition, now: Instant) -> Option<u64> {
        let open = self.machine.note(transition, now)?;
        for batch in self.batches_mut() {
            batch.backoff.exclude_nanos(open);
        }
        Some(open)
    }
}
