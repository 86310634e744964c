//! Taking many records into a buffer at once: they are written where they are to lie.

use super::bookkeeping::{Bookkeeping, Slot};
use super::record::{RECORD_HEADER_BYTES, RecordFlags, State};
use super::ring::Ring;
use super::{Buffer, Lease};
use crate::resource::ScopeId;
use crate::time::{Instant, WallClock};
use crate::wire::field_len;

/// Bytes of a run, at most: the source gets its memory back after each.
const RUN_BYTES: usize = 16 * 1024;

/// Queued records, each as a buffer holds it, one behind the other without a gap; and what whoever
/// wrote them saw of them, so that they need not be walked over again to send them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// How many.
    pub(crate) records: u32,
    /// The bytes of all of them, headers included.
    pub(crate) bytes: usize,
    /// The bytes of their bodies, each with the tag and the length of a field.
    pub(crate) field_bytes: usize,
    /// The scope of all of them; `None` if there are several.
    pub(crate) scope: Option<ScopeId>,
    /// Whether all of them have wall-clock times.
    pub(crate) dated: bool,
    /// When the first of them ended.
    pub(crate) oldest: Option<Instant>,
}

impl Run {
    /// No record.
    pub(crate) const NONE: Self = Self {
        records: 0,
        bytes: 0,
        field_bytes: 0,
        scope: None,
        dated: false,
        oldest: None,
    };

    /// Adds a record behind the others.
    #[inline]
    pub(crate) fn add(&mut self, scope: ScopeId, flags: RecordFlags, body_len: usize) {
        let first = self.records == 0;
        self.scope = Some(scope).filter(|_| first || self.scope == Some(scope));
        self.dated = flags.contains(RecordFlags::DATED) && (first || self.dated);
        self.records += 1;
        self.bytes += RECORD_HEADER_BYTES + body_len;
        self.field_bytes += field_len(body_len);
    }

    /// Adds a run behind this one.
    fn join(&mut self, run: &Self) {
        *self = match self.records {
            0 => *run,
            records => Self {
                records: records.saturating_add(run.records),
                bytes: self.bytes.saturating_add(run.bytes),
                field_bytes: self.field_bytes.saturating_add(run.field_bytes),
                scope: self.scope.filter(|_| self.scope == run.scope),
                dated: self.dated && run.dated,
                oldest: self.oldest,
            },
        };
    }
}

/// Writes a run to the front of the memory, of so many records at most, and dates them by the clock.
pub(crate) type Fill<'f> = dyn FnMut(&mut [u8], usize, Option<WallClock>) -> Run + 'f;

impl<S: AsRef<[u8]> + AsMut<[u8]>> Buffer<S> {
    /// Takes a run in that `fill` writes, in no more than `most` bytes. `None`, and nothing changes,
    /// when there is no room for what it has: its records may still fit one by one.
    pub(crate) fn push_run(
        &mut self,
        most: usize,
        clock: Option<WallClock>,
        fill: &mut Fill<'_>,
    ) -> Option<Run> {
        let state = &mut self.state;
        let held = state.queued.saturating_add(state.leased);
        let records = state.max_records.saturating_sub(held) as usize;
        let bytes = self.storage.as_mut();
        let most = most.min(RUN_BYTES);
        let run = state
            .ring
            .push_run(bytes, most, &mut |room| fill(room, records, clock))?;
        if state.queued == 0 {
            state.runs = Run::NONE;
        }
        state.runs.join(&run);
        state.queued += run.records;
        state.queued_bytes += run.bytes;
        Some(run)
    }

    /// Leases everything that is queued in one step, if it came in by runs and `take` says yes to
    /// what is known of it.
    pub(crate) fn lease_queue(&mut self, take: impl FnOnce(&Run) -> bool) -> Option<(Lease, Run)> {
        let state = &mut self.state;
        let run = state.runs;
        let is_known = run.records == state.queued && run.records > 0;
        if !is_known || !take(&run) {
            return None;
        }
        let lease = state.lease_queue(self.storage.as_mut())?;
        Some((lease, run))
    }
}

impl Bookkeeping {
    /// Says that records leave the queue that are not known one by one.
    pub(super) const fn forget_runs(&mut self) {
        // No queue is as long, and an empty one begins anew.
        self.runs.records = u32::MAX;
    }

