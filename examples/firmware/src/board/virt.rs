//! QEMU's RISC-V board: one 32-bit hart, a 16550 as its serial line, a CLINT as its timer.

use riscv::interrupt::Interrupt;
use riscv::register::{mcycle, mie};
use riscv_rt::core_interrupt;

use super::{read, write};

/// The board's name in its resource.
pub const NAME: &str = "virt";
const UART0: usize = 0x1000_0000;
const UART0_LINE_STATUS: usize = UART0 + 5;
const TRANSMIT_EMPTY: u8 = 1 << 5;
const TIME_COMPARE: usize = 0x0200_4000;
const TIME: usize = 0x0200_bff8;
const TEST_DEVICE: usize = 0x0010_0000;
const TEST_DEVICE_RESET: u32 = 0x7777;
/// The timer counts at 10 MHz.
const COUNTS_PER_MICRO: u64 = 10;
/// 50 microseconds.
const TICK: u64 = 50 * COUNTS_PER_MICRO;

pub fn uart_start() {}

pub fn uart_write(byte: u8) {
    // SAFETY: registers of the UART, a byte wide each.
    unsafe {
        while (UART0_LINE_STATUS as *const u8).read_volatile() & TRANSMIT_EMPTY == 0 {}
        (UART0 as *mut u8).write_volatile(byte);
    }
}

pub fn ticks_start() {
    alarm_at_count(count() + TICK);
    // SAFETY: the handler below is in place, and no critical section is open.
    unsafe {
        mie::set_mtimer();
        riscv::interrupt::enable();
    }
}

pub fn ticks_stop() {
    // SAFETY: turning an interrupt off.
    unsafe { mie::clear_mtimer() };
}

/// The clock needs no interrupt, but its users do: it comes every 50 microseconds, until
/// [`alarm_at`] says otherwise.
pub fn clock_start() {
    ticks_start();
}

/// The counter of this board needs no help.
pub fn clock_tick() {}

#[core_interrupt(Interrupt::MachineTimer)]
fn machine_timer() {
    // The program may want it at another time.
    alarm_at_count(count() + TICK);
    crate::on_tick();
}

/// Microseconds since the start.
pub fn micros() -> u64 {
    count() / COUNTS_PER_MICRO
}

/// Lets the timer's interrupt come at a time of [`micros`], or at once when that is over.
#[cfg(feature = "net")]
pub fn alarm_at(micros: u64) {
    alarm_at_count(micros.saturating_mul(COUNTS_PER_MICRO));
}

fn count() -> u64 {
    loop {
        // SAFETY: registers of the CLINT. The high half is read twice, because the low one may
        // begin again in between.
        let (high, low, again) = unsafe { (read(TIME + 4), read(TIME), read(TIME + 4)) };
        if high == again {
            return u64::from(high) << 32 | u64::from(low);
        }
    }
}

fn alarm_at_count(count: u64) {
    // SAFETY: registers of the CLINT. The high half is out of reach while the low one changes, so
    // that no interrupt comes in between.
    unsafe {
        write(TIME_COMPARE + 4, u32::MAX);
        write(TIME_COMPARE, count as u32);
        write(TIME_COMPARE + 4, (count >> 32) as u32);
    }
}

/// With `-icount` the cycle counter counts instructions.
pub fn instructions() -> u32 {
    mcycle::read() as u32
}

/// Starts the machine again.
pub fn reset() -> ! {
    loop {
        // SAFETY: the register of the emulator's test device that resets the machine.
        unsafe { write(TEST_DEVICE, TEST_DEVICE_RESET) };
    }
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
