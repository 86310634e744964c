//! Configuration: the fields of a program, the variables, the defaults and what becomes of them.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

mod http;
mod precedence;
mod refusals;
mod sizes;
mod targets;
mod timeouts;

use core::time::Duration;
use std::sync::Arc;

use spandrel_core::backoff::BackoffConfig;
use spandrel_core::breaker::BreakerConfig;
use spandrel_core::env::{Compression, Propagators, Protocol};
use spandrel_core::exporter::{OnTooLarge, WhenOpen};
use spandrel_core::hosted::config::WhenFull;
use spandrel_core::hosted::config::*;
use spandrel_core::limits::SpanLimits;
use spandrel_core::sampler::Sampler;

/// The settings of `config` with these variables.
fn with(config: &Config, variables: &[(&str, &str)]) -> Settings {
    let found = |name: &str| {
        let mut variables = variables.iter();
        let found = variables.find(|(known, _)| *known == name);
        found.map(|(_, text)| String::from(*text))
    };
    config.resolve_with(found).unwrap()
}

/// The settings of `config` alone, after checking that nothing was said.
fn alone(config: &Config) -> Settings {
    let settings = with(config, &[]);
    assert_eq!(settings.diagnostics, Vec::<String>::new());
    settings
}

fn error(config: &Config) -> SettingsError {
    config.resolve_with(|_| None).unwrap_err()
}

/// Every field that a variable could fill, filled by code.
fn full() -> Config {
    Config {
        enabled: true,
        service_name: "code".into(),
        service_version: Some("1.2.3".into()),
        environment: Some("staging".into()),
        resource_attributes: [("team".into(), "storage".into())].into(),
        detect: ["all".into()].into(),
        endpoint: "https://code.example".into(),
        headers: [("x-code".into(), "1".into())].into(),
        protocol: Some(Protocol::HttpJson),
        compression: Some(Compression::None),
        gzip_level: Some(6),
        timeout: Some(Duration::from_secs(3)),
        certificate: Some("code-ca.pem".into()),
        client_certificate: Some("code.pem".into()),
        client_key: Some("code.key".into()),
        sample_rate: Some(0.5),
        limits: Some(SpanLimits {
            attribute_count: 7,
            ..SpanLimits::DEFAULT
        }),
        scheduled_delay: Some(Duration::from_millis(70)),
        export_timeout: Some(Duration::from_secs(7)),
        max_queue_size: Some(700),
        max_export_batch_size: Some(70),
        propagators: Some(Propagators::TRACE_CONTEXT),
        metrics_endpoint: "https://code.example/v1/metrics".into(),
        ..Config::default()
    }
}
