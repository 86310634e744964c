//! The state of an exporter that does not depend on whose memory it uses.

use core::time::Duration;

use heapless::String;

use super::config::ExporterConfig;
use super::event::{Event, Events};
use super::flush::Shutdown;
use super::transmit::Flight;
use crate::batch::BatchTrigger;
use crate::breaker::{CircuitBreaker, State, Transition};
use crate::response::{DropReason, MessageText};
use crate::stats::{DeliveryStats, Ledger};
use crate::time::{Instant, WallClock};

/// Spans that a pause after recovery is worth: from this allowance on, the drain runs free.
const RAMP_END: u32 = 64;
const RAMP_PAUSE: Duration = Duration::from_millis(100);
const MESSAGE_BYTES: usize = 256;

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) config: ExporterConfig,
    pub(super) trigger: BatchTrigger,
    pub(super) breaker: CircuitBreaker,
    pub(super) flight: Option<Flight>,
    pub(super) generation: u32,
    /// No request before this: the destination asked for a pause.
    pub(super) not_before: Instant,
    /// No request before this: the drain after a recovery takes a breath.
    pub(super) ramp_until: Instant,
    ramp: Option<Ramp>,
    /// Since when the circuit has not been closed.
    pub(super) open_since: Option<Instant>,
    /// A request size that a 413 taught, and until when it holds.
    pub(super) learned: Option<(usize, Instant)>,
    pub(super) wall_clock: Option<WallClock>,
    /// Spans taken in; the number of the next one.
    pub(super) pushed: u64,
    /// Spans below this number are to be sent without waiting for a full batch.
    pub(super) flush_target: u64,
    pub(super) shutdown: Option<Shutdown>,
    pub(super) stopped: bool,
    /// Whether spans that ended before the shutdown are still on their way into the buffer.
    pub(super) more_to_come: bool,
    pub(super) latest: Instant,
    seed: u64,
    pub(super) ledger: Ledger,
    pub(super) stats: DeliveryStats,
    pub(super) events: Events,
    pub(super) server_message: String<MESSAGE_BYTES>,
    /// Spans lost for lack of room since it began.
    losing: u64,
}

/// Slow start after a recovery (`reliability.md` 4.11): two batches, a pause, four, a pause, ...
#[derive(Clone, Copy, Debug)]
struct Ramp {
    allowance: u32,
    left: u32,
}

impl Machine {
    /// A machine that holds nothing, with settings that are valid.
    pub(super) const fn new(mut config: ExporterConfig) -> Self {
        // A probe must not count as lost while its request may still be answered.
        let longest = match config.request_timeout {
            Duration::ZERO => Duration::MAX,
            limit => limit.saturating_add(config.timeout_slack),
        };
        if config.breaker.probe_lease.as_nanos() < longest.as_nanos() {
            config.breaker.probe_lease = longest;
        }
        Self {
            config,
            trigger: BatchTrigger::new(config.batch),
            breaker: CircuitBreaker::clamped(config.breaker),
            flight: None,
            generation: 0,
            not_before: Instant::ZERO,
            ramp_until: Instant::ZERO,
            ramp: None,
            open_since: None,
            learned: None,
            wall_clock: None,
            pushed: 0,
            flush_target: 0,
            shutdown: None,
            stopped: false,
            more_to_come: false,
            latest: Instant::ZERO,
            seed: config.seed,
            ledger: Ledger::ZERO,
            stats: DeliveryStats::ZERO,
            events: Events::new(),
            server_message: String::new(),
            losing: 0,
        }
    }

    /// Whether spans are refused because the intake has ended.
    pub(super) const fn intake_has_ended(&self) -> bool {
        self.shutdown.is_some() && !self.more_to_come
    }

    /// Starts the jitter anew.
    pub(super) const fn set_seed(&mut self, seed: u64) {
        self.config.seed = seed;
        self.seed = seed;
    }

    /// The next random number of the jitter.
    pub(super) const fn draw(&mut self) -> u64 {
        split_mix(&mut self.seed)
    }

    pub(super) fn advance(&mut self, now: Instant) -> Instant {
        self.latest = self.latest.max(now);
        self.latest
    }

    pub(super) fn lost_room(&mut self, spans: u64) {
        self.ledger.drop_spans(DropReason::QueueFull, spans);
        if self.losing == 0 {
            self.events.push(Event::LossStarted);
        }
        self.losing = self.losing.saturating_add(spans);
    }

    pub(super) fn found_room(&mut self) {
        if self.losing > 0 {
            let dropped = core::mem::take(&mut self.losing);
            self.events.push(Event::LossEnded { dropped });
        }
    }

    /// Reports a change of the circuit. How many nanoseconds it was open, when it has just closed.
    pub(super) fn note(&mut self, transition: Transition, now: Instant) -> Option<u64> {
        self.events.push(Event::Circuit(transition));
        if transition.to == State::Closed {
            self.ramp = Some(Ramp {
                allowance: 2,
                left: 2,
            });
            return self.open_since.take().map(|since| now.nanos_since(since));
        }
        self.open_since.get_or_insert(now);
        None
    }

    /// Counts one accepted request towards the slow start.
    pub(super) fn ramp_up(&mut self, now: Instant, queue_is_empty: bool) {
        let Some(mut ramp) = self.ramp.take() else {
            return;
        };
        ramp.left = ramp.left.saturating_sub(1);
        if ramp.left == 0 {
            self.ramp_until = now.saturating_add(RAMP_PAUSE);
            ramp.allowance *= 2;
            ramp.left = ramp.allowance;
        }
        if ramp.allowance < RAMP_END && !queue_is_empty {
            self.ramp = Some(ramp);
        }
    }

    /// The earliest time of any request, whatever the batch.
    pub(super) fn gate(&self) -> Instant {
        let ramp = self.ramp_until;
        match &self.shutdown {
            // There is no later: pauses are cut short, and the breaker is overridden once.
            Some(shutdown) if !shutdown.forced => Instant::ZERO,
            Some(_) => self.breaker.retry_at(Instant::ZERO),
            None => self
                .breaker
                .retry_at(Instant::ZERO)
                .max(self.not_before)
                .max(ramp),
        }
    }

    /// Keeps what a server said, as far as it is safe to show.
    pub(super) fn keep_message(&mut self, text: &MessageText<'_>) {
        self.server_message.clear();
        for c in text.chars() {
            let c = if c.is_control() { ' ' } else { c };
            if self.server_message.push(c).is_err() {
                break;
            }
        }
    }
}

/// The next number of SplitMix64: one addition and a mix, enough for jitter.
pub(crate) const fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
