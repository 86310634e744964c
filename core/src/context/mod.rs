//! The identity of a span, as other spans and processes see it: ids, flags and tracestate.
//!
//! A [`SpanContext`] is small and `Copy`, because it is passed around for every span and link. The
//! W3C tracestate has a variable length and is empty for most traces, so it is kept beside the span
//! context: owned as a [`TraceState`], borrowed as text where it is only read, as in
//! [`ParentContext`] and [`Link`].
//!
//! | | holds | made by |
//! |---|---|---|
//! | [`SpanContext`] | ids, flags, whether remote | a tracer, or a propagator's `extract` |
//! | [`TraceState`] | up to 32 validated members | a propagator's `extract`, or `insert` |
//! | [`ParentContext`] | a span context and its tracestate | either, as a parent or for `inject` |
//!
//! ```
//! use spandrel_core::context::{ParentContext, SpanContext, TraceFlags};
//!
//! let parent = SpanContext::remote(
//!     "5b8efff798038103d269b633813fc60c".parse()?,
//!     "eee19b7ec3c1b174".parse()?,
//!     TraceFlags::SAMPLED,
//! );
//! assert!(parent.is_valid() && parent.is_remote() && parent.is_sampled());
//! assert_eq!(ParentContext::from(parent).trace_state, "");
//! assert!(!ParentContext::ROOT.span_context.is_valid());
//! # Ok::<(), spandrel_core::id::ParseIdError>(())
//! ```

mod trace_state;

pub(crate) use trace_state::{HeaderParser, is_trace_state};
pub use trace_state::{TraceState, TraceStateError};

use crate::attribute::KeyValue;
use crate::id::{SpanId, TraceId};

/// The [W3C trace flags](https://www.w3.org/TR/trace-context-2/#trace-flags) of a span.
///
/// A received byte is kept whole, with bits of unknown meaning. They go no further: children and
/// outgoing headers get [`TraceFlags::known`] only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TraceFlags(u8);

impl TraceFlags {
    /// No flag is set.
    pub const NONE: Self = Self(0);
    /// The span is recorded and exported.
    pub const SAMPLED: Self = Self(0x01);
    /// The lowest 56 bits of the trace id are uniformly random (W3C Trace Context level 2).
    pub const RANDOM: Self = Self(0x02);

    /// The flags of a byte, with all its bits.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// Returns the byte, with any unknown bits that were received.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Returns these flags without bits of unknown meaning.
    #[must_use]
    pub const fn known(self) -> Self {
        Self(self.0 & (Self::SAMPLED.0 | Self::RANDOM.0))
    }

    /// Returns true if the sampled bit is set, whatever the others are.
    #[must_use]
    pub const fn is_sampled(self) -> bool {
        self.0 & Self::SAMPLED.0 != 0
    }

    /// Returns true if the random bit is set, whatever the others are.
    #[must_use]
    pub const fn is_random(self) -> bool {
        self.0 & Self::RANDOM.0 != 0
    }

    /// Returns these flags with the sampled bit set or cleared. Of its parent's flags a child
    /// changes only this one.
    #[must_use]
    pub const fn with_sampled(self, sampled: bool) -> Self {
        Self(self.0 & !Self::SAMPLED.0 | sampled as u8)
    }

    /// Returns these flags with the random bit set or cleared. Only root spans may change it.
    #[must_use]
    pub const fn with_random(self, random: bool) -> Self {
        Self(self.0 & !Self::RANDOM.0 | (random as u8) << 1)
    }
}

/// The identity of a span: ids, flags, and whether it came from another process.
///
/// Immutable. The tracestate is kept beside it, see the [module](self).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct SpanContext {
    trace_id: TraceId,
    span_id: SpanId,
    /// The flags in the lowest byte, [`REMOTE`] above: four words without padding. Contexts are
    /// copied for every span, and a copy that reads across the words in which they were written
    /// costs more than the rest of an unsampled start.
    marks: u64,
}

/// The mark of a context from another process.
const REMOTE: u64 = 0x100;

impl SpanContext {
    /// The context of no span.
    pub const INVALID: Self = Self::new(TraceId::INVALID, SpanId::INVALID, TraceFlags::NONE);

    /// The context of a span created in this process.
    #[must_use]
    pub const fn new(trace_id: TraceId, span_id: SpanId, trace_flags: TraceFlags) -> Self {
        Self {
            trace_id,
            span_id,
            marks: trace_flags.0 as u64,
        }
    }

    /// The context of a span created in another process, as propagators extract it.
    #[must_use]
    pub const fn remote(trace_id: TraceId, span_id: SpanId, trace_flags: TraceFlags) -> Self {
        Self {
            trace_id,
            span_id,
            marks: trace_flags.0 as u64 | REMOTE,
        }
    }

