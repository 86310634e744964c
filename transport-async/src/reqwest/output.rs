//! Where requests go: a collector over HTTP, or the standard output.

use std::boxed::Box;
use std::panic::resume_unwind;
use std::string::ToString;
use std::vec::Vec;

use spandrel_core::env::Protocol;
use spandrel_core::hosted::config::{HttpSettings, Settings};
use spandrel_core::hosted::current::suppress;
use spandrel_core::hosted::export::{ExportError, SharedExporter};
use spandrel_core::hosted::unversioned::client::{BuildError, postpone};
use spandrel_core::hosted::unversioned::encode::{Coding, RequestEncoder};
use spandrel_core::hosted::unversioned::events::LastError;
use spandrel_core::hosted::unversioned::print::Printer;
use spandrel_core::response::{Outcome, Response, TransportError};
use tokio::io::{AsyncWriteExt, Stdout};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::client::Blueprint;
use super::sender::HttpSender;
use crate::{Body, Post};

#[derive(Debug)]
enum Http {
    Ready(Box<Blueprint>),
    /// No client can be built yet, and a variable is to blame.
    Waiting(Box<HttpSettings>),
    /// The standard output instead.
    Not,
}

/// The settings of outputs. Each driver has its own output, because connections live on a runtime.
#[derive(Debug)]
pub(super) struct Plan {
    http: Http,
    protocol: Protocol,
    coding: Coding,
    lanes: u32,
    /// Every request panics.
    #[cfg(test)]
    pub(super) panics: bool,
    /// Of the standard output.
    printer: Option<Printer>,
    exporter: Option<SharedExporter>,
}

impl Plan {
    pub(super) fn new(settings: &Settings) -> Result<Self, BuildError> {
        let Some(http) = settings.http() else {
            return Ok(Self {
                http: Http::Not,
                protocol: Protocol::HttpJson,
                coding: Coding::Identity,
                lanes: settings.concurrent_exports,
                #[cfg(test)]
                panics: false,
                printer: match settings.span_exporter {
                    None => Some(Printer::new(settings)),
                    Some(_) => None,
                },
                exporter: settings.span_exporter.clone(),
            });
        };
        // So that what the client refuses is an error of the start.
        let built = Blueprint::new(&http).and_then(|blueprint| {
            blueprint.build()?;
            Ok(blueprint)
        });
        let http = match built {
            Ok(blueprint) => Http::Ready(Box::new(blueprint)),
            Err(error) => {
                postpone(settings, error)?;
                Http::Waiting(Box::new(http))
            }
        };
        Ok(Self {
            http,
            protocol: settings.protocol,
            coding: settings.into(),
            lanes: settings.concurrent_exports,
            printer: None,
            exporter: None,
            #[cfg(test)]
            panics: false,
        })
    }

    /// The most requests under way at once.
    pub(super) const fn lanes(&self) -> u32 {
        self.lanes
    }

    /// The program's own exporter, if it has one.
    pub(super) fn exporter(&self) -> Option<SharedExporter> {
        self.exporter.clone()
    }

    pub(super) fn output(&self) -> Output {
        let Self {
            http,
            protocol,
            coding,
            printer,
            exporter,
            ..
        } = self;
        #[cfg(test)]
        if self.panics {
            return Output::Panics(LastError::default());
        }
        if let Some(exporter) = exporter {
            return Output::Own(Box::new(Own {
                exporter: exporter.clone(),
                encoder: RequestEncoder::new(Protocol::HttpProtobuf, Coding::Identity),
                last_error: LastError::default(),
            }));
        }
        if let Some(printer) = printer {
            return Output::Stdout(Box::new(Lines {
                stdout: tokio::io::stdout(),
                printer: printer.another(),
                line: Vec::new(),
                last_error: LastError::default(),
            }));
        }
        let built = match http {
            Http::Ready(blueprint) => blueprint.build(),
            Http::Waiting(settings) => {
                return Output::Waiting(Box::new(Waiting {
                    settings: *settings.clone(),
                    protocol: *protocol,
                    coding: *coding,
                    last_error: LastError::default(),
                }));
            }
            // There is a printer then.
            Http::Not => return Output::Nowhere(LastError::default()),
        };
        match built {
            Ok(connected) => {
                Output::Http(Box::new(HttpSender::over(connected, *protocol, *coding)))
            }
            // The same settings worked at the start; the pipeline will try again.
            Err(error) => {
                let mut last_error = LastError::default();
                let failed = Outcome::Failed(TransportError::Other);
                last_error.set(error.to_string(), &failed);
                Output::Nowhere(last_error)
            }
        }
    }
}

