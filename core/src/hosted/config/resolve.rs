//! The way from [`Config`] and the environment to [`Settings`]; the [module](super) draws it.

use core::time::Duration;
use std::env::VarError;
use std::format;
use std::string::String;
use std::vec::Vec;

use super::beside::settings_of;
use super::credential::{InClear, is_loopback_host, plaintext_credential};
use super::destination::Destination;
use super::environment::{Environment, Variables};
use super::error::SettingsError;
use super::fields::{Config, MAX_CONCURRENT_EXPORTS};
use super::further::FurtherDestination;
use super::headers::CheckedHeaders;
use super::http::TlsFiles;
use super::merge::Merged;
use super::notes::Notes;
use super::settings::{Settings, Target};
use super::stdout_format::StdoutFormat;
use crate::env::{Diagnostics, Endpoint, Scheme, TracesExporter};
use crate::hosted::process::notice_fork;

impl Config {
    /// Merges this with the environment of the process and the defaults, and checks it. Also
    /// detects the attributes of the process, which takes a few microseconds.
    ///
    /// # Errors
    ///
    /// A field that no pipeline can run with, also when this is disabled: better now than on the
    /// day on which it is enabled. Bad variables are no errors but
    /// [diagnostics](Settings::diagnostics).
    pub fn resolve(&self) -> Result<Settings, SettingsError> {
        resolve(self, |name| std::env::var(name))
    }

