//! The program's interface to a board. Each board is one small file; what all Cortex-M parts share
//! is in [`cortex_m`], and what every emulated part shares is in [`semihosting`].
//!
//! | item | meaning |
//! |---|---|
//! | `uart_start()`, `uart_write(byte)` | the serial line to the host |
//! | `ticks_start()`, `ticks_stop()` | a timer whose interrupt calls [`crate::on_tick`] |
//! | `clock_start()`, `clock_tick()`, `micros()` | a clock, which lives on that interrupt |
//! | `instructions()` | instructions since an arbitrary moment, with `-icount shift=0` |
//! | `reset()` | starts the processor again; RAM keeps its content |
//! | `stack_limits()` | the addresses between which the stack lives |

pub mod semihosting;

#[cfg(target_arch = "arm")]
mod cortex_m;
#[cfg(target_arch = "arm")]
pub use cortex_m::*;

#[cfg_attr(feature = "lm3s6965evb", path = "lm3s6965evb.rs")]
#[cfg_attr(feature = "mps2-an386", path = "mps2_an386.rs")]
#[cfg_attr(feature = "microbit", path = "microbit.rs")]
#[cfg_attr(feature = "virt", path = "virt.rs")]
mod chosen;
pub use chosen::*;

/// Writes a device register.
///
/// # Safety
///
/// `address` is a device register of this board, and writing `value` to it has no effect on
/// memory that Rust knows of.
pub unsafe fn write(address: usize, value: u32) {
    // SAFETY: what the caller promises.
    unsafe { (address as *mut u32).write_volatile(value) }
}

/// Reads a device register.
///
/// # Safety
///
/// `address` is a device register of this board.
pub unsafe fn read(address: usize) -> u32 {
    // SAFETY: what the caller promises.
    unsafe { (address as *const u32).read_volatile() }
}

/// The greatest depth of the stack so far. The emulator starts with zeroed memory, so everything
/// below the deepest word that was ever written still reads as zero.
pub fn stack_high_water() -> usize {
    let (lowest, highest) = stack_limits();
    let mut at = lowest;
    // SAFETY: the words between the limits are this program's stack or unused RAM.
    while at < highest && unsafe { read(at) } == 0 {
        at += 4;
    }
    highest - at
}
