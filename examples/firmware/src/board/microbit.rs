//! BBC micro:bit: the Cortex-M0 of an nRF51822, without compare-and-swap and without a network.

use super::{read, write};

/// The board's name in its resource.
pub const NAME: &str = "microbit";
/// The processor's clock.
pub const CLOCK_HZ: u32 = 16_000_000;

const UART: usize = 0x4000_2000;
const START_TRANSMIT: usize = UART + 0x008;
const TRANSMITTED: usize = UART + 0x11c;
const ENABLE: usize = UART + 0x500;
const TRANSMIT_DATA: usize = UART + 0x51c;

pub fn uart_start() {
    // SAFETY: registers of the UART; 4 turns it on.
    unsafe {
        write(ENABLE, 4);
        write(START_TRANSMIT, 1);
    }
}

pub fn uart_write(byte: u8) {
    // SAFETY: registers of the UART.
    unsafe {
        write(TRANSMITTED, 0);
        write(TRANSMIT_DATA, byte.into());
        while read(TRANSMITTED) == 0 {}
    }
}
