//! Batches on the standard output: OTLP/JSON lines, or a drawing for people.
//!
//! ```
//! use spandrel_core::hosted::config::{Config, StdoutFormat};
//! use spandrel_core::hosted::unversioned::encode::EncodeError;
//! use spandrel_core::hosted::unversioned::print::Printer;
//!
//! let config = Config { stdout_format: StdoutFormat::Json, ..Config::default() };
//! let mut printer = Printer::new(&config.resolve_with(|_| None)?);
//! let mut text = Vec::new();
//! printer.encode(|_| 0, &mut text)?;
//! assert_eq!(text, b"{}\n");
//! printer.begin();
//! // A write that fails here may have left a part of the line.
//! printer.encode(|_| 0, &mut text)?;
//! assert_eq!(text, b"\n{}\n");
//! printer.begin();
//! printer.end();
//! printer.encode(|_| 0, &mut text)?;
//! assert_eq!(text, b"{}\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use core::sync::atomic::{AtomicBool, Ordering};
use std::io::IsTerminal;
use std::sync::Arc;
use std::vec::Vec;

use super::encode::{Coding, EncodeError, RequestEncoder};
use crate::env::Protocol;
use crate::hosted::config::{Settings, StdoutFormat};
use crate::hosted::waterfall::{Style, draw_request};

/// Makes the text of batches. What a transport must do around each write is [`begin`](Self::begin)
/// and [`end`](Self::end): a line that was torn by a full disk must not spoil the next one.
#[derive(Debug)]
pub struct Printer {
    encoder: RequestEncoder,
    /// The drawing's style and its request; `None` for lines.
    drawing: Option<(Style, Vec<u8>)>,
    /// All printers of a pipeline write to the same output.
    is_torn: Arc<AtomicBool>,
}

impl Printer {
    /// A printer in the format that `settings` ask for. It looks at the standard output once.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let draws = match settings.stdout_format {
            StdoutFormat::Auto => std::io::stdout().is_terminal(),
            StdoutFormat::Json => false,
            StdoutFormat::Waterfall => true,
        };
        Self::with(draws.then(|| Style::of_stdout(None)), Arc::default())
    }

    fn with(style: Option<Style>, is_torn: Arc<AtomicBool>) -> Self {
        let protocol = match style {
            Some(_) => Protocol::HttpProtobuf,
            None => Protocol::HttpJson,
        };
        Self {
            encoder: RequestEncoder::new(protocol, Coding::Identity),
            drawing: style.map(|style| (style, Vec::new())),
            is_torn,
        }
    }

    /// Another printer for the same output.
    #[must_use]
    pub fn another(&self) -> Self {
        let style = self.drawing.as_ref().map(|(style, _)| *style);
        Self::with(style, Arc::clone(&self.is_torn))
    }

    /// Puts the text of the batch that `pull` gives in place of what `text` holds.
    ///
    /// # Errors
    ///
    /// See [`EncodeError`].
    pub fn encode(
        &mut self,
        pull: impl FnMut(&mut [u8]) -> usize,
        text: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        match &mut self.drawing {
            None => self.encoder.encode(pull, text)?,
            Some((style, request)) => {
                self.encoder.encode(pull, request)?;
                text.clear();
                text.extend_from_slice(draw_request(request, *style).as_bytes());
                text.push(b'\n');
            }
        }
        if self.is_torn.load(Ordering::Relaxed) {
            text.insert(0, b'\n');
        }
        Ok(())
    }

    /// A write begins. Until its [end](Self::end) the line counts as torn.
    pub fn begin(&mut self) {
        self.is_torn.store(true, Ordering::Relaxed);
    }

    /// The write has arrived whole.
    pub fn end(&mut self) {
        self.is_torn.store(false, Ordering::Relaxed);
    }
}
