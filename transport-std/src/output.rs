//! Where requests go: a collector over HTTP, or the standard output.

use std::any::Any;
use std::io::{Stdout, Write};
use std::time::Duration;

use spandrel_core::env::Protocol;
use spandrel_core::hosted::config::{HttpSettings, Settings};
use spandrel_core::hosted::export::SharedExporter;
use spandrel_core::hosted::unversioned::client::{BuildError, postpone};
use spandrel_core::hosted::unversioned::encode::{Coding, RequestEncoder};
use spandrel_core::hosted::unversioned::events::LastError;
use spandrel_core::hosted::unversioned::print::Printer;
use spandrel_core::response::{Outcome, Response, TransportError};

use crate::{Canceller, HttpSender};

/// The longest wait when the settings name no limit.
const NO_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// A destination. First [`Output::encode`], then [`Output::send`].
pub(crate) enum Output {
    Http(Box<HttpSender>),
    /// In place of a sender that cannot be built yet.
    Waiting(Box<Waiting>),
    Stdout(Box<Lines>),
    /// The program's own exporter.
    Own(Box<Own>),
    /// Whose every request panics.
    #[cfg(test)]
    Panics(LastError),
}

/// The settings of a sender that cannot be built yet, for which a variable is to blame.
pub(crate) struct Waiting {
    http: HttpSettings,
    protocol: Protocol,
    coding: Coding,
    canceller: Canceller,
    last_error: LastError,
}

/// Batches for an exporter of the program.
pub(crate) struct Own {
    exporter: SharedExporter,
    encoder: RequestEncoder,
    request: Vec<u8>,
    /// Why there is no request.
    unsent: Option<TransportError>,
    last_error: LastError,
}

/// Batches as text.
pub(crate) struct Lines<W = Stdout> {
    stdout: W,
    printer: Printer,
    line: Vec<u8>,
    /// Why there is no line.
    unsent: Option<TransportError>,
    last_error: LastError,
}

impl Output {
    /// One for each request that may be under way.
    pub(crate) fn all(settings: &Settings) -> Result<Vec<Self>, BuildError> {
        (0..settings.concurrent_exports.max(1))
            .map(|_| Self::new(settings))
            .collect()
    }

    pub(crate) fn new(settings: &Settings) -> Result<Self, BuildError> {
        if let Some(exporter) = &settings.span_exporter {
            return Ok(Self::Own(Box::new(Own {
                exporter: exporter.clone(),
                encoder: RequestEncoder::new(Protocol::HttpProtobuf, Coding::Identity),
                request: Vec::new(),
                unsent: Some(TransportError::Other),
                last_error: LastError::default(),
            })));
        }
        Ok(match settings.http() {
            Some(http) => {
                let mut waiting = Waiting {
                    http,
                    protocol: settings.protocol,
                    coding: Coding::from(settings),
                    canceller: Canceller::default(),
                    last_error: LastError::default(),
                };
                match waiting.build() {
                    Ok(sender) => Self::Http(Box::new(sender)),
                    Err(error) => {
                        postpone(settings, error)?;
                        Self::Waiting(Box::new(waiting))
                    }
                }
            }
            None => Self::Stdout(Box::new(Lines {
                stdout: std::io::stdout(),
                printer: Printer::new(settings),
                line: Vec::new(),
                unsent: Some(TransportError::Other),
                last_error: LastError::default(),
            })),
        })
    }

    /// Ends a request from another thread; `None` for the standard output.
    pub(crate) fn canceller(&self) -> Option<Canceller> {
        match self {
            Self::Http(sender) => Some(sender.canceller()),
            Self::Waiting(waiting) => Some(waiting.canceller.clone()),
            Self::Stdout(_) | Self::Own(_) => None,
            #[cfg(test)]
            Self::Panics(_) => None,
        }
    }

    pub(crate) fn last_error(&self) -> &LastError {
        match self {
            Self::Http(sender) => sender.last_error(),
            Self::Waiting(waiting) => &waiting.last_error,
            Self::Stdout(lines) => &lines.last_error,
            Self::Own(own) => &own.last_error,
            #[cfg(test)]
            Self::Panics(last_error) => last_error,
        }
    }

    /// Has [`last_error`](Self::last_error) say that sending panicked.
    pub(crate) fn note_panic(&mut self, panic: &(dyn Any + Send)) {
        let last_error = match self {
            Self::Http(sender) => sender.last_error_mut(),
            Self::Waiting(waiting) => &mut waiting.last_error,
            Self::Stdout(lines) => &mut lines.last_error,
            Self::Own(own) => &mut own.last_error,
            #[cfg(test)]
            Self::Panics(last_error) => last_error,
        };
        last_error.set_panic(panic);
    }

