//! The one configuration of a hosted pipeline: [`Config`], and what becomes of it, [`Settings`].
//!
//! Three voices speak about a setting, and the first that says something wins (checklist B-004):
//!
//! ```text
//! a field of Config  >  its OTEL_* variable  >  the default
//! ```
//!
//! A mistake of an operator must not stop a service: a bad variable gives a sentence in
//! [`Settings::diagnostics`] and the next voice is heard. A mistake in code should not survive
//! its first run: it is a [`SettingsError`]. A variable that code overrides is not even read, so
//! nothing is said about it.
//!
//! Two rules cut across. `OTEL_SDK_DISABLED=true` beats `enabled: true`: it is the switch by
//! which an operator silences a program without building it anew. And with `read_environment:
//! false` no variable is heard at all, that one included.
//!
//! | field | variable (`T_` = `OTEL_EXPORTER_OTLP_TRACES_` before `OTEL_EXPORTER_OTLP_`) | default |
//! |---|---|---|
//! | `enabled` | `OTEL_SDK_DISABLED`, which can only disable | `false` |
//! | `service_name` | `OTEL_SERVICE_NAME`, else in `OTEL_RESOURCE_ATTRIBUTES` | `unknown_service:<program>` |
//! | `service_version` | in `OTEL_RESOURCE_ATTRIBUTES` | none |
//! | `environment` | `deployment.environment.name` in `OTEL_RESOURCE_ATTRIBUTES` | none |
//! | `resource_attributes` | `OTEL_RESOURCE_ATTRIBUTES`, key by key | what is detected |
//! | `endpoint` | `T_ENDPOINT`, `OTEL_TRACES_EXPORTER` (see [`Target`]) | the standard output |
//! | `headers` | `T_HEADERS`, all or none | none |
//! | `protocol` | `T_PROTOCOL` | `http/protobuf` |
//! | `compression` | `T_COMPRESSION` | gzip |
//! | `gzip_level` | - | made for spans |
//! | `timeout` | `T_TIMEOUT` | 10 s |
//! | `certificate` | `T_CERTIFICATE` | the transport's roots |
//! | `client_certificate`, `client_key` | `T_CLIENT_CERTIFICATE`, `T_CLIENT_KEY`, as a pair | none |
//! | `sampler`, `sample_rate` | `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG` | `parentbased_always_on` |
//! | `limits` | `OTEL_SPAN_*_LIMIT`, `OTEL_ATTRIBUTE_*_LIMIT`, `OTEL_EVENT_..`, `OTEL_LINK_..` | [`SpanLimits::DEFAULT`] |
//! | `scheduled_delay` | `OTEL_BSP_SCHEDULE_DELAY` | 5 s |
//! | `export_timeout` | `OTEL_BSP_EXPORT_TIMEOUT` | 30 s |
//! | `max_queue_size` | `OTEL_BSP_MAX_QUEUE_SIZE` | 2048 spans |
//! | `max_export_batch_size` | `OTEL_BSP_MAX_EXPORT_BATCH_SIZE` | 512 spans |
//! | `buffer_bytes`, `shard_bytes` | - | 2 MiB, 256 KiB |
//! | `max_span_bytes`, `max_request_bytes` | - | 16 KiB, 4 MiB |
//! | `backoff`, `breaker` | - | [`BackoffConfig::DEFAULT`], [`BreakerConfig::DEFAULT`] |
//! | `when_open`, `on_too_large`, `overflow` | - | hold, drop, drop the newest |
//! | `max_batch_age` | - | 300 s |
//! | `shutdown_timeout` | - | 5 s |
//! | `use_environment_proxy`, `allow_plaintext_credentials` | - | `false` |
//! | `set_global` | - | `true` |
//! | - | `OTEL_PROPAGATORS`, `OTEL_LOG_LEVEL` | `tracecontext`, `info` |
//!
//! ```
//! use spandrel_core::hosted::config::{Config, Target};
//!
//! let config = Config { sample_rate: Some(0.25), ..Config::production("checkout", "") };
//! let settings = config.resolve_with(|name| match name {
//!     "OTEL_EXPORTER_OTLP_ENDPOINT" => Some("https://collector.example".into()),
//!     "OTEL_BSP_SCHEDULE_DELAY" => Some("soon".into()),
//!     _ => None,
//! })?;
//! let Target::Otlp { url, .. } = &settings.target else { panic!("there is an endpoint") };
//! assert_eq!(url, "https://collector.example/v1/traces");
//! assert_eq!(settings.diagnostics, [
//!     "OTEL_BSP_SCHEDULE_DELAY: \"soon\" is not a whole number of milliseconds; \
//!      using the default 5000"
//! ]);
//!
//! let wrong = Config { endpoint: "ftp://collector".into(), ..config };
//! assert!(wrong.resolve_with(|_| None).is_err());
//! # Ok::<(), spandrel_core::hosted::config::SettingsError>(())
//! ```

pub(in crate::hosted) mod credential;
mod debug;
mod delivery;
mod destination;
mod environment;
mod error;
mod fields;
mod headers;
mod http;
mod merge;
mod notes;
mod resolve;
mod sampler;
mod settings;
mod sizes;
#[cfg(test)]
mod tests;

pub use error::SettingsError;
pub use fields::{Config, DEFAULT_BUFFER_BYTES, DEFAULT_MAX_SPAN_BYTES, DEFAULT_SHARD_BYTES};
pub use http::{HttpSettings, HttpSettingsError, HttpTarget, Proxy, TlsFiles};
pub use sampler::HostedSampler;
pub use settings::{Settings, Target};
