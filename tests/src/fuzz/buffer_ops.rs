//! The ring of records against lists: nothing is lost, torn, reordered or counted twice.

use std::collections::VecDeque;

use arbitrary::{Arbitrary, Unstructured};
use spandrel_core::buffer::{Buffer, Lease, Overflow, PushError, Record, RecordFlags};
use spandrel_core::resource::{InstrumentationScope, Registry, Resource, ScopeId};

#[derive(Debug, Arbitrary)]
enum Op {
    Push { len: u16, scope: bool },
    Lease { most: u8 },
    Release { which: u8 },
    ReleaseFirst { which: u8, count: u8 },
    PopFront,
}

#[derive(Debug, Arbitrary)]
struct Script {
    capacity: u16,
    drop_oldest: bool,
    max_records: Option<u8>,
    ops: Vec<Op>,
}

type Stored = (ScopeId, Vec<u8>);

struct Runner {
    buffer: Buffer<Vec<u8>>,
    queued: VecDeque<Stored>,
    leases: Vec<(Lease, VecDeque<Stored>)>,
    scopes: [ScopeId; 2],
    pushed: u8,
}

/// Runs the operations that `data` makes.
///
/// # Panics
///
/// When the buffer and the lists differ.
pub fn run(data: &[u8]) {
    let Ok(script) = Unstructured::new(data).arbitrary::<Script>() else {
        return;
    };
    let overflow = if script.drop_oldest {
        Overflow::DropOldest
    } else {
        Overflow::DropNewest
    };
    let capacity = usize::from(script.capacity) % 2048;
    let mut buffer = Buffer::new(vec![0xcc; capacity]).with_overflow(overflow);
    if let Some(most) = script.max_records {
        buffer = buffer.with_max_records(most.into());
    }
    let mut registry = Registry::new([0; 64], &Resource::default()).expect("room");
    let mut scope = |name| {
        let scope = registry.scope(&InstrumentationScope::new(name));
        scope.expect("room")
    };
    let mut runner = Runner {
        scopes: [scope("a"), scope("b")],
        buffer,
        queued: VecDeque::new(),
        leases: Vec::new(),
        pushed: 0,
    };
    for op in script.ops.iter().take(400) {
        runner.step(op);
        runner.check();
    }
}

impl Runner {
    fn step(&mut self, op: &Op) {
        match *op {
            Op::Push { len, scope } => self.push(usize::from(len) % 600, scope),
            Op::Lease { most } => {
                let mut left = usize::from(most);
                let lease = self.buffer.lease(&mut |_| {
                    let take = left > 0;
                    left = left.saturating_sub(1);
                    take
                });
                if let Some(lease) = lease {
                    let count = self.queued.len().min(most.into());
                    assert!(count > 0);
                    self.leases
                        .push((lease, self.queued.drain(..count).collect()));
                }
            }
            Op::Release { which } => {
                if !self.leases.is_empty() {
                    let which = usize::from(which) % self.leases.len();
                    let (lease, _) = self.leases.remove(which);
                    self.buffer.release(lease);
                }
            }
            Op::ReleaseFirst { which, count } => {
                if !self.leases.is_empty() {
                    let which = usize::from(which) % self.leases.len();
                    let (lease, records) = &mut self.leases[which];
                    let count = usize::from(count) % 8;
                    self.buffer.release_first(lease, count);
                    records.drain(..count.min(records.len()));
                }
            }
            Op::PopFront => {
                assert_eq!(self.buffer.pop_front(), self.queued.pop_front().is_some());
            }
        }
    }

    fn push(&mut self, len: usize, scope: bool) {
        self.pushed = self.pushed.wrapping_add(1);
        let body = vec![self.pushed; len];
        let scope = self.scopes[usize::from(scope)];
        let evicted = self.buffer.evicted();
        let was_empty = self.buffer.is_empty();
        let result = self.buffer.push(&Record {
            scope,
            flags: RecordFlags::NONE,
            body: &body,
        });
        let evicted = self.buffer.evicted() - evicted;
        for _ in 0..evicted {
            assert!(self.queued.pop_front().is_some(), "never a leased one");
        }
        match result {
            Ok(()) => self.queued.push_back((scope, body)),
            Err(PushError::Full) => assert!(!was_empty, "an empty buffer is not full"),
            Err(error) => assert_eq!((error, evicted), (PushError::TooLarge, 0)),
        }
    }

    fn check(&self) {
        let buffer = &self.buffer;
        let leased: usize = self.leases.iter().map(|(_, records)| records.len()).sum();
        assert_eq!(buffer.queued(), self.queued.len());
        assert_eq!(buffer.leased(), leased);
        assert_eq!(buffer.len(), leased + self.queued.len());
        let bytes: usize = self.queued.iter().map(|(_, body)| body.len() + 8).sum();
        assert_eq!(buffer.queued_bytes(), bytes);
        for (lease, records) in &self.leases {
            assert_eq!(buffer.lease_len(lease), records.len());
            let stored = buffer.records(lease).map(|r| (r.scope, r.body.to_vec()));
            assert!(stored.eq(records.iter().cloned()), "leased records");
        }
        let front = buffer.front().map(|r| (r.scope, r.body.to_vec()));
        assert_eq!(front, self.queued.front().cloned());
    }
}
