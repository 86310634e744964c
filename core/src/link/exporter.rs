//! The device's side: chooses the next frame.

use super::command::Command;
use super::config::LinkConfig;
use super::message::{Body, MIN_FRAME_BYTES, Part};
use super::state::State;
use crate::buffer::{Buffer, Lease, PushError, Record, RecordSink};
use crate::resource::{InstrumentationScope, Registry, RegistryError, Resource, ScopeId};
use crate::response::DropReason;
use crate::stats::Ledger;
use crate::time::Instant;

/// An empty resource or scope in a registry.
const EMPTY_ENTRY: &[u8] = &[0; 4];

/// Keeps finished spans and cuts them into frames: see the [module](super).
#[derive(Debug)]
pub struct LinkExporter<B, R> {
    buffer: Buffer<B>,
    registry: Registry<R>,
    lease: Option<Lease>,
    state: State,
}

impl<B, R> LinkExporter<B, R> {
    /// A link that has sent nothing. Spans that `buffer` holds already, because it was recovered
    /// after a reset, count as ended. `boot` distinguishes this run of the device from others: a random
    /// number, or a counter kept in flash. It can be set [later](Self::set_boot).
    #[must_use]
    pub const fn new(
        config: LinkConfig,
        boot: u32,
        buffer: Buffer<B>,
        registry: Registry<R>,
    ) -> Self {
        let mut state = State::new(config, boot);
        state.counts.ended = buffer.len() as u64;
        Self {
            buffer,
            registry,
            lease: None,
            state,
        }
    }

    /// Sets the number of this run of the device; has no effect after the first frame.
    pub const fn set_boot(&mut self, boot: u32) {
        if self.state.sequence == 0 {
            self.state.boot = boot;
        }
    }

    /// Returns the number of this run of the device.
    #[must_use]
    pub const fn boot(&self) -> u32 {
        self.state.boot
    }

    /// Notes that the device's clock has stood still, as it does in the deep sleep of many
    /// processors, and has gone on at `now`. The host then dates what comes after it anew, and what
    /// ended before it as it did before. Call it before the next span is started.
    ///
    /// Without it, spans are dated by the time before the sleep for up to
    /// [`Anchor::PERIOD`](super::Anchor::PERIOD) of host time and one more frame. A device that knows
    /// how long it has slept, from a clock that goes on, adds that to its [`Instant`] instead.
    pub fn clock_resumed(&mut self, now: Instant) {
        self.state.clock_resumed(now);
    }

    /// Sends the resource and the scopes again, before the next span, for a driver that knows of a
    /// new host at the other end.
    pub const fn announce(&mut self) {
        self.state.announce();
    }

    /// Returns the buffer of finished spans.
    #[must_use]
    pub const fn buffer(&self) -> &Buffer<B> {
        &self.buffer
    }

    /// Returns the number of spans in each state. `exported` are those acknowledged, or sent if
    /// there are no acknowledgements.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        let counts = &self.state.counts;
        let mut ledger = Ledger::default();
        ledger.ended = counts.ended;
        ledger.exported = self.state.settled;
        ledger.buffered = self.buffer.len() as u64;
        ledger.drop_spans(DropReason::QueueFull, counts.queue_full);
        ledger.drop_spans(DropReason::TooLarge, counts.too_large);
        ledger
    }
}

impl<B, R> LinkExporter<B, R>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    R: AsRef<[u8]> + AsMut<[u8]>,
{
    /// Sets the resource; only before the first frame and before any scope.
    ///
    /// # Errors
    ///
    /// It does not fit into the registry.
    pub fn set_resource(&mut self, resource: &Resource<'_>) -> Result<(), RegistryError> {
        self.registry.set_resource(resource)
    }

    /// Returns the number of an instrumentation scope, for
    /// [`SpanBuilder::scope`](crate::tracer::SpanBuilder::scope).
    ///
    /// # Errors
    ///
    /// The registry has no room for a new scope.
    pub fn scope(&mut self, scope: &InstrumentationScope<'_>) -> Result<ScopeId, RegistryError> {
        let is_first = self.registry.scopes() == 0;
        let id = self.registry.scope(scope)?;
        if is_first && self.state.entry > 0 {
            // The nameless scope may have been announced in its place.
            self.state.announce();
        }
        Ok(id)
    }