    /// Leases everything that is queued, without a walk: the records' states stay as they are until
    /// somebody has to tell them apart, which is rare.
    fn lease_queue(&mut self, bytes: &mut [u8]) -> Option<Lease> {
        self.mark_lease(bytes);
        let index = self.slots.iter().position(Slot::is_free)?;
        let (first, _) = self.first_queued(bytes)?;
        let lease = self.take_slot(index, first, self.queued, self.queued_bytes)?;
        self.forget_runs();
        self.unmarked = Some(lease.slot);
        Some(lease)
    }

    /// Writes into the records that they are leased, where that was put off.
    pub(super) fn mark_lease(&mut self, bytes: &mut [u8]) {
        let Some(index) = self.unmarked.take() else {
            return;
        };
        let Some(slot) = self.slots.get(usize::from(index)) else {
            return;
        };
        let mut at = slot.first;
        for _ in 0..slot.count {
            let Some(header) = Ring::header(bytes, at) else {
                return;
            };
            Ring::set_state(bytes, at, State::Leased(index));
            at = self.ring.next(at, &header);
        }
    }

    /// Says that the records of a lease need not tell any more that they are leased.
    pub(super) fn forget_mark(&mut self, lease: &Lease) {
        if self.unmarked == Some(lease.slot) {
            self.unmarked = None;
        }
    }

