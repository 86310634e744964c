//! The LAN9118 Ethernet controller of the MPS2 board.

use super::ADDRESS;
use crate::board::{read, write};

const BASE: usize = 0x4020_0000;
const RECEIVE_DATA: usize = BASE;
const TRANSMIT_DATA: usize = BASE + 0x20;
const RECEIVE_STATUS: usize = BASE + 0x40;
const INTERRUPT_CONFIG: usize = BASE + 0x54;
const INTERRUPT_STATUS: usize = BASE + 0x58;
const INTERRUPT_ENABLE: usize = BASE + 0x5c;
const RECEIVE_FILL: usize = BASE + 0x7c;
const TRANSMIT_CONFIG: usize = BASE + 0x70;
const MAC_COMMAND: usize = BASE + 0xa4;
const MAC_DATA: usize = BASE + 0xa8;

/// On, active high, driven.
const INTERRUPT_PIN: u32 = 0x111;
/// A frame's status waits.
const RECEIVED: u32 = 1 << 3;
const MAC_BUSY: u32 = 1 << 31;
const MAC_CONTROL: u32 = 1;
const MAC_ADDRESS_HIGH: u32 = 2;
const MAC_ADDRESS_LOW: u32 = 3;
const MAC_ON: u32 = 0x0c;
const TRANSMIT_ON: u32 = 2;
const WHOLE_FRAME: u32 = 1 << 13 | 1 << 12;
/// The interrupt is number 13.
const NVIC_ENABLE_0: usize = 0xe000_e100;

/// The network card.
pub struct Nic(());

impl Nic {
    pub fn start() -> Option<Self> {
        let [a, b, c, d, e, f] = ADDRESS;
        mac(MAC_ADDRESS_LOW, u32::from_le_bytes([a, b, c, d]));
        mac(MAC_ADDRESS_HIGH, u32::from_le_bytes([e, f, 0, 0]));
        mac(MAC_CONTROL, MAC_ON);
        // SAFETY: registers of the controller and of the interrupt controller; the handler is
        // in place.
        unsafe {
            write(TRANSMIT_CONFIG, TRANSMIT_ON);
            write(INTERRUPT_ENABLE, 0);
            write(INTERRUPT_CONFIG, INTERRUPT_PIN);
            write(NVIC_ENABLE_0, 1 << 13);
        }
        Some(Self(()))
    }

    /// Sets whether the arrival of a frame interrupts.
    pub fn interrupt(on: bool) {
        // SAFETY: a register of the controller.
        unsafe { write(INTERRUPT_ENABLE, if on { RECEIVED } else { 0 }) };
    }

    /// The next frame that has come: its length, without the checksum.
    pub fn receive(&mut self, frame: &mut [u8]) -> Option<usize> {
        // SAFETY: registers of the controller; reading the data takes it.
        unsafe {
            if read(RECEIVE_FILL) >> 16 & 0xff == 0 {
                write(INTERRUPT_STATUS, RECEIVED);
                if read(RECEIVE_FILL) >> 16 & 0xff == 0 {
                    return None;
                }
            }
            let taken = (read(RECEIVE_STATUS) >> 16 & 0x3fff) as usize;
            let len = taken.saturating_sub(4).min(frame.len());
            let mut targets = frame.iter_mut();
            for _ in 0..taken.div_ceil(4) {
                for byte in read(RECEIVE_DATA).to_le_bytes() {
                    if let Some(target) = targets.next() {
                        *target = byte;
                    }
                }
            }
            Some(len)
        }
    }

    pub fn send(&mut self, frame: &[u8]) {
        let len = frame.len() as u32;
        // SAFETY: registers of the controller.
        unsafe {
            write(TRANSMIT_DATA, WHOLE_FRAME | len);
            write(TRANSMIT_DATA, len);
            for chunk in frame.chunks(4) {
                let mut word = [0; 4];
                for (target, &byte) in word.iter_mut().zip(chunk) {
                    *target = byte;
                }
                write(TRANSMIT_DATA, u32::from_le_bytes(word));
            }
        }
    }
}

/// Writes a register of the MAC, which is reached through two others.
fn mac(register: u32, value: u32) {
    // SAFETY: registers of the controller.
    unsafe {
        write(MAC_DATA, value);
        write(MAC_COMMAND, MAC_BUSY | register);
        while read(MAC_COMMAND) & MAC_BUSY != 0 {}
    }
}
