//! The header of a segment.

use core::fmt;

use crate::crc::Crc32;
use crate::time::UnixNanos;

/// The length of a segment's header.
pub const SEGMENT_HEADER_BYTES: usize = 64;

/// The version of the format that is written. Segments of another version are not read.
pub const SEGMENT_VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"SPANDREL";
/// Where the sum is.
const SUM: usize = SEGMENT_HEADER_BYTES - 4;

/// The header of a segment: who wrote it, and which of the writer's segments it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SegmentHeader {
    /// The number among the writer's segments. Numbers grow, and none is used twice.
    pub number: u64,
    /// The writer's identity, which no other run of a program has.
    pub instance: [u8; 16],
    /// When the segment was made.
    pub created: UnixNanos,
}

impl SegmentHeader {
    /// The bytes at the start of the file.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let fields: [(usize, &[u8]); 5] = [
            (0, &MAGIC),
            (8, &SEGMENT_VERSION.to_le_bytes()),
            (16, &self.number.to_le_bytes()),
            (24, &self.instance),
            (40, &self.created.as_nanos().to_le_bytes()),
        ];
        for (at, field) in fields {
            put(&mut bytes, at, field);
        }
        let sum = sum_of(&bytes);
        put(&mut bytes, SUM, &sum.to_le_bytes());
        bytes
    }

    /// Reads the header at the start of a file.
    ///
    /// # Errors
    ///
    /// [`SegmentError`], if this is no segment, or none that this version reads.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SegmentError> {
        let Some(bytes) = bytes.first_chunk::<SEGMENT_HEADER_BYTES>() else {
            return Err(SegmentError::TooShort);
        };
        if bytes.first_chunk() != Some(&MAGIC) {
            return Err(SegmentError::NotASegment);
        }
        if u32::from_le_bytes(chunk(bytes, SUM)) != sum_of(bytes) {
            return Err(SegmentError::Damaged);
        }
        match u32::from_le_bytes(chunk(bytes, 8)) {
            SEGMENT_VERSION => Ok(Self {
                number: u64::from_le_bytes(chunk(bytes, 16)),
                instance: chunk(bytes, 24),
                created: UnixNanos::from_nanos(u64::from_le_bytes(chunk(bytes, 40))),
            }),
            version => Err(SegmentError::Version(version)),
        }
    }
}

/// The sum of all bytes before the sum.
fn sum_of(header: &[u8; SEGMENT_HEADER_BYTES]) -> u32 {
    let mut crc = Crc32::new();
    crc.update(header.get(..SUM).unwrap_or_default());
    crc.value()
}

/// Copies `field` to `at`, where there is room for it.
pub(super) fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    if let Some(target) = bytes.get_mut(at..at + field.len()) {
        target.copy_from_slice(field);
    }
}

/// The `N` bytes at `at`; zeros where there are fewer.
pub(super) fn chunk<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let rest = bytes.get(at..).unwrap_or_default();
    rest.first_chunk().copied().unwrap_or([0; N])
}

/// A file that is not read as a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SegmentError {
    /// It is shorter than a header: its writer was stopped before it wrote one.
    TooShort,
    /// It does not begin as a segment does.
    NotASegment,
    /// It begins as a segment does, and the header's sum is wrong.
    Damaged,
    /// It was written by a version whose format this one does not know.
    Version(u32),
}

impl fmt::Display for SegmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort => f.write_str("the file is shorter than the header of a segment"),
            Self::NotASegment => f.write_str("the file is not a segment of a spool"),
            Self::Damaged => f.write_str("the header of the segment is damaged"),
            Self::Version(version) => write!(
                f,
                "the segment has version {version} of the format; only version \
                 {SEGMENT_VERSION} can be read"
            ),
        }
    }
}

impl core::error::Error for SegmentError {}
