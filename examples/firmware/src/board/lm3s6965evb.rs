//! Stellaris LM3S6965 evaluation board: Cortex-M3, a PL011 as its serial line.

use super::{read, write};

/// The board's name in its resource.
pub const NAME: &str = "lm3s6965evb";
/// The processor's clock after reset, as the emulator has it.
pub const CLOCK_HZ: u32 = 12_500_000;

const UART0_DATA: usize = 0x4000_c000;
const UART0_FLAGS: usize = 0x4000_c018;
const UART0_CONTROL: usize = 0x4000_c030;
const TRANSMIT_FULL: u32 = 1 << 5;

pub fn uart_start() {
    // SAFETY: a register of UART0; transmitter, receiver and device on.
    unsafe { write(UART0_CONTROL, 0x301) };
}

pub fn uart_write(byte: u8) {
    // SAFETY: registers of UART0.
    unsafe {
        while read(UART0_FLAGS) & TRANSMIT_FULL != 0 {}
        write(UART0_DATA, byte.into());
    }
}
