//! One record: an eight-byte header and the body of an OTLP `Span`.
//!
//! ```text
//! offset  0        4      6      7      8
//!         len:u32  scope  flags  state  body: `len` bytes of a Span message
//! ```

use crate::resource::ScopeId;

/// Bytes that every record takes beside its body.
pub const RECORD_HEADER_BYTES: usize = 8;

/// What is known of a record without reading its body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RecordFlags(u8);

impl RecordFlags {
    /// Nothing set.
    pub const NONE: Self = Self(0);
    /// The times in the body are wall-clock times already.
    pub const DATED: Self = Self(1);
    /// The body holds events, whose times must be dated too.
    pub const HAS_EVENTS: Self = Self(2);
    /// The span's status is error.
    pub const ERROR: Self = Self(4);

    pub(super) const fn to_byte(self) -> u8 {
        self.0
    }

    /// The flags as a byte.
    #[cfg(any(feature = "link", feature = "std"))]
    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    /// The flags that a byte stands for; bits without a meaning are left out.
    #[cfg(feature = "link")]
    pub(crate) const fn from_bits(bits: u8) -> Self {
        Self(bits & (Self::DATED.0 | Self::HAS_EVENTS.0 | Self::ERROR.0))
    }

    /// Both sets of flags.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all flags of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A finished span as it is stored: which scope made it, and the body of its OTLP `Span`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Record<'a> {
    /// The scope that made the span.
    pub scope: ScopeId,
    /// What is known of the body.
    pub flags: RecordFlags,
    /// The body of a `Span` message that starts with the fixed fields of
    /// [`frame`](crate::span::stored).
    pub body: &'a [u8],
}

impl Record<'_> {
    /// Bytes that the record takes in a buffer.
    #[must_use]
    pub const fn stored_len(&self) -> usize {
        RECORD_HEADER_BYTES + self.body.len()
    }
}

/// Where a record is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Queued,
    /// Settled; its bytes wait for the records before it.
    Done,
    /// Held by the lease of this slot.
    Leased(u8),
}

impl State {
    const fn to_byte(self) -> u8 {
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

/// The header in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) len: u32,
    pub(crate) scope: ScopeId,
    pub(crate) flags: RecordFlags,
    pub(super) state: State,
}

impl Header {
    /// Offset of the flags and of the state within a record.
    pub(crate) const FLAGS: usize = 6;
    pub(super) const STATE: usize = 7;

    /// The header of a record that is queued.
    #[cfg(feature = "std")]
    #[inline(always)]
    pub(crate) const fn of(record: &Record<'_>) -> Self {
        Self {
            len: record.body.len() as u32,
            scope: record.scope,
            flags: record.flags,
            state: State::Queued,
        }
    }

    pub(crate) const fn stored_len(&self) -> usize {
        RECORD_HEADER_BYTES + self.len as usize
    }

    /// The same for a header that may be anything.
    pub(super) fn stored_len_checked(&self) -> Option<usize> {
        usize::try_from(self.len)
            .ok()?
            .checked_add(RECORD_HEADER_BYTES)
    }

    pub(crate) fn to_bytes(self) -> [u8; RECORD_HEADER_BYTES] {
        let [a, b, c, d] = self.len.to_le_bytes();
        let [e, f] = self.scope.0.to_le_bytes();
        [a, b, c, d, e, f, self.flags.0, self.state.to_byte()]
    }

    pub(crate) const fn from_bytes(bytes: [u8; RECORD_HEADER_BYTES]) -> Self {
        let [a, b, c, d, e, f, flags, state] = bytes;
        Self {
            len: u32::from_le_bytes([a, b, c, d]),
            scope: ScopeId(u16::from_le_bytes([e, f])),
            flags: RecordFlags(flags),
            state: State::from_byte(state),
        }
    }
}

/// The byte of a state, for a change in place.
pub(super) const fn state_byte(state: State) -> u8 {
    state.to_byte()
}
