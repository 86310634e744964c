//! The file operations that a spool needs.

use std::io;
use std::vec::Vec;

/// The identity of a segment, which its file's name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId {
    /// The writer, which no other run of a program is.
    pub instance: [u8; 16],
    /// The number among the writer's segments.
    pub number: u64,
}

/// A segment that was found at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundSegment {
    /// Its identity.
    pub id: SegmentId,
    /// Its length in bytes.
    pub len: u64,
}

/// The place where a spool keeps its segments: a directory
/// ([`DirectoryFiles`](super::DirectoryFiles)), or what a test puts in its place.
///
/// Nothing here is durable before it is synced, neither the bytes of a segment nor its name. After a
/// power cut a caller may find any part of what was not synced.
pub trait SpoolFiles {
    /// The segments that are there and that no running process uses, in any order. From now on they
    /// are this process's.
    ///
    /// # Errors
    ///
    /// The directory cannot be read.
    fn adopt(&mut self) -> io::Result<Vec<FoundSegment>>;

    /// Makes an empty segment.
    ///
    /// # Errors
    ///
    /// There is one of this identity, or the directory cannot be written to.
    fn create(&mut self, id: SegmentId) -> io::Result<()>;

    /// Writes all of `bytes` at the end of a segment.
    ///
    /// # Errors
    ///
    /// Not all was written; then any part of it may be there.
    fn append(&mut self, id: SegmentId, bytes: &[u8]) -> io::Result<()>;

    /// Makes the bytes of a segment durable.
    ///
    /// # Errors
    ///
    /// Any part of what was not durable before may be lost. Another try proves nothing.
    fn sync(&mut self, id: SegmentId) -> io::Result<()>;

    /// Makes durable which segments there are.
    ///
    /// # Errors
    ///
    /// As for [`sync`](Self::sync).
    fn sync_directory(&mut self) -> io::Result<()>;

    /// Fills `target` with the bytes of a segment from `at` on.
    ///
    /// # Errors
    ///
    /// There are fewer, or they cannot be read.
    fn read(&mut self, id: SegmentId, at: u64, target: &mut [u8]) -> io::Result<()>;

    /// Removes a segment.
    ///
    /// # Errors
    ///
    /// It is still there.
    fn remove(&mut self, id: SegmentId) -> io::Result<()>;
}
