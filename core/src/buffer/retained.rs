//! Buffers that outlive a reset: over [`Retained`] memory, with the places of the records in it.
//!
//! A device that crashes has just recorded the spans that say why. When the buffer's memory lies
//! where no start-up code writes (a `.uninit` section, a memory-mapped file), the bytes are still
//! there afterwards. The last [`Retained::BYTES`] of them say where the records lie:
//!
//! ```text
//!   | records ...                      | places, one of two | places, the other |
//!     written into free memory           written in turns, each with a number and a check value
//!
//!   evict, compact ─▶ places ─▶ record ─▶ places            a reset after any of these steps,
//!                     release, pop ─▶ places                or within one, finds places that hold
//! ```
//!
//! [`Buffer::push`], [`Buffer::release`] and all other calls write the places themselves, in an
//! order in which every record that the last good places name is whole. So a reset at any moment
//! loses no record but
//!
//! - the one that was being pushed, and those that were evicted to make room for it;
//! - the one that was being dated for a request, if the reset comes within these few writes.
//!
//! Records that were being released are queued again, and so is one that was being moved from one
//! end of the memory to the other, so they may be delivered twice. Leased records are queued again
//! too, because their answer is unknown. The same holds for a reset within [`Buffer::retained`].
//!
//! The bytes that are read back are not trusted: the places carry a check value, every length is
//! checked against its bounds, and the caller sees every record. Memory that has decayed gives an
//! empty buffer or fewer records, and never a panic. Writes must reach the memory in order: where a
//! data cache lies before it, it must be written through.
//!
//! ```
//! use spandrel_core::buffer::{Buffer, Record, RecordFlags, Retained};
//! use spandrel_core::resource::ScopeId;
//!
//! let mut memory = [0_u8; 64 + Retained::BYTES];
//! let accept = &mut |record: &Record<'_>| !record.body.is_empty();
//! let mut buffer = Buffer::retained(&mut memory[..], accept);
//! let record = Record { scope: ScopeId::default(), flags: RecordFlags::NONE, body: b"a span" };
//! buffer.push(&record)?;
//!
//! // ... a reset ...
//! let buffer = Buffer::retained(&mut memory[..], accept);
//! assert_eq!(buffer.front(), Some(record));
//! # Ok::<(), spandrel_core::buffer::PushError>(())
//! ```

use super::bookkeeping::{Bookkeeping, record_at};
use super::record::{Header, RECORD_HEADER_BYTES, Record, RecordFlags, State};
use super::ring::{Compaction, Ring, barrier};
use super::{Buffer, MAX_LEASES, PushError};
use crate::resource::ScopeId;
use crate::wire::move_within;

/// "Spandrel ring", second version.
const MAGIC: u32 = 0x5352_4e02;
const WORDS: usize = 10;
const PLACES_BYTES: usize = 4 * WORDS;

/// Memory for a [`Buffer`] that outlives a reset: see [`Buffer::retained`]. As bytes it is the part
/// for records.
#[derive(Clone, Debug)]
pub struct Retained<S = ()> {
    storage: S,
    /// The number of the places that were written last.
    sequence: u32,
}

impl Retained {
    /// The bytes at the end of the memory that the places of the records take.
    pub const BYTES: usize = 2 * PLACES_BYTES;
}

/// The bytes of `storage` for records. Their offsets have 32 bits.
fn room(storage: &[u8]) -> usize {
    let room = storage.len().saturating_sub(Retained::BYTES);
    room.min(usize::try_from(u32::MAX).unwrap_or(usize::MAX))
}

impl<S: AsRef<[u8]>> AsRef<[u8]> for Retained<S> {
    fn as_ref(&self) -> &[u8] {
        let bytes = self.storage.as_ref();
        bytes.get(..room(bytes)).unwrap_or_default()
    }
}

impl<S: AsMut<[u8]>> AsMut<[u8]> for Retained<S> {
    fn as_mut(&mut self) -> &mut [u8] {
        let bytes = self.storage.as_mut();
        let room = room(bytes);
        bytes.get_mut(..room).unwrap_or_default()
    }
}

