//! Limits on the content of one span: [`SpanLimits`].
//!
//! An item beyond a limit is left out and counted on the wire; the span itself is kept.
//!
//! ```
//! use spandrel_core::limits::SpanLimits;
//!
//! let limits = SpanLimits { attribute_count: 16, ..SpanLimits::DEFAULT };
//! assert_eq!(limits.event_count, 128);
//! ```

use crate::attribute::ValueLimits;

/// Limits on counts and on the size of values; the defaults are the
/// [specification](https://opentelemetry.io/docs/specs/otel/trace/sdk/#span-limits)'s.
///
/// The bytes of a span's scratch are another limit, set where the span is started; on a host,
/// `max_span_bytes`.
///
/// # What does not fit
///
/// One long text must not cost a span the small things that come after it. So an item of more than
/// 127 bytes (an attribute, an event, a link, the name, the status) takes at most half of the
/// scratch that is still free. If it is longer, its texts are cut after a whole character, then its
/// arrays and maps lose their last elements, and events and links their last attributes. Cut items
/// are kept; [`BareSpan::cut`](crate::span::BareSpan::cut) counts them. An item that cannot be cut to
/// 24 characters for each text is left out and counted on the wire. The last sixteenth of the scratch
/// is for small attributes, the name and the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SpanLimits {
    /// Attributes of a span: 128.
    pub attribute_count: u16,
    /// Events of a span: 128.
    pub event_count: u16,
    /// Links of a span: 128.
    pub link_count: u16,
    /// Attributes of one event: 128.
    pub attribute_per_event_count: u16,
    /// Attributes of one link: 128.
    pub attribute_per_link_count: u16,
    /// Length and depth of every attribute value.
    pub value: ValueLimits,
}

impl SpanLimits {
    /// 128 of each, values of any length, depth 64.
    pub const DEFAULT: Self = Self {
        attribute_count: 128,
        event_count: 128,
        link_count: 128,
        attribute_per_event_count: 128,
        attribute_per_link_count: 128,
        value: ValueLimits::DEFAULT,
    };
}

impl Default for SpanLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
