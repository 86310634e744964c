//! Devices: the serial link, the gateway behind it, and the firmware on emulated boards.

mod firmware;
mod gateway;
mod link;
