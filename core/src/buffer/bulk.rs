//! Taking in many records at once: they are written straight to their place in the buffer.

use super::Buffer;
use super::bookkeeping::Bookkeeping;
use super::record::{RECORD_HEADER_BYTES, RecordFlags};
use super::ring::Ring;
use super::totals::Totals;
use crate::resource::ScopeId;
use crate::time::{Instant, WallClock};
use crate::wire::field_len;

/// The most bytes of a run: the source gets its memory back after each.
const RUN_BYTES: usize = 16 * 1024;

/// Adjacent records in stored form, with totals collected while they were written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) records: u32,
    /// Bytes of all records, headers included.
    pub(crate) bytes: usize,
    /// Bytes of all bodies, each with the tag and the length of a field.
    pub(crate) field_bytes: usize,
    /// The scope of all records; `None` if there are several.
    pub(crate) scope: Option<ScopeId>,
    /// All records have wall-clock times.
    pub(crate) dated: bool,
    /// When the first record's span ended.
    pub(crate) oldest: Option<Instant>,
}

impl Run {
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

    /// The totals of `before`, and of this run behind it.
    fn behind(&self, before: &Totals) -> Totals {
        let first = before.records == 0;
        Totals {
            records: before.records.saturating_add(self.records),
            field_bytes: before.field_bytes.saturating_add(self.field_bytes),
            scope: self.scope.filter(|_| first || before.scope == self.scope),
            dated: self.dated && (first || before.dated),
        }
    }
}

/// Writes records to the front of the memory, at most the given number, dates them by the clock
/// and describes them. [`Run::NONE`] if it has none or not enough room.
pub(crate) type Fill<'f> = dyn FnMut(&mut [u8], usize, Option<WallClock>) -> Run + 'f;

impl<S: AsRef<[u8]> + AsMut<[u8]>> Buffer<S> {
    /// Takes in a run that `fill` writes, of `most` bytes at most. Returns `None` and changes
    /// nothing when there is no room for it: its records may still fit one by one.
    pub(crate) fn push_run(
        &mut self,
        most: usize,
        clock: Option<WallClock>,
        fill: &mut Fill<'_>,
    ) -> Option<Run> {
        if self.keep.is_some() {
            return None;
        }
        let most = most.min(RUN_BYTES);
        let write = &mut |room: &mut [u8], records| fill(room, records, clock);
        self.state.push_run(self.storage.as_mut(), most, write)
    }
}

impl Bookkeeping {
    fn push_run(
        &mut self,
        bytes: &mut [u8],
        most: usize,
        write: &mut dyn FnMut(&mut [u8], usize) -> Run,
    ) -> Option<Run> {
        let held = self.queued.saturating_add(self.leased);
        let records = self.max_records.saturating_sub(held) as usize;
        let (at, wrapped, len) = self.ring.free(bytes.len(), most);
        let room = bytes.get_mut(at..)?.get_mut(..len)?;
        let run = write(room, records);
        if run.records == 0 || run.bytes > room.len() {
            return None;
        }
        self.ring.occupy(at, wrapped, run.bytes, run.records);
        if self.queued == 0 {
            self.totals = Totals::NONE;
        }
        self.totals = run.behind(&self.totals);
        self.queued += run.records;
        self.queued_bytes += run.bytes;
        Some(run)
    }
}

impl Ring {
    /// Where the next records go, whether that is before the older ones, and how many bytes are
    /// free there, up to `most`: behind the newest one, or at the start if there are more.
    fn free(&self, capacity: usize, most: usize) -> (usize, bool, usize) {
        if self.records == 0 {
            return (0, false, capacity.min(most));
        }
        if self.wrapped {
            return (self.tail, true, (self.head - self.tail).min(most));
        }
        let behind = (capacity - self.tail).min(most);
        if behind == most || behind >= self.head {
            (self.tail, false, behind)
        } else {
            (0, true, self.head.min(most))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::{Lease, Overflow, Record};
    use crate::test_support::TestRng;
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

    fn field_bytes(buffer: &Buffer<[u8; 600]>, lease: &Lease) -> usize {
        buffer.records(lease).map(|r| field_len(r.body.len())).sum()
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
        let mut rng = TestRng::new(3);
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
                        // Now and then all, so that the queue starts again.
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
                        let most = if few > 0 { u32::MAX } else { 0 };
                        if let Some((lease, totals)) = buffer.lease_queue(most) {
                            whole += 1;
                            let fields = field_bytes(&buffer, &lease);
                            let known = (totals.records as usize, totals.field_bytes);
                            assert_eq!(known, (queue.len(), fields));
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