    /// Returns the id of the trace.
    #[inline]
    #[must_use]
    pub const fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// Returns the id of the span.
    #[inline]
    #[must_use]
    pub const fn span_id(&self) -> SpanId {
        self.span_id
    }

    /// Returns the flags; of a remote context as they were received.
    #[inline]
    #[must_use]
    pub const fn trace_flags(&self) -> TraceFlags {
        TraceFlags(self.marks as u8)
    }

    /// Returns true if the span was created in another process.
    #[inline]
    #[must_use]
    pub const fn is_remote(&self) -> bool {
        self.marks & REMOTE != 0
    }

    /// Returns true if the sampled flag is set.
    #[inline]
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.trace_flags().is_sampled()
    }

    /// Returns true if neither id is zero.
    #[inline]
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.trace_id.is_valid() && self.span_id.is_valid()
    }
}

impl core::fmt::Debug for SpanContext {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SpanContext")
            .field("trace_id", &self.trace_id)
            .field("span_id", &self.span_id)
            .field("trace_flags", &self.trace_flags())
            .field("is_remote", &self.is_remote())
            .finish()
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for SpanContext {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "SpanContext {{ trace_id: {}, span_id: {}, trace_flags: {}, is_remote: {=bool} }}",
            self.trace_id,
            self.span_id,
            self.trace_flags(),
            self.is_remote(),
        );
    }
}

/// A span context with its tracestate: the parent of a new span, or the input of a propagator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ParentContext<'a> {
    /// The parent, or [`SpanContext::INVALID`] for no parent.
    pub span_context: SpanContext,
    /// Its tracestate as header text, preferably a [`TraceState`]'s; empty for none.
    pub trace_state: &'a str,
}

impl ParentContext<'_> {
    /// No parent: the child starts a new trace.
    pub const ROOT: Self = Self {
        span_context: SpanContext::INVALID,
        trace_state: "",
    };
}

/// A parent without tracestate.
impl From<SpanContext> for ParentContext<'_> {
    fn from(span_context: SpanContext) -> Self {
        Self {
            span_context,
            trace_state: "",
        }
    }
}

/// The [role](https://opentelemetry.io/docs/specs/otel/trace/api/#spankind) of a span in a request;
/// the values are OTLP's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum SpanKind {
    /// Work inside a service.
    #[default]
    Internal = 1,
    /// The handling of a request from another process.
    Server = 2,
    /// A request to another process.
    Client = 3,
    /// The handing over of a message that is processed later.
    Producer = 4,
    /// The processing of such a message.
    Consumer = 5,
}

/// A pointer from a span to another one, in the same trace or in another.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Link<'a> {
    /// The other span.
    pub span_context: SpanContext,
    /// Its tracestate as header text; empty for none.
    pub trace_state: &'a str,
    /// Attributes that describe the link.
    pub attributes: &'a [KeyValue<'a>],
}

/// A link without tracestate and attributes.
impl From<SpanContext> for Link<'_> {
    fn from(span_context: SpanContext) -> Self {
        Self {
            span_context,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_valid_only_with_both_ids() {
        let trace = TraceId::from_bytes([1; 16]);
        let span = SpanId::from_bytes([1; 8]);
        let rows = [
            (trace, span, true),
            (trace, SpanId::INVALID, false),
            (TraceId::INVALID, span, false),
            (TraceId::INVALID, SpanId::INVALID, false),
        ];
        for (trace, span, valid) in rows {
            for make in [SpanContext::new, SpanContext::remote] {
                assert_eq!(make(trace, span, TraceFlags::SAMPLED).is_valid(), valid);
            }
        }
        assert_eq!(SpanContext::default(), SpanContext::INVALID);
    }

    #[test]
    fn flags_are_read_and_changed_bit_by_bit() {
        for bits in 0..=u8::MAX {
            let flags = TraceFlags::from_bits(bits);
            assert_eq!(flags.bits(), bits);
            assert_eq!(flags.is_sampled(), bits & 1 == 1);
            assert_eq!(flags.is_random(), bits & 2 == 2);
            assert_eq!(flags.known().bits(), bits & 3);
            assert_eq!(flags.with_sampled(true).bits(), bits | 1);
            assert_eq!(flags.with_sampled(false).bits(), bits & !1);
            assert_eq!(flags.with_random(true).bits(), bits | 2);
            assert_eq!(flags.with_random(false).bits(), bits & !2);
        }
    }

    #[test]
    fn a_span_context_is_four_words() {
        assert_eq!(size_of::<SpanContext>(), 32);
    }

    #[test]
    fn kinds_have_the_values_of_otlp() {
        assert_eq!(SpanKind::default() as u8, 1);
        assert_eq!(SpanKind::Consumer as u8, 5);
    }
}
