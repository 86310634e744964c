//! A buffer that interrupts and tasks share: [`SharedBuffer`].
//!
//! A span may end in an interrupt handler while a task is in the middle of ending another one, or
//! of encoding a request. So finished spans go through a buffer of their own, in a `static`, and
//! the driver of the exporter or of the link fetches them from there, one at a time.
//!
//! ```text
//!  interrupt ─ end ─┐                          one task
//!  task      ─ end ─┼─▶ SharedBuffer ─ drain ─▶ Exporter or LinkExporter
//!  task      ─ end ─┘   (critical section:
//!                        one record)
//! ```
//!
//! Every access is a critical section of the `critical-section` crate, whose implementation is the
//! binary's choice: interrupts off on a single core, a lock elsewhere.
//!
//! # How long interrupts are off
//!
//! Never longer than one record takes, whatever the buffer holds:
//!
//! | | bytes copied | steps beside the copy |
//! |---|---|---|
//! | push | the record and 8 bytes | constant; there is no loop |
//! | push that evicts ([`Overflow::DropOldest`](crate::buffer::Overflow::DropOldest)) | the same | constant per evicted record; at most as many as fit into the new one's place and the rest of the memory's end |
//! | drain, for each record | the record, once | constant, and the sink's own check for room |
//!
//! In instructions, from before the section to after it, copy included (size-optimised, counted by
//! the emulator; `examples/firmware/budgets.txt` holds them and CI compares them):
//!
//! | | Cortex-M3, M4F | Cortex-M0 | RISC-V |
//! |---|---|---|---|
//! | push of 64 bytes | 180 | 222 | 214 |
//! | push of 192 bytes | 285 | 378 | 374 |
//! | push of 64 bytes that evicts one | 645 | 875 | 890 |
//! | drain, for a record of 64 bytes, with interrupts on again for the sink | 480 | 804 | 738 |
//!
//! So a push takes about 130 instructions and 0.8 to 1.3 for each byte, 40 more where the ring
//! wraps, and 450 to 650 for each evicted span: 14 µs for 64 bytes on a Cortex-M0 at 16 MHz, at
//! one instruction per cycle.
//!
//! Spans leave this buffer one by one from the front, so it never has gaps, and a push never moves
//! records, as it may in a buffer with leases. The size of a record is bounded by the scratch memory
//! of its span, which the caller chooses.
//!
//! ```
//! use spandrel_core::prelude::*;
//! use spandrel_core::shared_buffer::SharedBuffer;
//! # use rand_xoshiro::{SplitMix64, rand_core::SeedableRng};
//!
//! static SPANS: SharedBuffer<[u8; 1024]> = SharedBuffer::new(Buffer::new([0; 1024]));
//!
//! // In an interrupt, with its own tracer:
//! let ids = RandomIdGenerator::new(SplitMix64::seed_from_u64(1));
//! let mut tracer = BareTracer::new(AlwaysOn, ids);
//! let span = tracer.start::<128>(SpanBuilder::new("edge"), Instant::from_millis(5));
//! span.end(Instant::from_millis(6), &mut &SPANS)?;
//!
//! // In the task that sends:
//! let mut buffer = Buffer::new([0_u8; 4096]); // or an Exporter, or a LinkExporter
//! let mut scratch = [0_u8; 256];
//! assert_eq!(SPANS.drain(&mut scratch, &mut buffer), 1);
//! assert_eq!((SPANS.ledger().ended, buffer.len()), (0, 1));
//! # Ok::<(), PushError>(())
//! ```

use core::cell::RefCell;
use core::fmt;

use critical_section::Mutex;

use crate::buffer::{Buffer, PushError, Record, RecordFlags, RecordSink};
use crate::resource::ScopeId;
use crate::response::DropReason;
use crate::stats::Ledger;

/// A [`Buffer`] for a `static`, to which tasks and interrupts may push at any time. See the
/// [module](self).
///
/// `&SharedBuffer` is a [`RecordSink`].
pub struct SharedBuffer<B> {
    inner: Mutex<RefCell<Inner<B>>>,
}

struct Inner<B> {
    buffer: Buffer<B>,
    drops: Drops,
    /// Evicted spans that a sink has counted.
    evicted: u64,
}

