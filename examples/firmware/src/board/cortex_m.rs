//! Common to all Cortex-M parts: SysTick as a tick and as a counter, reset, the stack.

use core::cell::Cell;

use cortex_m_rt::exception;
use critical_section::Mutex;

use super::{CLOCK_HZ, read, write};

const SYST_CSR: usize = 0xe000_e010;
const SYST_RVR: usize = 0xe000_e014;
const SYST_CVR: usize = 0xe000_e018;
const ENABLE: u32 = 1;
const INTERRUPT: u32 = 2;
const PROCESSOR_CLOCK: u32 = 4;
/// The counter has 24 bits and counts down.
const LONGEST: u32 = 0x00ff_ffff;

/// Counts of a millisecond.
const TICK: u32 = CLOCK_HZ / 1_000;

/// Milliseconds of the clock.
static MILLIS: Mutex<Cell<u64>> = Mutex::new(Cell::new(0));

/// Lets the interrupt come every 50 microseconds.
pub fn ticks_start() {
    start(CLOCK_HZ / 20_000, ENABLE | INTERRUPT | PROCESSOR_CLOCK);
}

/// Lets the interrupt come every millisecond; its handler calls [`clock_tick`].
pub fn clock_start() {
    start(TICK - 1, ENABLE | INTERRUPT | PROCESSOR_CLOCK);
    // The counter stands at zero, the end of a millisecond, until the first one begins.
    while left_of_tick() == 0 {}
}

/// A millisecond of the clock is over.
pub fn clock_tick() {
    critical_section::with(|cs| {
        let millis = MILLIS.borrow(cs);
        millis.set(millis.get() + 1);
    });
}

/// Microseconds since [`clock_start`]: milliseconds by the interrupt, the rest by the counter.
pub fn micros() -> u64 {
    critical_section::with(|cs| {
        let mut left = left_of_tick();
        // While interrupts are off the counter may begin again before its tick was counted.
        if cortex_m::peripheral::SCB::is_pendst_pending() {
            cortex_m::peripheral::SCB::clear_pendst();
            clock_tick();
            // A counter that still stands at zero ends the millisecond that was just counted.
            left = match left_of_tick() {
                0 => TICK,
                left => left,
            };
        }
        let since = TICK.saturating_sub(left) * 1_000 / TICK;
        MILLIS.borrow(cs).get() * 1_000 + u64::from(since)
    })
}

/// The counts until the millisecond is over: 0 at its end.
fn left_of_tick() -> u32 {
    // SAFETY: a register of the processor.
    unsafe { read(SYST_CVR) }
}

pub fn ticks_stop() {
    // SAFETY: a register of the processor; without its interrupt the timer has no effect.
    unsafe { write(SYST_CSR, 0) };
}

/// With `-icount shift=0` an instruction takes a nanosecond of the board's time.
pub fn instructions() -> u32 {
    // SAFETY: registers of the processor.
    let (control, left) = unsafe { (read(SYST_CSR), read(SYST_CVR)) };
    if control & ENABLE == 0 {
        start(LONGEST, ENABLE | PROCESSOR_CLOCK);
        return 0;
    }
    // Tenths of a nanosecond, because a tick of the nRF51 takes 62.5 ns.
    (LONGEST - left) * (10_000_000 / (CLOCK_HZ / 1_000)) / 10
}

fn start(reload: u32, control: u32) {
    // SAFETY: registers of the processor; the handler of the interrupt is below.
    unsafe {
        write(SYST_RVR, reload);
        write(SYST_CVR, 0);
        write(SYST_CSR, control);
    }
}

#[exception]
fn SysTick() {
    crate::on_tick();
}

/// Starts the processor again.
pub fn reset() -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}

/// The end of the statics, and the start of the stack, which grows down to it.
pub fn stack_limits() -> (usize, usize) {
    unsafe extern "C" {
        static __sheap: u32;
        static _stack_start: u32;
    }
    (
        &raw const __sheap as usize,
        &raw const _stack_start as usize,
    )
}
