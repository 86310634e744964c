//! The second step: code before environment before default, for every setting. Nothing is checked
//! here; the parts of [`Merged`] check themselves.

use core::time::Duration;
use std::borrow::Cow;
use std::format;
use std::path::PathBuf;
use std::string::{String, ToString};
use std::vec::Vec;

use super::delivery::Delivery;
use super::destination::Destination;
use super::environment::{Environment, Names};
use super::fields::{Config, DEFAULT_BUFFER_BYTES, DEFAULT_MAX_SPAN_BYTES, DEFAULT_SHARD_BYTES};
use super::http::TlsFiles;
use super::notes::Notes;
use super::overridden::not_used;
use super::sampler::SamplerSource;
use super::settings::VariableUse;
use super::sizes::Sizes;
use crate::attribute::{KeyValue, Value};
use crate::env::{
    Compression, DEFAULT_MAX_QUEUE_SIZE, Endpoint, EnvConfig, LogLevel, Propagators, Protocol,
    Timeout, TracesExporter,
};
use crate::exporter::ExporterConfig;
use crate::hosted::resource::{Detection, HostedResource, ResourceBuilder};
use crate::limits::SpanLimits;

/// One value for each setting, from the source that wins.
pub(super) struct Merged<'a> {
    pub(super) enabled: bool,
    pub(super) destination: Destination<'a>,
    pub(super) protocol: Protocol,
    pub(super) headers: Cow<'a, [(String, String)]>,
    pub(super) names: Names,
    pub(super) variables: VariableUse,
    pub(super) compression: Compression,
    pub(super) tls: TlsFiles,
    pub(super) delivery: Delivery,
    pub(super) sizes: Sizes,
    pub(super) limits: SpanLimits,
    pub(super) sampler: SamplerSource<'a>,
    pub(super) resource: HostedResource,
    pub(super) propagators: Propagators,
    pub(super) metrics_endpoint: Option<Endpoint<'a>>,
    pub(super) log_level: Option<LogLevel>,
    /// What only code can say.
    pub(super) code: &'a Config,
}

impl<'a> Merged<'a> {
    pub(super) fn new(code: &'a Config, environment: &Environment<'a>, notes: &mut Notes) -> Self {
        let env = &environment.values;
        Self {
            enabled: code.enabled && env.sdk_disabled != Some(true),
            destination: destination(code, environment, notes),
            protocol: code.protocol.or(env.protocol).unwrap_or_default(),
            headers: headers(code, env),
            names: environment.names,
            variables: variables(code, environment),
            compression: code
                .compression
                .or(env.compression)
                .unwrap_or(Compression::Gzip),
            tls: tls(code, env),
            delivery: delivery(code, env),
            sizes: Sizes {
                span: code.max_span_bytes.unwrap_or(DEFAULT_MAX_SPAN_BYTES),
                shard: code.shard_bytes.unwrap_or(DEFAULT_SHARD_BYTES),
                buffer: code.buffer_bytes.unwrap_or(DEFAULT_BUFFER_BYTES),
                request: code
                    .max_request_bytes
                    .unwrap_or(ExporterConfig::DEFAULT.max_request_bytes),
            },
            limits: code.limits.unwrap_or_else(|| limits(env)),
            sampler: match (&code.sampler, code.sample_rate) {
                (Some(sampler), _) => SamplerSource::Custom(sampler),
                (None, Some(rate)) => SamplerSource::Rate(rate),
                (None, None) => SamplerSource::Named(env.sampler),
            },
            resource: resource(code, env, notes),
            propagators: code.propagators.or(env.propagators).unwrap_or_default(),
            metrics_endpoint: env.metrics_endpoint,
            log_level: env.log_level,
            code,
        }
    }
}

/// The variables that are in use and that only the transport can judge.
fn variables(code: &Config, environment: &Environment<'_>) -> VariableUse {
    let (env, names) = (&environment.values, environment.names);
    let has_identity = code.has_client_identity();
    let files = [
        (
            names.certificate,
            env.certificate,
            code.certificate.is_some(),
        ),
        (
            names.client_certificate,
            env.client_certificate,
            has_identity,
        ),
        (names.client_key, env.client_key, has_identity),
    ];
    let used = files.into_iter().filter(|(_, _, is_in_code)| !is_in_code);
    VariableUse {
        only_code_disables: !code.enabled && env.sdk_disabled != Some(true),
        asks_for_collector: environment.asks_for_collector
            && env.traces_exporter != Some(TracesExporter::None),
        endpoint: names.endpoint.filter(|_| !code.has_endpoint()),
        files: used
            .filter_map(|(name, path, _)| Some((name?, PathBuf::from(path?))))
            .collect(),
    }
}

