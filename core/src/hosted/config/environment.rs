//! The variables that have a say: read once each, without those that code overrides.

use std::borrow::ToOwned;
use std::env::VarError;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

use super::Config;
use crate::env::{self, Diagnostics, EnvConfig, VARIABLES};

/// A copy of the variables, from which an [`EnvConfig`] can borrow.
pub(super) struct Environment {
    variables: Vec<(&'static str, String)>,
}

impl Environment {
    /// Reads what `config` leaves open. What cannot be read, or is in vain, goes to `notes`.
    pub(super) fn read(
        config: &Config,
        lookup: impl Fn(&str) -> Result<String, VarError>,
        notes: &mut Vec<String>,
    ) -> Self {
        let mut variables = vec![];
        if !config.read_environment {
            return Self { variables };
        }
        for &name in VARIABLES {
            if name == MAX_QUEUE_SIZE && config.max_queue_size.is_some() {
                // The batch of the environment is measured by the queue of the code.
                let queue = config.max_queue_size.unwrap_or_default();
                variables.push((name, queue.to_string()));
            } else if overrides(config, name) {
                if is_headers(name) && lookup(name).is_ok_and(|text| !text.is_empty()) {
                    notes.push(format!(
                        "{name}: not used, because headers are set in code, and they replace all \
                         of these; add what is missing there"
                    ));
                }
            } else {
                match lookup(name) {
                    Ok(text) => variables.push((name, text)),
                    Err(VarError::NotPresent) => {}
                    Err(VarError::NotUnicode(_)) => notes.push(format!(
                        "{name}: the value is not UTF-8; taking it as unset"
                    )),
                }
            }
        }
        Self { variables }
    }

    /// What the variables mean. What is wrong with them goes to `notes`.
    pub(super) fn parse(&self, notes: &mut Vec<String>) -> EnvConfig<'_> {
        let (env, diagnostics) = env::from_lookup(|name| self.get(name));
        note_all(&diagnostics, notes);
        env
    }

    /// Whether one of `names` has a value, be it good or bad.
    pub(super) fn mentions(&self, names: &[&str]) -> bool {
        let is_set = |name: &&str| self.get(name).is_some_and(|text| !text.trim().is_empty());
        names.iter().any(is_set)
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, text)| text.as_str())
    }
}

/// Adds the sentences of `diagnostics` to `notes`.
pub(super) fn note_all(diagnostics: &Diagnostics<'_>, notes: &mut Vec<String>) {
    notes.extend(diagnostics.iter().map(ToString::to_string));
    match diagnostics.overflow() {
        0 => {}
        1 => notes.push("one more problem with the variables is not shown".to_owned()),
        more => notes.push(format!(
            "{more} more problems with the variables are not shown"
        )),
    }
}

const MAX_QUEUE_SIZE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";

fn is_headers(name: &str) -> bool {
    name.ends_with("_HEADERS")
}

/// Whether `config` says what `variable` would say: the precedence of code, in one table.
pub(super) fn overrides(config: &Config, variable: &str) -> bool {
    if let Some(option) = variable
        .strip_prefix("OTEL_EXPORTER_OTLP_TRACES_")
        .or_else(|| variable.strip_prefix("OTEL_EXPORTER_OTLP_"))
    {
        return match option {
            "ENDPOINT" => config.has_endpoint(),
            "HEADERS" => !config.headers.is_empty(),
            "PROTOCOL" => config.protocol.is_some(),
            "COMPRESSION" => config.compression.is_some(),
            "TIMEOUT" => config.timeout.is_some(),
            "CERTIFICATE" => config.certificate.is_some(),
            // A key fits one certificate only, so the pair comes from one source.
            "CLIENT_CERTIFICATE" | "CLIENT_KEY" => {
                config.client_certificate.is_some() || config.client_key.is_some()
            }
            _ => false,
        };
    }
    match variable {
        "OTEL_SERVICE_NAME" => !config.service_name.is_empty(),
        "OTEL_TRACES_SAMPLER" | "OTEL_TRACES_SAMPLER_ARG" => {
            config.sampler.is_some() || config.sample_rate.is_some()
        }
        "OTEL_BSP_SCHEDULE_DELAY" => config.scheduled_delay.is_some(),
        "OTEL_BSP_EXPORT_TIMEOUT" => config.export_timeout.is_some(),
        MAX_QUEUE_SIZE => config.max_queue_size.is_some(),
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE" => config.max_export_batch_size.is_some(),
        limit if limit.ends_with("_LIMIT") => config.limits.is_some(),
        _ => false,
    }
}