    /// See [`HttpSender::body_sent`].
    pub(crate) fn body_sent(&self) -> bool {
        match self {
            Self::Http(sender) => sender.body_sent(),
            Self::Waiting(_) | Self::Stdout(_) => false,
            // A part of it may have arrived.
            Self::Own(_) => true,
            #[cfg(test)]
            Self::Panics(_) => false,
        }
    }

    /// Pulls a body and encodes it. [`send`](Self::send) reports a failure.
    pub(crate) fn encode(&mut self, pull: impl FnMut(&mut [u8]) -> usize) {
        let built = match self {
            Self::Waiting(waiting) => waiting.build().ok(),
            _ => None,
        };
        if let Some(sender) = built {
            *self = Self::Http(Box::new(sender));
        }
        match self {
            Self::Http(sender) => {
                let _ = sender.encode(pull);
            }
            Self::Waiting(_) => {}
            Self::Stdout(lines) => lines.encode(pull),
            Self::Own(own) => {
                let encoded = own.encoder.encode(pull, &mut own.request);
                own.unsent = encoded.err().map(|error| error.class());
            }
            #[cfg(test)]
            Self::Panics(_) => {}
        }
    }

    /// Sends what was encoded.
    pub(crate) fn send(&mut self, timeout: Option<Duration>) -> Outcome<'_> {
        match self {
            Self::Http(sender) => sender.send(timeout.unwrap_or(NO_LIMIT)),
            Self::Waiting(_) => Outcome::Failed(TransportError::Other),
            Self::Stdout(lines) => lines.send(),
            Self::Own(own) => match own.unsent {
                Some(class) => Outcome::Failed(class),
                None => own
                    .last_error
                    .note_export(own.exporter.export(&own.request)),
            },
            #[cfg(test)]
            Self::Panics(_) => panic!("a fault in the client"),
        }
    }
}

impl Waiting {
    fn build(&mut self) -> Result<HttpSender, BuildError> {
        let built = HttpSender::with_canceller(&self.http, self.canceller.clone());
        if let Err(error) = &built {
            let failed = Outcome::Failed(TransportError::Other);
            self.last_error.set(error.to_string(), &failed);
        }
        Ok(built?.with_encoding(self.protocol, self.coding))
    }
}

impl<W: Write> Lines<W> {
    fn encode(&mut self, pull: impl FnMut(&mut [u8]) -> usize) {
        let encoded = self.printer.encode(pull, &mut self.line);
        self.unsent = encoded.err().map(|error| error.class());
        if let Err(error) = encoded {
            self.fail(&error, error.class());
        }
    }

    fn send(&mut self) -> Outcome<'static> {
        if let Some(class) = self.unsent {
            return Outcome::Failed(class);
        }
        self.printer.begin();
        let written = self.stdout.write_all(&self.line);
        match written.and_then(|()| self.stdout.flush()) {
            Ok(()) => {
                self.printer.end();
                Outcome::Response(Response::new(200))
            }
            Err(error) => self.fail(&error, TransportError::Other),
        }
    }

    fn fail(&mut self, error: &dyn std::error::Error, class: TransportError) -> Outcome<'static> {
        let outcome = Outcome::Failed(class);
        self.last_error.set(error.to_string(), &outcome);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use spandrel_core::hosted::config::{Config, StdoutFormat};

    use super::*;

    /// A disk with room for so many bytes.
    struct Disk {
        written: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let len = bytes.len().min(self.room);
            if len == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= len;
            self.written.extend_from_slice(&bytes[..len]);
            Ok(len)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn x103_a_line_after_a_torn_one_stands_alone() {
        let config = Config {
            stdout_format: StdoutFormat::Json,
            ..Config::default()
        };
        let settings = config.resolve_with(|_| None).unwrap();
        let mut lines = Lines {
            stdout: Disk {
                written: Vec::new(),
                room: 5,
            },
            printer: Printer::new(&settings),
            line: Vec::new(),
            unsent: Some(TransportError::Other),
            last_error: LastError::default(),
        };
        let mut print = |room| {
            lines.stdout.room += room;
            lines.encode(|_| 0);
            matches!(lines.send(), Outcome::Response(_))
        };
        // `{}` and a line feed: the second line is torn, and so is what begins the third.
        let arrived = [0, 0, 1, 10, 3].map(&mut print);
        assert_eq!(arrived, [true, false, false, true, true]);
        let text = String::from_utf8(lines.stdout.written).unwrap();
        let whole = text.lines().filter(|line| *line == "{}").count();
        assert!(whole >= 3, "{text:?}");
    }
}
