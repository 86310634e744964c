//! The memory of the pipeline, each part handed out once.

use core::cell::Cell;
use core::mem::MaybeUninit;

use critical_section::Mutex;

/// Bytes for finished spans.
pub const SPAN_BYTES: usize = 4096;
/// Bytes for the resource and the scope.
pub const NAME_BYTES: usize = 192;

/// Lies where no start-up code writes, so that it survives a reset of the processor.
#[unsafe(link_section = ".uninit.spans")]
static mut SPANS: MaybeUninit<[u8; SPAN_BYTES]> = MaybeUninit::uninit();
static mut NAMES: [u8; NAME_BYTES] = [0; NAME_BYTES];
static TAKEN: Mutex<Cell<bool>> = Mutex::new(Cell::new(false));

/// Bytes for spans, with whatever an earlier run left in them, and for names; `None` the second
/// time.
pub fn take() -> Option<(&'static mut [u8], &'static mut [u8])> {
    if critical_section::with(|cs| TAKEN.borrow(cs).replace(true)) {
        return None;
    }
    // SAFETY: this point is passed once, so these are the only references. RAM always holds some
    // value, and every value is one of a byte; the pointer hides that nothing was written.
    unsafe {
        let spans = core::hint::black_box((&raw mut SPANS).cast::<[u8; SPAN_BYTES]>());
        let names = &raw mut NAMES;
        Some((&mut *spans, &mut *names))
    }
}