    /// Writes the next frame to the start of `target` and returns its length, or `None` if there is
    /// nothing to send now. All of it must be sent, in order.
    ///
    /// `target` may have any size from [`MIN_FRAME_BYTES`], and a different one each time; larger
    /// spans are sent in pieces. In less memory nothing is ever written.
    pub fn next_frame(&mut self, now: Instant, target: &mut [u8]) -> Option<usize> {
        if target.len() < MIN_FRAME_BYTES {
            return None;
        }
        self.resend_if_due(now);
        self.refill();
        let state = &mut self.state;
        if state.offset > 0 {
            // The pieces of a span are sent in a row.
            return self.span_frame(now, target);
        }
        if self.lease.is_some() && state.announcement_due(now) {
            state.announce();
        }
        if state.entry < self.entries() {
            return self.entry_frame(now, target);
        }
        if self.counts_due() {
            return self.state.counts_frame(now, target);
        }
        self.span_frame(now, target)
    }

    /// Handles a command of the host: an acknowledgement, or a request for an announcement.
    /// Commands for another boot are ignored.
    pub fn handle_command(&mut self, now: Instant, command: Command) {
        if command.boot() != self.state.boot {
            return;
        }
        match command {
            Command::Announce { .. } => self.state.announce(),
            Command::Ack { next, .. } => self.handle_ack(now, next),
        }
    }

    /// Returns when to call [`LinkExporter::next_frame`] next. [`Instant::ZERO`]: there is a frame
    /// now. `None`: not before a span is pushed or a command arrives.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.state.entry < self.entries() || self.counts_due() || !self.is_idle() {
            return Some(Instant::ZERO);
        }
        self.state.resend_at
    }

    fn handle_ack(&mut self, now: Instant, next: u64) {
        let Some(lease) = &self.lease else {
            return;
        };
        let state = &mut self.state;
        let acked = usize::try_from(next.saturating_sub(state.first)).unwrap_or(usize::MAX);
        // Spans that were never sent cannot have been received.
        let acked = acked.min(state.sent);
        if acked == 0 || state.config.acknowledged.is_none() {
            return;
        }
        self.buffer.release_first(lease, acked);
        if acked > state.place {
            // The span that is being repeated has arrived meanwhile.
            state.offset = 0;
        }
        state.settle(acked);
        state.attempts = 0;
        state.resend_at = state.resend_time(now);
        if self.buffer.lease_len(lease) == 0 {
            state.resend_at = None;
            self.lease = None;
        }
    }

    /// Starts the lease over if no acknowledgement came in time.
    fn resend_if_due(&mut self, now: Instant) {
        let is_due = self.state.resend_at.is_some_and(|at| at <= now);
        if is_due && self.all_sent() {
            let state = &mut self.state;
            state.attempts = state.attempts.saturating_add(1);
            state.resend_at = None;
            state.place = 0;
            // A new host may have missed the announcement.
            state.announce();
        }
    }

    /// Leases the next spans if there is no lease.
    fn refill(&mut self) {
        if self.lease.is_some() {
            return;
        }
        let mut left = match self.state.config.acknowledged {
            Some(_) => self.state.config.window.max(1),
            None => 1,
        };
        self.lease = self.buffer.lease(&mut |_| {
            let take = left > 0;
            left = left.saturating_sub(1);
            take
        });
        (self.state.place, self.state.sent) = (0, 0);
    }

    fn entry_frame(&mut self, now: Instant, target: &mut [u8]) -> Option<usize> {
        let state = &mut self.state;
        let entry = self.registry.view().encoded(state.entry);
        let entry = entry.unwrap_or(EMPTY_ENTRY);
        let part = rest_of(entry, state.entry_offset)?;
        let body = Body::Entry {
            index: u16::try_from(state.entry).ok()?,
            part,
        };
        let (len, taken) = state.frame(now, body, target)?;
        if state.entry == 0 {
            state.announced_at = Some(now);
        }
        state.entry_offset += taken;
        if state.entry_offset >= entry.len() {
            (state.entry, state.entry_offset) = (state.entry + 1, 0);
        }
        Some(len)
    }

    fn span_frame(&mut self, now: Instant, target: &mut [u8]) -> Option<usize> {
        let state = &mut self.state;
        let lease = self.lease.as_ref()?;
        let record = self.buffer.records(lease).nth(state.place)?;
        let part = rest_of(record.body, state.offset)?;
        let body = Body::Span {
            number: state.first.saturating_add(state.place as u64),
            unacknowledged: match state.config.acknowledged {
                Some(_) => Some(u8::try_from(state.place).unwrap_or(u8::MAX)),
                None => None,
            },
            scope: record.scope.0,
            flags: record.flags.bits(),
            part,
        };
        let (len, taken) = state.frame(now, body, target)?;
        state.offset += taken;
        if state.offset >= record.body.len() {
            state.offset = 0;
            state.place += 1;
            state.sent = state.sent.max(state.place);
            state.until_counts = state.until_counts.saturating_sub(1);
            if state.config.acknowledged.is_some() {
                state.resend_at = state.resend_time(now);
            } else {
                state.settle(1);
                if let Some(lease) = self.lease.take() {
                    self.buffer.release(lease);
                }
            }
        }
        Some(len)
    }

    /// The number of entries that are announced: the resource and the scopes, of which there is at
    /// least one, because spans of the nameless scope carry its number.
    fn entries(&self) -> usize {
        1 + self.registry.scopes().max(1)
    }

    /// Returns true if every span of the lease has been sent.
    fn all_sent(&self) -> bool {
        self.lease
            .as_ref()
            .is_some_and(|lease| self.state.place >= self.buffer.lease_len(lease))
    }

    /// Returns true if there is no span to send now.
    fn is_idle(&self) -> bool {
        match self.lease {
            Some(_) => self.all_sent(),
            None => self.buffer.queued() == 0,
        }
    }

    fn counts_due(&self) -> bool {
        self.state.counts_due(self.is_idle())
    }
}

