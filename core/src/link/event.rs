//! Events and counts of the host's decoder.

use crate::buffer::{Record, RecordFlags};
use crate::resource::{EncodedEntry, ScopeId};
use crate::span::stored;
use crate::time::{Instant, WallClock};

/// The counts of a [`Decoder`](super::Decoder), which only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct DecoderStats {
    /// Frames that were whole and new.
    pub frames: u64,
    /// Frames that did not arrive whole, by the gaps in their numbers.
    pub lost_frames: u64,
    /// Runs of bytes that were not a frame: a damaged one, or noise before the first one.
    pub corrupt: u64,
    /// Frames larger than the decoder's memory for one.
    pub too_long: u64,
    /// Frames with a good checksum that cannot be used: of another version, or not from a device.
    pub malformed: u64,
    /// Frames with a number that was used before; they are ignored.
    pub repeated_frames: u64,
    /// How often the device's clock went back by more than a second without a reboot, as a timer of
    /// 32 bits does that nobody extends ([`Ticks32`](crate::time::Ticks32)).
    pub clock_steps: u64,
    /// Spans returned to the caller.
    pub spans: u64,
    /// Spans that were sent and can no longer arrive, by the gaps in their numbers, and spans that
    /// were refused here for their size or content.
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
        clock_steps: 0,
        spans: 0,
        lost_spans: 0,
        repeated_spans: 0,
        boots: 0,
    };
}

/// The latest totals of a device since its boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DeviceCounts {
    /// Spans ended.
    pub ended: u64,
    /// Of these, spans dropped for lack of room.
    pub queue_full: u64,
    /// Of these, spans dropped because they were larger than the whole buffer.
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
    /// The run of the device that sent it.
    pub boot: u32,
    /// The device's time at which it made the frame.
    pub now: Instant,
    /// True if this decoder sees the boot for the first time; earlier announcements are void then.
    pub is_new_boot: bool,
    /// True if the boot began on this stream, so no other decoder has seen it either: this is its
    /// first frame, or a frame that cannot belong to the earlier boot of the same number.
    pub is_first: bool,
    /// Set if the device's clock says something else than before: it has stood still, and went on at
    /// this instant ([`LinkExporter::clock_resumed`](super::LinkExporter::clock_resumed)), or it went
    /// back ([`Instant::ZERO`]). Spans that ended before this instant, or after `now`, were timed by
    /// the clock before. Not set with a new boot.
    pub new_clock: Option<Instant>,
    /// Frames lost just before this one.
    pub lost_frames: u64,
    /// The item that the frame completed.
    pub content: Content<'a>,
}

/// The item that a frame completed.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Content<'a> {
    /// The device's resource.
    Resource(EncodedEntry<'a>),
    /// One of the device's scopes, with the number that its spans carry.
    Scope(ScopeId, EncodedEntry<'a>),
    /// A span.
    Span(ReceivedSpan<'a>),
    /// The device's totals.
    Counts(DeviceCounts),
    /// Nothing new: a piece, or a repetition.
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
    /// True if the device keeps the span until it is acknowledged.
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

    /// Returns the span as a record for an exporter; `scope` is the number of the scope in the
    /// exporter's registry.
    #[must_use]
    pub const fn record(&self, scope: ScopeId) -> Record<'_> {
        Record {
            scope,
            flags: self.flags,
            body: self.body,
        }
    }
}
