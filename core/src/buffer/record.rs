//! The layout of a record: a header of eight bytes, and the body of an OTLP `Span`.
//!
//! ```text
//! offset  0        4      6      7      8
//!         len:u32  scope  flags  state  body: `len` bytes of a Span message
//! ```

use crate::resource::ScopeId;

/// The bytes that every record takes beside its body.
pub const RECORD_HEADER_BYTES: usize = 8;

/// Facts about a record that spare reading its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RecordFlags(u8);

impl RecordFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// The times in the body are wall-clock times already.
    pub const DATED: Self = Self(1);
    /// The body holds events, whose times must become wall-clock times too.
    pub const HAS_EVENTS: Self = Self(2);
    /// The span's status is error.
    pub const ERROR: Self = Self(4);

    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    /// Ignores bits without a meaning.
    pub(crate) const fn from_bits(bits: u8) -> Self {
        Self(bits & (Self::DATED.0 | Self::HAS_EVENTS.0 | Self::ERROR.0))
    }

    /// Returns both sets of flags together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns true if all flags of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A finished span in stored form: its scope, and the body of its OTLP `Span`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Record<'a> {
    /// The scope that made the span.
    pub scope: ScopeId,
    /// Facts about the body.
    pub flags: RecordFlags,
    /// The body of a `Span` message that starts with the fixed fields of
    /// [`stored`](crate::span::stored).
    pub body: &'a [u8],
}

impl Record<'_> {
    /// The bytes that the record takes in a buffer.
    #[must_use]
    pub const fn stored_len(&self) -> usize {
        RECORD_HEADER_BYTES + self.body.len()
    }
}

/// A record's place in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Queued,
    /// Settled; its bytes wait for the records before it.
    Done,
    /// Held by the lease of this slot.
    Leased(u8),
}

impl State {
    /// The byte of a record whose body is being changed.
    pub(super) const CHANGING: u8 = u8::MAX;

    pub(super) const fn to_byte(self) -> u8 {
        match self {
            Self::Queued => 0,
            Self::Done => 1,
            Self::Leased(slot) => 2 + slot,
        }
    }

    const fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Queued,
            1 => Self::Done,
            slot => Self::Leased(slot - 2),
        }
    }
}

/// A record's header: the one place that knows its layout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    /// Bytes of the body.
    pub(crate) len: u32,
    pub(crate) scope: ScopeId,
    pub(crate) flags: RecordFlags,
    pub(crate) state: State,
}

impl Header {
    /// Offset of the flags within a record.
    pub(crate) const FLAGS: usize = 6;
    /// Offset of the state within a record.
    pub(super) const STATE: usize = 7;

    /// The header of `record` in a queue. A body of 4 GiB or more has none; its length is cut.
    #[inline]
    pub(crate) const fn of(record: &Record<'_>) -> Self {
        Self {
            len: record.body.len() as u32,
            scope: record.scope,
            flags: record.flags,
            state: State::Queued,
        }
    }

    pub(super) const fn stored_len(&self) -> usize {
        RECORD_HEADER_BYTES + self.len as usize
    }

    /// The same for a header that may hold anything.
    pub(super) fn stored_len_checked(&self) -> Option<usize> {
        usize::try_from(self.len)
            .ok()?
            .checked_add(RECORD_HEADER_BYTES)
    }

    #[inline]
    pub(crate) const fn to_bytes(self) -> [u8; RECORD_HEADER_BYTES] {
        let [a, b, c, d] = self.len.to_le_bytes();
        let [e, f] = self.scope.0.to_le_bytes();
        [a, b, c, d, e, f, self.flags.0, self.state.to_byte()]
    }

    #[inline]
    pub(crate) const fn from_bytes(bytes: [u8; RECORD_HEADER_BYTES]) -> Self {
        let [a, b, c, d, e, f, flags, state] = bytes;
        Self {
            len: u32::from_le_bytes([a, b, c, d]),
            scope: ScopeId(u16::from_le_bytes([e, f])),
            // Bits without a meaning do no harm; masking them costs 15 instructions a span in encoding.
            flags: RecordFlags(flags),
            state: State::from_byte(state),
        }
    }
}