/// Spans dropped here that no sink has counted.
#[derive(Clone, Copy)]
struct Drops {
    queue_full: u64,
    too_large: u64,
}

impl Drops {
    const NONE: Self = Self {
        queue_full: 0,
        too_large: 0,
    };

    fn add(&mut self, other: Self) {
        self.queue_full = self.queue_full.saturating_add(other.queue_full);
        self.too_large = self.too_large.saturating_add(other.too_large);
    }
}

impl<B> Inner<B> {
    /// All of them; of the evicted ones those that are not in `drops` yet.
    fn all_drops(&self) -> Drops {
        let evicted = self.buffer.evicted().saturating_sub(self.evicted);
        let mut all = self.drops;
        all.queue_full = all.queue_full.saturating_add(evicted);
        all
    }
}

/// A record whose body has been copied out.
struct Taken {
    scope: ScopeId,
    flags: RecordFlags,
    len: usize,
}

impl<B> SharedBuffer<B> {
    /// Makes `buffer` shareable. It should have room for all spans that end between two calls of
    /// [`drain`](Self::drain).
    #[must_use]
    pub const fn new(buffer: Buffer<B>) -> Self {
        Self {
            inner: Mutex::new(RefCell::new(Inner {
                buffer,
                drops: Drops::NONE,
                evicted: 0,
            })),
        }
    }

