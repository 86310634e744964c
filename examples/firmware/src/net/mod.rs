//! The board's network interface as embassy-net wants it.
//!
//! A board brings a [`Nic`] of four functions; its interrupt only wakes the network task, which
//! does all the work. Its clock for embassy-time is in [`time`].

#[cfg_attr(feature = "lm3s6965evb", path = "stellaris.rs")]
#[cfg_attr(feature = "mps2-an386", path = "lan9118.rs")]
#[cfg_attr(feature = "virt", path = "virtio.rs")]
mod chosen;
#[cfg_attr(target_arch = "arm", path = "systick.rs")]
#[cfg_attr(target_arch = "riscv32", path = "clint.rs")]
pub mod time;

use core::cell::Cell;
use core::task::{Context, Waker};

use critical_section::Mutex;
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};

pub use chosen::Nic;

/// Locally administered: no manufacturer gave it.
pub const ADDRESS: [u8; 6] = [0x02, 0x53, 0x50, 0x41, 0x4e, 0x01];
/// The largest frame without its checksum, and a word to spare.
const FRAME_BYTES: usize = 1516;

static NETWORK: Mutex<Cell<Option<Waker>>> = Mutex::new(Cell::new(None));

/// The interrupt of the network interface.
pub fn on_interrupt() {
    Nic::interrupt(false);
    if let Some(waker) = critical_section::with(|cs| NETWORK.borrow(cs).take()) {
        waker.wake();
    }
}

/// On Cortex-M every interrupt without its own handler comes here; no other one is on.
#[cfg(target_arch = "arm")]
#[cortex_m_rt::exception]
unsafe fn DefaultHandler(_: i16) {
    on_interrupt();
}

/// The interface with a frame of memory for each direction.
pub struct Interface {
    nic: Nic,
    received: [u8; FRAME_BYTES],
    sent: [u8; FRAME_BYTES],
}

impl Interface {
    /// `None` when the board has no network card.
    pub fn start() -> Option<Self> {
        Some(Self {
            nic: Nic::start()?,
            received: [0; FRAME_BYTES],
            sent: [0; FRAME_BYTES],
        })
    }
}

impl Driver for Interface {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Received<'_>, Sending<'_>)> {
        if let Some(len) = self.nic.receive(&mut self.received) {
            let frame = self.received.get_mut(..len)?;
            return Some((Received(frame), Sending(&mut self.nic, &mut self.sent)));
        }
        let waker = cx.waker().clone();
        critical_section::with(|cs| NETWORK.borrow(cs).set(Some(waker)));
        Nic::interrupt(true);
        None
    }

    fn transmit(&mut self, _: &mut Context<'_>) -> Option<Sending<'_>> {
        Some(Sending(&mut self.nic, &mut self.sent))
    }

    fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = 1514;
        capabilities.max_burst_size = Some(1);
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(ADDRESS)
    }
}

/// A frame that has come.
pub struct Received<'a>(&'a mut [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

/// Room for a frame to go.
pub struct Sending<'a>(&'a mut Nic, &'a mut [u8; FRAME_BYTES]);

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        // The stack keeps to the size above; what did not would be cut.
        let frame = self.1.get_mut(..len.min(FRAME_BYTES)).unwrap_or_default();
        let result = write(frame);
        self.0.send(frame);
        result
    }
}