/// The rules are listed at [`Target`](super::Target).
fn destination<'a>(
    code: &'a Config,
    environment: &Environment<'a>,
    notes: &mut Notes,
) -> Destination<'a> {
    let Environment {
        values: env,
        asks_for_collector,
        ..
    } = environment;
    let in_code = match &code.exporter {
        Some(exporter) => Some(("an exporter", Destination::Exporter(exporter))),
        None if code.has_endpoint() => Some(("the endpoint", Destination::InCode(&code.endpoint))),
        None => None,
    };
    if let Some((what, destination)) = in_code {
        let is_otlp_alone = |exporter| {
            exporter == TracesExporter::Otlp && env.further_exporters.iter().next().is_none()
        };
        if env.traces_exporter.is_some_and(|it| !is_otlp_alone(it)) {
            notes.push(format!(
                "OTEL_TRACES_EXPORTER: not used, because {what} is set in code; set \
                 OTEL_SDK_DISABLED=true to silence this program"
            ));
        }
        return destination;
    }
    match env.traces_exporter {
        Some(TracesExporter::None) => Destination::Nowhere,
        Some(TracesExporter::Console) => Destination::Stdout {
            immediate: true,
            lines: false,
        },
        Some(TracesExporter::OtlpStdout) => Destination::Stdout {
            immediate: false,
            lines: true,
        },
        // If the endpoint of the environment is missing or bad, the diagnostic of the bad value
        // names the default one.
        Some(TracesExporter::Otlp) => {
            Destination::Collector(env.endpoint.unwrap_or(Endpoint::DEFAULT))
        }
        None => match env.endpoint {
            Some(endpoint) => Destination::Collector(endpoint),
            None if *asks_for_collector => Destination::Collector(Endpoint::DEFAULT),
            None => Destination::Stdout {
                immediate: false,
                lines: false,
            },
        },
    }
}

/// Headers in code replace all of the environment's, as the variable of the signal replaces the
/// generic one: merging could send a secret to a collector that must not see it.
fn headers<'a>(code: &'a Config, env: &EnvConfig<'a>) -> Cow<'a, [(String, String)]> {
    if !code.headers.is_empty() {
        return Cow::Borrowed(&code.headers);
    }
    let decoded = env.headers.into_iter().flatten();
    let pairs = decoded.map(|(name, value)| (name.into(), value.to_string()));
    Cow::Owned(pairs.collect())
}

fn tls(code: &Config, env: &EnvConfig<'_>) -> TlsFiles {
    let from_env = |path: Option<&str>| path.map(PathBuf::from);
    let (client_certificate, client_key) = match code.has_client_identity() {
        true => (code.client_certificate.clone(), code.client_key.clone()),
        false => (from_env(env.client_certificate), from_env(env.client_key)),
    };
    TlsFiles {
        certificate: code.certificate.clone().or(from_env(env.certificate)),
        client_certificate,
        client_key,
    }
}

fn delivery(code: &Config, env: &EnvConfig<'_>) -> Delivery {
    let default = ExporterConfig::DEFAULT;
    Delivery {
        max_queue_size: code
            .max_queue_size
            .or(env.max_queue_size)
            .unwrap_or(DEFAULT_MAX_QUEUE_SIZE),
        max_export_batch_size: code.max_export_batch_size.or(env.max_export_batch_size),
        scheduled_delay: code
            .scheduled_delay
            .or(env.schedule_delay)
            .unwrap_or(default.batch.scheduled_delay),
        timeout: time_limit(code.timeout, env.timeout),
        export_timeout: time_limit(code.export_timeout, env.export_timeout),
        exporter: ExporterConfig {
            backoff: code.backoff.unwrap_or(default.backoff),
            breaker: code.breaker.unwrap_or(default.breaker),
            max_batch_age: code.max_batch_age.unwrap_or(default.max_batch_age),
            when_open: code.when_open,
            on_too_large: code.on_too_large,
            ..default
        },
    }
}

/// Zero means without limit, in both sources.
fn time_limit(code: Option<Duration>, env: Option<Timeout>) -> Option<Duration> {
    code.or(env.map(|timeout| timeout.as_duration().unwrap_or(Duration::ZERO)))
}

fn limits(env: &EnvConfig<'_>) -> SpanLimits {
    let mut limits = SpanLimits::DEFAULT;
    for (limit, count) in [
        (&mut limits.attribute_count, env.span_attribute_count_limit),
        (&mut limits.event_count, env.span_event_count_limit),
        (&mut limits.link_count, env.span_link_count_limit),
        (
            &mut limits.attribute_per_event_count,
            env.event_attribute_count_limit,
        ),
        (
            &mut limits.attribute_per_link_count,
            env.link_attribute_count_limit,
        ),
    ] {
        if let Some(count) = count {
            // The memory of a span ends long before its counters do.
            *limit = u16::try_from(count).unwrap_or(u16::MAX);
        }
    }
    if let Some(length) = env.span_attribute_value_length_limit {
        limits.value.length = length;
    }
    limits
}

