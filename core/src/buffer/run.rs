//! Moving all records of one buffer into another by one copy.

use super::Buffer;

/// All records of a buffer as they lie there, one behind the other; from [`Buffer::run`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    bytes: &'a [u8],
    records: u32,
}

impl Run<'_> {
    /// How many records these are.
    pub(crate) const fn len(&self) -> usize {
        self.records as usize
    }

    /// The bytes of all of them, headers included: no record is larger than this.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

impl<S: AsRef<[u8]> + AsMut<[u8]>> Buffer<S> {
    /// Everything held, if that is one run: records that are all queued and lie in order, as in a
    /// buffer that is filled from its start and then emptied.
    pub(crate) fn run(&self) -> Option<Run<'_>> {
        if self.state.queued == 0 || self.state.leased > 0 {
            return None;
        }
        Some(Run {
            bytes: self.state.ring.as_run(self.storage.as_ref())?,
            records: self.state.queued,
        })
    }

    /// Takes a whole run in, or says `false` and changes nothing: then its records may still fit
    /// one by one.
    pub(crate) fn push_run(&mut self, run: &Run<'_>) -> bool {
        let state = &mut self.state;
        let held = state.queued.saturating_add(state.leased);
        let counted = held.saturating_add(run.records) <= state.max_records;
        let bytes = self.storage.as_mut();
        if !counted || state.ring.push_run(bytes, run.bytes, run.records).is_none() {
            return false;
        }
        state.queued += run.records;
        state.queued_bytes += run.bytes.len();
        true
    }

    /// Forgets everything that is queued, when nothing is leased: it has been moved elsewhere.
    pub(crate) fn clear_run(&mut self) {
        if self.state.leased == 0 {
            self.state.forget_queued();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::{Record, RecordFlags};
    use crate::resource::ScopeId;
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
        let mut source = filled(0..3);
        let mut target = filled(7..9);
        let run = source.run().unwrap();
        assert_eq!((run.len(), run.bytes()), (3, 36));
        assert!(target.push_run(&run));
        source.clear_run();
        assert!(source.is_empty());
        assert_eq!(source.queued_bytes(), 0);
        assert_eq!((target.queued(), target.queued_bytes()), (5, 60));
        assert_eq!(drained(&mut target), [7, 8, 0, 1, 2]);
        push(&mut source, 5);
        assert_eq!(drained(&mut source), [5]);
    }

    #[test]
    fn a_run_goes_to_the_start_of_the_memory_when_the_end_is_too_small() {
        let mut target = filled(0..4);
        for _ in 0..3 {
            target.pop_front();
        }
        // 28 bytes are free at the start, 16 at the end.
        assert!(target.push_run(&filled(7..9).run().unwrap()));
        assert_eq!(drained(&mut target), [3, 7, 8]);
    }

    #[test]
    fn a_run_without_room_changes_nothing() {
        let mut target = filled(0..3);
        assert!(!target.push_run(&filled(4..7).run().unwrap()));
        let mut few = filled(0..2).with_max_records(3);
        assert!(!few.push_run(&filled(4..6).run().unwrap()));
        assert!(few.push_run(&filled(4..5).run().unwrap()));
        assert_eq!(drained(&mut target), [0, 1, 2]);
        assert_eq!(drained(&mut few), [0, 1, 4]);
    }

    #[test]
    fn what_is_not_one_run_is_none() {
        assert!(filled(0..0).run().is_none());

        let mut leased = filled(0..3);
        let lease = leased.lease(&mut |record| record.scope.0 == 0).unwrap();
        assert!(leased.run().is_none());
        leased.clear_run();
        assert_eq!(leased.len(), 3);
        leased.release(lease);
        assert_eq!(leased.run().unwrap().len(), 2);

        let mut wrapped = filled(0..5);
        wrapped.pop_front();
        push(&mut wrapped, 5);
        assert!(wrapped.run().is_none());
        assert_eq!(drained(&mut wrapped), [1, 2, 3, 4, 5]);
    }
}
