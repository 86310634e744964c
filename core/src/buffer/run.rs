//! Moving many records into a buffer by one copy.

use super::{Buffer, RECORD_HEADER_BYTES};

/// Records as a buffer holds them, one behind the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    bytes: &'a [u8],
    records: u32,
}

impl<'a> Run<'a> {
    /// `records` queued records in `bytes`, each as a buffer holds it, without a gap.
    pub(crate) const fn new(bytes: &'a [u8], records: u32) -> Self {
        Self { bytes, records }
    }

    /// The body of the first one.
    pub(crate) fn first_body(&self) -> &'a [u8] {
        self.bytes.get(RECORD_HEADER_BYTES..).unwrap_or_default()
    }

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

    /// What lies in a buffer that was filled from its start.
    fn run_of(buffer: &Buffer<[u8; 64]>) -> Run<'_> {
        let records = buffer.queued();
        Run::new(&buffer.storage[..12 * records], records as u32)
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
        let run = run_of(&source);
        assert_eq!(
            (run.len(), run.bytes(), run.first_body()[..4].len()),
            (3, 36, 4)
        );
        assert!(target.push_run(&run));
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
        assert!(target.push_run(&run_of(&filled(7..9))));
        assert_eq!(drained(&mut target), [3, 7, 8]);
    }

    #[test]
    fn a_run_without_room_changes_nothing() {
        let mut target = filled(0..3);
        assert!(!target.push_run(&run_of(&filled(4..7))));
        let mut few = filled(0..2).with_max_records(3);
        assert!(!few.push_run(&run_of(&filled(4..6))));
        assert!(few.push_run(&run_of(&filled(4..5))));
        assert_eq!(drained(&mut target), [0, 1, 2]);
        assert_eq!(drained(&mut few), [0, 1, 4]);
    }
}
