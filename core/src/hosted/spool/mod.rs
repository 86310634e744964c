//! Batches that wait on a disk for their collector.
//!
//! A [`Spool`] keeps the bodies of requests in files, in the [format](crate::spool) that outlives the
//! process, and gives them back oldest first. It knows files only through [`SpoolFiles`] and time
//! only from its callers, so that a test can cut its power at every operation.
//!
//! What a caller can rely on:
//!
//! - A batch for which [`Spool::store`] returned `Ok` comes back, in this process or in the next,
//!   until it is [settled](Spool::settle) or given up; with [`SyncPolicy::Always`] also after a power
//!   cut, otherwise after the death of the process.
//! - A batch that is given up, for lack of room, by age or because the disk damaged it, is counted in
//!   [`SpoolCounts`].
//! - A batch that was settled comes back only if the process or the machine stopped just then.
//! - A disk that fails costs the batch at hand, which stays with the caller, and a pause.
//!
//! ```
//! use std::time::Duration;
//! use spandrel_core::hosted::spool::{DirectoryFiles, Spool, SpoolOptions};
//! use spandrel_core::spool::BodyEncoding;
//! use spandrel_core::time::UnixNanos;
//!
//! # let directory = std::env::temp_dir().join(format!("spandrel-doc-{}", std::process::id()));
//! let instance = [7; 16];
//! let now = UnixNanos::from_secs(1_700_000_000);
//! let files = DirectoryFiles::open(&directory, instance)?;
//! let mut spool = Spool::open(files, instance, SpoolOptions::default(), now);
//!
//! spool.store(b"the body of a request", 512, BodyEncoding::GZIP, now)?;
//! assert_eq!(spool.counts().stored, 512);
//!
//! let mut body = Vec::new();
//! let batch = spool.take_oldest(&mut body, now).expect("the one just stored");
//! assert_eq!((batch.spans, &body[..]), (512, &b"the body of a request"[..]));
//! spool.settle(now);
//! assert_eq!(spool.counts().stored, 0);
//! # drop(spool);
//! # std::fs::remove_dir_all(&directory)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod directory;
mod entry;
mod files;
mod recover;
mod store;
#[cfg(test)]
mod tests;

pub use directory::{DirectoryFiles, OpenSpoolError};
pub use entry::{SpoolCounts, StoredBatch};
pub use files::{FoundSegment, SegmentId, SpoolFiles};
pub use store::{Spool, SpoolError, SpoolOptions, SyncPolicy};
