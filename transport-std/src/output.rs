//! Where requests go: a collector over HTTP, or the standard output.

use std::io::Write;
use std::time::Duration;

use spandrel_core::env::Protocol;
use spandrel_core::hosted::config::{Settings, Target};
use spandrel_core::hosted::unversioned::encode::{Coding, Encoder};
use spandrel_core::hosted::unversioned::events::LastError;
use spandrel_core::response::{Outcome, Response, TransportError};

use crate::{
    BuildError, Canceller, ContentType, ErrorClass, HttpSender, Payload, Proxy, SendError,
    SenderConfig, TlsFiles,
};

/// The longest wait when the settings name no limit.
const NO_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// A destination. First [`Output::encode`], then [`Output::send`].
pub(crate) struct Output {
    destination: Destination,
    encoder: Encoder,
    /// What was encoded last.
    body: Vec<u8>,
    /// Whether it can be sent.
    is_ready: bool,
    pub(crate) last_error: LastError,
}

enum Destination {
    Http(Box<HttpSender>),
    Writer(Box<dyn Write + Send>),
}

impl Output {
    pub(crate) fn new(settings: &Settings) -> Result<Self, BuildError> {
        let (destination, protocol, coding) = match &settings.target {
            Target::Otlp { url, .. } => {
                let sender = HttpSender::new(sender_config(url, settings))?;
                let destination = Destination::Http(Box::new(sender));
                (destination, settings.protocol, Coding::from(settings))
            }
            _ => {
                let stdout = Destination::Writer(Box::new(std::io::stdout()));
                (stdout, Protocol::HttpJson, Coding::Identity)
            }
        };
        Ok(Self {
            destination,
            encoder: Encoder::new(protocol, coding),
            body: Vec::new(),
            is_ready: false,
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

    /// Pulls a body and makes it what is sent.
    pub(crate) fn encode(&mut self, pull: impl FnMut(&mut [u8]) -> usize) {
        let encoded = self.encoder.encode(pull, &mut self.body);
        self.is_ready = encoded.is_ok();
        if let Err(error) = encoded {
            self.last_error
                .set(error.to_string(), &Outcome::Failed(TransportError::Other));
        }
    }

    /// Sends what was encoded, and hands the outcome to `done`, with whether it may have been sent
    /// twice.
    pub(crate) fn send<T>(
        &mut self,
        timeout: Option<Duration>,
        done: impl FnOnce(&Outcome<'_>, bool) -> T,
    ) -> T {
        if !self.is_ready {
            return done(&Outcome::Failed(TransportError::Other), false);
        }
        let payload = Payload {
            body: &self.body,
            content_type: if self.encoder.is_json() {
                ContentType::Json
            } else {
                ContentType::Protobuf
            },
            gzip: self.encoder.is_gzip(),
        };
        match &mut self.destination {
            Destination::Http(sender) => match sender.send(payload, timeout.unwrap_or(NO_LIMIT)) {
                Ok(answer) => {
                    self.last_error
                        .note_answer(answer.status(), answer.location());
                    let response = Response {
                        status: answer.status(),
                        retry_after: answer.retry_after(),
                        date: answer.date(),
                        content_type: answer.content_type(),
                        body: answer.body(),
                    };
                    done(&Outcome::Response(response), answer.was_resent())
                }
                Err(error) => {
                    let outcome = outcome_of(&error);
                    self.last_error.set(error.to_string(), &outcome);
                    done(&outcome, error.was_resent())
                }
            },
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
