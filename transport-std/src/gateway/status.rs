//! The books of a gateway, in figures and in words.

use std::fmt;
use std::ops::AddAssign;

use spandrel_core::link::DecoderStats;

use crate::Ledger;

/// Spans by what became of them, on the devices and on their links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Ended on the devices, as far as they told.
    pub ended: u64,
    /// Dropped by the devices, as far as they told.
    pub dropped_by_device: u64,
    /// Arrived here, each once. They are what [`GatewayStatus::ledger`] is about.
    pub received: u64,
    /// Sent by a device and not arrived, by the gaps in their numbers.
    pub lost_on_link: u64,
    /// Arrived again, and ignored.
    pub repeated: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        for (sum, more) in [
            (&mut self.ended, other.ended),
            (&mut self.dropped_by_device, other.dropped_by_device),
            (&mut self.received, other.received),
            (&mut self.lost_on_link, other.lost_on_link),
            (&mut self.repeated, other.repeated),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

/// The quality of the streams of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamStats {
    /// Streams open now.
    pub open: u64,
    /// Streams turned away, because there were too many of them or of devices.
    pub refused: u64,
    /// Frames read.
    pub frames: u64,
    /// Frames missing, by the gaps in their numbers.
    pub lost_frames: u64,
    /// Runs of bytes that were no frame, or one without sense.
    pub bad_frames: u64,
    /// Spans given up because their resource or scope was never announced.
    pub unannounced: u64,
}

impl StreamStats {
    /// Takes over what a decoder has counted between two looks at it.
    pub(super) const fn add(&mut self, before: &DecoderStats, now: &DecoderStats) {
        const fn bad(stats: &DecoderStats) -> u64 {
            stats.corrupt + stats.too_long + stats.malformed
        }
        self.frames += now.frames - before.frames;
        self.lost_frames += now.lost_frames - before.lost_frames;
        self.bad_frames += bad(now) - bad(before);
    }
}

/// Everything that a gateway knows of itself: from [`Gateway::status`](super::Gateway::status).
///
/// `Display` is one line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GatewayStatus {
    /// Devices known since the start, by resource.
    pub devices: usize,
    /// Devices whose circuit to the collector is open.
    pub circuits_open: usize,
    /// The streams.
    pub streams: StreamStats,
    /// The sums over all devices and links.
    pub tally: Tally,
    /// Where the spans are that arrived.
    pub ledger: Ledger,
}

/// `2 devices, 1 connected | received 40, delivered 38, waiting 2 | lost: device 3, link 1, here 0`
impl fmt::Display for GatewayStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            devices,
            streams,
            tally,
            ledger,
            ..
        } = self;
        let plural = if *devices == 1 { "" } else { "s" };
        let here = ledger.dropped_total().saturating_add(streams.unannounced);
        write!(
            f,
            "{devices} device{plural}, {} connected | received {}, delivered {}, waiting {} | \
             lost: device {}, link {}, here {here}",
            streams.open,
            tally.received,
            ledger.exported,
            ledger.buffered.saturating_add(ledger.in_flight),
            tally.dropped_by_device,
            tally.lost_on_link,
        )?;
        if streams.bad_frames > 0 {
            write!(f, " | bad frames {}", streams.bad_frames)?;
        }
        match self.circuits_open {
            0 => Ok(()),
            _ => f.write_str(" | collector away, spans are held"),
        }
    }
}
