//! Buffers that outlive a reset: a [`Snapshot`] of the bookkeeping, kept beside the bytes.
//!
//! A device that crashes has just recorded the spans that say why. When the buffer's memory lies
//! where no start-up code writes (a `.uninit` section, a memory-mapped file), the bytes are still
//! there afterwards, and a snapshot in memory of the same kind says where the records lie:
//!
//! ```text
//!   push, release ─▶ snapshot() ─▶ 32 retained bytes ─┐
//!                                                     ├─ reset ─▶ recover() ─▶ queued again
//!   records ──────────────────────▶ retained bytes ───┘
//! ```
//!
//! Take a snapshot after every call that changed the buffer, before the next one. Then a reset at
//! any moment loses at most the span that was being pushed. Spans that were being released are
//! queued again, so they may be delivered twice but are never lost. Leased records are queued again
//! too, because their answer is unknown.
//!
//! The bytes that are read back are not trusted: the snapshot carries a check value, every length is
//! checked against its bounds, and the caller sees every record. Memory that has decayed gives an
//! empty buffer or fewer records, and never a panic.
//!
//! ```
//! use spandrel_core::buffer::{Buffer, Record, RecordFlags, Snapshot};
//! use spandrel_core::resource::ScopeId;
//!
//! let mut memory = [0_u8; 64];
//! let mut buffer = Buffer::new(&mut memory[..]);
//! let record = Record { scope: ScopeId::default(), flags: RecordFlags::NONE, body: b"a span" };
//! buffer.push(&record)?;
//! let kept = buffer.snapshot().to_bytes();
//!
//! // ... a reset ...
//! let snapshot = Snapshot::from_bytes(kept);
//! let buffer = Buffer::recover(&mut memory[..], &snapshot, &mut |record| !record.body.is_empty())
//!     .unwrap_or_else(Buffer::new);
//! assert_eq!(buffer.front(), Some(record));
//! # Ok::<(), spandrel_core::buffer::PushError>(())
//! ```

use super::bookkeeping::{Bookkeeping, record_at};
use super::record::{Header, State};
use super::ring::Ring;
use super::{Buffer, MAX_LEASES, Record, RecordFlags};

/// "Spandrel ring", first version.
const MAGIC: u32 = 0x5352_4e01;
const WORDS: usize = 8;

/// The places of a buffer's records, with a check value: from [`Buffer::snapshot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Snapshot([u8; Self::BYTES]);

impl Snapshot {
    /// The size in bytes.
    pub const BYTES: usize = 4 * WORDS;

    /// Restores a snapshot from bytes that were kept. Any bytes will do; [`Buffer::recover`] checks
    /// them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes to keep.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::BYTES] {
        self.0
    }

    fn pack(ring: [u32; 5], capacity: u32) -> Self {
        let [head, tail, end, wrapped, records] = ring;
        let content = [MAGIC, capacity, head, tail, end, wrapped, records];
        let mut bytes = [0; Self::BYTES];
        let words = content.into_iter().chain([check(&content)]);
        for (target, word) in bytes.chunks_exact_mut(4).zip(words) {
            target.copy_from_slice(&word.to_le_bytes());
        }
        Self(bytes)
    }

    /// The ring, if it belongs to a buffer of `capacity` bytes.
    fn unpack(&self, capacity: usize) -> Option<[u32; 5]> {
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(self.0.chunks_exact(4)) {
            *word = u32::from_le_bytes(*bytes.first_chunk()?);
        }
        let [content @ .., found] = words;
        let [magic, size, ring @ ..] = content;
        let fits = magic == MAGIC && usize::try_from(size) == Ok(capacity);
        (fits && found == check(&content)).then_some(ring)
    }
}

/// Distinguishes a snapshot from random bytes, which pass once in four thousand million times.
fn check(words: &[u32]) -> u32 {
    words.iter().fold(0x811c_9dc5, |hash, word| {
        (hash ^ word).wrapping_mul(0x9e37_79b1).rotate_left(15)
    })
}