    /// Where the records begin that are leased and do not say so, and how many they are.
    pub(super) fn unmarked(&self) -> Option<(usize, u32)> {
        let slot = self.slots.get(usize::from(self.unmarked?))?;
        Some((slot.first, slot.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::{Overflow, Record};
    use rand_core::Rng;
    use std::collections::VecDeque;
    use std::vec::Vec;

    fn filled(ids: core::ops::Range<u8>) -> Buffer<[u8; 64]> {
        let mut buffer = Buffer::new([0; 64]);
        for id in ids {
            push(&mut buffer, id);
        }
        buffer
    }

    fn push(buffer: &mut Buffer<[u8; 64]>, id: u8) {
        let record = Record {
            scope: ScopeId(u16::from(id)),
            flags: RecordFlags::NONE,
            body: &[id; 4],
        };
        buffer.push(&record).unwrap();
    }

    /// Moves all of `source`, which was filled from its start, to `target`; whether there was room.
    fn push_all(source: &Buffer<[u8; 64]>, target: &mut Buffer<[u8; 64]>) -> bool {
        let records = source.queued();
        let from = &source.storage[..12 * records];
        let run = target.push_run(64, None, &mut |room, most, _| {
            let mut run = Run::NONE;
            if records <= most && from.len() <= room.len() {
                room[..from.len()].copy_from_slice(from);
                for record in source.walk(0, records as u32).map(|(_, record)| record) {
                    run.add(record.scope, record.flags, record.body.len());
                }
            }
            run
        });
        run.is_some()
    }

    fn drained(buffer: &mut Buffer<[u8; 64]>) -> Vec<u8> {
        let mut ids = Vec::new();
        buffer.drain(|record| {
            assert_eq!(record.body, [record.scope.0 as u8; 4]);
            ids.push(record.scope.0 as u8);
            true
        });
        ids
    }

    #[test]
    fn a_run_goes_over_whole_and_in_order() {
        let source = filled(0..3);
        let mut target = filled(7..9);
        assert!(push_all(&source, &mut target));
        assert_eq!((target.queued(), target.queued_bytes()), (5, 60));
        assert_eq!(drained(&mut target), [7, 8, 0, 1, 2]);
    }

    #[test]
    fn a_run_goes_to_the_start_of_the_memory_when_the_end_is_too_small() {
        let mut target = filled(0..4);
        for _ in 0..3 {
            target.pop_front();
        }
        // 28 bytes are free at the start, 16 at the end.
        assert!(push_all(&filled(7..9), &mut target));
        assert_eq!(drained(&mut target), [3, 7, 8]);
    }

    #[test]
    fn a_run_without_room_changes_nothing() {
        let mut target = filled(0..3);
        assert!(!push_all(&filled(4..7), &mut target));
        let mut few = filled(0..2).with_max_records(3);
        assert!(!push_all(&filled(4..6), &mut few));
        assert!(push_all(&filled(4..5), &mut few));
        assert_eq!(drained(&mut target), [0, 1, 2]);
        assert_eq!(drained(&mut few), [0, 1, 4]);
    }

    /// A record of these ids, whose length depends on the id.
    fn record(id: u16) -> ([u8; 40], usize) {
        ([id as u8; 40], usize::from(id % 29) + 4)
    }

    fn ids<'a>(records: impl Iterator<Item = Record<'a>>) -> Vec<u16> {
        let ids = records.map(|record| {
            let (body, len) = self::record(record.scope.0);
            assert_eq!(record.body, &body[..len]);
            record.scope.0
        });
        ids.collect()
    }

    #[test]
    fn with_runs_and_leases_of_all_the_buffer_is_the_queue_that_it_is_without() {
        let mut rng = crate::hosted::rng::ThreadRng;
        for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
            let mut buffer = Buffer::new([0; 600]).with_overflow(overflow);
            let mut queue = VecDeque::new();
            let mut leases: Vec<(Lease, Vec<u16>)> = Vec::new();
            let (mut next, mut evicted, mut whole) = (0_u16, 0, 0);
            for _ in 0..50_000 {
                let random = rng.next_u64();
                let few = (random >> 8) as usize % 6;
                match random % 12 {
                    0 => {
                        let (body, len) = record(next);
                        let pushed = buffer.push(&Record {
                            scope: ScopeId(next),
                            flags: RecordFlags::NONE,
                            body: &body[..len],
                        });
                        if pushed.is_ok() {
                            queue.push_back(next);
                            next = next.wrapping_add(1);
                        }
                    }
                    1..5 => {
                        let from = next;
                        let _ = buffer.push_run(300, None, &mut |room, most, _| {
                            next = from;
                            let mut run = Run::NONE;
                            while (run.records as usize) < few.min(most) {
                                let (body, len) = record(next);
                                let Some(room) = room[run.bytes..].get_mut(..8 + len) else {
                                    break;
                                };
                                room.fill(0);
                                room[0] = len as u8;
                                room[4..6].copy_from_slice(&next.to_le_bytes());
                                room[8..].copy_from_slice(&body[..len]);
                                run.add(ScopeId(next), RecordFlags::NONE, len);
                                next = next.wrapping_add(1);
                            }
                            run
                        });
                        queue.extend((0..next.wrapping_sub(from)).map(|n| from.wrapping_add(n)));
                    }
                    5 => {
                        // Now and then all, so that the queue begins anew.
                        let mut left = if few > 3 { usize::MAX } else { few };
                        let lease = buffer.lease(&mut |_| {
                            left = left.saturating_sub(1);
                            left > 0
                        });
                        if let Some(lease) = lease {
                            let taken = queue.drain(..buffer.lease_len(&lease)).collect();
                            leases.push((lease, taken));
                        }
                    }
                    6..8 => {
                        let bytes = buffer.queued_bytes();
                        if let Some((lease, run)) = buffer.lease_queue(|_| few > 0) {
                            whole += 1;
                            assert_eq!((run.records as usize, run.bytes), (queue.len(), bytes));
                            leases.push((lease, queue.drain(..).collect()));
                        }
                    }
                    8..11 if !leases.is_empty() => {
                        let at = few % leases.len();
                        if few > 1 {
                            let (lease, _) = leases.swap_remove(at);
                            buffer.release(lease);
                        } else {
                            let (lease, ids) = &mut leases[at];
                            let count = few.min(ids.len().saturating_sub(1));
                            buffer.release_first(lease, count);
                            ids.drain(..count);
                        }
                    }
                    11 if random & 1 << 32 == 0 => {
                        assert_eq!(buffer.pop_front(), queue.pop_front().is_some());
                    }
                    _ => {}
                }
                queue.drain(..(buffer.evicted() - evicted) as usize);
                evicted = buffer.evicted();
                assert_eq!(ids(buffer.front().into_iter()).first(), queue.front());
                for (lease, expected) in &leases {
                    assert_eq!(ids(buffer.records(lease)), *expected);
                }
                let leased = leases.iter().map(|(_, ids)| ids.len()).sum();
                assert_eq!((buffer.queued(), buffer.leased()), (queue.len(), leased));
            }
            assert!(whole > 100, "{whole}");
        }
    }
}
