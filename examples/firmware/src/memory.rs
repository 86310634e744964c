//! The memory of the pipeline, handed out once.

use core::cell::Cell;
use core::mem::MaybeUninit;

use critical_section::Mutex;
/// Bytes for finished spans.
const SPAN_BYTES: usize = 4096;
/// Bytes for the resource and the scope.
const NAME_BYTES: usize = 192;

/// All of it.
pub struct Memory {
    /// The first time it is all zero, or anything.
    pub spans: &'static mut [u8],
    pub names: &'static mut [u8],
}

/// Memory that no start-up code writes, so that it survives a reset of the processor.
#[unsafe(link_section = ".uninit.spans")]
static mut SPANS: MaybeUninit<[u8; SPAN_BYTES]> = MaybeUninit::uninit();
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
        let spans = core::hint::black_box((&raw mut SPANS).cast::<[u8; SPAN_BYTES]>());
        let names = &raw mut NAMES;
        Some(Memory {
            spans: &mut *spans,
            names: &mut *names,
        })
    }
}
