//! Firmware that posts its spans over TCP/IP in gzip.
#![no_std]
#![no_main]

#[allow(dead_code, reason = "the other programs use the rest")]
mod board;
mod net;
mod networked;
#[allow(dead_code, reason = "the other programs use the rest")]
mod output;
mod pipeline;

use embassy_executor::Spawner;
use networked::on_tick;
use spandrel_transport_async::embassy::Gzip;
use static_cell::ConstStaticCell;

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    static WINDOW: ConstStaticCell<[u8; 1024]> = ConstStaticCell::new([0; 1024]);
    static TABLE: ConstStaticCell<[u16; 512]> = ConstStaticCell::new([0; 512]);

    match Gzip::new(WINDOW.take(), TABLE.take()) {
        Ok(gzip) => networked::run(gzip).await,
        Err(_) => board::semihosting::exit(false),
    }
}
