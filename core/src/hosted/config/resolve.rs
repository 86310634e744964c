//! From [`Config`] and the environment to [`Settings`].

use core::time::Duration;
use std::env::VarError;
use std::format;
use std::path::PathBuf;
use std::string::{String, ToString};
use std::vec::Vec;

use super::destination::{client_identity, headers, target};
use super::environment::Environment;
use super::pipeline::{Areas, exporter, max_queue_size};
use super::{Config, HostedSampler, Settings, SettingsError, Target};
use crate::env::{Compression, EnvConfig, Propagators, SamplerChoice};
use crate::hosted::resource::{HostedResource, ResourceBuilder};
use crate::limits::SpanLimits;
use crate::sampler::{BuiltinSampler, TraceIdRatioBased};

/// `lookup` has the signature of `std::env::var`.
pub(super) fn resolve(
    config: &Config,
    lookup: impl Fn(&str) -> Result<String, VarError>,
) -> Result<Settings, SettingsError> {
    let mut notes = Vec::new();
    let environment = Environment::read(config, lookup, &mut notes);
    let env = environment.parse(&mut notes);
    let (client_certificate, client_key) = client_identity(config, &env)?;
    let areas = Areas::of(config)?;
    let mut settings = Settings {
        enabled: config.enabled && env.sdk_disabled != Some(true),
        target: target(config, &env, &environment, &mut notes)?,
        protocol: config.protocol.or(env.protocol).unwrap_or_default(),
        headers: headers(config, &env, &mut notes)?,
        compression: config
            .compression
            .or(env.compression)
            .unwrap_or(Compression::Gzip),
        gzip_level: match config.gzip_level {
            Some(level) if level > 9 => return Err(SettingsError::GzipLevel(level)),
            level => level,
        },
        certificate: config
            .certificate
            .clone()
            .or_else(|| env.certificate.map(PathBuf::from)),
        client_certificate,
        client_key,
        use_environment_proxy: config.use_environment_proxy,
        allow_plaintext_credentials: config.allow_plaintext_credentials,
        exporter: exporter(config, &env, &areas, &mut notes)?,
        max_queue_size: max_queue_size(config, &env)?,
        buffer_bytes: areas.buffer,
        shard_bytes: areas.shard,
        max_span_bytes: areas.span,
        overflow: config.overflow,
        limits: config.limits.unwrap_or_else(|| limits(&env)),
        sampler: sampler(config, &env, &mut notes),
        resource: resource(config, &env, &mut notes),
        propagators: env.propagators.unwrap_or(Propagators::TRACE_CONTEXT),
        shutdown_timeout: config.shutdown_timeout,
        set_global: config.set_global,
        log_level: env.log_level,
        diagnostics: notes,
    };
    if settings.target == (Target::Stdout { immediate: true }) {
        // Somebody watches.
        let batch = &mut settings.exporter.batch;
        (batch.max_export_batch_size, batch.scheduled_delay) = (1, Duration::ZERO);
    }
    Ok(settings)
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

fn sampler(config: &Config, env: &EnvConfig<'_>, notes: &mut Vec<String>) -> HostedSampler {
    if let Some(sampler) = &config.sampler {
        return HostedSampler::Custom(sampler.clone());
    }
    HostedSampler::Builtin(if let Some(rate) = config.sample_rate {
        let root = TraceIdRatioBased::new(rate);
        if !(0.0..=1.0).contains(&rate) {
            notes.push(format!(
                "sample_rate: {rate} is not a number from 0 to 1; using {}",
                root.ratio()
            ));
        }
        BuiltinSampler::ParentBasedTraceIdRatio(root)
    } else {
        env.sampler.map(builtin).unwrap_or_default()
    })
}

fn builtin(choice: SamplerChoice) -> BuiltinSampler {
    let ratio = TraceIdRatioBased::new;
    match choice {
        SamplerChoice::AlwaysOn => BuiltinSampler::AlwaysOn,
        SamplerChoice::AlwaysOff => BuiltinSampler::AlwaysOff,
        SamplerChoice::TraceIdRatio(r) => BuiltinSampler::TraceIdRatio(ratio(r)),
        SamplerChoice::ParentBasedAlwaysOn => BuiltinSampler::ParentBasedAlwaysOn,
        SamplerChoice::ParentBasedAlwaysOff => BuiltinSampler::ParentBasedAlwaysOff,
        SamplerChoice::ParentBasedTraceIdRatio(r) => {
            BuiltinSampler::ParentBasedTraceIdRatio(ratio(r))
        }
    }
}

/// The fields with a name of their own come last, because the last call in code wins.
fn resource(config: &Config, env: &EnvConfig<'_>, notes: &mut Vec<String>) -> HostedResource {
    let pairs = env.resource_attributes.into_iter().flatten();
    let mut builder = ResourceBuilder::detect()
        .environment(pairs.map(|(key, value)| (key.to_string(), value.to_string())))
        .service_name_variable(env.service_name.unwrap_or_default());
    for (number, (key, value)) in (1..).zip(&config.resource_attributes) {
        if key.is_empty() {
            notes.push(format!(
                "resource_attributes: member {number} has no key; leaving it out"
            ));
        }
        builder = builder.attribute(key.clone(), value.as_str());
    }
    if let Some(environment) = config.environment.as_deref().filter(|e| !e.is_empty()) {
        builder = builder.attribute("deployment.environment.name", environment);
    }
    builder
        .service_name(&config.service_name)
        .service_version(config.service_version.as_deref().unwrap_or_default())
        .build()
}
