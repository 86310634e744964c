//! The first step: the variables, read once each and parsed.

use std::env::VarError;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::fields::Config;
use super::notes::Notes;
use super::overridden::{MAX_QUEUE_SIZE, winner};
use crate::env::{self, EnvConfig, VARIABLES};

/// A copy of the variables, from which an [`Environment`] borrows.
pub(super) struct Variables(Vec<(&'static str, String)>);

/// The meaning of the variables.
pub(super) struct Environment<'a> {
    pub(super) values: EnvConfig<'a>,
    /// A variable asks for an exporter or an endpoint, be its value good or bad.
    pub(super) asks_for_collector: bool,
    pub(super) names: Names,
}

/// The names of the variables that text was taken from, for sentences about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names {
    pub(super) endpoint: Option<&'static str>,
    pub(super) headers: Option<&'static str>,
    pub(super) certificate: Option<&'static str>,
    pub(super) client_certificate: Option<&'static str>,
    pub(super) client_key: Option<&'static str>,
}

impl Variables {
    /// Reads the variables. Those that `config` overrides are named and not used.
    pub(super) fn read(
        config: &Config,
        lookup: impl Fn(&str) -> Result<String, VarError>,
        notes: &mut Notes,
    ) -> Self {
        let mut texts = Vec::new();
        if !config.read_environment {
            return Self(texts);
        }
        for &name in VARIABLES {
            let value = lookup(name);
            if let Some(winner) = winner(config, name) {
                let text = value.unwrap_or_default();
                if is_headers(name) && !text.is_empty() {
                    notes.push(format!(
                        "{name}: not used, because headers are set in code, and they replace all \
                         of these; add what is missing there"
                    ));
                } else {
                    notes.extend(winner.sentence(name, &text).into_iter().collect());
                }
                if let (MAX_QUEUE_SIZE, Some(queue)) = (name, config.max_queue_size) {
                    // The batch size of the environment has to fit into the queue of the code.
                    texts.push((name, queue.to_string()));
                }
                continue;
            }
            match value {
                Ok(text) => texts.push((name, text)),
                Err(VarError::NotPresent) => {}
                Err(VarError::NotUnicode(_)) => notes.push(format!(
                    "{name}: the value is not UTF-8; taking it as unset"
                )),
            }
        }
        Self(texts)
    }

    pub(super) fn parse(&self, notes: &mut Notes) -> Environment<'_> {
        let (values, diagnostics) = env::from_lookup(|name| self.get(name));
        notes.extend_from(&diagnostics);
        Environment {
            values,
            asks_for_collector: [
                "OTEL_TRACES_EXPORTER",
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            ]
            .into_iter()
            .any(|name| self.get(name).is_some_and(|text| !text.trim().is_empty())),
            names: Names {
                endpoint: self.name_of("ENDPOINT"),
                headers: self.name_of("HEADERS"),
                certificate: self.name_of("CERTIFICATE"),
                client_certificate: self.name_of("CLIENT_CERTIFICATE"),
                client_key: self.name_of("CLIENT_KEY"),
            },
        }
    }

    /// The variable of the pair with this ending whose text counts.
    fn name_of(&self, ending: &str) -> Option<&'static str> {
        ["OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"]
            .into_iter()
            .find_map(|start| {
                let is_it = |name: &str| name.strip_prefix(start) == Some(ending);
                let (name, _) = self
                    .0
                    .iter()
                    .find(|(name, text)| is_it(name) && !text.is_empty())?;
                Some(*name)
            })
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map(|(_, text)| text.as_str())
    }
}

fn is_headers(name: &str) -> bool {
    name.ends_with("_HEADERS")
}
