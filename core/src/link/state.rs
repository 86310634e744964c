//! The state of a link without its memory, so that the logic is compiled once for all kinds of
//! memory.

use super::config::LinkConfig;
use super::message::{Body, Message, Resumed, VERSION};
use crate::buffer::PushError;
use crate::time::{Instant, divide, duration_nanos};

/// Spans that are sent between two frames of counts while spans are being lost.
const SPANS_PER_COUNTS: u8 = 8;
/// The most times that the pause before a repetition doubles.
const MOST_DOUBLINGS: u32 = 5;

#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub(super) config: LinkConfig,
    pub(super) boot: u32,
    pub(super) sequence: u32,
    /// The next entry of the registry to announce, and how much of it is out.
    pub(super) entry: usize,
    pub(super) entry_offset: usize,
    /// When the last announcement was made; `None` before the first one.
    pub(super) announced_at: Option<Instant>,
    /// The number of the first span of the lease.
    pub(super) first: u64,
    /// The place of the next span to send within the lease, and how much of it is out.
    pub(super) place: usize,
    pub(super) offset: usize,
    /// Spans of the lease that have been sent at least once.
    pub(super) sent: usize,
    /// When the lease is sent again.
    pub(super) resend_at: Option<Instant>,
    /// Repetitions since something was acknowledged.
    pub(super) attempts: u32,
    /// Spans acknowledged, or sent if there are no acknowledgements.
    pub(super) settled: u64,
    pub(super) counts: Counts,
    sent_counts: Counts,
    /// Spans that may still be sent before the counts.
    pub(super) until_counts: u8,
    /// How often the clock has stood still, and when it last went on, in device time.
    pub(super) resumed: u8,
    pub(super) resumed_at: Instant,
}

/// The totals that are sent to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) ended: u64,
    pub(super) queue_full: u64,
    pub(super) too_large: u64,
}

impl Counts {
    const NONE: Self = Self {
        ended: 0,
        queue_full: 0,
        too_large: 0,
    };
}

impl State {
    pub(super) const fn new(config: LinkConfig, boot: u32) -> Self {
        Self {
            config,
            boot,
            sequence: 0,
            entry: 0,
            entry_offset: 0,
            announced_at: None,
            first: 0,
            place: 0,
            offset: 0,
            sent: 0,
            resend_at: None,
            attempts: 0,
            settled: 0,
            counts: Counts::NONE,
            sent_counts: Counts::NONE,
            until_counts: 0,
            resumed: 0,
            resumed_at: Instant::ZERO,
        }
    }

    pub(super) fn clock_resumed(&mut self, now: Instant) {
        self.resumed = self.resumed.checked_add(1).unwrap_or(1);
        self.resumed_at = now;
    }

    /// Counts a push that ended with `result` and evicted others.
    pub(super) fn count(&mut self, result: Result<(), PushError>, evicted: u64) {
        let counts = &mut self.counts;
        counts.ended = counts.ended.saturating_add(1);
        counts.queue_full = counts.queue_full.saturating_add(evicted);
        let reason = match result {
            Ok(()) => return,
            Err(PushError::TooLarge) => &mut counts.too_large,
            Err(_) => &mut counts.queue_full,
        };
        *reason = reason.saturating_add(1);
    }

    /// Counts spans that were dropped before they came here.
    pub(super) fn count_refused(&mut self, reason: PushError, spans: u64) {
        let counts = &mut self.counts;
        counts.ended = counts.ended.saturating_add(spans);
        let count = match reason {
            PushError::TooLarge => &mut counts.too_large,
            _ => &mut counts.queue_full,
        };
        *count = count.saturating_add(spans);
    }

    /// Counts the first `spans` of the lease as settled.
    pub(super) fn settle(&mut self, spans: usize) {
        self.settled = self.settled.saturating_add(spans as u64);
        self.first = self.first.saturating_add(spans as u64);
        self.place = self.place.saturating_sub(spans);
        self.sent = self.sent.saturating_sub(spans);
    }

    pub(super) const fn announce(&mut self) {
        (self.entry, self.entry_offset) = (0, 0);
        self.until_counts = 0;
        // The counts are part of it.
        self.sent_counts = Counts::NONE;
    }

    pub(super) fn announcement_due(&self, now: Instant) -> bool {
        let every = self.config.announce_every;
        let due = |at: Instant| at.saturating_add(every) <= now;
        !every.is_zero() && self.entry > 0 && self.announced_at.is_some_and(due)
    }

    /// Returns true if the counts go next: losses soon, other changes when there is no span to
    /// send.
    pub(super) fn counts_due(&self, is_idle: bool) -> bool {
        let lossless = Counts {
            ended: self.counts.ended,
            ..self.sent_counts
        };
        match self.counts {
            counts if counts == self.sent_counts => false,
            counts if counts == lossless => is_idle,
            _ => is_idle || self.until_counts == 0,
        }
    }

    pub(super) fn counts_frame(&mut self, now: Instant, target: &mut [u8]) -> Option<usize> {
        let counts = self.counts;
        let body = Body::Counts {
            ended: counts.ended,
            queue_full: counts.queue_full,
            too_large: counts.too_large,
        };
        let (len, _) = self.frame(now, body, target)?;
        self.sent_counts = counts;
        self.until_counts = SPANS_PER_COUNTS;
        Some(len)
    }

    /// Writes a frame, with as much of its fragment as fits, and returns the frame's length and the
    /// fragment's. If there is no room, nothing changes.
    pub(super) fn frame(
        &mut self,
        now: Instant,
        body: Body<'_>,
        target: &mut [u8],
    ) -> Option<(usize, usize)> {
        let message = Message {
            version: VERSION,
            boot: self.boot,
            sequence: self.sequence,
            now: now.as_nanos(),
            body,
        };
        let resumed = (self.resumed > 0).then(|| {
            let millis = divide(now.nanos_since(self.resumed_at), 1_000_000).0;
            Resumed {
                times: self.resumed,
                millis: u32::try_from(millis).unwrap_or(u32::MAX),
            }
        });
        let done = message.encode(resumed, target)?;
        // 0 is kept for the first frame of a boot.
        self.sequence = self.sequence.checked_add(1).unwrap_or(1);
        Some(done)
    }

    /// The time at which to repeat spans that were sent at `now`.
    pub(super) fn resend_time(&self, now: Instant) -> Option<Instant> {
        // In nanoseconds: arithmetic on `Duration` would bring in a division of 64 bits.
        let retry = duration_nanos(self.config.acknowledged?);
        let doubled = retry.saturating_mul(1 << self.attempts.min(MOST_DOUBLINGS));
        let at = now.as_nanos().saturating_add(doubled);
        Some(Instant::from_nanos(at))
    }
}
