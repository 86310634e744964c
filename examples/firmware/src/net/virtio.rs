//! The virtio network card of QEMU's RISC-V board.
//!
//! `virtio-drivers` moves frames through two queues that lie in memory and that the card reads and
//! writes by itself. So this is the one module of the firmware that hands memory to a device, and
//! all of its unsafe code is about that: the queues come from [`ARENA`], and the one buffer for
//! frames that arrive belongs to either the card or this program, as [`Nic::waiting`] says.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use riscv::interrupt::Interrupt;
use riscv::register::mie;
use riscv_rt::core_interrupt;
use virtio_drivers::device::net::VirtIONetRaw;
use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};
use virtio_drivers::transport::{DeviceType, Transport};
use virtio_drivers::{BufferDirection, Error, Hal, PAGE_SIZE, PhysAddr};

use crate::board::{read, write};

/// Eight places for virtio devices; the one at `SLOTS + n * SLOT_BYTES` has the interrupt `1 + n`.
const SLOTS: usize = 0x1000_1000;
const SLOT_BYTES: usize = 0x1000;
const SLOT_COUNT: u32 = 8;

const PLIC: usize = 0x0c00_0000;
/// Of context 0: hart 0 in machine mode.
const PLIC_ENABLE: usize = PLIC + 0x2000;
const PLIC_THRESHOLD: usize = PLIC + 0x20_0000;
const PLIC_CLAIM: usize = PLIC + 0x20_0004;

/// Descriptors of each queue: a frame that goes takes two, the one that is awaited takes one.
const QUEUE: usize = 2;
/// Two pages for each of the two queues.
const PAGES: usize = 4;
/// The largest frame and the header that the card puts before it.
const BUFFER_BYTES: usize = 1536;

/// The network card.
pub struct Nic {
    card: VirtIONetRaw<Memory, MmioTransport<'static>, QUEUE>,
    /// The buffer of frames that arrive.
    buffer: NonNull<[u8; BUFFER_BYTES]>,
    /// The card's name for its loan of `buffer`; without one the buffer is ours.
    waiting: Option<u16>,
}

impl Nic {
    /// `None` when the emulator has no such card, or the second time.
    pub fn start() -> Option<Self> {
        static mut BUFFER: [u8; BUFFER_BYTES] = [0; BUFFER_BYTES];
        let (slot, transport) = find()?;
        let mut nic = Self {
            // Its queues exhaust the arena, so there is no second card and no other `BUFFER`.
            card: VirtIONetRaw::new(transport).ok()?,
            buffer: NonNull::new(&raw mut BUFFER)?,
            waiting: None,
        };
        nic.lend();
        // SAFETY: registers of the interrupt controller, the priority of a source and the
        // threshold below it; the handler is in place.
        unsafe {
            write(PLIC + 4 * (1 + slot) as usize, 1);
            write(PLIC_THRESHOLD, 0);
            mie::set_mext();
        }
        Some(nic)
    }

    /// Sets whether the arrival of a frame interrupts.
    pub fn interrupt(on: bool) {
        // The interrupts of all places, as only one of them has a device.
        let sources = ((1 << SLOT_COUNT) - 1) << 1;
        // SAFETY: a register of the interrupt controller.
        unsafe { write(PLIC_ENABLE, if on { sources } else { 0 }) };
    }

    /// The next frame that has come: its length, without the checksum.
    pub fn receive(&mut self, target: &mut [u8]) -> Option<usize> {
        let mut arrived = self.card.poll_receive();
        if arrived.is_none() {
            self.card.ack_interrupt();
            arrived = self.card.poll_receive();
        }
        let token = arrived.filter(|token| self.waiting == Some(*token))?;
        // SAFETY: this is the buffer that was lent; the card has filled it and gives it back.
        let buffer = unsafe { self.buffer.as_mut() };
        // SAFETY: the same.
        let frame = match unsafe { self.card.receive_complete(token, buffer) } {
            Ok((header, len)) => Some((header, len)),
            // A frame without its header; the buffer is ours again.
            Err(Error::IoError) => None,
            // The card has the buffer still.
            Err(_) => return None,
        };
        self.waiting = None;
        let len = frame.and_then(|(header, len)| {
            let source = buffer.get(header..)?.get(..len)?;
            target.get_mut(..len)?.copy_from_slice(source);
            Some(len)
        });
        self.lend();
        len
    }

    pub fn send(&mut self, frame: &[u8]) {
        // It can only fail where the queue is full, and it waits until the queue is empty again.
        let _ = self.card.send(frame);
    }

    /// Gives the buffer to the card, for the next frame.
    fn lend(&mut self) {
        // SAFETY: without a loan nothing else refers to the buffer, which lives for ever, and
        // `waiting` keeps it unused until the card has given it back.
        self.waiting = unsafe { self.card.receive_begin(self.buffer.as_mut()) }.ok();
    }
}

/// The place of the network card, and the way to it.
fn find() -> Option<(u32, MmioTransport<'static>)> {
    (0..SLOT_COUNT).find_map(|slot| {
        let header = NonNull::new((SLOTS + slot as usize * SLOT_BYTES) as *mut VirtIOHeader)?;
        // SAFETY: the registers of a place, which are there with and without a device.
        let transport = unsafe { MmioTransport::new(header, SLOT_BYTES) }.ok()?;
        (transport.device_type() == DeviceType::Network).then_some((slot, transport))
    })
}

#[core_interrupt(Interrupt::MachineExternal)]
fn machine_external() {
    // SAFETY: a register of the interrupt controller: which source it was, and that it is settled.
    unsafe { write(PLIC_CLAIM, read(PLIC_CLAIM)) };
    super::on_interrupt();
}

/// Pages for the queues, which lie in zeroed memory and are handed out once.
#[repr(C, align(4096))]
struct Arena([u8; PAGES * PAGE_SIZE]);

static mut ARENA: Arena = Arena([0; PAGES * PAGE_SIZE]);
/// Pages handed out.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// Memory as the card sees it: as the processor does.
struct Memory;

// SAFETY: `dma_alloc` gives out zeroed pages of a static, aligned by its type, each at most once.
// The other functions do what they promise where addresses are the same for both sides.
unsafe impl Hal for Memory {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let first = TAKEN.fetch_add(pages, Ordering::Relaxed);
        // An address of zero says that there is nothing left.
        if first.saturating_add(pages) > PAGES {
            return (0, NonNull::dangling());
        }
        let start = (&raw mut ARENA).cast::<u8>();
        let page = start.wrapping_add(first * PAGE_SIZE);
        match NonNull::new(page) {
            Some(address) => (page as PhysAddr, address),
            None => (0, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        // The card lives as long as the program.
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::new(address as *mut u8).unwrap_or(NonNull::dangling())
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().as_ptr() as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}
