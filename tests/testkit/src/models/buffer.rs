//! The model of the buffer: a list of records in end order, and what the public contract promises.
//!
//! The model knows nothing of bytes and places. Where the contract leaves the answer to the
//! placement ("is there room in one piece?"), a *twin* decides: a copy of the machine taken before
//! the step, with the other policy. So "evicts only when there is no room" is checked, not repeated.

use std::collections::VecDeque;

use spandrel_core::buffer::{
    Buffer, Lease, MAX_LEASES, Overflow, PushError, RECORD_HEADER_BYTES, Record, RecordFlags,
};
use spandrel_core::resource::ScopeId;

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// A record whose body has so many bytes.
    Push(u8),
    /// Lease at most so many records.
    Lease(u8),
    /// Release the n-th lease that is out (modulo their number).
    Release(u8),
    /// Release so many records of the n-th lease.
    ReleaseFirst(u8, u8),
    /// Remove the oldest queued record.
    PopFront,
}

/// How a buffer is made.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Bytes of its memory.
    pub capacity: usize,
    /// What it drops when it is full.
    pub overflow: Overflow,
    /// The most records, if limited.
    pub max_records: Option<u32>,
}

/// What happened in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Records taken in.
    pub pushed: u32,
    /// Records refused for now.
    pub refused: u32,
    /// Records refused for good.
    pub too_large: u32,
    /// Records refused although the buffer held fewer bytes than it has room for.
    pub refused_in_pieces: u32,
    /// Records evicted.
    pub evicted: u32,
    /// Evictions beside a lease.
    pub evicted_beside_lease: u32,
    /// Leases released while an older one was out.
    pub released_out_of_order: u32,
    /// Leases released in part.
    pub released_in_part: u32,
    /// Leases refused because all were out.
    pub leases_used_up: u32,
    /// Refused by the number of records alone.
    pub too_many_records: u32,
}

impl Coverage {
    /// Adds another run.
    pub const fn add(&mut self, other: &Self) {
        self.pushed += other.pushed;
        self.refused += other.refused;
        self.too_large += other.too_large;
        self.refused_in_pieces += other.refused_in_pieces;
        self.evicted += other.evicted;
        self.evicted_beside_lease += other.evicted_beside_lease;
        self.released_out_of_order += other.released_out_of_order;
        self.released_in_part += other.released_in_part;
        self.leases_used_up += other.leases_used_up;
        self.too_many_records += other.too_many_records;
    }

    /// The properties that never fired.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        [
            ("pushed", self.pushed),
            ("refused", self.refused),
            ("too_large", self.too_large),
            ("refused_in_pieces", self.refused_in_pieces),
            ("evicted", self.evicted),
            ("evicted_beside_lease", self.evicted_beside_lease),
            ("released_out_of_order", self.released_out_of_order),
            ("released_in_part", self.released_in_part),
            ("leases_used_up", self.leases_used_up),
            ("too_many_records", self.too_many_records),
        ]
        .into_iter()
        .filter_map(|(name, count)| (count == 0).then_some(name))
        .collect()
    }
}

/// A record as the model knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Item {
    id: u32,
    len: u8,
}

impl Item {
    const fn bytes(self) -> usize {
        RECORD_HEADER_BYTES + self.len as usize
    }

    /// A body that tells this record from its neighbours and is wrong when shifted.
    fn body(self) -> Vec<u8> {
        let [a, b, ..] = self.id.to_le_bytes();
        (0..self.len)
            .map(|i| a.wrapping_mul(31).wrapping_add(b) ^ i.wrapping_mul(7))
            .collect()
    }
}

/// A machine and its model, side by side.
#[derive(Debug)]
pub struct World {
    machine: Buffer<Vec<u8>>,
    shape: Shape,
    queued: VecDeque<Item>,
    leases: Vec<(Lease, VecDeque<Item>)>,
    evicted: u64,
    next_id: u32,
    /// The largest record ever taken in.
    largest: usize,
    seen: Coverage,
}

