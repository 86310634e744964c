//! The store itself.

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::vec::Vec;

use super::entry::{Entry, Segment, SpoolCounts, StoredBatch};
use super::files::{SegmentId, SpoolFiles};
use super::recover;
use crate::spool::{
    Block, BlockKind, BodyEncoding, MAX_CONTENT_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader,
};
use crate::time::UnixNanos;

/// Failures in a row after which a batch that cannot be read is given up.
const MAX_READ_FAILURES: u32 = 3;
/// How long nothing is written after the disk has failed.
const PAUSE: Duration = Duration::from_secs(5);

/// The limits of a spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolOptions {
    /// The most bytes of all segments together. When they are reached, the oldest segment is given
    /// up. 64 MiB by default.
    pub max_bytes: u64,
    /// The age at which a batch is given up. 7 days by default.
    pub max_age: Duration,
    /// The length at which the next segment is begun; it may be passed by one batch. 4 MiB by
    /// default. Of a spool that is full, so many bytes at a time are given up.
    pub segment_bytes: u64,
    /// When what was written is made durable against a power cut.
    pub sync: SyncPolicy,
}

impl Default for SpoolOptions {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            max_age: Duration::from_secs(7 * 24 * 60 * 60),
            segment_bytes: 4 << 20,
            sync: SyncPolicy::Interval(Duration::from_millis(500)),
        }
    }
}

/// When what was written is made durable against a power cut. The death of the process alone loses
/// nothing under any policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SyncPolicy {
    /// When the operating system likes.
    Never,
    /// When so much time has passed since the oldest batch that is not durable, as
    /// [`Spool::poll`] finds.
    Interval(Duration),
    /// Before [`Spool::store`] returns.
    Always,
}

/// The reason why a batch was not stored. The caller still has it.
#[derive(Debug)]
#[non_exhaustive]
pub enum SpoolError {
    /// It alone is over the limit of the spool.
    TooLarge,
    /// The disk failed a moment ago, and the next try comes later.
    Paused,
    /// The disk failed.
    Io(io::Error),
}

impl fmt::Display for SpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("the batch is larger than the whole spool may be"),
            Self::Paused => f.write_str("the spool's disk failed a moment ago"),
            Self::Io(error) => write!(f, "the spool cannot be written: {error}"),
        }
    }
}

impl core::error::Error for SpoolError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// The segment that is written to; the last one of the list.
struct Writing {
    header: SegmentHeader,
    /// When the oldest bytes that are not durable were written.
    unsynced: Option<UnixNanos>,
    /// Its name is not durable.
    is_new: bool,
}

/// Batches on a disk; see the [module](super).
pub struct Spool<F> {
    files: F,
    options: SpoolOptions,
    instance: [u8; 16],
    next_number: u64,
    next_sequence: u64,
    /// Oldest first. A segment goes only when all before it are gone, so that the notes in it about
    /// their batches stay as long as they are needed.
    segments: VecDeque<Segment>,
    writing: Option<Writing>,
    /// Oldest first.
    entries: VecDeque<Entry>,
    /// The batch that is being sent.
    taken: Option<Entry>,
    paused_since: Option<UnixNanos>,
    /// How often the oldest batch could not be read.
    read_failures: u32,
    counts: SpoolCounts,
    scratch: Vec<u8>,
}

impl<F: SpoolFiles> Spool<F> {
    /// A spool on `files`, with what earlier processes left there. `instance` must be random: it
    /// tells this process's segments from all others'.
    ///
    /// It never fails. Segments that cannot be read are counted, and if the directory itself cannot,
    /// the first batch that is stored says so.
    pub fn open(files: F, instance: [u8; 16], options: SpoolOptions, now: UnixNanos) -> Self {
        let mut spool = Self {
            files,
            options,
            instance,
            next_number: 1,
            next_sequence: 1,
            segments: VecDeque::new(),
            writing: None,
            entries: VecDeque::new(),
            taken: None,
            paused_since: None,
            read_failures: 0,
            counts: SpoolCounts::default(),
            scratch: Vec::new(),
        };
        let found = recover::read_all(&mut spool.files, &mut spool.counts);
        spool.segments = found.segments.into();
        spool.entries = found.entries.into();
        spool.remove_empty();
        spool.poll(now);
        spool
    }

