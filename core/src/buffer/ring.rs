//! The places of records in a byte slice: placement, walking and compaction.
//!
//! ```text
//!            head          tail                     tail     head         end
//!  in order  |##############|          wrapped  ####|        |#############|..
//!            0                cap               0                           cap
//! ```
//!
//! A record is never split: one that does not fit before the end of the memory goes to its start, and
//! `end` remembers where the upper part stops. So each record is one contiguous slice, which can be
//! copied, inspected and dated in place.

use core::sync::atomic::{Ordering, compiler_fence};

use super::record::{Header, RECORD_HEADER_BYTES, State};
use crate::wire::{copy, move_within};

#[derive(Clone, Copy, Debug)]
pub(super) struct Ring {
    /// Offset of the oldest record kept.
    pub(super) head: usize,
    pub(super) tail: usize,
    /// Where the upper part ends, while `wrapped`.
    pub(super) end: usize,
    pub(super) wrapped: bool,
    /// Records from head to tail, settled ones included.
    pub(super) records: u32,
    /// Bytes of the settled records among them.
    pub(super) done_bytes: usize,
}

/// Ends the writes before it: the compiler moves none over it.
#[inline]
pub(super) fn barrier() {
    compiler_fence(Ordering::SeqCst);
}

/// A way to close the gaps between records.
pub(super) trait Compaction {
    /// Closes the gaps that settled records left, keeping the order. Reports every move as
    /// `(from, to)`.
    fn run(&mut self, ring: &mut Ring, bytes: &mut [u8], moved: &mut dyn FnMut(usize, usize));
}

/// In one go: costs a copy of the bytes behind the first gap.
pub(super) struct InPlace;

impl Compaction for InPlace {
    fn run(&mut self, ring: &mut Ring, bytes: &mut [u8], moved: &mut dyn FnMut(usize, usize)) {
        ring.compact(bytes, moved);
    }
}

impl Ring {
    pub(super) const fn new() -> Self {
        Self {
            head: 0,
            tail: 0,
            end: 0,
            wrapped: false,
            records: 0,
            done_bytes: 0,
        }
    }

    /// Where a record of `need` bytes goes, and whether that is before the older ones.
    #[inline]
    fn place(&self, capacity: usize, need: usize) -> Option<(usize, bool)> {
        if self.records == 0 {
            return (need <= capacity).then_some((0, false));
        }
        if self.wrapped {
            return (self.head - self.tail >= need).then_some((self.tail, true));
        }
        if capacity - self.tail >= need {
            return Some((self.tail, false));
        }
        (self.head >= need).then_some((0, true))
    }

    pub(super) fn fits(&self, capacity: usize, need: usize) -> bool {
        self.place(capacity, need).is_some()
    }

    /// Takes `need` bytes behind the newest record for one more, or changes nothing.
    #[inline]
    fn reserve(&mut self, capacity: usize, need: usize) -> Option<usize> {
        let (at, wrapped) = self.place(capacity, need)?;
        self.occupy(at, wrapped, need, 1);
        Some(at)
    }

    /// Takes `need` free bytes from `at` on for `records` more.
    #[inline]
    pub(super) fn occupy(&mut self, at: usize, wrapped: bool, need: usize, records: u32) {
        if self.records == 0 {
            *self = Self::new();
        } else if wrapped && !self.wrapped {
            self.end = self.tail;
        }
        self.wrapped = wrapped;
        self.tail = at + need;
        self.records += records;
    }

    /// Writes a record, or changes nothing and returns `None`.
    #[inline]
    pub(super) fn push(&mut self, bytes: &mut [u8], header: Header, body: &[u8]) -> Option<()> {
        let need = header.stored_len();
        let at = self.reserve(bytes.len(), need)?;
        let target = bytes.get_mut(at..at + need)?;
        let (head, rest) = target.split_first_chunk_mut::<RECORD_HEADER_BYTES>()?;
        *head = header.to_bytes();
        copy(rest.get_mut(..body.len())?, body);
        Some(())
    }

    /// Head, tail, end of the upper part (0 unless wrapped), and records. Only rings of less than
    /// 4 GiB fit.
    pub(super) const fn to_words(self) -> [u32; 4] {
        let end = if self.wrapped { self.end as u32 } else { 0 };
        [self.head as u32, self.tail as u32, end, self.records]
    }

    /// The ring of these words, if it fits into `capacity` bytes. Its records must still be checked,
    /// with [`Ring::checked_walk`].
    pub(super) fn from_words(words: [u32; 4], capacity: usize) -> Option<Self> {
        let [head, tail, end, records] = words;
        let ring = Self {
            head: head as usize,
            tail: tail as usize,
            end: end as usize,
            wrapped: end > 0,
            records,
            done_bytes: 0,
        };
        let in_order = if ring.wrapped {
            ring.tail <= ring.head && ring.head < ring.end && ring.end <= capacity
        } else {
            ring.head <= ring.tail && ring.tail <= capacity
        };
        in_order.then_some(ring)
    }

    /// Leaves out all records from where `walk` stands.
    pub(super) fn truncate(&mut self, walk: &CheckedWalk) {
        self.records -= walk.left;
        self.tail = walk.at;
        self.wrapped &= !walk.in_upper;
        if self.records == 0 {
            *self = Self::new();
        }
    }

    pub(super) const fn checked_walk(&self) -> CheckedWalk {
        CheckedWalk {
            at: self.head,
            tail: self.tail,
            end: self.end,
            in_upper: self.wrapped,
            left: self.records,
        }
    }

    #[cfg_attr(target_os = "none", inline(never))]
    pub(super) fn header(bytes: &[u8], at: usize) -> Option<Header> {
        let head = bytes.get(at..)?.first_chunk::<RECORD_HEADER_BYTES>()?;
        Some(Header::from_bytes(*head))
    }

