//! Firmware that posts its spans over TCP/IP as they are.
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
use spandrel_transport_async::embassy::Identity;

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    networked::run(Identity).await
}
