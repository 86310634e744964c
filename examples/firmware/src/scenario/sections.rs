//! The time for which the shared buffer keeps interrupts off, in instructions, when the emulator
//! runs with `-icount shift=0`: calls are counted from before the critical section to after it.

use core::hint::black_box;

use spandrel_core::buffer::{Record, RecordFlags};
use spandrel_core::prelude::*;
use spandrel_core::shared_buffer::SharedBuffer;

use crate::board::instructions;
use crate::output::number_of;

/// Enough for the tick of the counter not to matter.
const CALLS: u32 = 16;

type Shared = SharedBuffer<&'static mut [u8]>;

pub fn run(memory: &'static mut [u8]) -> Option<()> {
    let (memory, small) = memory.split_at_mut_checked(3584)?;
    let shared = Shared::new(Buffer::new(memory));
    for (push, drain, len) in [
        (".push_64", ".drain_64", 64),
        (".push_192", ".drain_192", 192),
    ] {
        number_of("sections", push, pushes(&shared, len)?);
        let begin = instructions();
        let drained = shared.drain(&mut [0; 192], &mut Nowhere);
        let taken = instructions().wrapping_sub(begin);
        number_of("sections", drain, taken.checked_div(drained as u32)?.into());
    }
    // Each of these evicts one.
    let shared = Shared::new(Buffer::new(small).with_overflow(Overflow::DropOldest));
    pushes(&shared, 64)?;
    number_of("sections", ".evict_64", pushes(&shared, 64)?);
    Some(())
}

/// Instructions of one push.
fn pushes(shared: &Shared, len: usize) -> Option<u64> {
    let body = [0x5a; 192];
    let record = black_box(Record {
        scope: ScopeId::default(),
        flags: RecordFlags::NONE,
        body: body.get(..len)?,
    });
    let begin = instructions();
    for _ in 0..CALLS {
        shared.push(&record).ok()?;
    }
    Some((instructions().wrapping_sub(begin) / CALLS).into())
}

/// Takes everything, at no cost.
struct Nowhere;

impl RecordSink for Nowhere {
    fn push_record(&mut self, record: &Record<'_>) -> Result<(), PushError> {
        black_box(record);
        Ok(())
    }
}