    /// As [`resolve`](Self::resolve), with `lookup` in the place of the environment. It gets the
    /// name of a variable and returns its value, or `None` if it is unset.
    ///
    /// # Errors
    ///
    /// As [`resolve`](Self::resolve).
    pub fn resolve_with(
        &self,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Settings, SettingsError> {
        resolve(self, |name| lookup(name).ok_or(VarError::NotPresent))
    }
}

/// `lookup` has the signature of `std::env::var`.
fn resolve(
    config: &Config,
    lookup: impl Fn(&str) -> Result<String, VarError>,
) -> Result<Settings, SettingsError> {
    // The resource's instance id is random.
    notice_fork();
    let mut notes = Notes::default();
    let variables = Variables::read(config, lookup, &mut notes);
    let environment = variables.parse(&mut notes);
    let listed = listed(config, &environment);
    let mut settings = check(Merged::new(config, &environment, &mut notes), notes)?;
    if settings.target != Target::None {
        add_further(config, &listed, &mut settings)?;
    }
    Ok(settings)
}

fn add_further(
    config: &Config,
    listed: &[FurtherDestination],
    settings: &mut Settings,
) -> Result<(), SettingsError> {
    let in_code = (1..).zip(&config.further_destinations);
    let all = listed.iter().map(|it| (0, it)).chain(in_code);
    for (number, destination) in all {
        let mut further =
            settings_of(destination, config, settings).map_err(|error| SettingsError::Further {
                number,
                error: error.into(),
            })?;
        for note in further.diagnostics.drain(..) {
            let target = &further.target;
            settings.diagnostics.push(format!("{target}: {note}"));
        }
        settings.further.push(further);
    }
    Ok(())
}

/// The further destinations that `OTEL_TRACES_EXPORTER` lists. Where code says where spans go, it is
/// not obeyed.
fn listed(config: &Config, environment: &Environment<'_>) -> Vec<FurtherDestination> {
    if config.has_endpoint() || config.exporter.is_some() {
        return Vec::new();
    }
    let names = environment.values.further_exporters;
    let destinations = names.iter().filter_map(|name| match name {
        TracesExporter::Console => Some(FurtherDestination::console()),
        TracesExporter::OtlpStdout => Some(FurtherDestination::stdout(StdoutFormat::Json)),
        _ => None,
    });
    destinations.collect()
}

/// The third step: every part checks itself, and the fields that only code has are copied.
fn check(merged: Merged<'_>, mut notes: Notes) -> Result<Settings, SettingsError> {
    let code = merged.code;
    let tls = check_identity(merged.tls)?;
    let sizes = merged.sizes.check()?;
    let stdout_format = match (code.stdout_format, &merged.destination) {
        (StdoutFormat::Auto, Destination::Stdout { lines: true, .. }) => StdoutFormat::Json,
        (format, _) => format,
    };
    let target = merged.destination.check(&mut notes)?;
    let headers = CheckedHeaders::new(&merged.headers).map_err(|bad| SettingsError::Header {
        number: bad.number,
        name: bad.name,
        problem: bad.problem,
    })?;
    notes.extend(headers.notes);
    note_headers_in_clear(
        code,
        &target,
        &headers.pairs,
        merged.names.headers,
        &mut notes,
    );
    let mut exporter = merged.delivery.check(&sizes, &mut notes)?;
    if target == (Target::Stdout { immediate: true }) {
        // A person is watching the output.
        exporter.batch.max_export_batch_size = 1;
        exporter.batch.scheduled_delay = Duration::ZERO;
    }
    let concurrent_exports = concurrent_exports(code, &target)?;
    let metrics_url = metrics_url(code, &target, merged.metrics_endpoint, &mut notes)?;
    let sampler = merged.sampler.check(&mut notes);
    let keep = code.keep.map(|keep| keep.check(sizes.span, &mut notes));
    note_attributes_without_key(code, &mut notes);
    Ok(Settings {
        enabled: merged.enabled,
        target,
        further: Vec::new(),
        stdout_format,
        protocol: merged.protocol,
        headers: headers.pairs,
        user_agent_prefix: code.user_agent_prefix.clone(),
        compression: merged.compression,
        gzip_level: check_gzip_level(code.gzip_level)?,
        certificate: tls.certificate,
        client_certificate: tls.client_certificate,
        client_key: tls.client_key,
        use_environment_proxy: code.use_environment_proxy,
        allow_plaintext_credentials: code.allow_plaintext_credentials,
        refuse_plaintext_credentials: code.refuse_plaintext_credentials,
        exporter,
        max_queue_size: merged.delivery.max_queue_size,
        buffer_bytes: sizes.buffer,
        shard_bytes: sizes.shard,
        max_span_bytes: sizes.span,
        when_full: code.when_full,
        concurrent_exports,
        limits: merged.limits,
        sampler,
        id_generator: code.id_generator.clone(),
        processors: code.processors.clone(),
        keep,
        resource: merged.resource,
        propagators: merged.propagators,
        span_exporter: code.exporter.clone(),
        incoming: code.incoming,
        baggage_attributes: code.baggage_attributes.clone(),
        metrics_interval: check_metrics_interval(code.metrics_interval)?,
        metrics_url,
        shutdown_timeout: code.shutdown_timeout,
        set_global: code.set_global,
        log_level: merged.log_level,
        diagnostics: notes.into_sentences(),
        variables: merged.variables,
    })
}

/// Headers that cross a network in clear text are sent, because writing `http://` is an explicit
/// choice, but with one sentence. Of code, only those that look like credentials are noticed.
fn note_headers_in_clear(
    code: &Config,
    target: &Target,
    headers: &[(String, String)],
    variable: Option<&'static str>,
    notes: &mut Notes,
) {
    let Target::Otlp { url, .. } = target else {
        return;
    };
    // It was written by an endpoint.
    let Ok(endpoint) = Endpoint::parse_exact(url, &mut Diagnostics::new()) else {
        return;
    };
    if code.allow_plaintext_credentials || code.refuse_plaintext_credentials {
        return;
    }
    let credential = plaintext_credential(&endpoint, headers);
    let source = if code.headers.is_empty() {
        variable
    } else {
        None
    };
    let any = headers.first().filter(|_| {
        let is_in_clear = endpoint.scheme() == Scheme::Http && !is_loopback_host(endpoint.host());
        source.is_some() && is_in_clear
    });
    if let Some(name) = credential.or(any.map(|(name, _)| name.as_str())) {
        notes.push(format!(
            "{}: {}",
            source.unwrap_or("headers"),
            InClear(name)
        ));
    }
}

/// The URL for metrics; `None` if none are wanted, or if there is no collector.
fn metrics_url(
    code: &Config,
    target: &Target,
    variable: Option<Endpoint<'_>>,
    notes: &mut Notes,
) -> Result<Option<String>, SettingsError> {
    let Target::Otlp { url, .. } = target else {
        if code.metrics_interval.is_some() {
            notes.push("metrics_interval: not used, because spans do not go to a collector".into());
        }
        return Ok(None);
    };
    let mut text = String::new();
    if !code.metrics_endpoint.trim_ascii().is_empty() {
        let mut diagnostics = Diagnostics::new();
        let endpoint = Endpoint::parse_exact(code.metrics_endpoint.trim_ascii(), &mut diagnostics);
        let endpoint = endpoint.map_err(|error| SettingsError::Endpoint {
            problem: error.kind(),
            text: error.value().map(Into::into),
        })?;
        // Writing to a string cannot fail.
        let _ = endpoint.write_url(&mut text);
        return Ok(Some(text));
    }
    if let Some(endpoint) = variable {
        let _ = endpoint.write_url(&mut text);
        return Ok(Some(text));
    }
    let (path, query) = match url.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (url.as_str(), String::new()),
    };
    let base = path.strip_suffix("/v1/traces");
    if base.is_none() && code.metrics_interval.is_some() {
        notes.push(
            "metrics_interval: the endpoint does not end in /v1/traces, so there is no telling where \
             metrics go; sending none; set metrics_endpoint or OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
                .into(),
        );
    }
    Ok(base.map(|base| format!("{base}/v1/metrics{query}")))
}

/// The standard output and an exporter take one batch after the other.
fn concurrent_exports(code: &Config, target: &Target) -> Result<u32, SettingsError> {
    match (code.concurrent_exports, target) {
        (asked, _) if !(1..=MAX_CONCURRENT_EXPORTS).contains(&asked) => {
            Err(SettingsError::ConcurrentExports(asked))
        }
        (asked, Target::Otlp { .. }) => Ok(asked),
        _ => Ok(1),
    }
}