/// The most bytes of a resource with attributes of the environment. An encoded resource takes at
/// most 65,535, and the scopes need room beside it.
const MAX_RESOURCE_BYTES: usize = 60_000;
/// More than the tags and lengths of an encoded attribute take.
const ATTRIBUTE_OVERHEAD: usize = 24;

/// Attributes of the environment that do not fit are left out: a variable does not stop a program.
fn resource(code: &Config, env: &EnvConfig<'_>, notes: &mut Notes) -> HostedResource {
    let detected = detect(code, env, notes);
    let without = build_resource(code, &detected, Vec::new(), "");
    let mut left = MAX_RESOURCE_BYTES.saturating_sub(resource_bytes(&without));
    let mut left_out = Vec::new();
    let mut fits = |key: &str, value: &str| {
        let needed = key.len() + value.len() + ATTRIBUTE_OVERHEAD;
        let rest = left.checked_sub(needed);
        left = rest.unwrap_or(left);
        if rest.is_none() {
            left_out.push(String::from(key));
        }
        rest.is_some()
    };
    let name = env.service_name.filter(|name| fits("service.name", name));
    let pairs = env.resource_attributes.into_iter().flatten();
    let pairs = pairs
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .filter(|(key, value)| match field_of(code, key) {
            Some((field, own)) => {
                if own != value {
                    notes.push(not_used(&format!("OTEL_RESOURCE_ATTRIBUTES: {key}"), field));
                }
                false
            }
            None => fits(key, value),
        })
        .collect();
    if !left_out.is_empty() {
        notes.push(format!(
            "OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME: a resource takes at most \
             {MAX_RESOURCE_BYTES} bytes; leaving out {}",
            shown(&left_out)
        ));
    }
    build_resource(code, &detected, pairs, name.unwrap_or_default())
}

fn detect(code: &Config, env: &EnvConfig<'_>, notes: &mut Notes) -> HostedResource {
    let names: Option<Vec<&str>> = match env.resource_detectors {
        _ if !code.detect.is_empty() => Some(code.detect.iter().map(String::as_str).collect()),
        Some(list) => Some(
            list.split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty())
                .collect(),
        ),
        None => None,
    };
    let detection = Detection {
        own: &code.resource_detectors,
        names: names.as_deref(),
    };
    detection.run(&mut |sentence| notes.push(sentence))
}

/// The field in code, with its value, that sets the attribute `key`.
fn field_of<'a>(code: &'a Config, key: &str) -> Option<(&'static str, &'a str)> {
    let text = |field: &'a Option<String>| field.as_deref().unwrap_or_default();
    let named = match key {
        "service.name" => Some(("service_name", code.service_name.as_str())),
        "service.version" => Some(("service_version", text(&code.service_version))),
        "deployment.environment.name" => Some(("environment", text(&code.environment))),
        _ => None,
    };
    let attributes = code.resource_attributes.iter().rev();
    named.filter(|(_, own)| !own.is_empty()).or_else(|| {
        let mut found = attributes.filter(|(own, _)| own == key);
        found
            .next()
            .map(|(_, own)| ("resource_attributes", own.as_str()))
    })
}

/// The names, without the length that made them not fit.
fn shown(keys: &[String]) -> String {
    const MOST: usize = 5;
    let mut text = String::new();
    for key in keys.iter().take(MOST) {
        let separator = if text.is_empty() { "" } else { ", " };
        let short: String = key.chars().take(40).collect();
        text.push_str(&format!("{separator}{short:?}"));
    }
    if let Some(more) = keys.len().checked_sub(MOST).filter(|more| *more > 0) {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

fn resource_bytes(resource: &HostedResource) -> usize {
    let size = |attribute: KeyValue<'_>| {
        let value = match attribute.value {
            Value::String(text) => text.len(),
            _ => 0,
        };
        attribute.key.len() + value + ATTRIBUTE_OVERHEAD
    };
    resource.attributes().map(size).sum()
}

/// The fields with names of their own come last, because the last call in code wins.
fn build_resource(
    code: &Config,
    detected: &HostedResource,
    pairs: Vec<(String, String)>,
    service_name_variable: &str,
) -> HostedResource {
    let mut builder = ResourceBuilder::detected(detected.clone())
        .environment(pairs)
        .service_name_variable(service_name_variable);
    for (key, value) in &code.resource_attributes {
        builder = builder.attribute(key.clone(), value.as_str());
    }
    if let Some(environment) = code.environment.as_deref().filter(|text| !text.is_empty()) {
        builder = builder.attribute("deployment.environment.name", environment);
    }
    builder
        .service_name(&code.service_name)
        .service_version(code.service_version.as_deref().unwrap_or_default())
        .build()
}