/// Takes finished spans and keeps the ledger: refused spans are counted here.
impl<B, R> RecordSink for LinkExporter<B, R>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    fn push_record(&mut self, record: &Record<'_>) -> Result<(), PushError> {
        let evicted = self.buffer.evicted();
        let result = self.buffer.push_record(record);
        let evicted = self.buffer.evicted() - evicted;
        self.state.count(result, evicted);
        result
    }

    fn has_room_for(&self, record: &Record<'_>) -> bool {
        self.buffer.has_room_for(record)
    }

    fn count_refused(&mut self, reason: PushError, spans: u64) -> bool {
        self.state.count_refused(reason, spans);
        true
    }
}

/// The rest of `whole` from `offset` on.
fn rest_of(whole: &[u8], offset: usize) -> Option<Part<'_>> {
    Some(Part {
        total: u32::try_from(whole.len()).ok()?,
        offset: u32::try_from(offset).ok()?,
        bytes: whole.get(offset..)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::RecordFlags;
    use crate::link::{Content, Decoder, DeviceCounts};
    use std::vec;
    use std::vec::Vec;

    fn push<S: RecordSink + ?Sized>(sink: &mut S, len: usize) {
        let _ = sink.push_record(&Record {
            scope: ScopeId::default(),
            flags: RecordFlags::NONE,
            body: &vec![0; len],
        });
    }

    fn link(buffer: Buffer<Vec<u8>>) -> LinkExporter<Vec<u8>, Vec<u8>> {
        let registry = Registry::new(vec![0; 64], &Resource::default()).unwrap();
        LinkExporter::new(LinkConfig::DEFAULT, 9, buffer, registry)
    }

    /// The last totals that a host gets.
    fn reported(link: &mut LinkExporter<Vec<u8>, Vec<u8>>) -> Option<DeviceCounts> {
        let mut decoder = Decoder::new([0_u8; 512], [0_u8; 4096]);
        let (mut frame, mut last) = ([0; 160], None);
        while let Some(len) = link.next_frame(Instant::from_secs(1), &mut frame) {
            let mut input = &frame[..len];
            while let Some(event) = decoder.next(&mut input) {
                if let Content::Counts(counts) = event.content {
                    last = Some(counts);
                }
            }
        }
        last
    }

    #[test]
    fn spans_that_outlived_a_reset_count_as_ended() {
        let mut buffer = Buffer::new(vec![0; 1024]);
        for _ in 0..3 {
            push(&mut buffer, 60);
        }
        let mut link = link(buffer);
        let ledger = link.ledger();
        assert_eq!((ledger.ended, ledger.buffered), (3, 3));
        assert!(ledger.is_balanced());
        assert_eq!(reported(&mut link).map(|counts| counts.ended), Some(3));
        assert!(link.ledger().is_closed());
    }

    #[cfg(feature = "critical-section")]
    #[test]
    fn the_host_hears_of_losses_in_front_of_the_link() {
        use crate::shared_buffer::SharedBuffer;

        let shared = SharedBuffer::new(Buffer::new(vec![0; 256]));
        for _ in 0..10 {
            push(&mut &shared, 60);
        }
        push(&mut &shared, 600);
        let mut link = link(Buffer::new(vec![0; 4096]));
        assert_eq!(shared.drain(&mut [0; 160], &mut link), 3);
        let counts = reported(&mut link).unwrap();
        assert_eq!(
            (counts.ended, counts.queue_full, counts.too_large),
            (11, 7, 1)
        );
        assert!(link.ledger().is_closed());
        // Losses without a span that arrives.
        push(&mut &shared, 600);
        assert_eq!(shared.drain(&mut [0; 160], &mut link), 0);
        assert_eq!(reported(&mut link).map(|counts| counts.too_large), Some(2));
        assert_eq!(shared.ledger().ended, 0);
    }
}