    /// The spans that wait, came and went.
    #[must_use]
    pub fn counts(&self) -> SpoolCounts {
        SpoolCounts {
            bytes: self.segments.iter().map(|segment| segment.bytes).sum(),
            ..self.counts
        }
    }

    /// Returns true if nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.taken.is_none()
    }

    /// Stores the body of a request.
    ///
    /// # Errors
    ///
    /// [`SpoolError`]; the batch then is not counted here.
    pub fn store(
        &mut self,
        body: &[u8],
        spans: u32,
        encoding: BodyEncoding,
        now: UnixNanos,
    ) -> Result<(), SpoolError> {
        let sequence = self.next_sequence;
        let block = Block {
            kind: BlockKind::Batch,
            encoding,
            spans,
            sequence,
            stored: now,
            content: body,
        };
        let most = self
            .options
            .max_bytes
            .saturating_sub(SEGMENT_HEADER_BYTES as u64);
        if body.len() > MAX_CONTENT_BYTES as usize || block.stored_len() as u64 > most {
            return Err(SpoolError::TooLarge);
        }
        if self.is_paused(now) {
            return Err(SpoolError::Paused);
        }
        self.make_room((block.stored_len() + SEGMENT_HEADER_BYTES) as u64);
        let written = self.write(&block, now).and_then(|place| {
            if self.options.sync == SyncPolicy::Always {
                self.sync()?;
            }
            Ok(place)
        });
        let (segment, at) = written.map_err(|error| {
            self.fail(now);
            SpoolError::Io(error)
        })?;
        self.counts.stored += u64::from(spans);
        if let Some(last) = self.segments.back_mut() {
            last.live += 1;
        }
        self.entries.push_back(Entry {
            instance: self.instance,
            sequence,
            segment,
            at,
            len: block.stored_len(),
            batch: StoredBatch {
                spans,
                encoding,
                stored: now,
                is_recovered: false,
            },
        });
        Ok(())
    }

    /// Takes out the oldest batch and reads its body into `body`; `None` if there is none, one is out
    /// already, or the disk could not read it this time. It stays stored until it is [settled](Self::settle) or
    /// [put back](Self::put_back).
    pub fn take_oldest(&mut self, body: &mut Vec<u8>, now: UnixNanos) -> Option<StoredBatch> {
        if self.taken.is_some() {
            return None;
        }
        self.expire(now);
        while let Some(entry) = self.entries.pop_front() {
            match self.read(&entry, body) {
                Ok(true) => {
                    self.read_failures = 0;
                    self.taken = Some(entry);
                    return Some(entry.batch);
                }
                Err(_) if self.read_failures + 1 < MAX_READ_FAILURES => {
                    self.read_failures += 1;
                    self.entries.push_front(entry);
                    return None;
                }
                Ok(false) | Err(_) => {
                    self.read_failures = 0;
                    self.counts.dropped_damaged += u64::from(entry.batch.spans);
                    self.release(&entry, now);
                }
            }
        }
        None
    }

    /// The batch that was taken out was delivered, or given up by the caller. It will not come back.
    pub fn settle(&mut self, now: UnixNanos) {
        if let Some(entry) = self.taken.take() {
            self.release(&entry, now);
        }
    }

    /// The batch that was taken out was not delivered, and waits on. If its segment was given up meanwhile,
    /// it counts as given up, too.
    pub fn put_back(&mut self) {
        let Some(entry) = self.taken.take() else {
            return;
        };
        let mut segments = self.segments.iter();
        if segments.any(|segment| segment.id == entry.segment) {
            self.entries.push_front(entry);
        } else {
            let spans = u64::from(entry.batch.spans);
            self.counts.dropped_full += spans;
            self.counts.stored = self.counts.stored.saturating_sub(spans);
        }
    }

    /// Gives up what is too old, and makes durable what it is time for.
    pub fn poll(&mut self, now: UnixNanos) {
        self.expire(now);
        let SyncPolicy::Interval(interval) = self.options.sync else {
            return;
        };
        let unsynced = self.writing.as_ref().and_then(|writing| writing.unsynced);
        if unsynced.is_some_and(|since| has_passed(since, interval, now)) && self.sync().is_err() {
            self.fail(now);
        }
    }

    /// Makes everything durable, as before the process ends.
    ///
    /// # Errors
    ///
    /// The disk failed: what was stored since the last success may be lost in a power cut.
    pub fn sync_all(&mut self, now: UnixNanos) -> Result<(), SpoolError> {
        self.sync().map_err(|error| {
            self.fail(now);
            SpoolError::Io(error)
        })
    }

    fn is_paused(&mut self, now: UnixNanos) -> bool {
        let is_over = |since| has_passed(since, PAUSE, now) || now < since;
        if self.paused_since.is_some_and(is_over) {
            self.paused_since = None;
        }
        self.paused_since.is_some()
    }

    /// Nothing is appended behind bytes that may be torn.
    fn fail(&mut self, now: UnixNanos) {
        self.counts.failures += 1;
        self.paused_since = Some(now);
        self.writing = None;
        self.remove_empty();
    }

    fn sync(&mut self) -> io::Result<()> {
        let Some(writing) = &mut self.writing else {
            return Ok(());
        };
        if writing.unsynced.is_some() {
            self.files.sync(id_of(&writing.header))?;
            writing.unsynced = None;
        }
        if writing.is_new {
            self.files.sync_directory()?;
            writing.is_new = false;
        }
        Ok(())
    }

    /// Writes a block, and returns where it is.
    fn write(&mut self, block: &Block<'_>, now: UnixNanos) -> io::Result<(SegmentId, u64)> {
        self.begin_segment(now)?;
        let (Some(writing), Some(segment)) = (&mut self.writing, self.segments.back_mut()) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        self.next_sequence += 1;
        self.scratch.clear();
        self.scratch
            .extend_from_slice(&block.header_bytes(&writing.header));
        self.scratch.extend_from_slice(block.content);
        self.scratch.resize(block.stored_len(), 0);
        let at = segment.bytes;
        // Whatever comes of it, so many bytes may be taken.
        segment.bytes += self.scratch.len() as u64;
        writing.unsynced.get_or_insert(now);
        self.files.append(segment.id, &self.scratch)?;
        Ok((segment.id, at))
    }

    /// Sees to a segment that can be written to.
    fn begin_segment(&mut self, now: UnixNanos) -> io::Result<()> {
        let is_long = |segment: &Segment| segment.bytes >= self.options.segment_bytes;
        if self.writing.is_some() && self.segments.back().is_some_and(is_long) {
            if self.options.sync != SyncPolicy::Never {
                self.sync()?;
            }
            self.writing = None;
        }
        if self.writing.is_some() {
            return Ok(());
        }
        let header = SegmentHeader {
            number: self.next_number,
            instance: self.instance,
            created: now,
        };
        let id = id_of(&header);
        self.next_number += 1;
        self.files.create(id)?;
        self.segments.push_back(Segment {
            id,
            bytes: SEGMENT_HEADER_BYTES as u64,
            live: 0,
        });
        self.files.append(id, &header.to_bytes())?;
        self.writing = Some(Writing {
            header,
            unsynced: Some(now),
            is_new: true,
        });
        Ok(())
    }

    /// Reads the body of a batch; false if it is not what was stored.
    fn read(&mut self, entry: &Entry, body: &mut Vec<u8>) -> io::Result<bool> {
        self.scratch.clear();
        self.scratch.resize(entry.len, 0);
        let read = self.files.read(entry.segment, entry.at, &mut self.scratch);
        read.inspect_err(|_| self.counts.failures += 1)?;
        let header = SegmentHeader {
            number: entry.segment.number,
            instance: entry.segment.instance,
            created: UnixNanos::default(),
        };
        let block = Block::from_bytes(&self.scratch, &header);
        let block = block.filter(|block| block.sequence == entry.sequence);
        body.clear();
        body.extend_from_slice(block.map(|block| block.content).unwrap_or_default());
        Ok(block.is_some())
    }

    /// A batch waits no longer. Notes it, unless its segment goes.
    fn release(&mut self, entry: &Entry, now: UnixNanos) {
        self.counts.stored = self
            .counts
            .stored
            .saturating_sub(u64::from(entry.batch.spans));
        let mut segments = self.segments.iter_mut();
        let Some(segment) = segments.find(|segment| segment.id == entry.segment) else {
            return;
        };
        segment.live = segment.live.saturating_sub(1);
        self.remove_empty();
        let is_there = self
            .segments
            .iter()
            .any(|segment| segment.id == entry.segment);
        if is_there && !self.is_paused(now) {
            let mut content = [0; 24];
            let (instance, sequence) = content.split_at_mut(16);
            instance.copy_from_slice(&entry.instance);
            sequence.copy_from_slice(&entry.sequence.to_le_bytes());
            let note = Block {
                kind: BlockKind::Settled,
                encoding: BodyEncoding::PROTOBUF,
                spans: 0,
                sequence: self.next_sequence,
                stored: now,
                content: &content,
            };
            // Without the note the batch may be sent twice, after a crash.
            if self.write(&note, now).is_err() {
                self.fail(now);
            }
        }
    }

    /// Removes the oldest segments in which nothing waits.
    fn remove_empty(&mut self) {
        while self
            .segments
            .front()
            .is_some_and(|segment| segment.live == 0)
        {
            if self.segments.len() == 1 {
                self.writing = None;
            }
            self.remove_front();
        }
    }

    fn remove_front(&mut self) {
        if let Some(segment) = self.segments.pop_front() {
            let removed = self.files.remove(segment.id);
            let is_durable = self.options.sync == SyncPolicy::Never;
            if removed.is_err() || !is_durable && self.files.sync_directory().is_err() {
                self.counts.failures += 1;
            }
        }
    }

    /// Gives up the oldest segments until there is room for so many bytes.
    fn make_room(&mut self, bytes: u64) {
        while self.counts().bytes.saturating_add(bytes) > self.options.max_bytes {
            let Some(oldest) = self.segments.front().map(|segment| segment.id) else {
                return;
            };
            // The batch that is being sent is in memory, and its outcome will be known.
            while let Some(entry) = self.entries.front().filter(|it| it.segment == oldest) {
                let spans = u64::from(entry.batch.spans);
                self.counts.dropped_full += spans;
                self.counts.stored = self.counts.stored.saturating_sub(spans);
                self.entries.pop_front();
            }
            if self.segments.len() == 1 {
                self.writing = None;
            }
            self.remove_front();
        }
    }

    fn expire(&mut self, now: UnixNanos) {
        let max_age = self.options.max_age;
        let is_old = |entry: &Entry| has_passed(entry.batch.stored, max_age, now);
        while let Some(entry) = self.entries.front().copied().filter(is_old) {
            self.entries.pop_front();
            self.counts.dropped_expired += u64::from(entry.batch.spans);
            self.release(&entry, now);
        }
    }
}

impl<F> fmt::Debug for Spool<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool")
            .field("options", &self.options)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

fn id_of(header: &SegmentHeader) -> SegmentId {
    SegmentId {
        instance: header.instance,
        number: header.number,
    }
}

fn has_passed(since: UnixNanos, time: Duration, now: UnixNanos) -> bool {
    let passed = now.as_nanos().saturating_sub(since.as_nanos());
    u128::from(passed) >= time.as_nanos()
}
