//! What the host's decoder finds in a stream, and what it counts.

use crate::buffer::{Record, RecordFlags};
use crate::resource::{EncodedEntry, ScopeId};
use crate::span::stored;
use crate::time::{Instant, WallClock};

/// What a [`Decoder`](super::Decoder) has seen. All counters only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct DecoderStats {
    /// Frames that were whole and new.
    pub frames: u64,
    /// Frames that never arrived whole, by the gaps in their numbers.
    pub lost_frames: u64,
    /// Runs of bytes that were no frame: damaged, or the noise before the first one.
    pub corrupt: u64,
    /// Frames over the decoder's memory for one.
    pub too_long: u64,
    /// Frames with a good sum that make no sense: another version, or not from a device.
    pub malformed: u64,
    /// Frames with a number that was used before; they are ignored.
    pub repeated_frames: u64,
    /// Spans handed out.
    pub spans: u64,
    /// Spans that were sent and can no longer arrive, by the gaps in their numbers; those that
    /// were refused here for their size or their content are among them.
    pub lost_spans: u64,
    /// Spans that arrived again and were ignored.
    pub repeated_spans: u64,
    /// Boots of the device.
    pub boots: u64,
}

impl DecoderStats {
    pub(super) const NONE: Self = Self {
        frames: 0,
        lost_frames: 0,
        corrupt: 0,
        too_long: 0,
        malformed: 0,
        repeated_frames: 0,
        spans: 0,
        lost_spans: 0,
        repeated_spans: 0,
        boots: 0,
    };
}

/// The totals of a device since its boot, as it told them last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DeviceCounts {
    /// Spans ended.
    pub ended: u64,
    /// Of these, dropped for lack of room.
    pub queue_full: u64,
    /// Of these, dropped because they were larger than the whole buffer.
    pub too_large: u64,
}

impl DeviceCounts {
    /// Spans that the device dropped.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.queue_full.saturating_add(self.too_large)
    }
}

/// One frame, and what became complete with it.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LinkEvent<'a> {
    /// Which run of the device sent it.
    pub boot: u32,
    /// The device's time when it made the frame.
    pub now: Instant,
    /// Whether this decoder sees the boot for the first time: nothing that was announced before
    /// holds.
    pub is_new_boot: bool,
    /// Whether this is the very first frame of its boot, so that nobody has heard of it before.
    pub is_first: bool,
    /// Frames lost just before this one.
    pub lost_frames: u64,
    /// What the frame completed.
    pub content: Content<'a>,
}

/// What a frame completed.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Content<'a> {
    /// The device's resource.
    Resource(EncodedEntry<'a>),
    /// One of the device's scopes, under the number that its spans will bear.
    Scope(ScopeId, EncodedEntry<'a>),
    /// A span.
    Span(ReceivedSpan<'a>),
    /// The device's totals.
    Counts(DeviceCounts),
    /// Nothing yet, or nothing of use: a piece, a repetition.
    Nothing,
}

/// A span from the link, in the decoder's memory until the next frame.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ReceivedSpan<'a> {
    /// Counts the spans of a boot from 0.
    pub number: u64,
    /// The device's number for the scope.
    pub scope: ScopeId,
    /// Whether the device keeps the span until it is acknowledged.
    pub is_kept: bool,
    pub(super) flags: RecordFlags,
    pub(super) body: &'a mut [u8],
}

impl ReceivedSpan<'_> {
    /// Turns the span's times from device time into Unix time, unless the device has done so.
    pub fn date(&mut self, clock: WallClock) {
        if !self.flags.contains(RecordFlags::DATED) {
            let has_events = self.flags.contains(RecordFlags::HAS_EVENTS);
            stored::date(self.body, has_events, clock);
            self.flags = self.flags.with(RecordFlags::DATED);
        }
    }

    /// The span as an exporter takes it, under the number that *its* registry has for the scope.
    #[must_use]
    pub const fn record(&self, scope: ScopeId) -> Record<'_> {
        Record {
            scope,
            flags: self.flags,
            body: self.body,
        }
    }
}