impl<S: AsRef<[u8]> + AsMut<[u8]>> Buffer<S> {
    /// Returns where the records lie now. Costs about a hundred instructions.
    ///
    /// A snapshot of a buffer of 4 GiB or more cannot be recovered.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let capacity = u32::try_from(self.capacity_bytes()).unwrap_or(0);
        Snapshot::pack(self.state.ring.to_words(), capacity)
    }

    /// Makes a buffer over memory that belonged to a buffer before. Queues all records for which
    /// `accept` returns true. Set overflow and limits again; the registry must number its scopes as
    /// before.
    ///
    /// For spans, `|record| StoredSpan::new(record.body).is_some()` is a good check
    /// ([`StoredSpan`](crate::span::stored::StoredSpan)).
    ///
    /// # Errors
    ///
    /// Returns the memory, for a new buffer, when the snapshot does not belong to it.
    pub fn recover(
        mut storage: S,
        snapshot: &Snapshot,
        accept: &mut dyn FnMut(&Record<'_>) -> bool,
    ) -> Result<Self, S> {
        match Bookkeeping::recover(storage.as_mut(), snapshot, accept) {
            Some(state) => Ok(Self { storage, state }),
            None => Err(storage),
        }
    }
}

impl Bookkeeping {
    fn recover(
        bytes: &mut [u8],
        snapshot: &Snapshot,
        accept: &mut dyn FnMut(&Record<'_>) -> bool,
    ) -> Option<Self> {
        let mut state = Self::new();
        state.ring = Ring::from_words(snapshot.unpack(bytes.len())?, bytes.len())?;
        let mut walk = state.ring.checked_walk();
        while let Some((at, header)) = walk.next(bytes)? {
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
        Some(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Overflow;
    use crate::resource::ScopeId;
    use crate::test_support::TestRng;
    use rand_core::Rng as _;
    use std::vec;
    use std::vec::Vec;

    fn push(buffer: &mut Buffer<Vec<u8>>, id: u8, len: usize) -> bool {
        let record = Record {
            scope: ScopeId(u16::from(id)),
            flags: RecordFlags::NONE,
            body: &vec![id; len],
        };
        buffer.push(&record).is_ok()
    }

    /// All bodies, the oldest first; a recovered record must be what was pushed.
    fn drain(buffer: &mut Buffer<Vec<u8>>) -> Vec<(u8, usize)> {
        let mut found = Vec::new();
        while let Some(record) = buffer.front() {
            let id = record.scope.0 as u8;
            assert!(record.body.iter().all(|&byte| byte == id));
            found.push((id, record.body.len()));
            buffer.pop_front();
        }
        found
    }

    fn reset(buffer: &Buffer<Vec<u8>>) -> Buffer<Vec<u8>> {
        let snapshot = Snapshot::from_bytes(buffer.snapshot().to_bytes());
        Buffer::recover(buffer.storage.clone(), &snapshot, &mut |_| true).expect("it is good")
    }

    #[test]
    fn queued_and_leased_records_come_back_in_order_and_settled_ones_do_not() {
        let mut buffer = Buffer::new(vec![0; 256]);
        for id in 0..6 {
            assert!(push(&mut buffer, id, 10));
        }
        let mut left = 2;
        let first = buffer.lease(&mut |_| {
            left -= 1;
            left >= 0
        });
        let second = buffer.lease(&mut |record| record.scope.0 < 4).unwrap();
        buffer.release(second);
        let mut recovered = reset(&buffer);
        assert_eq!((recovered.queued(), recovered.leased()), (4, 0));
        assert_eq!(drain(&mut recovered), [(0, 10), (1, 10), (4, 10), (5, 10)]);
        assert!(first.is_some());
    }

    #[test]
    fn a_recovered_buffer_goes_on_like_the_one_before_wherever_the_ring_stands() {
        let mut rng = TestRng::new(7);
        let mut buffer = Buffer::new(vec![0; 200]).with_overflow(Overflow::DropOldest);
        for id in 0..=255 {
            push(&mut buffer, id, (rng.next_u32() % 40) as usize);
            if rng.next_u32().is_multiple_of(3) {
                buffer.pop_front();
            }
            let mut recovered = reset(&buffer);
            assert_eq!(recovered.queued_bytes(), buffer.queued_bytes());
            assert_eq!(drain(&mut recovered), drain(&mut buffer.clone()));
            buffer = reset(&buffer).with_overflow(Overflow::DropOldest);
        }
    }

    #[test]
    fn what_the_caller_refuses_is_left_out() {
        let mut buffer = Buffer::new(vec![0; 128]);
        for id in 0..4 {
            push(&mut buffer, id, 4);
        }
        let snapshot = buffer.snapshot();
        let odd = &mut |record: &Record<'_>| record.scope.0 % 2 == 1;
        let mut recovered = Buffer::recover(buffer.storage, &snapshot, odd).unwrap();
        assert_eq!(drain(&mut recovered), [(1, 4), (3, 4)]);
        assert_eq!(recovered.queued_bytes(), 0);
    }

    #[test]
    fn flags_without_a_meaning_are_cleared() {
        let mut buffer = Buffer::new(vec![0; 128]);
        push(&mut buffer, 1, 4);
        let snapshot = buffer.snapshot();
        buffer.storage[Header::FLAGS] = 0xff;
        let buffer = Buffer::recover(buffer.storage, &snapshot, &mut |_| true).unwrap();
        let all = RecordFlags::DATED
            .with(RecordFlags::HAS_EVENTS)
            .with(RecordFlags::ERROR);
        assert_eq!(buffer.front().map(|record| record.flags), Some(all));
    }

    #[test]
    fn other_memory_and_a_changed_snapshot_are_refused() {
        let mut buffer = Buffer::new(vec![0; 128]);
        push(&mut buffer, 1, 4);
        let snapshot = buffer.snapshot();
        let larger = vec![0; 129];
        assert!(Buffer::recover(larger, &snapshot, &mut |_| true).is_err());
        for bit in 0..8 * Snapshot::BYTES {
            let mut bytes = snapshot.to_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let changed = Snapshot::from_bytes(bytes);
            let result = Buffer::recover(buffer.storage.clone(), &changed, &mut |_| true);
            assert!(result.is_err(), "{bit}");
        }
        let zero = Snapshot::from_bytes([0; Snapshot::BYTES]);
        assert!(Buffer::recover(vec![0; 128], &zero, &mut |_| true).is_err());
    }

    /// Decayed memory under a good snapshot, and snapshots that are made up but pass the check.
    #[test]
    fn no_bytes_make_recovery_panic_or_the_books_wrong() {
        let mut rng = TestRng::new(11);
        for _ in 0..20_000 {
            let capacity = 40 + (rng.next_u32() % 100) as usize;
            let mut small = || rng.next_u32() % 150;
            let ring = [small(), small(), small(), small() % 2, small() % 5];
            let snapshot = Snapshot::pack(ring, capacity as u32);
            let mut bytes = vec![0; capacity];
            for byte in &mut bytes {
                *byte = (rng.next_u32() % 24) as u8 * u8::from(rng.next_u32().is_multiple_of(4));
            }
            let Ok(mut buffer) = Buffer::recover(bytes, &snapshot, &mut |_| true) else {
                continue;
            };
            let (queued, mut popped) = (buffer.queued(), 0);
            let mut stored = 0;
            while let Some(record) = buffer.front() {
                stored += record.stored_len();
                buffer.pop_front();
                popped += 1;
            }
            assert_eq!(
                (popped, buffer.len(), buffer.queued_bytes()),
                (queued, 0, 0)
            );
            assert!(stored <= capacity);
            let body = vec![1; capacity - 8];
            let record = Record {
                scope: ScopeId(1),
                flags: RecordFlags::NONE,
                body: &body,
            };
            assert_eq!(buffer.push(&record), Ok(()), "all memory is free again");
        }
    }
}
