//! The firmware that `cargo run --example firmware_demo` shows: a weather station that traces what
//! it does, and delivers it over the network or a serial line.
//!
//! The command line of the emulator says which: `http PORT SEED` posts to a collector on the host
//! ([`station::over_http`]), `uart SEED` sends frames to a gateway ([`station::over_uart`]). The
//! seed stands for the random number generator that a real part has.
#![no_std]
#![no_main]

#[allow(dead_code, reason = "the other programs use the rest")]
mod board;
#[cfg(feature = "net")]
mod net;
#[allow(dead_code, reason = "the other programs use the rest")]
mod output;
#[allow(dead_code, reason = "the other programs use the rest")]
mod pipeline;
mod station;

use core::panic::PanicInfo;

use board::semihosting::{command_line, exit};
#[cfg(feature = "net")]
use station::over_http;
use station::over_uart;

#[cfg(feature = "net")]
#[embassy_executor::main]
async fn main(_spawner: embassy_executor::Spawner) {
    start();
    let mut line = [0; 64];
    let mut words = command_line(&mut line).split(' ');
    let done = match words.next() {
        Some("http") => over_http::run(&mut words).await,
        _ => over_uart::run(&mut words),
    };
    exit(done.is_some())
}

#[cfg(not(feature = "net"))]
#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    start();
    let mut line = [0; 64];
    let mut words = command_line(&mut line).split(' ');
    let done = match words.next() {
        Some("uart") => over_uart::run(&mut words),
        _ => None,
    };
    exit(done.is_some())
}

fn start() {
    board::uart_start();
    board::clock_start();
}

/// The timer's interrupt: the station's while it measures, then the executor's.
fn on_tick() {
    #[cfg(feature = "net")]
    if !station::is_measuring() {
        return net::time::on_tick();
    }
    station::on_tick();
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    exit(false)
}
