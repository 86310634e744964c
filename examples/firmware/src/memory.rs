//! The memory of the pipeline, handed out once.

use core::cell::Cell;
use core::mem::MaybeUninit;

use critical_section::Mutex;
use spandrel_core::buffer::Snapshot;

/// Bytes for finished spans.
const SPAN_BYTES: usize = 4096;
/// Bytes for the resource and the scope.
const NAME_BYTES: usize = 192;

/// Memory that no start-up code writes, so that it survives a reset of the processor.
#[repr(C)]
struct Retained {
    spans: [u8; SPAN_BYTES],
    kept: Kept,
}

/// The state for a start after a reset. The first time it is all zero, or anything.
#[repr(C)]
pub struct Kept {
    /// Where the spans lie.
    pub snapshot: [u8; Snapshot::BYTES],
    /// The latest time, in nanoseconds.
    pub time: [u8; 8],
}

/// All of it.
pub struct Memory {
    pub spans: &'static mut [u8],
    pub names: &'static mut [u8],
    pub kept: &'static mut Kept,
}

#[unsafe(link_section = ".uninit.spans")]
static mut RETAINED: MaybeUninit<Retained> = MaybeUninit::uninit();
static mut NAMES: [u8; NAME_BYTES] = [0; NAME_BYTES];
static TAKEN: Mutex<Cell<bool>> = Mutex::new(Cell::new(false));

/// `None` the second time.
pub fn take() -> Option<Memory> {
    if critical_section::with(|cs| TAKEN.borrow(cs).replace(true)) {
        return None;
    }
    // SAFETY: this point is passed once, so these are the only references. RAM always holds some
    // value, and every value is one of bytes; the pointer hides that nothing was written.
    unsafe {
        let retained = core::hint::black_box((&raw mut RETAINED).cast::<Retained>());
        let Retained { spans, kept } = &mut *retained;
        let names = &raw mut NAMES;
        Some(Memory {
            spans,
            names: &mut *names,
            kept,
        })
    }
}
