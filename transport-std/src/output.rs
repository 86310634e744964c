//! Where requests go: a collector over HTTP, or the standard output.

use std::io::Write;
use std::time::Duration;

use spandrel_core::config::{Compression, Protocol};
use spandrel_core::hosted::report::LastError;
use spandrel_core::hosted::settings::{Settings, Target};
use spandrel_core::json;
use spandrel_core::response::{Outcome, Response, TransportError};

use crate::{
    BuildError, Canceller, ContentType, ErrorClass, Gzip, GzipError, HttpSender, Payload, Proxy,
    SendError, SenderConfig, TlsFiles,
};

/// The longest wait when the settings name no limit.
const NO_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// A destination. First [`Output::encode`], then [`Output::send`].
pub(crate) struct Output {
    destination: Destination,
    encoder: Encoder,
    pub(crate) last_error: LastError,
}

enum Destination {
    Http(Box<HttpSender>),
    Writer(Box<dyn Write + Send>),
}

/// Turns the pulled body into what is sent. All memory is used again.
struct Encoder {
    gzip: Option<Box<Gzip>>,
    protocol: Protocol,
    protobuf: Vec<u8>,
    json: String,
    ready: Ready,
}

/// Which memory holds the encoded body.
enum Ready {
    Gzip,
    Protobuf,
    Json,
    /// Encoding failed; the request cannot be sent.
    Nothing,
}

impl Output {
    pub(crate) fn new(settings: &Settings) -> Result<Self, BuildError> {
        let (destination, protocol, gzip) = match &settings.target {
            Target::Otlp { url, .. } => {
                let sender = HttpSender::new(sender_config(url, settings))?;
                let gzip = settings.compression == Compression::Gzip;
                (Destination::Http(Box::new(sender)), settings.protocol, gzip)
            }
            _ => {
                let stdout = Box::new(std::io::stdout());
                (Destination::Writer(stdout), Protocol::HttpJson, false)
            }
        };
        let level = settings.gzip_level.unwrap_or(Gzip::DEFAULT_LEVEL);
        Ok(Self {
            destination,
            encoder: Encoder {
                gzip: gzip.then(|| Box::new(Gzip::new(level))),
                protocol,
                protobuf: Vec::new(),
                json: String::new(),
                ready: Ready::Nothing,
            },
            last_error: LastError::default(),
        })
    }

    /// Ends a request from another thread; `None` for the standard output.
    pub(crate) fn canceller(&self) -> Option<Canceller> {
        match &self.destination {
            Destination::Http(sender) => Some(sender.canceller()),
            Destination::Writer(_) => None,
        }
    }

    /// Pulls a body of `len` bytes and makes it what is sent.
    pub(crate) fn encode(&mut self, len: usize, mut pull: impl FnMut(&mut [u8]) -> usize) {
        let encoded = self.encoder.encode(len, &mut pull);
        if let Err(error) = encoded {
            self.encoder.ready = Ready::Nothing;
            self.last_error
                .set(error, &Outcome::Failed(TransportError::Other));
        }
    }

