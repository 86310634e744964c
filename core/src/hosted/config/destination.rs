//! The place that spans go to.

use std::format;
use std::string::String;

use super::error::SettingsError;
use super::notes::Notes;
use super::settings::Target;
use crate::env::{Diagnostics, Endpoint};
use crate::hosted::export::SharedExporter;

/// A place as code or environment named it.
pub(super) enum Destination<'a> {
    /// The endpoint in code, not yet parsed.
    InCode(&'a str),
    /// An endpoint of the environment.
    Collector(Endpoint<'a>),
    Stdout {
        immediate: bool,
        /// The operator asked for OTLP/JSON lines.
        lines: bool,
    },
    /// The program's own exporter.
    Exporter(&'a SharedExporter),
    Nowhere,
}

impl Destination<'_> {
    pub(super) fn check(self, notes: &mut Notes) -> Result<Target, SettingsError> {
        Ok(match self {
            Self::InCode(text) => endpoint_in_code(text, notes)?,
            Self::Collector(endpoint) => otlp(&endpoint),
            Self::Stdout { immediate, .. } => Target::Stdout { immediate },
            Self::Exporter(exporter) => Target::Exporter {
                name: exporter.name(),
            },
            Self::Nowhere => Target::None,
        })
    }
}

fn endpoint_in_code(text: &str, notes: &mut Notes) -> Result<Target, SettingsError> {
    let mut diagnostics = Diagnostics::new();
    let endpoint = Endpoint::parse_programmatic(text, &mut diagnostics).map_err(|error| {
        SettingsError::Endpoint {
            problem: error.kind(),
            text: error.value().map(Into::into),
        }
    })?;
    notes.extend_from(&diagnostics);
    Ok(otlp(&endpoint.unwrap_or(Endpoint::DEFAULT)))
}

fn otlp(endpoint: &Endpoint<'_>) -> Target {
    let mut url = String::new();
    // Writing to a string cannot fail.
    let _ = endpoint.write_url(&mut url);
    let scheme = endpoint.scheme().as_str();
    let (host, port) = (endpoint.host(), endpoint.port());
    let origin = match host.contains(':') {
        true => format!("{scheme}://[{host}]:{port}"),
        false => format!("{scheme}://{host}:{port}"),
    };
    Target::Otlp { url, origin }
}
