//! Segments in a directory.

use core::fmt;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::format;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::string::String;
use std::vec::Vec;

use fs4::FileExt;

use super::files::{FoundSegment, SegmentId, SpoolFiles};
use crate::hosted::process::Home;

const SEGMENT: &str = "spool";
const LOCK: &str = "lock";

/// Segments as files of a directory, which any number of processes may share.
///
/// Each process writes segments of its own, named after its instance, and holds a lock on a file
/// `INSTANCE.lock` as long as it lives. A process that starts takes over the segments of all
/// instances whose lock nobody holds. Files with other names are left alone.
///
/// The directory is made if it is not there, readable only for its user.
pub struct DirectoryFiles {
    path: PathBuf,
    instance: [u8; 16],
    /// Held as long as this lives.
    _own: File,
    /// The locks of dead processes whose segments were taken over.
    adopted: HashMap<[u8; 16], File>,
    /// The segments that were written to and read last.
    writing: Open,
    reading: Open,
    home: Home,
}

type Open = Option<(SegmentId, File)>;

/// The reason why a directory cannot be used for a spool.
#[derive(Debug)]
#[non_exhaustive]
pub struct OpenSpoolError {
    path: PathBuf,
    error: io::Error,
}

impl fmt::Display for OpenSpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, error } = self;
        let path = path.display();
        write!(f, "the spool's directory {path} cannot be used: {error}")
    }
}

impl core::error::Error for OpenSpoolError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl DirectoryFiles {
    /// The directory at `path`, for a process that calls itself `instance`.
    ///
    /// # Errors
    ///
    /// [`OpenSpoolError`], if it cannot be made or written to.
    pub fn open(path: &Path, instance: [u8; 16]) -> Result<Self, OpenSpoolError> {
        Self::try_open(path, instance).map_err(|error| OpenSpoolError {
            path: path.into(),
            error,
        })
    }

    fn try_open(path: &Path, instance: [u8; 16]) -> io::Result<Self> {
        make_directory(path)?;
        Ok(Self {
            path: path.into(),
            instance,
            _own: own_lock(path, &instance)?,
            adopted: HashMap::new(),
            writing: None,
            reading: None,
            home: Home::here(),
        })
    }

    fn segment_path(&self, id: SegmentId) -> PathBuf {
        let name = format!("{}-{:016x}.{SEGMENT}", hex(&id.instance), id.number);
        self.path.join(name)
    }

    /// A forked child shares its parent's files and lock, and must not use them.
    fn check_home(&self) -> io::Result<()> {
        if self.home.is_here() {
            return Ok(());
        }
        Err(io::Error::other("the spool belongs to the parent process"))
    }

    fn written(&mut self, id: SegmentId) -> io::Result<&mut File> {
        self.check_home()?;
        let open = self.writing.as_mut().filter(|(open, _)| *open == id);
        open.map(|(_, file)| file)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Returns true if no living process has this instance's segments; from now on this one does.
    fn claim(&mut self, instance: [u8; 16]) -> bool {
        if instance == self.instance || self.adopted.contains_key(&instance) {
            return instance != self.instance;
        }
        // Made if it is missing: its owner died between making the two files, or removing them.
        let lock = private()
            .create(true)
            .open(lock_path(&self.path, &instance));
        let lock = lock.ok().filter(|lock| FileExt::try_lock(lock).is_ok());
        if let Some(lock) = lock {
            self.adopted.insert(instance, lock);
            return true;
        }
        false
    }
}

impl SpoolFiles for DirectoryFiles {
    fn adopt(&mut self) -> io::Result<Vec<FoundSegment>> {
        self.check_home()?;
        let mut ids = Vec::new();
        let mut left_locks = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            ids.extend(segment_id(&name));
            left_locks.extend(lock_instance(&name));
        }
        ids.retain(|id| self.claim(id.instance));
        // Only now nobody changes them any more.
        let found: Vec<_> = ids
            .into_iter()
            .filter_map(|id| {
                let metadata = fs::symlink_metadata(self.segment_path(id)).ok()?;
                let len = metadata.len();
                metadata.is_file().then_some(FoundSegment { id, len })
            })
            .collect();
        // Of processes that left nothing else.
        for instance in left_locks {
            let is_needed = found.iter().any(|segment| segment.id.instance == instance);
            if !is_needed && self.claim(instance) {
                let _ = fs::remove_file(lock_path(&self.path, &instance));
                self.adopted.remove(&instance);
            }
        }
        Ok(found)
    }

