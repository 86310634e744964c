//! The Ethernet controller of the Stellaris LM3S6965, with its PHY inside.
//!
//! Both FIFOs are words of four bytes, and the first two bytes of a frame's first word are its
//! length: with the header of two and the checksum of four when it comes, without the Ethernet
//! header of fourteen when it goes.

use super::ADDRESS;
use crate::board::{read, write};

const BASE: usize = 0x4004_8000;
const STATUS: usize = BASE;
const INTERRUPTS: usize = BASE + 0x04;
const RECEIVE_CONTROL: usize = BASE + 0x08;
const TRANSMIT_CONTROL: usize = BASE + 0x0c;
const DATA: usize = BASE + 0x10;
const ADDRESS_0: usize = BASE + 0x14;
const ADDRESS_1: usize = BASE + 0x18;
const PACKETS: usize = BASE + 0x34;
const TRANSMIT: usize = BASE + 0x38;

const RECEIVED: u32 = 1;
const RECEIVE_ON: u32 = 0x01;
const RECEIVE_RESET: u32 = 0x10;
/// On, padded, with checksum, both directions at once.
const TRANSMIT_ON: u32 = 0x17;
/// The interrupt is number 42: bit 10 of the second register.
const NVIC_ENABLE_1: usize = 0xe000_e104;

/// The network card.
pub struct Nic(());

impl Nic {
    pub fn start() -> Option<Self> {
        let [a, b, c, d, e, f] = ADDRESS;
        // SAFETY: registers of the controller and of the interrupt controller; the handler is
        // in place.
        unsafe {
            write(RECEIVE_CONTROL, RECEIVE_RESET);
            write(ADDRESS_0, u32::from_le_bytes([a, b, c, d]));
            write(ADDRESS_1, u32::from_le_bytes([e, f, 0, 0]));
            write(TRANSMIT_CONTROL, TRANSMIT_ON);
            write(RECEIVE_CONTROL, RECEIVE_ON);
            write(INTERRUPTS, 0);
            write(NVIC_ENABLE_1, 1 << 10);
        }
        Some(Self(()))
    }

    /// Whether the arrival of a frame interrupts.
    pub fn interrupt(on: bool) {
        // SAFETY: a register of the controller.
        unsafe { write(INTERRUPTS, if on { RECEIVED } else { 0 }) };
    }

    /// The next frame that has come: its length, without the checksum.
    pub fn receive(&mut self, frame: &mut [u8]) -> Option<usize> {
        // SAFETY: registers of the controller; reading the data takes it.
        unsafe {
            if read(PACKETS) == 0 {
                write(STATUS, RECEIVED);
                if read(PACKETS) == 0 {
                    return None;
                }
            }
            let [low, high, x, y] = read(DATA).to_le_bytes();
            let taken = usize::from(u16::from_le_bytes([low, high]));
            let len = taken.saturating_sub(6).min(frame.len());
            let (first, rest) = frame.split_at_mut_checked(2)?;
            first.copy_from_slice(&[x, y]);
            let mut rest = rest.iter_mut();
            for _ in 1..taken.div_ceil(4) {
                for byte in read(DATA).to_le_bytes() {
                    if let Some(target) = rest.next() {
                        *target = byte;
                    }
                }
            }
            Some(len)
        }
    }

    pub fn send(&mut self, frame: &[u8]) {
        let Some((&[x, y], rest)) = frame.split_first_chunk::<2>() else {
            return;
        };
        let [low, high] = (frame.len().saturating_sub(14) as u16).to_le_bytes();
        // SAFETY: registers of the controller.
        unsafe {
            while read(TRANSMIT) & 1 != 0 {}
            write(DATA, u32::from_le_bytes([low, high, x, y]));
            for chunk in rest.chunks(4) {
                let mut word = [0; 4];
                for (target, &byte) in word.iter_mut().zip(chunk) {
                    *target = byte;
                }
                write(DATA, u32::from_le_bytes(word));
            }
            write(TRANSMIT, 1);
        }
    }
}