pub(super) enum Output {
    Http(Box<HttpSender>),
    Stdout(Box<Lines>),
    /// The program's own exporter.
    Own(Box<Own>),
    /// In place of a sender that cannot be built yet.
    Waiting(Box<Waiting>),
    Nowhere(LastError),
    #[cfg(test)]
    Panics(LastError),
}

/// The settings of a sender that cannot be built yet.
pub(super) struct Waiting {
    settings: HttpSettings,
    protocol: Protocol,
    coding: Coding,
    last_error: LastError,
}

impl Waiting {
    fn build(&mut self) -> Result<HttpSender, BuildError> {
        let connected = Blueprint::new(&self.settings).and_then(|it| it.build());
        if let Err(error) = &connected {
            let failed = Outcome::Failed(TransportError::Other);
            self.last_error.set(error.to_string(), &failed);
        }
        Ok(HttpSender::over(connected?, self.protocol, self.coding))
    }
}

/// Batches for an exporter of the program, which may block and so works on a thread of its own.
pub(super) struct Own {
    exporter: SharedExporter,
    encoder: RequestEncoder,
    last_error: LastError,
}

impl Own {
    async fn export<B: Body>(&mut self, body: &mut B) -> Outcome<'_> {
        let mut request = Vec::new();
        let encoded = self.encoder.encode(|chunk| body.read(chunk), &mut request);
        if let Err(error) = encoded {
            return Outcome::Failed(error.class());
        }
        let exporter = self.exporter.clone();
        let exported = spawn_blocking(move || {
            let _quiet = suppress();
            exporter.export(&request)
        });
        match exported.await {
            Ok(exported) => self.last_error.note_export(exported),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(_) => Outcome::Failed(TransportError::Cancelled),
            },
        }
    }
}

/// Runs `work`, which may block, on a thread for such work, if there is a runtime.
pub(super) async fn in_background(
    work: impl FnOnce() -> Result<(), ExportError> + Send + 'static,
) -> Result<(), ExportError> {
    let Ok(runtime) = Handle::try_current() else {
        return work();
    };
    let done = runtime.spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(ExportError::refuse(error.to_string())))
}

/// Batches as text.
pub(super) struct Lines {
    stdout: Stdout,
    printer: Printer,
    line: Vec<u8>,
    last_error: LastError,
}

impl Output {
    pub(super) fn last_error(&self) -> &LastError {
        match self {
            Self::Http(sender) => sender.last_error(),
            Self::Stdout(lines) => &lines.last_error,
            Self::Own(own) => &own.last_error,
            Self::Waiting(waiting) => &waiting.last_error,
            Self::Nowhere(last_error) => last_error,
            #[cfg(test)]
            Self::Panics(last_error) => last_error,
        }
    }
}

impl Post for Output {
    async fn post<B: Body>(&mut self, body: &mut B) -> Outcome<'_> {
        let built = match self {
            Self::Waiting(waiting) => waiting.build().ok(),
            _ => None,
        };
        if let Some(sender) = built {
            *self = Self::Http(Box::new(sender));
        }
        match self {
            Self::Http(sender) => sender.post(body).await,
            Self::Stdout(lines) => lines.write(body).await,
            Self::Own(own) => own.export(body).await,
            Self::Waiting(_) | Self::Nowhere(_) => Outcome::Failed(TransportError::Other),
            #[cfg(test)]
            Self::Panics(_) => panic!("a fault in the client"),
        }
    }

    fn body_sent(&self, is_read: bool) -> bool {
        match self {
            Self::Http(sender) => sender.body_sent(),
            // A line is written on another thread, which goes on after a future was dropped.
            Self::Stdout(_) | Self::Own(_) => is_read,
            Self::Waiting(_) | Self::Nowhere(_) => false,
            #[cfg(test)]
            Self::Panics(_) => false,
        }
    }
}

impl Lines {
    async fn write<B: Body>(&mut self, body: &mut B) -> Outcome<'static> {
        let encoded = self
            .printer
            .encode(|chunk| body.read(chunk), &mut self.line);
        let (error, class) = match encoded {
            Ok(()) => match self.write_line().await {
                Ok(()) => return Outcome::Response(Response::new(200)),
                Err(error) => (error.to_string(), TransportError::Other),
            },
            Err(error) => (error.to_string(), error.class()),
        };
        let failed = Outcome::Failed(class);
        self.last_error.set(error, &failed);
        failed
    }

    async fn write_line(&mut self) -> std::io::Result<()> {
        self.printer.begin();
        self.stdout.write_all(&self.line).await?;
        self.stdout.flush().await?;
        self.printer.end();
        Ok(())
    }
}
