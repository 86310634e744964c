//! Everything about a buffer except its bytes: counts, leases and the rules of overflow.

use super::record::{Header, RECORD_HEADER_BYTES, Record, RecordFlags, State};
use super::ring::{Compaction, InPlace, Ring, barrier};
use super::totals::Totals;
use super::{Lease, MAX_LEASES, Overflow, PushError};

/// Takes the bytes as an argument, so that the code exists once whatever `S` is.
#[derive(Clone, Debug)]
pub(super) struct Bookkeeping {
    pub(super) ring: Ring,
    pub(super) queued: u32,
    pub(super) queued_bytes: usize,
    pub(super) leased: u32,
    leased_bytes: usize,
    pub(super) slots: [Slot; SLOTS],
    /// The slots in use.
    #[cfg(feature = "std")]
    pub(super) max_leases: usize,
    /// The slot of a lease whose records are still marked as queued.
    unmarked: u8,
    /// Offset of its first record; [`NOWHERE`] without such a lease.
    unmarked_at: usize,
    /// Right as long as it counts as many records as are queued.
    pub(super) totals: Totals,
    pub(super) overflow: Overflow,
    pub(super) max_records: u32,
    pub(super) evicted: u64,
    /// The number of compactions: each makes earlier offsets stale.
    pub(super) layout: u32,
}

/// A lease's records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// Offset of the first record still held.
    pub(super) first: usize,
    pub(super) count: u32,
    bytes: usize,
    /// Odd while the lease is out, so that an old lease never matches a free slot.
    generation: u32,
}

impl Slot {
    pub(super) const FREE: Self = Self {
        first: 0,
        count: 0,
        bytes: 0,
        generation: 0,
    };

    pub(super) const fn is_free(&self) -> bool {
        self.generation.is_multiple_of(2)
    }
}

/// On hosts an exporter may have several requests in flight.
pub(super) const SLOTS: usize = if cfg!(feature = "std") {
    34
} else {
    MAX_LEASES
};

/// No offset.
const NOWHERE: usize = usize::MAX;

impl Bookkeeping {
    pub(super) const fn new() -> Self {
        Self {
            ring: Ring::new(),
            queued: 0,
            queued_bytes: 0,
            leased: 0,
            leased_bytes: 0,
            slots: [Slot::FREE; SLOTS],
            #[cfg(feature = "std")]
            max_leases: MAX_LEASES,
            unmarked: 0,
            unmarked_at: NOWHERE,
            totals: Totals::NONE,
            overflow: Overflow::DropNewest,
            max_records: u32::MAX,
            evicted: 0,
            layout: 0,
        }
    }

    #[cfg(feature = "std")]
    const fn max_leases(&self) -> usize {
        self.max_leases
    }

    #[cfg(not(feature = "std"))]
    const fn max_leases(&self) -> usize {
        MAX_LEASES
    }

    fn free_slot(&self) -> Option<usize> {
        let mut slots = self.slots.iter().take(self.max_leases());
        slots.position(Slot::is_free)
    }

    #[inline]
    pub(super) fn push(&mut self, bytes: &mut [u8], record: &Record<'_>) -> Result<(), PushError> {
        let need = record.stored_len();
        if need > bytes.len() || u32::try_from(record.body.len()).is_err() {
            return Err(PushError::TooLarge);
        }
        let header = Header::of(record);
        let counted = self.queued + self.leased < self.max_records;
        if !counted || self.ring.push(bytes, header, record.body).is_none() {
            self.make_room(bytes, need, &mut InPlace)?;
            self.ring
                .push(bytes, header, record.body)
                .ok_or(PushError::Full)?;
        }
        self.queued += 1;
        self.queued_bytes += need;
        Ok(())
    }

    pub(super) fn could_take(&self, capacity: usize, record: &Record<'_>) -> bool {
        let need = record.stored_len();
        let spans = self.queued + self.leased < self.max_records;
        // Gaps can be closed. The estimate is wrong only for records near the buffer's size.
        let bytes = self.ring.fits(capacity, need) || self.ring.done_bytes >= 2 * need;
        need > capacity || self.overflow == Overflow::DropOldest || (spans && bytes)
    }

    /// Returns true if more than half of the spans or of the bytes are taken.
    pub(super) const fn is_more_than_half_full(&self, capacity: usize) -> bool {
        self.queued + self.leased > self.max_records / 2
            || self.queued_bytes + self.leased_bytes > capacity / 2
    }

    pub(super) fn has_room(&self, capacity: usize, need: usize) -> bool {
        self.queued + self.leased < self.max_records && self.ring.fits(capacity, need)
    }

    #[cold]
    pub(super) fn make_room<C: Compaction>(
        &mut self,
        bytes: &mut [u8],
        need: usize,
        compaction: &mut C,
    ) -> Result<(), PushError> {
        self.mark_lease(bytes);
        self.compact_if_useful(bytes, need, compaction);
        // No span is evicted needlessly: either this ends with room, or nothing happens.
        if self.overflow == Overflow::DropOldest && self.fits_beside_leases(bytes, need) {
            while !self.has_room(bytes.len(), need) {
                if self.settle_oldest(bytes).is_none() {
                    break;
                }
                self.evicted = self.evicted.saturating_add(1);
                self.compact_if_useful(bytes, need, compaction);
            }
        }
        if self.has_room(bytes.len(), need) {
            Ok(())
        } else {
            Err(PushError::Full)
        }
    }

