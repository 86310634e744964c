//! A ring of finished spans as bytes, of a fixed capacity, which keeps them until they are settled.
//!
//! The buffer works over any bytes that the caller owns. A span goes in whole or not at all. It
//! comes out by lease: [`Buffer::lease`] marks the oldest queued spans, they are read as often as
//! retries need them, and [`Buffer::release`] frees them once they are delivered or given up.
//! Leased spans are never evicted, and never belong to two leases.
//!
//! ```text
//!            push                lease                 release
//!   (free) ────────▶  queued  ─────────▶  leased(slot) ────────▶ (free)
//!                        │ DropOldest, buffer full
//!                        └──────────────▶ (free), counted in `evicted`
//! ```
//!
//! A record takes its body and [`RECORD_HEADER_BYTES`]; one may be as large as the whole buffer.
//! `push` and `release` cost a constant number of steps for each record. But a push that finds the
//! free memory in pieces (after a lease was released out of order, or an eviction beside a lease)
//! first moves the records behind the first gap together.
//!
//! A buffer over [`Retained`] memory outlives a reset of the device: [`Buffer::retained`].
//!
//! ```
//! use spandrel_core::buffer::{Buffer, PushError, Record, RecordFlags};
//! use spandrel_core::resource::ScopeId;
//!
//! let mut buffer = Buffer::new([0_u8; 64]);
//! let record = Record { scope: ScopeId::default(), flags: RecordFlags::NONE, body: &[7; 20] };
//! buffer.push(&record)?;
//! buffer.push(&record)?;
//! assert_eq!(buffer.push(&record), Err(PushError::Full));
//!
//! let lease = buffer.lease(&mut |_| true).expect("two spans are queued");
//! assert_eq!(buffer.records(&lease).map(|r| r.body.len()).sum::<usize>(), 40);
//! buffer.release(lease);
//! assert_eq!(buffer.len(), 0);
//! # Ok::<(), PushError>(())
//! ```

mod bookkeeping;
#[cfg(any(test, feature = "std"))]
mod bulk;
pub(crate) mod record;
mod retained;
mod ring;
mod totals;

use core::fmt;

use bookkeeping::{Bookkeeping, Slot, record_at};
use ring::Ring;

#[cfg(any(test, feature = "std"))]
pub(crate) use bulk::{Fill, Run};
pub use record::{RECORD_HEADER_BYTES, Record, RecordFlags};
pub use retained::Retained;
pub(crate) use totals::Totals;

/// The most leases that can be out at once: an exporter has a batch in hand and two
/// [suspects](crate::exporter#rules) set aside.
pub const MAX_LEASES: usize = 3;

/// The rule for a span that finds the buffer full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Overflow {
    /// The new span is refused. This is the rule of the
    /// [specification](https://opentelemetry.io/docs/specs/otel/trace/sdk/#batching-processor), and it
    /// keeps the start of an incident.
    #[default]
    DropNewest,
    /// The oldest spans that are not leased make room.
    DropOldest,
}

/// Why a span was not taken in. The buffer is unchanged: no span is evicted needlessly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PushError {
    /// There is no room now.
    Full,
    /// The span could never be sent: it is larger than the buffer or than a request may be.
    TooLarge,
    /// The pipeline has been shut down.
    Shutdown,
}

impl fmt::Display for PushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the span buffer is full",
            Self::TooLarge => "the span is larger than the buffer or the request limit",
            Self::Shutdown => "the tracing pipeline has been shut down",
        })
    }
}

impl core::error::Error for PushError {}

