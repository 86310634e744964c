//! Acknowledgements and announcements: what a device chooses about its link.

use core::time::Duration;

/// How a device uses its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LinkConfig {
    /// How long to wait for an acknowledgement before spans are sent again; the pause doubles up
    /// to 32 times as long while nobody answers. `None`: nobody acknowledges, and a span is
    /// settled when its last frame was handed out.
    pub acknowledged: Option<Duration>,
    /// How many spans are sent before one must be acknowledged, at least 1.
    pub window: u8,
    /// How often the resource, the scopes and the counts are repeated in front of spans, for a
    /// host that came late. Zero = only when asked.
    pub announce_every: Duration,
}

impl LinkConfig {
    /// No acknowledgements; announcements every 30 s.
    pub const DEFAULT: Self = Self {
        acknowledged: None,
        window: 16,
        announce_every: Duration::from_secs(30),
    };

    /// These settings with acknowledgements, repeated after `retry` at first.
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