    /// Header and body of the record at `at`.
    #[inline]
    pub(super) fn parts_mut(
        bytes: &mut [u8],
        at: usize,
    ) -> Option<(&mut [u8; RECORD_HEADER_BYTES], &mut [u8])> {
        let (head, rest) = bytes.get_mut(at..)?.split_first_chunk_mut()?;
        let body = rest.get_mut(..Header::from_bytes(*head).len as usize)?;
        Some((head, body))
    }

    /// The offset of the record after the one at `at`.
    #[inline]
    pub(super) const fn next(&self, at: usize, header: &Header) -> usize {
        let next = at + header.stored_len();
        if self.wrapped && next == self.end && at >= self.head {
            0
        } else {
            next
        }
    }

    /// The offset behind records of `len` bytes together, of which the first is at `at`.
    #[inline]
    pub(super) const fn behind(&self, at: usize, len: usize) -> usize {
        let behind = at + len;
        if self.wrapped && at >= self.head && behind >= self.end {
            // The last of them, or the one behind it, is in the lower part.
            behind - self.end
        } else {
            behind
        }
    }

    pub(super) fn set_header(bytes: &mut [u8], at: usize, header: Header) {
        if let Some(head) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
            *head = header.to_bytes();
        }
    }

    pub(super) fn set_state(bytes: &mut [u8], at: usize, state: State) {
        if let Some(byte) = bytes.get_mut(at + Header::STATE) {
            *byte = state.to_byte();
        }
    }

    /// Marks the record at `at` as settled. [`Ring::reclaim`] frees what it can.
    pub(super) fn settle(&mut self, bytes: &mut [u8], at: usize, header: &Header) {
        Self::set_state(bytes, at, State::Done);
        self.done_bytes += header.stored_len();
    }

    /// Removes the record at the head.
    #[inline]
    pub(super) fn pop_head(&mut self, header: &Header) {
        let next = self.next(self.head, header);
        // The head moved from the upper part to the lower one.
        if next < self.head {
            self.wrapped = false;
        }
        self.head = next;
        self.records -= 1;
        if self.records == 0 {
            *self = Self::new();
        }
    }

    /// Removes `records` records of `len` bytes together at the head.
    pub(super) fn pop_run(&mut self, len: usize, records: u32) {
        let head = self.behind(self.head, len);
        if head < self.head {
            self.wrapped = false;
        }
        self.head = head;
        self.records = self.records.saturating_sub(records);
        if self.records == 0 {
            *self = Self::new();
        }
    }

    /// Frees the settled records at the head.
    pub(super) fn reclaim(&mut self, bytes: &[u8]) {
        while self.records > 0 {
            let Some(header) = Self::header(bytes, self.head) else {
                return;
            };
            if header.state != State::Done {
                return;
            }
            self.done_bytes -= header.stored_len();
            self.pop_head(&header);
        }
    }

    fn compact(&mut self, bytes: &mut [u8], moved: &mut dyn FnMut(usize, usize)) {
        let old = *self;
        let capacity = bytes.len();
        let mut at = old.head;
        let mut packed = Self {
            head: old.head,
            tail: old.head,
            ..Self::new()
        };
        for _ in 0..old.records {
            let Some(header) = Self::header(bytes, at) else {
                break;
            };
            let next = old.next(at, &header);
            if header.state != State::Done {
                let len = header.stored_len();
                let to = packed.append(capacity, len);
                move_within(bytes, at, len, to);
                if to != at {
                    moved(at, to);
                }
            }
            at = next;
        }
        *self = packed;
        if self.records == 0 {
            *self = Self::new();
        }
    }

    /// The ring as it would be with the leased records only, moved together.
    pub(super) fn only_leased(&self, bytes: &[u8]) -> Self {
        let mut packed = Self::new();
        let mut at = self.head;
        for _ in 0..self.records {
            let Some(header) = Self::header(bytes, at) else {
                break;
            };
            if matches!(header.state, State::Leased(_)) {
                if packed.records == 0 {
                    packed.head = at;
                    packed.tail = at;
                }
                packed.append(bytes.len(), header.stored_len());
            }
            at = self.next(at, &header);
        }
        packed
    }

    /// Like [`Ring::reserve`], but keeps the head. A compacted record moves no further than where it
    /// was, so it always fits.
    fn append(&mut self, capacity: usize, need: usize) -> usize {
        if !self.wrapped && capacity - self.tail < need {
            self.end = self.tail;
            self.wrapped = true;
            self.tail = 0;
        }
        let at = self.tail;
        self.tail += need;
        self.records += 1;
        at
    }
}

/// Walks over the records of a ring whose bytes are not trusted.
pub(super) struct CheckedWalk {
    at: usize,
    tail: usize,
    end: usize,
    /// Not yet at the start of the memory again.
    in_upper: bool,
    left: u32,
}

impl CheckedWalk {
    /// Returns the next record, `Some(None)` behind the last one if the ring ends there, or `None`
    /// if the bytes do not fit the ring.
    pub(super) fn next(&mut self, bytes: &[u8]) -> Option<Option<(usize, Header)>> {
        if self.left == 0 {
            return (self.at == self.tail && !self.in_upper).then_some(None);
        }
        let at = self.at;
        let header = Ring::header(bytes, at)?;
        let limit = if self.in_upper { self.end } else { self.tail };
        let next = at.checked_add(header.stored_len_checked()?)?;
        if next > limit {
            return None;
        }
        self.left -= 1;
        self.at = next;
        if self.in_upper && next == self.end {
            self.in_upper = false;
            self.at = 0;
        }
        Some(Some((at, header)))
    }
}
