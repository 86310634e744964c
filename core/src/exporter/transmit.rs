//! Requests: which spans the next one carries, and the [`Transmit`] that a driver carries out.

use core::time::Duration;

use super::Exporter;
use super::batches::{Batch, Choice};
use crate::breaker::Permit;
use crate::buffer::{Lease, RecordFlags, Totals};
use crate::request::{Body, BodyCursor, Layout, SCOPE_BYTES, request_overhead, scope_overhead};
use crate::resource::ScopeId;
use crate::response::DropReason;
use crate::span::stored;
use crate::time::Instant;
use crate::wire::field_len;

/// How long a size that a 413 taught is remembered.
const LEARNED_FOR: Duration = Duration::from_secs(600);

/// A request to be sent: one POST of [`content_length`](Transmit::content_length) bytes of
/// `application/x-protobuf`, to be read with [`Exporter::read_body`].
///
/// It must come back through [`Exporter::handle_response`] or [`Exporter::cancel`], exactly once.
/// One that is lost counts as timed out after its deadline.
#[derive(Debug)]
#[must_use = "the batch stays in flight until the transmit is answered"]
pub struct Transmit {
    generation: u32,
    cursor: BodyCursor,
    layout: Layout,
    deadline: Instant,
    attempt: u32,
}

impl Transmit {
    /// The length of the body in bytes, before compression.
    #[must_use]
    pub const fn content_length(&self) -> usize {
        self.layout.total
    }

    /// The number of spans in the body.
    #[must_use]
    pub const fn spans(&self) -> usize {
        self.layout.window
    }

    /// When the request must be over; [`Instant::MAX`] = no limit.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Which attempt of its batch this is, from 1.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The number of its flight.
    pub(super) const fn generation(&self) -> u32 {
        self.generation
    }

    /// Returns true if the whole body has been read.
    #[must_use]
    pub const fn is_read(&self) -> bool {
        self.cursor.is_at_end()
    }

    /// Reads the body again from its start; the bytes are the same.
    pub const fn rewind(&mut self) {
        self.cursor = BodyCursor::START;
    }
}

#[derive(Debug)]
pub(super) struct Flight {
    /// The number of its transmit.
    pub(super) generation: u32,
    #[cfg(feature = "std")]
    pub(super) began: Instant,
    pub(super) permit: Permit,
    /// When it counts as timed out.
    pub(super) expires: Instant,
    pub(super) layout: Layout,
}

/// The request in hand that is in flight, if there is one. Each has a number of its own, so that a late
/// answer finds nothing.
#[derive(Debug)]
pub(super) struct Flights {
    flight: Option<Flight>,
    started: u32,
}

impl Flights {
    pub(super) const fn none() -> Self {
        Self {
            flight: None,
            started: 0,
        }
    }

    pub(super) const fn current(&self) -> Option<&Flight> {
        self.flight.as_ref()
    }

    pub(super) const fn is_any(&self) -> bool {
        self.flight.is_some()
    }

    /// Returns true if `transmit` is the request in flight.
    pub(super) const fn is_current(&self, transmit: &Transmit) -> bool {
        matches!(&self.flight, Some(flight) if flight.generation == transmit.generation)
    }

    fn next_generation(&mut self) -> u32 {
        self.started = self.started.wrapping_add(1);
        self.started
    }

    /// Goes on with a request that was set aside.
    #[cfg(feature = "std")]
    pub(super) fn resume(&mut self, flight: Option<Flight>) {
        self.flight = flight;
    }

    pub(super) const fn end(&mut self) -> Option<Flight> {
        self.flight.take()
    }
}

/// A limit for requests that a 413 taught.
#[derive(Clone, Copy, Debug)]
pub(super) struct Learned(Option<(usize, Instant)>);

impl Learned {
    pub(super) const NOTHING: Self = Self(None);

    /// A request of `refused` bytes was too large: half of it is the limit for some time.
    pub(super) const fn refuse(&mut self, now: Instant, refused: usize) {
        self.0 = Some((refused / 2, now.saturating_add(LEARNED_FOR)));
    }