/// A place for finished spans: a [`Buffer`], or an exporter, which also keeps the ledger.
pub trait RecordSink {
    /// Takes a record in, whole or not at all. Never blocks.
    ///
    /// # Errors
    ///
    /// The reason why the record was refused; an exporter has counted it.
    fn push_record(&mut self, record: &Record<'_>) -> Result<(), PushError>;

    /// Returns true if a push of `record` would succeed now, or be refused for good: for a caller
    /// that can keep it until there is room.
    fn has_room_for(&self, record: &Record<'_>) -> bool {
        let _ = record;
        true
    }

    /// Counts `spans` that ended and were refused for `reason`, or evicted (which is
    /// [`PushError::Full`]), before they came here, and returns true. Without a ledger, as in a
    /// [`Buffer`], returns false: the caller goes on counting them.
    fn count_refused(&mut self, reason: PushError, spans: u64) -> bool {
        let _ = (reason, spans);
        false
    }
}

impl<S: AsRef<[u8]> + AsMut<[u8]>> RecordSink for Buffer<S> {
    #[inline]
    fn push_record(&mut self, record: &Record<'_>) -> Result<(), PushError> {
        self.push(record)
    }

    fn has_room_for(&self, record: &Record<'_>) -> bool {
        self.state.could_take(self.storage.as_ref().len(), record)
    }
}

/// The right to read and to settle some adjacent records: from [`Buffer::lease`].
///
/// It must come back through [`Buffer::release`]; the records of a lease that is dropped stay in
/// the buffer for good.
#[derive(Debug)]
#[must_use = "the leased records stay in the buffer until the lease is released"]
pub struct Lease {
    slot: u8,
    generation: u32,
}

/// A ring of finished spans over the caller's memory `S`: an array, `&mut [u8]`, a boxed slice.
#[derive(Clone, Debug)]
pub struct Buffer<S> {
    storage: S,
    state: Bookkeeping,
    /// Set for memory that outlives a reset. A pointer, so that its code is linked only if used.
    keep: Option<Keep<S>>,
}

/// Takes a record in, if there is one, so that a reset at any moment is harmless, and keeps the
/// ring in memory that outlives it.
type Keep<S> = fn(&mut S, &mut Bookkeeping, Option<&Record<'_>>) -> Result<(), PushError>;

impl<S> Buffer<S> {
    /// An empty buffer over `storage`, whose content does not matter.
    pub const fn new(storage: S) -> Self {
        Self {
            storage,
            state: Bookkeeping::new(),
            keep: None,
        }
    }

    /// Chooses what a full buffer drops.
    #[must_use]
    pub const fn with_overflow(mut self, overflow: Overflow) -> Self {
        self.state.overflow = overflow;
        self
    }

    /// Limits the number of spans beside their bytes: `max_queue_size`, at least 1.
    #[must_use]
    pub const fn with_max_records(mut self, max_records: u32) -> Self {
        self.state.max_records = if max_records == 0 { 1 } else { max_records };
        self
    }

    /// Lets so many leases be out at once, [`MAX_LEASES`] or more; there are as many slots.
    #[cfg(feature = "std")]
    #[must_use]
    pub(crate) const fn with_leases(mut self, most: usize) -> Self {
        self.state.max_leases = if most < bookkeeping::SLOTS {
            most
        } else {
            bookkeeping::SLOTS
        };
        self
    }

    /// The number of spans held: queued and leased.
    #[must_use]
    pub const fn len(&self) -> usize {
        (self.state.queued + self.state.leased) as usize
    }

    /// Returns true if no span is held.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of spans that are not leased.
    #[must_use]
    pub const fn queued(&self) -> usize {
        self.state.queued as usize
    }

    /// The bytes of the queued records, headers included.
    #[must_use]
    pub const fn queued_bytes(&self) -> usize {
        self.state.queued_bytes
    }

    /// The number of leased spans.
    #[must_use]
    pub const fn leased(&self) -> usize {
        self.state.leased as usize
    }

    /// The number of spans that have made room for newer ones ([`Overflow::DropOldest`]).
    #[must_use]
    pub const fn evicted(&self) -> u64 {
        self.state.evicted
    }

    /// The number of spans that a lease still holds; 0 for a lease that has been released.
    #[must_use]
    pub fn lease_len(&self, lease: &Lease) -> usize {
        self.state.slot(lease).map_or(0, |slot| slot.count as usize)
    }

    /// Changes whenever records move, which makes earlier offsets stale.
    pub(crate) const fn layout(&self) -> u32 {
        self.state.layout
    }
}

impl<S: AsRef<[u8]> + AsMut<[u8]>> Buffer<S> {
    /// Takes a record in, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`PushError::TooLarge`] when it could never fit, [`PushError::Full`] when there is no room
    /// now.
    #[inline]
    pub fn push(&mut self, record: &Record<'_>) -> Result<(), PushError> {
        match self.keep {
            None => self.state.push(self.storage.as_mut(), record),
            Some(keep) => keep(&mut self.storage, &mut self.state, Some(record)),
        }
    }

    /// Keeps the ring after records were settled.
    #[inline]
    fn keep(&mut self) {
        if let Some(keep) = self.keep {
            let _ = keep(&mut self.storage, &mut self.state, None);
        }
    }

    /// Returns true if [`Buffer::push`] would take `record` in now, or refuse it for good. With
    /// [`Overflow::DropOldest`] there is nearly always room.
    #[must_use]
    pub fn has_room_for(&self, record: &Record<'_>) -> bool {
        self.state.could_take(self.storage.as_ref().len(), record)
    }

    /// Leases queued records, the oldest first, until `take` returns false.
    ///
    /// Returns `None` when nothing is queued, when `take` refuses the first record, or when
    /// [`MAX_LEASES`] leases are out.
    pub fn lease(&mut self, take: &mut dyn FnMut(&Record<'_>) -> bool) -> Option<Lease> {
        self.state.lease(self.storage.as_mut(), take)
    }

    /// Leases the whole queue in one step, if it came in by runs and has at most `most` records.
    pub(crate) fn lease_queue(&mut self, most: u32) -> Option<(Lease, Totals)> {
        self.state.lease_queue(self.storage.as_mut(), most)
    }

    /// Settles every record of `lease` and frees its memory.
    pub fn release(&mut self, lease: Lease) {
        let all = u32::MAX;
        self.state.release(self.storage.as_mut(), &lease, all);
        self.keep();
    }

    /// Settles the first `count` records of `lease` and frees their memory; the lease keeps the
    /// others.
    pub fn release_first(&mut self, lease: &Lease, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX - 1);
        self.state.release(self.storage.as_mut(), lease, count);
        self.keep();
    }

    /// Moves queued records out, the oldest first, until `take` returns false. Each accepted record
    /// is freed.
    pub fn drain(&mut self, mut take: impl FnMut(&Record<'_>) -> bool) {
        self.state.drain(self.storage.as_mut(), &mut take);
        self.keep();
    }

    /// Removes the oldest queued record without a lease, for a caller that has copied it. Returns
    /// false when nothing is queued.
    pub fn pop_front(&mut self) -> bool {
        let popped = self.state.settle_oldest(self.storage.as_mut()).is_some();
        self.keep();
        popped
    }

    /// Lets `change` rewrite each body of `lease` in place. It takes the flags and returns new ones.
    pub(crate) fn update(
        &mut self,
        lease: &Lease,
        change: &mut dyn FnMut(RecordFlags, &mut [u8]) -> RecordFlags,
    ) {
        self.state.update(self.storage.as_mut(), lease, change);
    }

    /// The size of the memory in bytes.
    #[must_use]
    pub fn capacity_bytes(&self) -> usize {
        self.storage.as_ref().len()
    }

    pub(crate) fn is_more_than_half_full(&self) -> bool {
        self.state.is_more_than_half_full(self.capacity_bytes())
    }

    /// The oldest queued record.
    #[must_use]
    pub fn front(&self) -> Option<Record<'_>> {
        let bytes = self.storage.as_ref();
        let (at, header) = self.state.first_queued(bytes)?;
        record_at(bytes, at, &header)
    }

    /// The records of `lease`, in order; none for a lease that has been released.
    pub fn records<'a>(&'a self, lease: &Lease) -> impl Iterator<Item = Record<'a>> + use<'a, S> {
        self.positions(lease).map(|(_, record)| record)
    }

    /// The records of `lease` with their offsets.
    pub(crate) fn positions<'a>(&'a self, lease: &Lease) -> Walk<'a> {
        let slot = self.state.slot(lease).copied().unwrap_or(Slot::FREE);
        self.walk(slot.first, slot.count)
    }

    /// `count` records from the one at `offset`, which must come from [`Buffer::positions`] under the
    /// same [`Buffer::layout`]; its lease must have as many left.
    pub(crate) fn positions_from(&self, offset: usize, count: usize) -> Walk<'_> {
        self.walk(offset, u32::try_from(count).unwrap_or(u32::MAX))
    }

    fn walk(&self, at: usize, left: u32) -> Walk<'_> {
        Walk {
            bytes: self.storage.as_ref(),
            ring: &self.state.ring,
            at,
            left,
        }
    }
}

