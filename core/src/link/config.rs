//! Settings of a link: acknowledgements and announcements.

use core::time::Duration;

/// The settings of a [`LinkExporter`](super::LinkExporter).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LinkConfig {
    /// The time to wait for an acknowledgement before spans are sent again. It doubles while none
    /// arrives, up to 32 times as long. `None`: there are no acknowledgements, and a span counts as
    /// exported when its last frame was returned.
    pub acknowledged: Option<Duration>,
    /// The most spans that are sent before one must be acknowledged; 0 counts as 1.
    pub window: u8,
    /// The interval at which the resource, the scopes and the counts are repeated in front of
    /// spans, for a host that came late. Zero: only when the host asks.
    pub announce_every: Duration,
}

impl LinkConfig {
    /// No acknowledgements; announcements every 30 s.
    pub const DEFAULT: Self = Self {
        acknowledged: None,
        window: 16,
        announce_every: Duration::from_secs(30),
    };

    /// Returns these settings with acknowledgements; the first repetition comes after `retry`.
    #[must_use]
    pub const fn with_acknowledgements(self, retry: Duration) -> Self {
        Self {
            acknowledged: Some(retry),
            ..self
        }
    }
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}