    fn limit(self, now: Instant, configured: usize) -> usize {
        match self.0 {
            Some((limit, until)) if now < until => limit,
            _ => configured,
        }
    }
}

impl<B, R> Exporter<B, R>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    R: AsRef<[u8]> + AsMut<[u8]>,
{
    /// Returns the next request, if one is to be sent now. At most one is in flight.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        let now = self.tick(now);
        if self.closing.is_stopped() || self.is_busy() {
            return None;
        }
        self.step_aside();
        if self.schedule.gate(self.closing.pace()) > now || !self.select(now) {
            return None;
        }
        let batch = self.batches.ready(now)?;
        let closing = &mut self.closing;
        let permit = self.schedule.acquire(now, || closing.take_last_attempt())?;
        if !batch.is_dated() {
            if let Some(clock) = self.wall_clock {
                self.buffer.update(batch.lease(), &mut |flags, body| {
                    if flags.contains(RecordFlags::DATED) {
                        return flags;
                    }
                    stored::date(body, flags.contains(RecordFlags::HAS_EVENTS), clock);
                    flags.with(RecordFlags::DATED)
                });
                batch.mark_dated();
            }
        }
        batch.start_attempt(now);
        let layout = Body {
            buffer: &self.buffer,
            lease: batch.lease(),
            entries: self.registry.view(),
        }
        .layout(batch.window(), batch.fields());
        let timeout = self.config.request_timeout;
        let deadline = if timeout.is_zero() {
            Instant::MAX
        } else {
            now.saturating_add(timeout)
        };
        let export = match self.closing.is_shutting_down() {
            true => Duration::ZERO,
            false => self.config.export_timeout,
        };
        let deadline = deadline.min(batch.limit_export(now, export, permit.is_probe()));
        let deadline = self.closing.request_deadline(now, deadline);
        self.books.count_attempt();
        let generation = self.flights.next_generation();
        self.flights.flight = Some(Flight {
            generation,
            #[cfg(feature = "std")]
            began: now,
            permit,
            expires: deadline.saturating_add(self.config.timeout_slack),
            layout,
        });
        Some(Transmit {
            generation,
            cursor: BodyCursor::START,
            layout,
            deadline,
            attempt: batch.attempts(),
        })
    }

    /// Copies the next bytes of the body into `target`, which may be of any size, and returns how
    /// many. Returns 0 at the end, and for a request that is no longer in flight.
    ///
    /// Spans may be pushed between two reads.
    pub fn read_body(&self, transmit: &mut Transmit, target: &mut [u8]) -> usize {
        let batch = match self.flights.is_current(transmit) {
            true => self.batches.in_hand(),
            false => self.lanes.find(transmit.generation),
        };
        let Some(batch) = batch else {
            return 0;
        };
        let body = Body {
            buffer: &self.buffer,
            lease: batch.lease(),
            entries: self.registry.view(),
        };
        body.read(&transmit.layout, &mut transmit.cursor, target)
    }

    /// Takes the batch in hand that is to be sent next; false when there is none.
    fn select(&mut self, now: Instant) -> bool {
        let healthy = self.schedule.is_healthy();
        if !healthy && self.buffer.queued() > 0 {
            self.make_way(now);
        }
        let queue_is_due = self.queue_due().is_some_and(|due| due <= now);
        match self.batches.choose(now, healthy, queue_is_due) {
            Some(Choice::InHand) => {}
            Some(Choice::Suspect) => self.batches.take_up_suspect(),
            Some(Choice::Queue) => {
                let Some((lease, totals)) = self.lease(now) else {
                    return false;
                };
                let batch = self.batch(now, lease, totals);
                self.batches.put_in_hand(batch);
            }
            None => return false,
        }
        true
    }

    /// A suspect that nothing could stand in for when it failed makes way for spans that have come
    /// in since.
    // Apart, because the stack would have room for its batches in every `poll_transmit`.
    #[cold]
    #[inline(never)]
    fn make_way(&mut self, now: Instant) {
        if let Some(guilty) = self.batches.park_suspect_in_hand() {
            self.drop_batch(now, guilty, DropReason::Poison, None);
        }
    }

    /// When the queued spans are due.
    pub(super) fn queue_due(&self) -> Option<Instant> {
        if self.config.hold_until_dated && self.wall_clock.is_none() {
            return None;
        }
        let queued = self.buffer.queued();
        let first = self.intake.first_queued(queued);
        let probe_wanted = !self.schedule.is_healthy() && self.batches.has_parked();
        if queued > 0 && (probe_wanted || self.closing.wants(first)) {
            return Some(Instant::ZERO);
        }
        self.schedule.batch_due(queued, self.buffer.queued_bytes())
    }

    /// Leases the oldest queued spans, as many as one request may carry.
    fn lease(&mut self, now: Instant) -> Option<(Lease, Option<Totals>)> {
        let limit = self.learned.limit(now, self.config.max_request_bytes);
        let entries = self.registry.view();
        let mut size = request_overhead(entries);
        let most = self.config.batch.max_export_batch_size;
        // Nearly always all that is queued would fit, whatever its scopes: nothing to add up then.
        let queued = self.buffer.queued_bytes() + self.buffer.queued() * SCOPE_BYTES;
        let fits = size + queued + self.registry.used_bytes() <= limit;
        if fits {
            if let Some((lease, totals)) = self.buffer.lease_queue(most) {
                return Some((lease, Some(totals)));
            }
        }
        let mut count = 0;
        // Scopes counted so far; one that does not fit in here is counted again, which only makes
        // the estimate larger.
        let mut scopes = heapless::Vec::<ScopeId, 8>::new();
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
        Some((lease, None))
    }

    /// A batch of what has just been leased.
    #[inline]
    fn batch(&mut self, now: Instant, lease: Lease, totals: Option<Totals>) -> Batch {
        let len = self.buffer.lease_len(&lease);
        let queued = self.buffer.queued();
        self.schedule.taken(now, queued);
        let first_number = self.intake.first_queued(queued.saturating_add(len));
        Batch::new(lease, first_number, len, totals, self.config.backoff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::RandomIdGenerator;
    use crate::prelude::*;
    use crate::test_support::TestRng;

    #[test]
    fn half_of_what_was_refused_is_the_limit_for_ten_minutes() {
        let mut learned = Learned::NOTHING;
        let at = Instant::from_secs;
        assert_eq!(learned.limit(at(0), 1000), 1000);
        learned.refuse(at(5), 700);
        assert_eq!(learned.limit(at(604), 1000), 350);
        assert_eq!(learned.limit(at(605), 1000), 1000);
    }

    /// An exporter with spans of two scopes, each of `len` bytes.
    fn exporter(len: usize) -> Exporter<[u8; 512], [u8; 128]> {
        let buffer = Buffer::new([0; 512]);
        let registry = Registry::empty([0; 128]);
        let mut exporter = Exporter::clamped(ExporterConfig::DEFAULT, buffer, registry);
        let body = [0; 64];
        for scope in [0, 0, 1, 1] {
            let record = crate::buffer::Record {
                scope: ScopeId(scope),
                flags: RecordFlags::DATED,
                body: &body[..len],
            };
            exporter.push_record(&record).unwrap();
        }
        exporter
    }

    #[test]
    fn nothing_is_sent_before_the_date_is_known() {
        let config = ExporterConfig {
            hold_until_dated: true,
            ..ExporterConfig::DEFAULT
        };
        let registry = Registry::empty([0_u8; 128]);
        let mut exporter = Exporter::clamped(config, Buffer::new([0_u8; 512]), registry);
        let ids = RandomIdGenerator::new(TestRng::new(1));
        let mut tracer = BareTracer::new(AlwaysOn, ids);
        let at = Instant::from_secs(2);
        let span = tracer.start::<128>(SpanBuilder::new("boot"), at);
        span.end(at, &mut exporter).unwrap();
        for now in [3, 30, 3_000].map(Instant::from_secs) {
            assert!(exporter.poll_transmit(now).is_none());
            assert_eq!(exporter.poll_timeout(), None, "nothing is waited for");
        }
        // Not even by a flush, which ends by its time limit.
        let limit = Instant::from_secs(4_000);
        let flush = exporter.force_flush(Instant::from_secs(3_500), limit);
        let at = Instant::from_secs(3_600);
        assert!(exporter.poll_transmit(at).is_none());
        assert_eq!(
            (exporter.poll_timeout(), exporter.poll_flush(&flush, at)),
            (None, None)
        );
        let report = exporter.poll_flush(&flush, limit).unwrap();
        assert_eq!(report.outcome, FlushOutcome::TimedOut);
        let now = Instant::from_secs(5_000);
        exporter.handle_timeout(now);
        let clock = WallClock::from_pair(now, UnixNanos::from_secs(1_700_000_000));
        exporter.set_wall_clock(Some(clock));
        let mut sent = exporter.poll_transmit(now).unwrap();
        let mut body = [0; 512];
        let len = exporter.read_body(&mut sent, &mut body);
        let start = (1_699_995_002 * 1_000_000_000_u64).to_le_bytes();
        assert!(body[..len].windows(8).any(|eight| eight == start));
        assert_eq!(exporter.ledger().dropped_total(), 0);
    }

    #[test]
    fn a_batch_ends_before_the_span_that_would_not_fit_into_the_request() {
        let mut exporter = exporter(60);
        exporter.config.max_request_bytes = 260;
        let now = Instant::from_secs(1);
        exporter.force_flush(now, Instant::MAX);
        let first = exporter.poll_transmit(now).unwrap();
        assert!(first.content_length() <= 260, "{first:?}");
        assert_eq!(first.spans(), 3);
        exporter.handle_response(now, first, &Outcome::Response(Response::new(200)));
        assert_eq!(
            exporter.poll_transmit(now).map(|rest| rest.spans()),
            Some(1)
        );
    }

    #[test]
    fn in_a_shutdown_a_request_gets_half_of_the_time_that_is_left() {
        let mut exporter = exporter(20);
        let at = Instant::from_millis;
        exporter.shutdown(at(1000), at(6000));
        let hangs = exporter.poll_transmit(at(1000)).unwrap();
        assert_eq!(hangs.deadline(), at(3500));
        let late = Outcome::Failed(TransportError::Timeout { body_sent: true });
        exporter.handle_response(at(3500), hangs, &late);
        assert!(exporter.poll_timeout().unwrap() <= at(3600), "the backoff");
        let again = exporter.poll_transmit(at(3600)).unwrap();
        assert_eq!(again.deadline(), at(4800));
        exporter.handle_response(at(3601), again, &Outcome::Response(Response::new(200)));
        let report = exporter.poll_shutdown().unwrap();
        assert_eq!((report.exported, report.dropped), (4, 0));
    }

    #[test]
    fn a_shutdown_lengthens_no_request_and_one_without_end_limits_none() {
        for (end, deadline) in [(Instant::MAX, 11), (Instant::from_secs(60), 11)] {
            let mut exporter = exporter(20);
            exporter.shutdown(Instant::from_secs(1), end);
            let transmit = exporter.poll_transmit(Instant::from_secs(1)).unwrap();
            assert_eq!(transmit.deadline(), Instant::from_secs(deadline));
        }
    }

    #[test]
    fn a_late_answer_finds_no_flight_and_reads_nothing() {
        let mut exporter = exporter(20);
        let now = Instant::from_secs(1);
        exporter.force_flush(now, Instant::MAX);
        let mut late = exporter.poll_transmit(now).unwrap();
        let mut body = [0; 256];
        assert!(exporter.read_body(&mut late, &mut body) > 0);
        exporter.cancel_in_flight(now);
        let again = exporter.poll_transmit(now).unwrap();
        late.rewind();
        assert_eq!(exporter.read_body(&mut late, &mut body), 0);
        exporter.handle_response(now, late, &Outcome::Response(Response::new(200)));
        assert_eq!(exporter.ledger().exported, 0);
        assert_eq!((again.attempt(), again.spans()), (1, 4));
        exporter.handle_response(now, again, &Outcome::Response(Response::new(200)));
        assert_eq!(exporter.ledger().exported, 4);
    }
}
