//! Arm MPS2 with the AN386 image: Cortex-M4F, a CMSDK UART as its serial line.

use super::{read, write};

/// The board's name in its resource.
pub const NAME: &str = "mps2-an386";
/// The processor's clock.
pub const CLOCK_HZ: u32 = 25_000_000;

const UART0_DATA: usize = 0x4000_4000;
const UART0_STATE: usize = 0x4000_4004;
const UART0_CONTROL: usize = 0x4000_4008;
const UART0_DIVIDER: usize = 0x4000_4010;
const TRANSMIT_FULL: u32 = 1;

pub fn uart_start() {
    // SAFETY: registers of UART0; the least divider, and the transmitter on.
    unsafe {
        write(UART0_DIVIDER, 16);
        write(UART0_CONTROL, 1);
    }
}

pub fn uart_write(byte: u8) {
    // SAFETY: registers of UART0.
    unsafe {
        while read(UART0_STATE) & TRANSMIT_FULL != 0 {}
        write(UART0_DATA, byte.into());
    }
}
