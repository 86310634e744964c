//! The precedence of code: which field beats which variable, and the sentence about a variable that is
//! set and not used.

use core::time::Duration;
use std::format;
use std::path::Path;
use std::string::{String, ToString};

use super::fields::Config;
use crate::env::{Compression, Protocol};

pub(super) const MAX_QUEUE_SIZE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";

/// A field of [`Config`] that beats a variable.
pub(super) struct Winner {
    pub(super) field: &'static str,
    /// How a variable would say the same; empty where that is not plain.
    text: String,
}

impl Winner {
    /// The sentence about the variable `name`, which has the value `text`. `None` if it says what code
    /// says, as where a program reads variables itself.
    pub(super) fn sentence(&self, name: &str, text: &str) -> Option<String> {
        let plain = |text: &str| text.trim().trim_end_matches('/').to_ascii_lowercase();
        let is_same = text.trim().is_empty() || plain(text) == plain(&self.text);
        (!is_same).then(|| not_used(name, self.field))
    }
}

/// The sentence about `what`, which a variable sets and which is not used.
pub(super) fn not_used(what: &str, field: &str) -> String {
    format!(
        "{what}: not used, because `{field}` is set in code or by a preset of `Config`; leave it \
         out there to use the variable"
    )
}

/// The field that beats `variable`, if code sets it.
pub(super) fn winner(config: &Config, variable: &str) -> Option<Winner> {
    let option = variable
        .strip_prefix("OTEL_EXPORTER_OTLP_TRACES_")
        .or_else(|| variable.strip_prefix("OTEL_EXPORTER_OTLP_"));
    let (field, text) = match option {
        Some(option) => otlp(config, option),
        None => other(config, variable),
    };
    text.map(|text| Winner { field, text })
}

fn otlp(config: &Config, option: &str) -> (&'static str, Option<String>) {
    let has_identity = config.has_client_identity();
    match option {
        "ENDPOINT" => (
            "endpoint",
            config.has_endpoint().then(|| config.endpoint.clone()),
        ),
        "HEADERS" => ("headers", set(!config.headers.is_empty())),
        "PROTOCOL" => (
            "protocol",
            config.protocol.map(|protocol| match protocol {
                Protocol::HttpProtobuf => "http/protobuf".into(),
                Protocol::HttpJson => "http/json".into(),
            }),
        ),
        "COMPRESSION" => (
            "compression",
            config.compression.map(|compression| match compression {
                Compression::Gzip => "gzip".into(),
                Compression::None => "none".into(),
            }),
        ),
        "TIMEOUT" => ("timeout", config.timeout.map(millis)),
        "CERTIFICATE" => ("certificate", config.certificate.as_ref().map(path)),
        // A key fits one certificate only, so the pair comes from one source.
        "CLIENT_CERTIFICATE" => (
            "client_certificate",
            has_identity.then(|| {
                config
                    .client_certificate
                    .as_ref()
                    .map(path)
                    .unwrap_or_default()
            }),
        ),
        "CLIENT_KEY" => (
            "client_key",
            has_identity.then(|| config.client_key.as_ref().map(path).unwrap_or_default()),
        ),
        "METRICS_ENDPOINT" => (
            "metrics_endpoint",
            set(!config.metrics_endpoint.trim_ascii().is_empty()),
        ),
        _ => ("", None),
    }
}

fn other(config: &Config, variable: &str) -> (&'static str, Option<String>) {
    match variable {
        "OTEL_SERVICE_NAME" => (
            "service_name",
            (!config.service_name.is_empty()).then(|| config.service_name.clone()),
        ),
        "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS" => (
            "detect",
            (!config.detect.is_empty()).then(|| config.detect.join(",")),
        ),
        "OTEL_PROPAGATORS" => (
            "propagators",
            config.propagators.as_ref().map(ToString::to_string),
        ),
        "OTEL_TRACES_SAMPLER" | "OTEL_TRACES_SAMPLER_ARG" if config.sampler.is_some() => {
            ("sampler", set(true))
        }
        "OTEL_TRACES_SAMPLER" => ("sample_rate", config.sample_rate.map(sampler_of)),
        "OTEL_TRACES_SAMPLER_ARG" => (
            "sample_rate",
            config.sample_rate.as_ref().map(ToString::to_string),
        ),
        "OTEL_BSP_SCHEDULE_DELAY" => ("scheduled_delay", config.scheduled_delay.map(millis)),
        "OTEL_BSP_EXPORT_TIMEOUT" => ("export_timeout", config.export_timeout.map(millis)),
        MAX_QUEUE_SIZE => (
            "max_queue_size",
            config.max_queue_size.as_ref().map(ToString::to_string),
        ),
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE" => (
            "max_export_batch_size",
            config
                .max_export_batch_size
                .as_ref()
                .map(ToString::to_string),
        ),
        limit if limit.ends_with("_LIMIT") => ("limits", set(config.limits.is_some())),
        _ => ("", None),
    }
}

/// The text of a field that no variable says in the same way.
fn set(is_set: bool) -> Option<String> {
    is_set.then(String::new)
}

/// The variable's name of a sampler with this rate.
fn sampler_of(rate: f64) -> String {
    String::from(if rate >= 1.0 {
        "parentbased_always_on"
    } else if rate > 0.0 {
        "parentbased_traceidratio"
    } else {
        "parentbased_always_off"
    })
}

fn millis(time: Duration) -> String {
    time.as_millis().to_string()
}

fn path(path: impl AsRef<Path>) -> String {
    path.as_ref().to_string_lossy().into_owned()
}