    /// Sends what was encoded, and hands the outcome to `done`, with whether it may have been sent
    /// twice.
    pub(crate) fn send<T>(
        &mut self,
        timeout: Option<Duration>,
        done: impl FnOnce(&Outcome<'_>, bool) -> T,
    ) -> T {
        let Some(payload) = self.encoder.payload() else {
            return done(&Outcome::Failed(TransportError::Other), false);
        };
        match &mut self.destination {
            Destination::Http(sender) => {
                match sender.send(payload, timeout.unwrap_or(NO_LIMIT)) {
                    Ok(answer) => {
                        self.last_error
                            .note_answer(answer.status(), answer.location());
                        let response = Response {
                            status: answer.status(),
                            retry_after: answer.retry_after(),
                            date: answer.date(),
                            content_type: answer.content_type(),
                            // An answer that could not be read to its end is one that makes no
                            // sense: a byte that no protobuf message begins with.
                            body: answer.body().unwrap_or(&[0xff]),
                        };
                        done(&Outcome::Response(response), answer.was_resent())
                    }
                    Err(error) => {
                        let outcome = outcome_of(&error);
                        self.last_error.set(error.to_string(), &outcome);
                        done(&outcome, error.was_resent())
                    }
                }
            }
            Destination::Writer(writer) => {
                let written = writer.write_all(payload.body).and_then(|()| writer.flush());
                let outcome = match written {
                    Ok(()) => Outcome::Response(Response::new(200)),
                    Err(error) => {
                        let outcome = Outcome::Failed(TransportError::Other);
                        self.last_error.set(error.to_string(), &outcome);
                        outcome
                    }
                };
                done(&outcome, false)
            }
        }
    }
}

impl Encoder {
    fn encode(
        &mut self,
        len: usize,
        pull: &mut dyn FnMut(&mut [u8]) -> usize,
    ) -> Result<(), String> {
        if self.protocol != Protocol::HttpJson
            && let Some(gzip) = &mut self.gzip
        {
            gzip.compress(pull).map_err(|error| error.to_string())?;
            self.ready = Ready::Gzip;
            return Ok(());
        }
        self.protobuf.clear();
        self.protobuf.resize(len, 0);
        let mut read = 0;
        while let Some(rest) = self
            .protobuf
            .get_mut(read..)
            .filter(|rest| !rest.is_empty())
        {
            match pull(rest) {
                0 => break,
                more => read += more,
            }
        }
        self.protobuf.truncate(read);
        self.ready = Ready::Protobuf;
        if self.protocol == Protocol::HttpJson {
            self.json.clear();
            json::export_request(&self.protobuf, &mut self.json).map_err(|e| e.to_string())?;
            self.ready = Ready::Json;
            match &mut self.gzip {
                Some(gzip) => {
                    gzip_all(gzip, self.json.as_bytes()).map_err(|error| error.to_string())?;
                    self.ready = Ready::Gzip;
                }
                // A line of JSON Lines, which is white space to anybody else.
                None => self.json.push('\n'),
            }
        }
        Ok(())
    }

    fn payload(&self) -> Option<Payload<'_>> {
        let (body, gzip) = match self.ready {
            Ready::Gzip => (self.gzip.as_ref()?.output(), true),
            Ready::Protobuf => (self.protobuf.as_slice(), false),
            Ready::Json => (self.json.as_bytes(), false),
            Ready::Nothing => return None,
        };
        let content_type = match self.protocol {
            Protocol::HttpJson => ContentType::Json,
            _ => ContentType::Protobuf,
        };
        Some(Payload {
            body,
            content_type,
            gzip,
        })
    }
}

fn gzip_all(gzip: &mut Gzip, mut left: &[u8]) -> Result<(), GzipError> {
    gzip.compress(|chunk| {
        let len = left.len().min(chunk.len());
        let (now, later) = left.split_at(len);
        if let Some(target) = chunk.get_mut(..len) {
            target.copy_from_slice(now);
        }
        left = later;
        len
    })
    .map(|_| ())
}

fn sender_config(url: &str, settings: &Settings) -> SenderConfig {
    let mut config = SenderConfig::new(url);
    config.headers.clone_from(&settings.headers);
    if settings.use_environment_proxy {
        config.proxy = Proxy::Environment;
    }
    let mut tls = TlsFiles::default();
    tls.certificate.clone_from(&settings.certificate);
    tls.client_certificate
        .clone_from(&settings.client_certificate);
    tls.client_key.clone_from(&settings.client_key);
    config.tls = tls;
    config.allow_plaintext_credentials = settings.allow_plaintext_credentials;
    config
}

/// The class of a failure in the terms of the machines.
fn outcome_of(error: &SendError) -> Outcome<'static> {
    let body_sent = error.body_sent();
    Outcome::Failed(match error.class() {
        ErrorClass::ResponseTooLarge { status } => return Outcome::ResponseTooLarge { status },
        ErrorClass::Dns => TransportError::Dns,
        ErrorClass::Refused => TransportError::Connect,
        ErrorClass::Tls => TransportError::Tls,
        ErrorClass::Certificate => TransportError::Certificate,
        ErrorClass::Timeout => TransportError::Timeout { body_sent },
        ErrorClass::Reset => TransportError::Reset { body_sent },
        ErrorClass::Protocol => TransportError::Protocol,
        ErrorClass::Cancelled => TransportError::Cancelled,
        _ => TransportError::Other,
    })
}
