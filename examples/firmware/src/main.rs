//! Firmware that records spans with the core alone and hands its requests to the host over a
//! serial line; `tests/tests/device/firmware` decodes and compares them.
//!
//! One program for all boards: what differs is in [`board`]. The scenario to run is the command
//! line that the emulator was given. Nothing here allocates, and nothing that could is linked.
#![no_std]
#![no_main]

#[allow(dead_code, reason = "the other program uses the rest")]
mod board;
mod device;
mod memory;
mod output;
mod pipeline;
mod scenario;

use core::panic::PanicInfo;

use board::semihosting::{command_line, exit};

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    board::uart_start();
    let mut line = [0; 64];
    let done = scenario::run(command_line(&mut line));
    output::number("stack.bytes", board::stack_high_water() as u64);
    exit(done.is_some())
}

/// The timer's interrupt.
fn on_tick() {
    scenario::interrupt::on_tick();
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    exit(false)
}
