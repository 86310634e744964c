//! How much memory there is for spans.

use super::error::SettingsError;
use crate::buffer::RECORD_HEADER_BYTES;
use crate::span::MIN_SCRATCH_BYTES;

/// The sizes of the places that a span passes through, in bytes.
pub(super) struct Sizes {
    pub(super) span: usize,
    pub(super) shard: usize,
    pub(super) buffer: usize,
    pub(super) request: usize,
}

impl Sizes {
    /// A span that fits into its scratch must fit into every place that it passes through. The
    /// full sizes are compared, so that no span is lost for a reason that was known at the start.
    pub(super) fn check(self) -> Result<Self, SettingsError> {
        if self.span < MIN_SCRATCH_BYTES {
            return Err(SettingsError::SpanTooSmall {
                bytes: self.span,
                least: MIN_SCRATCH_BYTES,
            });
        }
        let needed = self.span.saturating_add(RECORD_HEADER_BYTES);
        for (field, bytes) in [
            ("buffer_bytes", self.buffer),
            ("shard_bytes", self.shard),
            ("max_request_bytes", self.request),
        ] {
            if bytes < needed {
                return Err(SettingsError::SpanTooLarge {
                    field,
                    bytes,
                    needed,
                });
            }
        }
        Ok(self)
    }
}