impl<S: AsMut<[u8]>> Retained<S> {
    /// The part for records, and the places; `None` if the memory is too small for any.
    fn split(&mut self) -> Option<(&mut [u8], Book<'_>)> {
        let bytes = self.storage.as_mut();
        let (records, rest) = bytes.split_at_mut_checked(room(bytes))?;
        let book = Book {
            memory: rest.first_chunk_mut()?,
            sequence: &mut self.sequence,
            capacity: u32::try_from(records.len()).ok()?,
        };
        Some((records, book))
    }
}

impl<S: AsRef<[u8]> + AsMut<[u8]>> Buffer<Retained<S>> {
    /// Makes a buffer over memory that may have belonged to one before a reset. Queues all of its
    /// records for which `accept` returns true; without any the buffer is empty. Set overflow and
    /// limits again; the registry must number its scopes as before.
    ///
    /// For spans, `|record| StoredSpan::new(record.body).is_some()` is a good check
    /// ([`StoredSpan`](crate::span::stored::StoredSpan)).
    ///
    /// The last [`Retained::BYTES`] of `storage` hold no records. Each call that changes the buffer
    /// writes half of them, which costs about 150 instructions.
    pub fn retained(storage: S, accept: &mut dyn FnMut(&Record<'_>) -> bool) -> Self {
        let mut storage = Retained {
            storage,
            sequence: 0,
        };
        let state = storage.split().map(|(bytes, mut book)| {
            let state = Bookkeeping::recover(bytes, &mut book, accept);
            book.write(bytes, &state.ring, Move::NONE);
            state
        });
        Self {
            storage,
            state: state.unwrap_or(Bookkeeping::new()),
            keep: Some(keep),
        }
    }
}

fn keep<S: AsMut<[u8]>>(
    storage: &mut Retained<S>,
    state: &mut Bookkeeping,
    record: Option<&Record<'_>>,
) -> Result<(), PushError> {
    let Some((bytes, mut book)) = storage.split() else {
        return Err(PushError::TooLarge);
    };
    if let Some(record) = record {
        let need = record.stored_len();
        if need <= bytes.len() && !state.has_room(bytes.len(), need) {
            state.make_room(bytes, need, &mut book)?;
            // The last places may name records in memory that is written now.
            book.write(bytes, &state.ring, Move::NONE);
        }
        state.push(bytes, record)?;
    }
    book.write(bytes, &state.ring, Move::NONE);
    Ok(())
}

/// A run of records that is being moved over a gap before it.
#[derive(Clone, Copy)]
struct Move {
    /// Offset of the gap: where the records go.
    to: usize,
    /// Bytes of the gap; 0 if nothing is being moved.
    gap: usize,
    /// Bytes of the records behind it.
    len: usize,
    /// How many of these have been moved.
    done: usize,
}

impl Move {
    const NONE: Self = Self {
        to: 0,
        gap: 0,
        len: 0,
        done: 0,
    };

    const fn to_words(self) -> [u32; 4] {
        [
            self.to as u32,
            self.gap as u32,
            self.len as u32,
            self.done as u32,
        ]
    }

    /// `None` if it does not fit into `capacity` bytes.
    fn from_words(words: [u32; 4], capacity: usize) -> Option<Self> {
        let [to, gap, len, done] = words.map(|word| word as usize);
        let end = to.checked_add(gap)?.checked_add(len)?;
        let fits = gap == 0 || gap >= RECORD_HEADER_BYTES;
        (fits && end <= capacity && done <= len).then_some(Self { to, gap, len, done })
    }
}

/// The places of the records, in the retained memory.
struct Book<'a> {
    memory: &'a mut [u8; Retained::BYTES],
    sequence: &'a mut u32,
    capacity: u32,
}

