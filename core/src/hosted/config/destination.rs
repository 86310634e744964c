//! Where requests go and with what: the target, the headers, the client's certificate.

use std::format;
use std::path::PathBuf;
use std::string::{String, ToString};
use std::vec::Vec;

use super::environment::{Environment, note_all};
use super::{Config, SettingsError, Target};
use crate::env::{
    Diagnostics, Endpoint, EnvConfig, HeaderProblemKind, TracesExporter, check_key, check_value,
};

impl Config {
    /// Whether code names a collector.
    pub(super) fn has_endpoint(&self) -> bool {
        !self.endpoint.trim_ascii().is_empty()
    }
}

/// The rules are listed at [`Target`].
pub(super) fn target(
    config: &Config,
    env: &EnvConfig<'_>,
    environment: &Environment,
    notes: &mut Vec<String>,
) -> Result<Target, SettingsError> {
    let mut diagnostics = Diagnostics::new();
    let in_code =
        Endpoint::parse_programmatic(&config.endpoint, &mut diagnostics).map_err(|error| {
            SettingsError::Endpoint {
                problem: error.kind(),
                text: error.value().map(Into::into),
            }
        })?;
    note_all(&diagnostics, notes);
    if let Some(endpoint) = in_code {
        if env
            .traces_exporter
            .is_some_and(|e| e != TracesExporter::Otlp)
        {
            notes.push(
                "OTEL_TRACES_EXPORTER: not used, because the endpoint is set in code; set \
                 OTEL_SDK_DISABLED=true to silence this program"
                    .into(),
            );
        }
        return Ok(otlp(endpoint));
    }
    Ok(match env.traces_exporter {
        Some(TracesExporter::None) => Target::None,
        Some(TracesExporter::Console) => Target::Stdout { immediate: true },
        Some(TracesExporter::OtlpStdout) => Target::Stdout { immediate: false },
        Some(TracesExporter::Otlp) => otlp(env.endpoint.unwrap_or(Endpoint::DEFAULT)),
        None => match env.endpoint {
            Some(endpoint) => otlp(endpoint),
            // Somebody wanted a collector; the diagnostic of the bad value names this one.
            None if environment.mentions(&[
                "OTEL_TRACES_EXPORTER",
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            ]) =>
            {
                otlp(Endpoint::DEFAULT)
            }
            None => Target::Stdout { immediate: false },
        },
    })
}

fn otlp(endpoint: Endpoint<'_>) -> Target {
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

/// Headers of code replace those of the environment as a whole, as the variable of the signal
/// replaces the generic one (checklist B-001): merging could send a secret where nobody expects it.
pub(super) fn headers(
    config: &Config,
    env: &EnvConfig<'_>,
    notes: &mut Vec<String>,
) -> Result<Vec<(String, String)>, SettingsError> {
    if config.headers.is_empty() {
        let decoded = env.headers.into_iter().flatten();
        return Ok(decoded
            .map(|(name, value)| (name.into(), value.to_string()))
            .collect());
    }
    let mut headers: Vec<(String, String)> = Vec::with_capacity(config.headers.len());
    for (number, (name, value)) in (1..).zip(&config.headers) {
        match check_key(name).and_then(|()| check_value(value.bytes())) {
            Ok(()) => {}
            Err(problem @ HeaderProblemKind::Reserved) => {
                notes.push(format!(
                    "headers: member {number} ({name:?}) {problem}; leaving it out"
                ));
                continue;
            }
            Err(problem) => {
                let name_is_good = problem == HeaderProblemKind::BadValue;
                return Err(SettingsError::Header {
                    number,
                    name: name_is_good.then(|| name.clone()),
                    problem,
                });
            }
        }
        // Of equal names the last one counts (checklist B-029).
        headers.retain(|(earlier, _)| !earlier.eq_ignore_ascii_case(name));
        headers.push((name.clone(), value.clone()));
    }
    Ok(headers)
}

/// The certificate and the key, both or neither, from one source.
pub(super) fn client_identity(
    config: &Config,
    env: &EnvConfig<'_>,
) -> Result<(Option<PathBuf>, Option<PathBuf>), SettingsError> {
    match (&config.client_certificate, &config.client_key) {
        (None, None) => Ok((
            env.client_certificate.map(PathBuf::from),
            env.client_key.map(PathBuf::from),
        )),
        (Some(_), None) => Err(SettingsError::CertificateWithoutKey),
        (None, Some(_)) => Err(SettingsError::KeyWithoutCertificate),
        (certificate, key) => Ok((certificate.clone(), key.clone())),
    }
}