    fn create(&mut self, id: SegmentId) -> io::Result<()> {
        self.check_home()?;
        let file = private()
            .append(true)
            .create_new(true)
            .open(self.segment_path(id))?;
        self.writing = Some((id, file));
        Ok(())
    }

    fn append(&mut self, id: SegmentId, bytes: &[u8]) -> io::Result<()> {
        self.written(id)?.write_all(bytes)
    }

    fn sync(&mut self, id: SegmentId) -> io::Result<()> {
        self.written(id)?.sync_data()
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        self.check_home()?;
        // Other systems make names durable by themselves, and cannot open a directory.
        if cfg!(unix) {
            return File::open(&self.path)?.sync_all();
        }
        Ok(())
    }

    fn read(&mut self, id: SegmentId, at: u64, target: &mut [u8]) -> io::Result<()> {
        self.check_home()?;
        if self.reading.as_ref().is_none_or(|(open, _)| *open != id) {
            let file = OpenOptions::new().read(true).open(self.segment_path(id))?;
            self.reading = Some((id, file));
        }
        let Some((_, file)) = &mut self.reading else {
            return Err(io::ErrorKind::NotFound.into());
        };
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(target)
    }

    fn remove(&mut self, id: SegmentId) -> io::Result<()> {
        self.check_home()?;
        for open in [&mut self.writing, &mut self.reading] {
            *open = open.take().filter(|(open, _)| *open != id);
        }
        fs::remove_file(self.segment_path(id))
    }
}

impl Drop for DirectoryFiles {
    fn drop(&mut self) {
        if !self.home.is_here() {
            return;
        }
        // A lock without segments tells nobody anything.
        let used: Vec<_> = fs::read_dir(&self.path)
            .into_iter()
            .flatten()
            .filter_map(|entry| segment_id(&entry.ok()?.file_name()))
            .map(|id| id.instance)
            .collect();
        let own = self.adopted.keys().copied().chain([self.instance]);
        for instance in own.filter(|instance| !used.contains(instance)) {
            let _ = fs::remove_file(lock_path(&self.path, &instance));
        }
    }
}

impl fmt::Debug for DirectoryFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectoryFiles")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Spans may hold what not every user of a machine should read.
fn make_directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// The lock that tells others that this process lives.
fn own_lock(directory: &Path, instance: &[u8; 16]) -> io::Result<File> {
    const TRIES: usize = 10;
    let path = lock_path(directory, instance);
    for _ in 0..TRIES {
        let file = private().create_new(true).open(&path)?;
        // A process that starts just now may take it for one that was left, and remove it.
        if FileExt::try_lock(&file).is_ok() && path.try_exists()? {
            return Ok(file);
        }
        let _ = fs::remove_file(&path);
    }
    Err(io::Error::other("its lock is taken away again and again"))
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn lock_path(directory: &Path, instance: &[u8; 16]) -> PathBuf {
    directory.join(format!("{}.{LOCK}", hex(instance)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Exactly what [`hex`] writes, of `N` bytes.
fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != 2 * N || !text.bytes().all(is_hex) {
        return None;
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

fn segment_id(name: &OsStr) -> Option<SegmentId> {
    let name = name.to_str()?.strip_suffix(SEGMENT)?.strip_suffix('.')?;
    let (instance, number) = name.split_once('-')?;
    Some(SegmentId {
        instance: from_hex(instance)?,
        number: u64::from_be_bytes(from_hex(number)?),
    })
}

fn lock_instance(name: &OsStr) -> Option<[u8; 16]> {
    from_hex(name.to_str()?.strip_suffix(LOCK)?.strip_suffix('.')?)
}