    /// Returns true if there would be room without the records that are not leased.
    fn fits_beside_leases(&self, bytes: &[u8], need: usize) -> bool {
        let taken = self.leased_bytes.saturating_add(need);
        // Below half of the memory one gap is always large enough, wherever the records lie.
        self.leased < self.max_records
            && (taken <= bytes.len() / 2 || self.ring.only_leased(bytes).fits(bytes.len(), need))
    }

    /// Compacts when that is likely to make room, or when nothing else could.
    fn compact_if_useful<C: Compaction>(
        &mut self,
        bytes: &mut [u8],
        need: usize,
        compaction: &mut C,
    ) {
        let done = self.ring.done_bytes;
        let worth_it = done >= need || (done > 0 && self.queued == 0);
        if worth_it && !self.ring.fits(bytes.len(), need) {
            self.compact(bytes, compaction);
        }
    }

    fn compact<C: Compaction>(&mut self, bytes: &mut [u8], compaction: &mut C) {
        let most = self.max_leases();
        let slots = &mut self.slots;
        compaction.run(&mut self.ring, bytes, &mut |from, to| {
            for slot in slots.iter_mut().take(most) {
                if !slot.is_free() && slot.first == from {
                    slot.first = to;
                    // Moves come in order; another record may still move to `from`, never `to`.
                    break;
                }
            }
        });
        self.layout = self.layout.wrapping_add(1);
    }