impl Book<'_> {
    /// Writes the places over the older ones. A reset meanwhile leaves the newer ones.
    fn write(&mut self, bytes: &[u8], ring: &Ring, moving: Move) {
        *self.sequence = self.sequence.wrapping_add(1);
        let [head, tail, end, records] = ring.to_words();
        let [to, gap, len, done] = moving.to_words();
        let content = [*self.sequence, head, tail, end, records, to, gap, len, done];
        let at = if self.sequence.is_multiple_of(2) {
            0
        } else {
            PLACES_BYTES
        };
        let words = content.into_iter().chain([self.check(&content)]);
        self.step(bytes);
        if let Some(target) = self.memory.get_mut(at..at + PLACES_BYTES) {
            for (target, word) in target.chunks_exact_mut(4).zip(words) {
                target.copy_from_slice(&word.to_le_bytes());
            }
        }
        self.step(bytes);
    }

    /// The content of the places at `at`, if they are whole and belong to this memory.
    fn read(&self, at: usize) -> Option<[u32; WORDS - 1]> {
        let mut words = [0; WORDS];
        let bytes = self.memory.get(at..at + PLACES_BYTES)?;
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = u32::from_le_bytes(*bytes.first_chunk()?);
        }
        let [content @ .., found] = words;
        (found == self.check(&content)).then_some(content)
    }

    /// The newest places that can be used.
    fn latest(&mut self) -> Option<(Ring, Move)> {
        let mut both = [self.read(0), self.read(PLACES_BYTES)];
        if let [Some([first, ..]), Some([second, ..])] = both {
            if second.wrapping_sub(first) < u32::MAX / 2 {
                both.reverse();
            }
        }
        both.into_iter().flatten().find_map(|content| {
            let [sequence, head, tail, end, records, to, gap, len, done] = content;
            let capacity = self.capacity as usize;
            let ring = Ring::from_words([head, tail, end, records], capacity)?;
            let moving = Move::from_words([to, gap, len, done], capacity)?;
            *self.sequence = sequence;
            Some((ring, moving))
        })
    }

    /// Distinguishes places from random bytes, which pass once in four thousand million times.
    fn check(&self, words: &[u32]) -> u32 {
        let seed = MAGIC ^ self.capacity.rotate_left(16);
        words.iter().fold(seed, |hash, word| {
            (hash ^ word).wrapping_mul(0x9e37_79b1).rotate_left(15)
        })
    }

    /// Moves the rest of a run in steps no longer than the gap, so that each reads what no earlier
    /// one has written, and makes one settled record of the gap behind it.
    fn finish(&mut self, bytes: &mut [u8], ring: &Ring, mut moving: Move) {
        while moving.done < moving.len {
            let step = moving.gap.min(moving.len - moving.done);
            let to = moving.to + moving.done;
            move_within(bytes, to + moving.gap, step, to);
            moving.done += step;
            self.write(bytes, ring, moving);
        }
        let filler = Header {
            len: (moving.gap - RECORD_HEADER_BYTES) as u32,
            scope: ScopeId::default(),
            flags: RecordFlags::NONE,
            state: State::Done,
        };
        Ring::set_header(bytes, moving.to + moving.len, filler);
        self.write(bytes, ring, Move::NONE);
    }

    /// Ends a step of which all writes must come before those of the next one.
    fn step(&self, bytes: &[u8]) {
        #[cfg(test)]
        tests::note(bytes, self.memory);
        let _ = bytes;
        barrier();
    }
}

/// Adjacent records in one part of the ring.
#[derive(Clone, Copy)]
struct Stretch {
    at: usize,
    len: usize,
    records: u32,
}

impl Ring {
    /// The records from `at` up to `limit` that are settled, or that are not.
    fn stretch(bytes: &[u8], at: usize, limit: usize, settled: bool) -> Stretch {
        let mut stretch = Stretch {
            at,
            len: 0,
            records: 0,
        };
        while at + stretch.len < limit {
            let Some(header) = Self::header(bytes, at + stretch.len) else {
                break;
            };
            if (header.state == State::Done) != settled {
                break;
            }
            stretch.len += header.stored_len();
            stretch.records += 1;
        }
        stretch
    }
}

/// Step by step, so that a reset within it loses nothing.
impl Compaction for Book<'_> {
    fn run(&mut self, ring: &mut Ring, bytes: &mut [u8], moved: &mut dyn FnMut(usize, usize)) {
        ring.reclaim(bytes);
        self.write(bytes, ring, Move::NONE);
        if ring.wrapped {
            self.close_gaps(ring, bytes, ring.head, true, moved);
            self.fill_upper(ring, bytes, moved);
        }
        if ring.wrapped {
            self.close_gaps(ring, bytes, 0, false, moved);
        } else {
            self.close_gaps(ring, bytes, ring.head, false, moved);
        }
        ring.done_bytes = 0;
    }
}