    /// The spans that ended here and that no sink has counted: those that wait, and those dropped
    /// since the last [`drain`](Self::drain).
    ///
    /// With a drain the sink counts both, so the sum of both ledgers counts every span once. A sink
    /// without a ledger, such as a [`Buffer`], counts nothing; the dropped spans stay here then.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        let mut ledger = Ledger::default();
        self.with(|inner| {
            let drops = inner.all_drops();
            ledger.drop_spans(DropReason::QueueFull, drops.queue_full);
            ledger.drop_spans(DropReason::TooLarge, drops.too_large);
            ledger.buffered = inner.buffer.len() as u64;
        });
        ledger.ended = ledger.dropped_total().saturating_add(ledger.buffered);
        ledger
    }

    /// The number of spans that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.with(|inner| inner.buffer.len()).unwrap_or(0)
    }

    /// Returns true if no span waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `None` when the section was entered from within itself, which nothing here does.
    fn with<T>(&self, act: impl FnOnce(&mut Inner<B>) -> T) -> Option<T> {
        critical_section::with(|cs| {
            let mut inner = self.inner.borrow(cs).try_borrow_mut().ok()?;
            Some(act(&mut inner))
        })
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> SharedBuffer<B> {
    /// Takes a record in, whole or not at all. May be called from an interrupt.
    ///
    /// # Errors
    ///
    /// The reason why the record was refused; it has been counted.
    pub fn push(&self, record: &Record<'_>) -> Result<(), PushError> {
        let pushed = self.with(|inner| {
            let result = inner.buffer.push(record);
            let count = match result {
                Ok(()) => return result,
                Err(PushError::TooLarge) => &mut inner.drops.too_large,
                Err(_) => &mut inner.drops.queue_full,
            };
            *count = count.saturating_add(1);
            result
        });
        pushed.unwrap_or(Err(PushError::Full))
    }

    /// Moves finished spans to `sink`, the oldest first, until none is left or `sink` has no room
    /// for the next one, and returns how many. Each is copied to `scratch` first, so that interrupts
    /// are on while the sink takes it; a record larger than `scratch` is dropped and counted.
    ///
    /// Spans that were dropped here since the last drain are handed to the sink's ledger
    /// ([`RecordSink::count_refused`]), so a [`LinkExporter`](crate::link::LinkExporter) reports
    /// them to the host.
    pub fn drain(&self, scratch: &mut [u8], sink: &mut impl RecordSink) -> usize {
        let mut moved = 0;
        while let Some(next) = self.take(scratch, sink) {
            let Some(taken) = next else {
                continue;
            };
            // The sink has counted a refusal.
            let _ = sink.push_record(&Record {
                scope: taken.scope,
                flags: taken.flags,
                body: scratch.get(..taken.len).unwrap_or_default(),
            });
            moved += 1;
        }
        self.hand_over_drops(sink);
        moved
    }

    /// Moves the counts of dropped spans to the sink. Spans that are dropped meanwhile are counted
    /// here, and handed over by the next drain.
    fn hand_over_drops(&self, sink: &mut impl RecordSink) {
        let taken = self.with(|inner| {
            let drops = inner.all_drops();
            inner.drops = Drops::NONE;
            inner.evicted = inner.buffer.evicted();
            drops
        });
        let mut left = taken.unwrap_or(Drops::NONE);
        let counts = [
            (PushError::Full, &mut left.queue_full),
            (PushError::TooLarge, &mut left.too_large),
        ];
        for (reason, spans) in counts {
            if *spans > 0 && sink.count_refused(reason, *spans) {
                *spans = 0;
            }
        }
        if left.queue_full > 0 || left.too_large > 0 {
            self.with(|inner| inner.drops.add(left));
        }
    }

    /// Copies the oldest record out and frees its place, in one critical section: between two
    /// of them an interrupt might evict it. `Some(None)` when it was too large.
    fn take(&self, scratch: &mut [u8], sink: &impl RecordSink) -> Option<Option<Taken>> {
        self.with(|inner| {
            let record = inner.buffer.front()?;
            let target = scratch.get_mut(..record.body.len());
            if target.is_some() && !sink.has_room_for(&record) {
                return None;
            }
            let taken = target.map(|target| {
                target.copy_from_slice(record.body);
                Taken {
                    scope: record.scope,
                    flags: record.flags,
                    len: record.body.len(),
                }
            });
            inner.buffer.pop_front();
            if taken.is_none() {
                let drops = &mut inner.drops;
                drops.too_large = drops.too_large.saturating_add(1);
            }
            Some(taken)
        })
        .flatten()
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> RecordSink for &SharedBuffer<B> {
    fn push_record(&mut self, record: &Record<'_>) -> Result<(), PushError> {
        self.push(record)
    }

    fn count_refused(&mut self, reason: PushError, spans: u64) -> bool {
        let (queue_full, too_large) = match reason {
            PushError::TooLarge => (0, spans),
            _ => (spans, 0),
        };
        let drops = Drops {
            queue_full,
            too_large,
        };
        self.with(|inner| inner.drops.add(drops)).is_some()
    }
}

impl<B> fmt::Debug for SharedBuffer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBuffer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Overflow;
    use std::thread;
    use std::vec;
    use std::vec::Vec;

    fn push<const N: usize>(
        buffer: &SharedBuffer<[u8; N]>,
        id: u16,
        len: usize,
    ) -> Result<(), PushError> {
        buffer.push(&Record {
            scope: ScopeId(id),
            flags: RecordFlags::NONE,
            body: &vec![id as u8; len],
        })
    }

    /// Notes what it is given, up to a limit.
    struct Notes {
        taken: Vec<(u16, usize)>,
        most: usize,
    }

    impl Notes {
        const fn new(most: usize) -> Self {
            let taken = Vec::new();
            Self { taken, most }
        }
    }

    impl RecordSink for Notes {
        fn push_record(&mut self, record: &Record<'_>) -> Result<(), PushError> {
            let id = record.scope.0;
            assert!(record.body.iter().all(|&byte| byte == id as u8), "torn");
            self.taken.push((id, record.body.len()));
            Ok(())
        }

        fn has_room_for(&self, _: &Record<'_>) -> bool {
            self.taken.len() < self.most
        }
    }

    #[test]
    fn threads_that_push_and_one_that_drains_lose_nothing_uncounted() {
        static SPANS: SharedBuffer<[u8; 600]> = SharedBuffer::new(Buffer::new([0; 600]));
        const EACH: u16 = 2_000;
        let mut notes = Notes::new(usize::MAX);
        thread::scope(|scope| {
            let pushing: Vec<_> = (0..3_u16)
                .map(|thread| {
                    scope.spawn(move || {
                        for i in 0..EACH {
                            let _ = push(&SPANS, thread * EACH + i, usize::from(i % 50));
                        }
                    })
                })
                .collect();
            let mut scratch = [0; 64];
            while !pushing.iter().all(thread::ScopedJoinHandle::is_finished) {
                SPANS.drain(&mut scratch, &mut notes);
            }
            SPANS.drain(&mut scratch, &mut notes);
        });
        let ledger = SPANS.ledger();
        assert!(ledger.is_closed());
        assert_eq!(
            ledger.dropped_total() + notes.taken.len() as u64,
            3 * u64::from(EACH)
        );
        for thread in 0..3 {
            let own: Vec<_> = notes
                .taken
                .iter()
                .filter(|(id, _)| id / EACH == thread)
                .collect();
            assert!(own.is_sorted_by(|a, b| a.0 < b.0), "each once, in order");
            assert!(
                own.iter()
                    .all(|(id, len)| *len == usize::from(id % EACH % 50))
            );
        }
    }

    #[test]
    fn what_the_sink_has_no_room_for_stays() {
        let shared = SharedBuffer::new(Buffer::new([0; 100]));
        for id in 0..4 {
            push(&shared, id, 10).unwrap();
        }
        let mut notes = Notes::new(3);
        assert_eq!(shared.drain(&mut [0; 16], &mut notes), 3);
        assert_eq!((shared.len(), shared.ledger().dropped_total()), (1, 0));
        assert_eq!(shared.drain(&mut [0; 16], &mut Notes::new(9)), 1);
        assert!(shared.is_empty());
    }

    /// A sink with a ledger, whatever it holds.
    #[derive(Default)]
    struct Ledgered(Vec<(PushError, u64)>);

    impl RecordSink for Ledgered {
        fn push_record(&mut self, _: &Record<'_>) -> Result<(), PushError> {
            Ok(())
        }

        fn count_refused(&mut self, reason: PushError, spans: u64) -> bool {
            self.0.push((reason, spans));
            true
        }
    }

    #[test]
    fn losses_are_handed_to_a_sink_with_a_ledger_once() {
        let buffer = Buffer::new([0; 100]).with_overflow(Overflow::DropOldest);
        let shared = SharedBuffer::new(buffer);
        for id in 0..10 {
            push(&shared, id, 12).unwrap();
        }
        assert_eq!(push(&shared, 10, 200), Err(PushError::TooLarge));
        // One with a ledger in front of another.
        let second = SharedBuffer::new(Buffer::new([0; 100]));
        assert_eq!(shared.drain(&mut [0; 16], &mut &second), 5);
        assert_eq!(shared.ledger(), Ledger::default());
        let all = [(PushError::Full, 5), (PushError::TooLarge, 1)];
        let ledger = second.ledger();
        assert_eq!(ledger.dropped(DropReason::QueueFull), 5);
        assert_eq!(ledger.dropped(DropReason::TooLarge), 1);
        let mut sink = Ledgered::default();
        assert_eq!(second.drain(&mut [0; 16], &mut sink), 5);
        assert_eq!(sink.0, all);
        assert_eq!(second.ledger(), Ledger::default());
        // Only what is new.
        for id in 0..6 {
            push(&shared, id, 12).unwrap();
        }
        let mut sink = Ledgered::default();
        shared.drain(&mut [0; 16], &mut sink);
        assert_eq!(sink.0, [(PushError::Full, 1)]);
    }

    #[test]
    fn losses_are_counted_by_reason() {
        let shared = SharedBuffer::new(Buffer::new([0; 100]));
        assert_eq!(push(&shared, 1, 93), Err(PushError::TooLarge));
        push(&shared, 2, 60).unwrap();
        assert_eq!(push(&shared, 3, 60), Err(PushError::Full));
        push(&shared, 4, 10).unwrap();
        // The scratch is too small for the first one.
        let mut notes = Notes::new(9);
        assert_eq!(shared.drain(&mut [0; 16], &mut notes), 1);
        assert_eq!(notes.taken, [(4, 10)]);
        let ledger = shared.ledger();
        assert!(ledger.is_closed());
        assert_eq!(ledger.dropped(DropReason::TooLarge), 2);
        assert_eq!(ledger.dropped(DropReason::QueueFull), 1);
    }

    #[test]
    fn evicted_spans_are_counted_too() {
        let buffer = Buffer::new([0; 100]).with_overflow(Overflow::DropOldest);
        let shared = SharedBuffer::new(buffer);
        for id in 0..10 {
            push(&shared, id, 12).unwrap();
        }
        let mut notes = Notes::new(99);
        shared.drain(&mut [0; 16], &mut notes);
        assert_eq!(notes.taken, [(5, 12), (6, 12), (7, 12), (8, 12), (9, 12)]);
        assert_eq!(shared.ledger().dropped(DropReason::QueueFull), 5);
    }
}