    pub(super) fn lease(
        &mut self,
        bytes: &mut [u8],
        take: &mut dyn FnMut(&Record<'_>) -> bool,
    ) -> Option<Lease> {
        let index = self.free_slot()?;
        let state = State::Leased(u8::try_from(index).ok()?).to_byte();
        let (first, _) = self.first_queued(bytes)?;
        let (mut count, mut taken) = (0, 0);
        let mut at = first;
        while count < self.queued {
            let Some((head, body)) = Ring::parts_mut(bytes, at) else {
                break;
            };
            let header = Header::from_bytes(*head);
            let record = Record {
                scope: header.scope,
                flags: header.flags,
                body,
            };
            if header.state != State::Queued || !take(&record) {
                break;
            }
            head[Header::STATE] = state;
            count += 1;
            taken += header.stored_len();
            at = self.ring.next(at, &header);
        }
        if count == 0 {
            return None;
        }
        self.forget_totals();
        self.take_slot(index, first, count, taken)
    }

    /// Leases the whole queue without a walk, if its totals are known and it has at most `most`
    /// records. Their states stay as they are until they must be told apart, which is rare.
    pub(super) fn lease_queue(&mut self, bytes: &mut [u8], most: u32) -> Option<(Lease, Totals)> {
        let totals = self.totals;
        if self.queued == 0 || totals.records != self.queued || totals.records > most {
            return None;
        }
        self.mark_lease(bytes);
        let index = self.free_slot()?;
        let (first, _) = self.first_queued(bytes)?;
        let lease = self.take_slot(index, first, self.queued, self.queued_bytes)?;
        self.forget_totals();
        self.unmarked = lease.slot;
        self.unmarked_at = first;
        Some((lease, totals))
    }

    /// Records are about to leave the queue one by one.
    const fn forget_totals(&mut self) {
        // No queue is as long, and an empty one starts again from nothing.
        self.totals.records = u32::MAX;
    }

    /// Writes into the records that they are leased, where that was put off.
    fn mark_lease(&mut self, bytes: &mut [u8]) {
        if self.unmarked_at == NOWHERE {
            return;
        }
        let mut at = core::mem::replace(&mut self.unmarked_at, NOWHERE);
        let index = self.unmarked;
        let Some(slot) = self.slots.get(usize::from(index)) else {
            return;
        };
        for _ in 0..slot.count {
            let Some(header) = Ring::header(bytes, at) else {
                return;
            };
            Ring::set_state(bytes, at, State::Leased(index));
            at = self.ring.next(at, &header);
        }
    }

    /// The records of this lease need no marks any more.
    fn forget_mark(&mut self, lease: &Lease) {
        if self.unmarked == lease.slot {
            self.unmarked_at = NOWHERE;
        }
    }

    /// Leases `count` queued records of `bytes` bytes, from `first` on, in a free slot.
    #[inline]
    fn take_slot(&mut self, index: usize, first: usize, count: u32, bytes: usize) -> Option<Lease> {
        let slot = self.slots.get_mut(index)?;
        let generation = slot.generation.wrapping_add(1);
        *slot = Slot {
            first,
            count,
            bytes,
            generation,
        };
        self.queued -= count;
        self.queued_bytes -= bytes;
        self.leased += count;
        self.leased_bytes += bytes;
        Some(Lease {
            slot: u8::try_from(index).ok()?,
            generation,
        })
    }

    /// Settles `count` records of a lease from its front, and the lease with its last one.
    pub(super) fn release(&mut self, bytes: &mut [u8], lease: &Lease, count: u32) {
        let Some(mut slot) = self.slot(lease).copied() else {
            return;
        };
        // Nearly always: all of a lease with nothing older in front of it. Its records follow each
        // other, so they go in one step.
        if count >= slot.count && slot.first == self.ring.head {
            self.forget_mark(lease);
            self.leased -= slot.count;
            self.leased_bytes -= slot.bytes;
            self.ring.pop_run(slot.bytes, slot.count);
            self.free(lease, slot);
            self.ring.reclaim(bytes);
            return;
        }
        self.mark_lease(bytes);
        let mut left = count.min(slot.count);
        let mut at = slot.first;
        for _ in 0..self.ring.records {
            let Some(header) = Ring::header(bytes, at) else {
                break;
            };
            if header.state == State::Leased(lease.slot) {
                slot.first = at;
                if left == 0 {
                    break;
                }
                left -= 1;
                self.ring.settle(bytes, at, &header);
                slot.count -= 1;
                slot.bytes -= header.stored_len();
                self.leased -= 1;
                self.leased_bytes -= header.stored_len();
                if slot.count == 0 {
                    // The records behind belong to others, and there may be many.
                    break;
                }
            }
            at = self.ring.next(at, &header);
        }
        if slot.count == 0 {
            self.free(lease, slot);
        } else if let Some(target) = self.slots.get_mut(usize::from(lease.slot)) {
            *target = slot;
        }
        self.ring.reclaim(bytes);
    }

    fn free(&mut self, lease: &Lease, slot: Slot) {
        if let Some(target) = self.slots.get_mut(usize::from(lease.slot)) {
            *target = Slot {
                generation: slot.generation.wrapping_add(1),
                ..Slot::FREE
            };
        }
    }

    pub(super) fn settle_oldest(&mut self, bytes: &mut [u8]) -> Option<()> {
        let (at, header) = self.first_queued(bytes)?;
        self.forget_totals();
        self.ring.settle(bytes, at, &header);
        self.queued -= 1;
        self.queued_bytes -= header.stored_len();
        self.ring.reclaim(bytes);
        Some(())
    }

    #[inline]
    pub(super) fn drain(&mut self, bytes: &mut [u8], take: &mut dyn FnMut(&Record<'_>) -> bool) {
        self.forget_totals();
        while let Some((at, header)) = self.first_queued(bytes) {
            if !record_at(bytes, at, &header).is_some_and(|record| take(&record)) {
                return;
            }
            self.queued -= 1;
            self.queued_bytes -= header.stored_len();
            if at == self.ring.head {
                self.ring.pop_head(&header);
            } else {
                self.ring.settle(bytes, at, &header);
            }
            if self.ring.done_bytes > 0 {
                self.ring.reclaim(bytes);
            }
        }
    }

    pub(super) fn update(
        &mut self,
        bytes: &mut [u8],
        lease: &Lease,
        change: &mut dyn FnMut(RecordFlags, &mut [u8]) -> RecordFlags,
    ) {
        let Some(slot) = self.slot(lease).copied() else {
            return;
        };
        // The records of a lease follow each other.
        let mut at = slot.first;
        for _ in 0..slot.count {
            let Some((head, body)) = Ring::parts_mut(bytes, at) else {
                return;
            };
            let header = Header::from_bytes(*head);
            // A reset must not leave a body that is changed in part and looks like one that is not.
            head[Header::STATE] = State::CHANGING;
            barrier();
            head[Header::FLAGS] = change(header.flags, body).bits();
            barrier();
            head[Header::STATE] = header.state.to_byte();
            at = self.ring.next(at, &header);
        }
    }

    #[cold]
    fn behind_unmarked(&self) -> usize {
        let slot = self.slots.get(usize::from(self.unmarked));
        let bytes = slot.map_or(0, |slot| slot.bytes);
        self.ring.behind(self.unmarked_at, bytes)
    }

    #[cfg_attr(target_os = "none", inline(never))]
    pub(super) fn first_queued(&self, bytes: &[u8]) -> Option<(usize, Header)> {
        if self.queued == 0 {
            return None;
        }
        let mut at = self.ring.head;
        for _ in 0..self.ring.records {
            if at == self.unmarked_at {
                at = self.behind_unmarked();
            }
            let header = Ring::header(bytes, at)?;
            if header.state == State::Queued {
                return Some((at, header));
            }
            at = self.ring.next(at, &header);
        }
        None
    }

    pub(super) fn slot(&self, lease: &Lease) -> Option<&Slot> {
        let slot = self.slots.get(usize::from(lease.slot))?;
        (slot.generation == lease.generation && !slot.is_free()).then_some(slot)
    }
}

pub(super) fn record_at<'a>(bytes: &'a [u8], at: usize, header: &Header) -> Option<Record<'a>> {
    let body = at + RECORD_HEADER_BYTES;
    Some(Record {
        scope: header.scope,
        flags: header.flags,
        body: bytes.get(body..body + header.len as usize)?,
    })
}
