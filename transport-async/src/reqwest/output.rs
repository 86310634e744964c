//! Where requests go: a collector over HTTP, or the standard output.

use std::boxed::Box;
use std::string::ToString;

use spandrel_core::env::Protocol;
use spandrel_core::hosted::config::{Settings, Target};
use spandrel_core::hosted::unversioned::encode::Coding;
use spandrel_core::hosted::unversioned::events::LastError;
use spandrel_core::response::{Outcome, Response, TransportError};
use tokio::io::AsyncWriteExt;

use super::client::Blueprint;
use super::encode::Encoder;
use super::error::BuildError;
use super::sender::HttpSender;
use crate::{Body, Post};

/// What outputs are made of. Each driver has one of its own, because connections live on a runtime.
#[derive(Debug)]
pub(super) struct Plan {
    http: Option<Blueprint>,
    protocol: Protocol,
    coding: Coding,
}

impl Plan {
    pub(super) fn new(settings: &Settings) -> Result<Self, BuildError> {
        let Target::Otlp { url, .. } = &settings.target else {
            return Ok(Self {
                http: None,
                protocol: Protocol::HttpJson,
                coding: Coding::Identity,
            });
        };
        let blueprint = Blueprint::new(url, settings)?;
        // So that what the client refuses is an error of the start.
        blueprint.build()?;
        Ok(Self {
            http: Some(blueprint),
            protocol: settings.protocol,
            coding: settings.into(),
        })
    }

    pub(super) fn output(&self) -> Output {
        let encoder = Encoder::new(self.protocol, self.coding);
        let mut last_error = LastError::default();
        let destination = match self.http.as_ref().map(Blueprint::build) {
            None => Destination::Stdout(tokio::io::stdout(), Box::new(encoder)),
            Some(Ok(connected)) => Destination::Http(Box::new(HttpSender::new(connected, encoder))),
            // The same settings worked at the start; the machine will try again.
            Some(Err(error)) => {
                let failed = Outcome::Failed(TransportError::Other);
                last_error.set(error.to_string(), &failed);
                Destination::Nowhere
            }
        };
        Output {
            destination,
            last_error,
        }
    }
}

pub(super) struct Output {
    destination: Destination,
    last_error: LastError,
}

enum Destination {
    Http(Box<HttpSender>),
    Stdout(tokio::io::Stdout, Box<Encoder>),
    Nowhere,
}

impl Output {
    /// What is known of the last failed request.
    pub(super) fn last_error(&self) -> &LastError {
        match &self.destination {
            Destination::Http(sender) => &sender.last_error,
            _ => &self.last_error,
        }
    }
}

impl Post for Output {
    async fn post<B: Body>(&mut self, body: &mut B) -> Outcome<'_> {
        let failed = match &mut self.destination {
            Destination::Http(sender) => return sender.post(body).await,
            Destination::Stdout(stdout, encoder) => match encoder.encode(body) {
                Ok(line) => {
                    let written = async {
                        stdout.write_all(&line).await?;
                        stdout.flush().await
                    };
                    match written.await {
                        Ok(()) => return Outcome::Response(Response::new(200)),
                        Err(error) => Some(error.to_string()),
                    }
                }
                Err(error) => Some(error.to_string()),
            },
            Destination::Nowhere => None,
        };
        let outcome = Outcome::Failed(TransportError::Other);
        if let Some(text) = failed {
            self.last_error.set(text, &outcome);
        }
        outcome
    }

    fn body_sent(&self, is_read: bool) -> bool {
        match &self.destination {
            Destination::Http(sender) => sender.body_sent(is_read),
            _ => false,
        }
    }
}