impl Book<'_> {
    /// Moves the records of one part of the ring together, from `at` on.
    fn close_gaps(
        &mut self,
        ring: &mut Ring,
        bytes: &mut [u8],
        mut at: usize,
        upper: bool,
        moved: &mut dyn FnMut(usize, usize),
    ) {
        let limit = if upper { ring.end } else { ring.tail };
        while at < limit {
            at += Ring::stretch(bytes, at, limit, false).len;
            let gap = Ring::stretch(bytes, at, limit, true);
            let run = Ring::stretch(bytes, at + gap.len, limit, false);
            if gap.len == 0 {
                // The bytes are not records; nothing can be done about that here.
                break;
            }
            if run.len == 0 {
                ring.records -= gap.records;
                *(if upper { &mut ring.end } else { &mut ring.tail }) = at;
                self.write(bytes, ring, Move::NONE);
                break;
            }
            let mut from = run.at;
            for _ in 0..run.records {
                moved(from, from - gap.len);
                from += Ring::header(bytes, from).map_or(0, |header| header.stored_len());
            }
            ring.records -= gap.records - 1;
            let moving = Move {
                to: at,
                gap: gap.len,
                len: run.len,
                done: 0,
            };
            self.write(bytes, ring, moving);
            self.finish(bytes, ring, moving);
        }
    }

    /// Moves the first records of the lower part behind the upper one, as far as they fit there.
    fn fill_upper(
        &mut self,
        ring: &mut Ring,
        bytes: &mut [u8],
        moved: &mut dyn FnMut(usize, usize),
    ) {
        let mut low = Ring::stretch(bytes, 0, ring.tail, true).len;
        while low < ring.tail {
            let Some(header) = Ring::header(bytes, low) else {
                break;
            };
            let len = header.stored_len();
            if len > bytes.len() - ring.end {
                break;
            }
            move_within(bytes, low, len, ring.end);
            moved(low, ring.end);
            ring.end += len;
            ring.records += 1;
            // From here on it is there twice, until the older one counts as settled.
            self.write(bytes, ring, Move::NONE);
            Ring::set_state(bytes, low, State::Done);
            low += len;
            low += Ring::stretch(bytes, low, ring.tail, true).len;
        }
        if low >= ring.tail {
            ring.records -= Ring::stretch(bytes, 0, ring.tail, true).records;
            (ring.tail, ring.end, ring.wrapped) = (ring.end, 0, false);
            self.write(bytes, ring, Move::NONE);
        }
    }
}

impl Bookkeeping {
    fn recover(
        bytes: &mut [u8],
        book: &mut Book<'_>,
        accept: &mut dyn FnMut(&Record<'_>) -> bool,
    ) -> Self {
        let mut state = Self::new();
        let Some((ring, moving)) = book.latest() else {
            return state;
        };
        state.ring = ring;
        if moving.gap > 0 {
            book.finish(bytes, &state.ring, moving);
        }
        let mut walk = state.ring.checked_walk();
        loop {
            let (at, header) = match walk.next(bytes) {
                Some(Some(found)) => found,
                Some(None) => break,
                None => {
                    state.ring.truncate(&walk);
                    break;
                }
            };
            let is_known = matches!(header.state, State::Leased(slot) if usize::from(slot) < MAX_LEASES)
                || header.state == State::Queued;
            let header = Header {
                flags: RecordFlags::from_bits(header.flags.bits()),
                state: State::Queued,
                ..header
            };
            let is_kept = is_known && record_at(bytes, at, &header).is_some_and(|r| accept(&r));
            if is_kept {
                Ring::set_header(bytes, at, header);
                state.queued += 1;
                state.queued_bytes += header.stored_len();
            } else {
                state.ring.settle(bytes, at, &header);
            }
        }
        state.ring.reclaim(bytes);
        state
    }
}

#[cfg(test)]
mod tests;