fn check_metrics_interval(interval: Option<Duration>) -> Result<Option<Duration>, SettingsError> {
    match interval {
        Some(Duration::ZERO) => Err(SettingsError::MetricsInterval),
        interval => Ok(interval),
    }
}

fn check_identity(tls: TlsFiles) -> Result<TlsFiles, SettingsError> {
    match (&tls.client_certificate, &tls.client_key) {
        (Some(_), None) => Err(SettingsError::CertificateWithoutKey),
        (None, Some(_)) => Err(SettingsError::KeyWithoutCertificate),
        _ => Ok(tls),
    }
}

fn check_gzip_level(level: Option<u32>) -> Result<Option<u32>, SettingsError> {
    match level {
        Some(level) if level > 9 => Err(SettingsError::GzipLevel(level)),
        level => Ok(level),
    }
}

/// The resource leaves such attributes out.
fn note_attributes_without_key(code: &Config, notes: &mut Notes) {
    for (number, (key, _)) in (1..).zip(&code.resource_attributes) {
        if key.is_empty() {
            notes.push(format!(
                "resource_attributes: member {number} has no key; leaving it out"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    #[test]
    fn the_format_of_the_standard_output_follows_code_and_then_the_operator() {
        for (format, exporter, expected) in [
            (StdoutFormat::Auto, None, StdoutFormat::Auto),
            (StdoutFormat::Auto, Some("console"), StdoutFormat::Auto),
            (StdoutFormat::Auto, Some("otlp/stdout"), StdoutFormat::Json),
            (
                StdoutFormat::Waterfall,
                Some("otlp/stdout"),
                StdoutFormat::Waterfall,
            ),
            (StdoutFormat::Json, Some("console"), StdoutFormat::Json),
        ] {
            let config = Config {
                stdout_format: format,
                ..Config::development("x")
            };
            let settings = resolve(&config, |name| match name {
                "OTEL_TRACES_EXPORTER" => exporter.map(Into::into).ok_or(VarError::NotPresent),
                _ => Err(VarError::NotPresent),
            });
            assert_eq!(settings.unwrap().stdout_format, expected, "{exporter:?}");
        }
    }

    #[test]
    fn metrics_that_have_nowhere_to_go_are_said() {
        let settings = |endpoint: &str, metrics: &str| {
            let config = Config {
                endpoint: endpoint.into(),
                metrics_interval: Some(Duration::from_secs(1)),
                metrics_endpoint: metrics.into(),
                ..Config::development("x")
            };
            resolve(&config, |_| Err(VarError::NotPresent)).unwrap()
        };
        let ours = settings("http://collector.example:4318/base", "");
        let url = "http://collector.example:4318/base/v1/metrics";
        assert_eq!(ours.metrics_url.as_deref(), Some(url));
        assert!(ours.diagnostics.is_empty(), "{:?}", ours.diagnostics);
        let theirs = settings("localhost:4318", "http://localhost:9/other");
        assert_eq!(
            theirs.metrics_url.as_deref(),
            Some("http://localhost:9/other")
        );
        let nowhere = settings("", "");
        assert_eq!(nowhere.metrics_url, None);
        assert!(
            nowhere.diagnostics[0].starts_with("metrics_interval: not used"),
            "{:?}",
            nowhere.diagnostics
        );
    }

    // spec G-009
    #[test]
    fn detectors_are_selected_by_the_variable_and_by_code_before_it() {
        let variable = |name: &str| match name {
            "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS" => Ok(" process ,hsot,".into()),
            _ => Err(VarError::NotPresent),
        };
        let settings = resolve(&Config::development("x"), variable).unwrap();
        assert!(settings.resource.get("process.pid").is_some());
        assert!(settings.resource.get("host.name").is_none());
        assert_eq!(settings.resource.text("service.name"), Some("x"));
        assert_eq!(
            settings.resource.text("telemetry.sdk.name"),
            Some("spandrel")
        );
        let [note] = &settings.diagnostics[..] else {
            panic!("{:?}", settings.diagnostics);
        };
        assert!(note.contains("there is no detector \"hsot\""), "{note}");

        let code = Config {
            detect: std::vec!["none".into()],
            ..Config::default()
        };
        let settings = resolve(&code, variable).unwrap();
        assert!(settings.resource.get("process.pid").is_none());
        assert_eq!(
            settings.resource.text("service.name"),
            Some("unknown_service")
        );
        let [note] = &settings.diagnostics[..] else {
            panic!("{:?}", settings.diagnostics);
        };
        assert!(
            note.starts_with("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS: "),
            "{note}"
        );
    }

    #[test]
    fn a_variable_that_is_not_utf8_is_named_and_unset() {
        let config = Config::development("x");
        let settings = resolve(&config, |name| match name {
            "OTEL_TRACES_EXPORTER" => Err(VarError::NotUnicode(OsString::from("hunter2"))),
            _ => Err(VarError::NotPresent),
        });
        let settings = settings.unwrap();
        assert_eq!(
            settings.diagnostics,
            ["OTEL_TRACES_EXPORTER: the value is not UTF-8; taking it as unset"]
        );
        assert_eq!(settings.target, Target::Stdout { immediate: false });
    }
}