impl World {
    /// An empty buffer of this shape.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        let mut machine = Buffer::new(vec![0xaa; shape.capacity]).with_overflow(shape.overflow);
        if let Some(max) = shape.max_records {
            machine = machine.with_max_records(max);
        }
        Self {
            machine,
            shape,
            queued: VecDeque::new(),
            leases: Vec::new(),
            evicted: 0,
            next_id: 0,
            largest: 0,
            seen: Coverage::default(),
        }
    }

    /// Runs `ops` on a new world and settles everything at the end.
    #[must_use]
    pub fn run(shape: Shape, ops: &[Op]) -> Coverage {
        let mut world = Self::new(shape);
        for &op in ops {
            world.step(op);
        }
        world.settle_all()
    }

    /// One step, with every check after it.
    pub fn step(&mut self, op: Op) {
        match op {
            Op::Push(len) => self.push(len),
            Op::Lease(most) => self.lease(usize::from(most)),
            Op::Release(which) => self.release(which),
            Op::ReleaseFirst(which, count) => self.release_first(which, usize::from(count)),
            Op::PopFront => {
                let popped = self.machine.pop_front();
                assert_eq!(popped, self.queued.pop_front().is_some());
            }
        }
        self.check();
    }

    /// Releases and pops everything: the memory must be as good as new.
    #[must_use]
    pub fn settle_all(mut self) -> Coverage {
        while !self.leases.is_empty() {
            self.step(Op::Release(u8::MAX));
        }
        while !self.queued.is_empty() {
            self.step(Op::PopFront);
        }
        if let Some(len) = self.shape.capacity.checked_sub(RECORD_HEADER_BYTES) {
            let before = self.seen.pushed;
            self.step(Op::Push(u8::try_from(len).unwrap_or(u8::MAX)));
            assert_eq!(
                self.seen.pushed,
                before + 1,
                "an empty buffer takes a record of its size"
            );
        }
        self.seen
    }

    fn held_bytes(&self) -> usize {
        let leased = self.leases.iter().flat_map(|(_, items)| items);
        self.queued
            .iter()
            .chain(leased)
            .map(|item| item.bytes())
            .sum()
    }

    fn held(&self) -> usize {
        self.queued.len()
            + self
                .leases
                .iter()
                .map(|(_, items)| items.len())
                .sum::<usize>()
    }

    fn push(&mut self, len: u8) {
        let item = Item {
            id: self.next_id,
            len,
        };
        self.next_id += 1;
        let body = item.body();
        let record = Record {
            scope: ScopeId::default(),
            flags: RecordFlags::NONE,
            body: &body,
        };
        let before = self.machine.clone();
        let result = self.machine.push(&record);
        let evicted = self.machine.evicted() - self.evicted;
        self.evicted += evicted;

        let over = item.bytes() > self.shape.capacity;
        assert_eq!(
            result == Err(PushError::TooLarge),
            over,
            "refused for good iff over the buffer"
        );
        // The twin says what could be done without an eviction.
        let twin_result = before.with_overflow(Overflow::DropNewest).push(&record);
        if evicted > 0 {
            assert_eq!(
                self.shape.overflow,
                Overflow::DropOldest,
                "I8: only DropOldest evicts"
            );
            assert_eq!(
                twin_result,
                Err(PushError::Full),
                "I8: only a full buffer evicts"
            );
            assert_eq!(result, Ok(()), "I8: an eviction makes room");
            self.seen.evicted += 1;
            self.seen.evicted_beside_lease += u32::from(!self.leases.is_empty());
        } else {
            assert_eq!(result, twin_result, "I8: room is used when there is some");
        }
        for n in 0..evicted {
            self.check_full(item, n > 0);
            assert!(
                self.queued.pop_front().is_some(),
                "I9: only queued records are evicted"
            );
        }
        match result {
            Ok(()) => {
                self.queued.push_back(item);
                self.largest = self.largest.max(item.bytes());
                self.seen.pushed += 1;
            }
            Err(PushError::Full) => {
                self.seen.refused += 1;
                self.check_full(item, true);
            }
            Err(_) => self.seen.too_large += 1,
        }
    }

    /// A refusal and an eviction need a reason: the number of records, or memory in pieces each
    /// too small.
    fn check_full(&mut self, item: Item, count: bool) {
        let max = self
            .shape
            .max_records
            .map_or(usize::MAX, |max| max.max(1) as usize);
        if self.held() >= max {
            self.seen.too_many_records += u32::from(count);
            return;
        }
        let free = self.shape.capacity - self.held_bytes();
        let bound = 2 * item.bytes() + self.largest.max(item.bytes());
        assert!(
            free < bound,
            "I8: no room for {} with {free} bytes free",
            item.bytes()
        );
        self.seen.refused_in_pieces += u32::from(count && free >= item.bytes());
    }

    fn lease(&mut self, most: usize) {
        let mut shown = Vec::new();
        let lease = self.machine.lease(&mut |record| {
            shown.push(record.body.to_vec());
            shown.len() <= most
        });
        let possible = self.leases.len() < MAX_LEASES && most > 0 && !self.queued.is_empty();
        assert_eq!(lease.is_some(), possible, "I10");
        self.seen.leases_used_up += u32::from(self.leases.len() == MAX_LEASES);
        let Some(lease) = lease else { return };
        let count = most.min(self.queued.len());
        let items: VecDeque<Item> = self.queued.drain(..count).collect();
        let expected = items.iter().chain(self.queued.front()).take(shown.len());
        assert!(
            expected.map(|item| item.body()).eq(shown),
            "I7: offered in order"
        );
        self.leases.push((lease, items));
    }

    fn release(&mut self, which: u8) {
        if self.leases.is_empty() {
            return;
        }
        let which = usize::from(which) % self.leases.len();
        self.seen.released_out_of_order += u32::from(which > 0);
        let (lease, _) = self.leases.remove(which);
        self.machine.release(lease);
    }

    fn release_first(&mut self, which: u8, count: usize) {
        if self.leases.is_empty() {
            return;
        }
        let which = usize::from(which) % self.leases.len();
        let (lease, items) = &mut self.leases[which];
        self.machine.release_first(lease, count);
        self.seen.released_in_part += u32::from(count > 0 && count < items.len());
        items.drain(..count.min(items.len()));
        if items.is_empty() {
            // The lease ended with its last record; what the caller still holds is an old one.
            let (stale, _) = self.leases.remove(which);
            assert_eq!(self.machine.lease_len(&stale), 0);
            self.machine.release(stale);
        }
    }

    fn check(&self) {
        let machine = &self.machine;
        assert_eq!(machine.len(), self.held(), "I6");
        assert_eq!(machine.queued(), self.queued.len());
        assert_eq!(machine.leased(), self.held() - self.queued.len());
        assert_eq!(machine.is_empty(), self.held() == 0);
        let bytes: usize = self.queued.iter().map(|item| item.bytes()).sum();
        assert_eq!(machine.queued_bytes(), bytes);
        assert!(self.held_bytes() <= self.shape.capacity, "I6");
        assert_eq!(machine.capacity_bytes(), self.shape.capacity);
        for (lease, items) in &self.leases {
            assert_eq!(machine.lease_len(lease), items.len());
            let bodies = machine.records(lease).map(|record| record.body.to_vec());
            assert!(
                bodies.eq(items.iter().map(|item| item.body())),
                "I9: a lease is untouched"
            );
        }
        let front = machine.front().map(|record| record.body.to_vec());
        assert_eq!(front, self.queued.front().map(|item| item.body()), "I7");
        if self.leases.len() < MAX_LEASES {
            // A copy shows everything that is queued, in order.
            let mut copy = machine.clone();
            let mut shown = Vec::new();
            let lease = copy.lease(&mut |record| {
                shown.push(record.body.to_vec());
                true
            });
            assert_eq!(lease.is_some(), !self.queued.is_empty());
            assert!(
                shown
                    .into_iter()
                    .eq(self.queued.iter().map(|item| item.body())),
                "I7"
            );
        }
    }
}
