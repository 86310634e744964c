//! OTLP/JSON lines to files and other writers.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::string::String;

use super::{ExportError, SpanBatch, SpanExporter};
use crate::json;

/// Writes each batch as one line of OTLP/JSON, as the [file
/// exporter](https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/) of the specification
/// does, and flushes the writer after it.
///
/// A line that was torn, by a full disk say, is followed by a line feed before the batch is written
/// again, so that it spoils no other line.
///
/// ```
/// use spandrel_core::hosted::export::{JsonLines, SpanBatch, SpanExporter};
///
/// let mut lines = JsonLines::new(Vec::new());
/// lines.export(&SpanBatch::new(b""))?;
/// assert_eq!(lines.into_inner(), b"{}\n");
/// # Ok::<(), spandrel_core::hosted::export::ExportError>(())
/// ```
#[derive(Debug)]
pub struct JsonLines<W> {
    writer: W,
    line: String,
    is_torn: bool,
}

impl<W: Write> JsonLines<W> {
    /// An exporter that writes to `writer`.
    pub const fn new(writer: W) -> Self {
        Self {
            writer,
            line: String::new(),
            is_torn: false,
        }
    }

    /// Returns the writer.
    pub fn into_inner(self) -> W {
        self.writer
    }

    /// Makes the line of `batch`. Returns its length, with what must stand before it.
    fn encode(&mut self, batch: &SpanBatch<'_>) -> Result<usize, ExportError> {
        self.line.clear();
        if self.is_torn {
            self.line.push('\n');
        }
        json::export_request(batch.as_otlp(), &mut self.line).map_err(|error| {
            ExportError::refuse(std::format!("there is no JSON for it: {error}"))
        })?;
        self.line.push('\n');
        Ok(self.line.len())
    }

    fn write(&mut self) -> io::Result<()> {
        self.is_torn = true;
        self.writer.write_all(self.line.as_bytes())?;
        self.writer.flush()?;
        self.is_torn = false;
        Ok(())
    }
}

impl<W: Write + Send> SpanExporter for JsonLines<W> {
    fn name(&self) -> &str {
        "JSON lines"
    }

    fn export(&mut self, batch: &SpanBatch<'_>) -> Result<(), ExportError> {
        self.encode(batch)?;
        Ok(self.write()?)
    }

    fn force_flush(&mut self) -> Result<(), ExportError> {
        Ok(self.writer.flush()?)
    }
}

/// Appends [`JsonLines`] to a file, which it makes if there is none. The specification recommends
/// the ending `.jsonl`.
///
/// With a limit of size the file is renamed when the next line would go beyond it: `spans.jsonl`
/// becomes `spans.jsonl.1`, and so on up to the number of files that are kept. A line is never split.
///
/// ```no_run
/// use spandrel_core::hosted::config::Config;
/// use spandrel_core::hosted::export::JsonFile;
///
/// let file = JsonFile::new("spans.jsonl").rotated(100 << 20, 3);
/// let config = Config { exporter: Some(file.into()), ..Config::development("shop") };
/// ```
#[derive(Debug)]
pub struct JsonFile {
    path: PathBuf,
    max_bytes: u64,
    backups: u32,
    name: String,
    /// Opened by the first batch, and again after an error.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    lines: JsonLines<File>,
    bytes: u64,
}

impl JsonFile {
    /// An exporter to the file at `path`, without a limit. The file is opened by the first batch.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self {
            name: path.to_string_lossy().into_owned(),
            path,
            max_bytes: u64::MAX,
            backups: 0,
            open: None,
        }
    }

    /// Has the file rotated at `max_bytes`, with `backups` older files kept. With none the file
    /// begins again.
    #[must_use]
    pub const fn rotated(mut self, max_bytes: u64, backups: u32) -> Self {
        self.max_bytes = max_bytes;
        self.backups = backups;
        self
    }

    fn open(&mut self) -> io::Result<&mut Open> {
        let open = match self.open.take() {
            Some(open) => open,
            None => {
                let file = OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(&self.path)?;
                let bytes = file.metadata()?.len();
                Open {
                    bytes,
                    lines: JsonLines {
                        // A process that died may have left a part of a line.
                        is_torn: bytes > 0 && !ends_in_line_feed(&self.path),
                        ..JsonLines::new(file)
                    },
                }
            }
        };
        Ok(self.open.insert(open))
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.open = None;
        let place = |number: u32| {
            let mut name = OsString::from(&self.path);
            name.push(std::format!(".{number}"));
            PathBuf::from(name)
        };
        if self.backups == 0 {
            return remove(&self.path);
        }
        for number in (1..self.backups).rev() {
            rename(&place(number), &place(number + 1))?;
        }
        rename(&self.path, &place(1))
    }
}

impl SpanExporter for JsonFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn export(&mut self, batch: &SpanBatch<'_>) -> Result<(), ExportError> {
        let max_bytes = self.max_bytes;
        let open = self.open()?;
        let needed = open.lines.encode(batch)? as u64;
        if open.bytes > 0 && open.bytes.saturating_add(needed) > max_bytes {
            self.rotate()?;
            self.open()?.lines.encode(batch)?;
        }
        let open = self.open()?;
        let written = open.lines.write();
        open.bytes = match &written {
            Ok(()) => open.bytes.saturating_add(open.lines.line.len() as u64),
            // A part of the line may have been written.
            Err(_) => open
                .lines
                .writer
                .metadata()
                .map_or(open.bytes, |it| it.len()),
        };
        Ok(written?)
    }

    fn force_flush(&mut self) -> Result<(), ExportError> {
        match &mut self.open {
            Some(open) => Ok(open.lines.writer.sync_data()?),
            None => Ok(()),
        }
    }

    fn shutdown(&mut self) {
        self.open = None;
    }
}

fn ends_in_line_feed(path: &Path) -> bool {
    use std::io::{Read, Seek, SeekFrom};
    let last = || {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        io::Result::Ok(last == *b"\n")
    };
    last().unwrap_or_default()
}

/// Renames a file, if it is there.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    unless_missing(std::fs::rename(from, to))
}

fn remove(path: &Path) -> io::Result<()> {
    unless_missing(std::fs::remove_file(path))
}

fn unless_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