/// Iterates over adjacent records, with their offsets.
#[derive(Clone, Debug)]
pub(crate) struct Walk<'a> {
    bytes: &'a [u8],
    ring: &'a Ring,
    at: usize,
    left: u32,
}

impl<'a> Iterator for Walk<'a> {
    type Item = (usize, Record<'a>);

    #[cfg_attr(not(target_os = "none"), inline)]
    #[cfg_attr(target_os = "none", inline(never))]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let at = self.at;
        let header = Ring::header(self.bytes, at)?;
        self.at = self.ring.next(at, &header);
        Some((at, record_at(self.bytes, at, &header)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::ScopeId;
    use std::vec;
    use std::vec::Vec;

    fn push<S: AsRef<[u8]> + AsMut<[u8]>>(
        buffer: &mut Buffer<S>,
        id: u8,
        len: usize,
    ) -> Result<(), PushError> {
        buffer.push(&Record {
            scope: ScopeId(u16::from(id)),
            flags: RecordFlags::NONE,
            body: &vec![id; len],
        })
    }

    fn ids<S: AsRef<[u8]> + AsMut<[u8]>>(buffer: &Buffer<S>, lease: &Lease) -> Vec<u8> {
        buffer
            .records(lease)
            .map(|record| {
                assert!(record.body.iter().all(|&b| u16::from(b) == record.scope.0));
                record.scope.0 as u8
            })
            .collect()
    }

    fn take(n: usize) -> impl FnMut(&Record<'_>) -> bool {
        let mut left = n;
        move |_| {
            let yes = left > 0;
            left = left.saturating_sub(1);
            yes
        }
    }

    #[test]
    fn a_record_as_large_as_the_buffer_fits_and_one_byte_more_never_does() {
        let mut buffer = Buffer::new([0; 32]);
        assert_eq!(push(&mut buffer, 1, 25), Err(PushError::TooLarge));
        assert_eq!(push(&mut buffer, 1, 24), Ok(()));
        assert_eq!(push(&mut buffer, 2, 0), Err(PushError::Full));
        assert!(buffer.pop_front());
        assert_eq!(push(&mut buffer, 2, 24), Ok(()));
    }

    #[test]
    fn order_is_kept_round_the_end_of_the_memory() {
        let mut buffer = Buffer::new([0; 100]);
        let (mut next_in, mut next_out) = (0_u8, 0_u8);
        for round in 0..200 {
            while push(&mut buffer, next_in, usize::from(next_in) % 23).is_ok() {
                next_in = next_in.wrapping_add(1);
            }
            let lease = buffer.lease(&mut take(1 + round % 3)).unwrap();
            for id in ids(&buffer, &lease) {
                assert_eq!(id, next_out);
                next_out = next_out.wrapping_add(1);
            }
            buffer.release(lease);
        }
    }

    #[test]
    fn drop_oldest_evicts_exactly_what_is_needed_and_never_a_leased_record() {
        let mut buffer = Buffer::new([0; 100]).with_overflow(Overflow::DropOldest);
        for id in 0..5 {
            push(&mut buffer, id, 12).unwrap();
        }
        let lease = buffer.lease(&mut take(2)).unwrap();
        push(&mut buffer, 5, 12).unwrap();
        assert_eq!(buffer.evicted(), 1);
        assert_eq!(ids(&buffer, &lease), [0, 1]);
        buffer.release(lease);
        let lease = buffer.lease(&mut take(9)).unwrap();
        assert_eq!(ids(&buffer, &lease), [3, 4, 5]);
        buffer.release(lease);
    }

    #[test]
    fn a_lease_released_out_of_order_gives_its_memory_back() {
        let mut buffer = Buffer::new([0; 100]);
        for id in 0..5 {
            push(&mut buffer, id, 12).unwrap();
        }
        let parked = buffer.lease(&mut take(1)).unwrap();
        let current = buffer.lease(&mut take(3)).unwrap();
        buffer.release(current);
        for id in 5..8 {
            assert_eq!(push(&mut buffer, id, 12), Ok(()), "{id}");
        }
        assert_eq!(push(&mut buffer, 8, 12), Err(PushError::Full));
        assert_eq!(ids(&buffer, &parked), [0]);
        let rest = buffer.lease(&mut take(9)).unwrap();
        assert_eq!(ids(&buffer, &rest), [4, 5, 6, 7]);
        buffer.release(rest);
        buffer.release(parked);
        assert_eq!((buffer.len(), buffer.queued_bytes()), (0, 0));
    }

    #[test]
    fn part_of_a_lease_can_be_settled() {
        let mut buffer = Buffer::new([0; 100]);
        for id in 0..4 {
            push(&mut buffer, id, 4).unwrap();
        }
        let lease = buffer.lease(&mut take(3)).unwrap();
        buffer.release_first(&lease, 2);
        assert_eq!(
            (ids(&buffer, &lease), buffer.lease_len(&lease)),
            (vec![2], 1)
        );
        buffer.release(lease);
        assert_eq!(buffer.queued(), 1);
    }

    #[test]
    fn a_drain_takes_queued_records_in_order_past_a_lease_and_stops_at_a_refusal() {
        let mut buffer = Buffer::new([0; 100]);
        for id in 0..5 {
            push(&mut buffer, id, 12).unwrap();
        }
        let lease = buffer.lease(&mut take(1)).unwrap();
        let mut drained = Vec::new();
        buffer.drain(|record| {
            drained.push(record.scope.0);
            drained.len() < 3
        });
        // The third was refused: it stays, and comes first the next time.
        assert_eq!((drained, buffer.queued()), (vec![1, 2, 3], 2));
        assert_eq!(ids(&buffer, &lease), [0]);
        buffer.release(lease);
        buffer.drain(|record| {
            assert!(record.scope.0 >= 3);
            true
        });
        assert_eq!((buffer.len(), buffer.queued_bytes()), (0, 0));
        push(&mut buffer, 9, 92).unwrap();
    }

    #[test]
    fn an_old_lease_reads_and_frees_nothing() {
        let mut buffer = Buffer::new([0; 100]);
        push(&mut buffer, 1, 4).unwrap();
        let lease = buffer.lease(&mut take(1)).unwrap();
        let stale = Lease { ..lease };
        buffer.release(lease);
        push(&mut buffer, 2, 4).unwrap();
        let fresh = buffer.lease(&mut take(1)).unwrap();
        assert_eq!(ids(&buffer, &stale), [0_u8; 0]);
        buffer.release(stale);
        assert_eq!(ids(&buffer, &fresh), [2]);
        buffer.release(fresh);
    }

    #[test]
    fn the_number_of_spans_can_be_limited_beside_the_bytes() {
        let mut buffer = Buffer::new([0; 100]).with_max_records(2);
        push(&mut buffer, 1, 1).unwrap();
        push(&mut buffer, 2, 1).unwrap();
        assert_eq!(push(&mut buffer, 3, 1), Err(PushError::Full));
    }
}
