//! A disk that forgets what was not synced, and can be cut from power at any operation.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::vec::Vec;

use rand_core::Rng;
use rand_xoshiro::Xoshiro256PlusPlus as Random;

use crate::hosted::spool::{FoundSegment, SegmentId, SpoolFiles};

const SECTOR: usize = 512;

#[derive(Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    /// The bytes from the start that were synced.
    durable: usize,
    is_name_durable: bool,
}

/// What happens at an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    Power,
    Error,
}

pub(super) struct Disk {
    files: BTreeMap<SegmentId, Content>,
    /// Removed, and the directory not synced since.
    removed: BTreeMap<SegmentId, Content>,
    pub(super) operations: usize,
    fault: Option<(usize, Fault)>,
    is_off: bool,
    random: Random,
}

/// A process's view of the disk.
#[derive(Clone)]
pub(super) struct SimulatedFiles(pub(super) Rc<RefCell<Disk>>);

impl Disk {
    pub(super) fn files(random: Random) -> SimulatedFiles {
        SimulatedFiles(Rc::new(RefCell::new(Self {
            files: BTreeMap::new(),
            removed: BTreeMap::new(),
            operations: 0,
            fault: None,
            is_off: false,
            random,
        })))
    }

    fn chance(&mut self) -> bool {
        self.random.next_u32().is_multiple_of(2)
    }

    fn below(&mut self, most: usize) -> usize {
        self.random.next_u32() as usize % (most + 1)
    }

    /// Cuts the power at the operation after `more`.
    pub(super) fn cut_after(&mut self, more: usize) {
        self.fault = Some((self.operations + more, Fault::Power));
    }

    /// Lets the operation after `more` fail.
    pub(super) fn fail_after(&mut self, more: usize) {
        self.fault = Some((self.operations + more, Fault::Error));
    }

    pub(super) fn is_off(&self) -> bool {
        self.is_off
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// Changes one byte of one file; `false` behind the last byte of all.
    pub(super) fn corrupt(&mut self, mut at: usize, flip: u8) -> bool {
        for content in self.files.values_mut() {
            if let Some(byte) = content.bytes.get_mut(at) {
                *byte ^= flip;
                return true;
            }
            at -= content.bytes.len();
        }
        false
    }

    /// A copy that nobody else sees.
    pub(super) fn image(&self) -> SimulatedFiles {
        SimulatedFiles(Rc::new(RefCell::new(Self {
            files: self.files.clone(),
            removed: BTreeMap::new(),
            operations: 0,
            fault: None,
            is_off: false,
            random: self.random.clone(),
        })))
    }

    /// The process died, and the machine went on.
    pub(super) fn restart_process(&mut self) {
        self.is_off = false;
        self.fault = None;
    }

    /// The machine starts again: of all that was not synced any part is there.
    pub(super) fn restart_machine(&mut self) {
        self.restart_process();
        let removed: Vec<_> = core::mem::take(&mut self.removed).into_iter().collect();
        for (id, content) in removed {
            if self.chance() {
                self.files.insert(id, content);
            }
        }
        let files = core::mem::take(&mut self.files);
        for (id, mut content) in files {
            if !content.is_name_durable && self.chance() {
                continue;
            }
            let volatile = content.bytes.len() - content.durable;
            let len = content.durable + self.below(volatile);
            content.bytes.truncate(len);
            let mut at = content.durable;
            while at < len {
                let end = (at / SECTOR * SECTOR + SECTOR).min(len);
                if self.chance() {
                    content.bytes[at..end].fill(0);
                }
                at = end;
            }
            content.durable = len;
            content.is_name_durable = true;
            self.files.insert(id, content);
        }
    }

    /// Counts an operation. Of one that fails, the part that was done is told to `partly`.
    fn operate(&mut self, partly: impl FnOnce(&mut Self)) -> io::Result<()> {
        let this = self.operations;
        self.operations += 1;
        if self.is_off {
            return Err(io::Error::other("there is no power"));
        }
        match self.fault {
            Some((at, fault)) if at == this => {
                self.is_off = fault == Fault::Power;
                partly(self);
                Err(io::Error::other("a fault"))
            }
            _ => Ok(()),
        }
    }

    fn get(&mut self, id: SegmentId) -> io::Result<&mut Content> {
        self.files
            .get_mut(&id)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl SpoolFiles for SimulatedFiles {
    fn adopt(&mut self) -> io::Result<Vec<FoundSegment>> {
        let mut disk = self.0.borrow_mut();
        disk.operate(|_| ())?;
        let found = disk.files.iter().map(|(id, content)| FoundSegment {
            id: *id,
            len: content.bytes.len() as u64,
        });
        Ok(found.collect())
    }

    fn create(&mut self, id: SegmentId) -> io::Result<()> {
        let mut disk = self.0.borrow_mut();
        disk.operate(|disk| {
            if disk.chance() {
                disk.files.insert(id, Content::default());
            }
        })?;
        assert!(
            disk.files.insert(id, Content::default()).is_none(),
            "{id:?} is there"
        );
        Ok(())
    }

    fn append(&mut self, id: SegmentId, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.0.borrow_mut();
        disk.operate(|disk| {
            let part = disk.below(bytes.len());
            if let Ok(content) = disk.get(id) {
                content.bytes.extend_from_slice(&bytes[..part]);
            }
        })?;
        disk.get(id)?.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self, id: SegmentId) -> io::Result<()> {
        let mut disk = self.0.borrow_mut();
        // What an error loses is lost for good; the next sync would say that all is well.
        disk.operate(|disk| {
            let lost = !disk.is_off && disk.chance();
            if let Ok(content) = disk.get(id) {
                if lost {
                    let at = content.durable;
                    content.bytes[at..].fill(0);
                }
            }
        })?;
        let content = disk.get(id)?;
        content.durable = content.bytes.len();
        Ok(())
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        let mut disk = self.0.borrow_mut();
        disk.operate(|_| ())?;
        disk.removed.clear();
        for content in disk.files.values_mut() {
            content.is_name_durable = true;
        }
        Ok(())
    }

    fn read(&mut self, id: SegmentId, at: u64, target: &mut [u8]) -> io::Result<()> {
        let mut disk = self.0.borrow_mut();
        disk.operate(|_| ())?;
        let content = disk.get(id)?;
        let bytes = content.bytes.get(at as usize..).unwrap_or_default();
        let Some(bytes) = bytes.get(..target.len()) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        target.copy_from_slice(bytes);
        Ok(())
    }

    fn remove(&mut self, id: SegmentId) -> io::Result<()> {
        let mut disk = self.0.borrow_mut();
        disk.operate(|disk| {
            if disk.chance() {
                if let Some(content) = disk.files.remove(&id) {
                    disk.removed.insert(id, content);
                }
            }
        })?;
        let content = disk.files.remove(&id).ok_or(io::ErrorKind::NotFound)?;
        disk.removed.insert(id, content);
        Ok(())
    }
}
