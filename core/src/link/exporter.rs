//! The device's side: which frame goes next.

use super::command::Command;
use super::config::LinkConfig;
use super::message::{Body, MIN_FRAME_BYTES, Part};
use super::state::State;
use crate::buffer::{Buffer, Lease, PushError, Record, RecordSink};
use crate::resource::{InstrumentationScope, Registry, RegistryError, Resource, ScopeId};
use crate::response::DropReason;
use crate::stats::Ledger;
use crate::time::Instant;

/// What an empty resource or scope looks like in a registry.
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
    /// A link without spans. `boot` tells this run of the device from others: a random number, or
    /// a counter kept in flash; it can be set [later](Self::set_boot).
    #[must_use]
    pub const fn new(
        config: LinkConfig,
        boot: u32,
        buffer: Buffer<B>,
        registry: Registry<R>,
    ) -> Self {
        Self {
            buffer,
            registry,
            lease: None,
            state: State::new(config, boot),
        }
    }

    /// Sets which run of the device this is; only before the first frame.
    pub const fn set_boot(&mut self, boot: u32) {
        if self.state.sequence == 0 {
            self.state.boot = boot;
        }
    }

    /// Which run of the device this is.
    #[must_use]
    pub const fn boot(&self) -> u32 {
        self.state.boot
    }

    /// Sends the resource and the scopes again, before the next span: for a driver that knows that
    /// there is somebody new at the other end.
    pub const fn announce(&mut self) {
        self.state.announce();
    }

    /// The buffer of finished spans.
    #[must_use]
    pub const fn buffer(&self) -> &Buffer<B> {
        &self.buffer
    }

    /// Where every span is. `exported` are those acknowledged, or handed out where nobody
    /// acknowledges.
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
    /// When it does not fit into the registry.
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
        let is_first = self.registry.scopes() == 0;
        let id = self.registry.scope(scope)?;
        if is_first && self.state.entry > 0 {
            // The nameless scope may have been announced in its place.
            self.state.announce();
        }
        Ok(id)
    }

    /// Writes the next frame to the start of `target`; its length, or `None` when there is nothing
    /// to send now. All of it must be sent, in order.
    ///
    /// `target` may be of any size from [`MIN_FRAME_BYTES`] and of another one each time: a span
    /// that is larger goes out in pieces. In less than that nothing is ever written.
    pub fn next_frame(&mut self, now: Instant, target: &mut [u8]) -> Option<usize> {
        if target.len() < MIN_FRAME_BYTES {
            return None;
        }
        self.resend_if_due(now);
        self.refill();
        let state = &mut self.state;
        if state.offset > 0 {
            // What is in pieces goes out in one go.
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

    /// What the host says: an acknowledgement, or the wish for an announcement. Commands for
    /// another boot are ignored.
    pub fn handle_command(&mut self, now: Instant, command: Command) {
        if command.boot() != self.state.boot {
            return;
        }
        match command {
            Command::Announce { .. } => self.state.announce(),
            Command::Ack { next, .. } => self.handle_ack(now, next),
        }
    }

    /// When to call [`LinkExporter::next_frame`] next: [`Instant::ZERO`] = there is a frame now;
    /// `None` = not before a span is pushed or a command arrives.
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
        // Nobody can have received what was never sent.
        let acked = acked.min(state.sent);
        if acked == 0 || state.config.acknowledged.is_none() {
            return;
        }
        self.buffer.release_first(lease, acked);
        if acked > state.place {
            // The span that was being repeated has arrived meanwhile.
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

    /// Begins the lease again when nobody has acknowledged it for too long.
    fn resend_if_due(&mut self, now: Instant) {
        let is_due = self.state.resend_at.is_some_and(|at| at <= now);
        if is_due && self.all_sent() {
            let state = &mut self.state;
            state.attempts = state.attempts.saturating_add(1);
            state.resend_at = None;
            state.place = 0;
            // Whoever listens now may not have heard what was announced.
            state.announce();
        }
    }

    /// Leases the next spans when none are in hand.
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

    /// How many entries are announced: the resource and the scopes, of which there is always one,
    /// because spans of the nameless scope bear its number.
    fn entries(&self) -> usize {
        1 + self.registry.scopes().max(1)
    }

    /// Whether every span of the lease is out.
    fn all_sent(&self) -> bool {
        self.lease
            .as_ref()
            .is_some_and(|lease| self.state.place >= self.buffer.lease_len(lease))
    }

    /// Whether there is no span to send now.
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

/// Takes finished spans in and keeps the ledger: what is refused here is counted here.
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
}

/// What is left of `whole` from `offset` on.
fn rest_of(whole: &[u8], offset: usize) -> Option<Part<'_>> {
    Some(Part {
        total: u32::try_from(whole.len()).ok()?,
        offset: u32::try_from(offset).ok()?,
        bytes: whole.get(offset..)?,
    })
}
