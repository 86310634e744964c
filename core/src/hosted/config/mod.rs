//! The one configuration of a hosted pipeline: [`Config`], from which [`Settings`] are resolved.
//!
//! ```text
//!              read              merge               check
//!  OTEL_* ───────────► Environment ──┐
//!                                    ├──► Merged ───────────► Settings ──http()──► HttpSettings
//!  code ─────────────► Config ───────┘      │
//!                                           └───────────────► SettingsError
//! ```
//!
//! A setting has three sources; the first one that provides it wins:
//!
//! ```text
//! a field of Config  >  its OTEL_* variable  >  the default
//! ```
//!
//! A mistake of an operator must not stop a service: a bad variable adds a sentence to
//! [`Settings::diagnostics`], and the next source is used. That holds for the start of a transport,
//! too. A certificate or key of a variable that cannot be read is reported as an error, and spans
//! wait: it is read again before each request, and nothing is sent without it. Attributes that make
//! the resource too large are left out. A mistake in code should not survive
//! its first run: it is a [`SettingsError`], or an error of the transport's `init`.
//!
//! A variable that code or a preset overrides adds a sentence, too, unless it says what code says: who
//! set it expects an effect. Its value is not checked.
//!
//! Two rules apply to all fields. `OTEL_SDK_DISABLED=true` beats `enabled: true`: with this switch
//! an operator silences a program without building it again. With `read_environment: false` no
//! variable is read, that one included.
//!
//! The variables are those of the specification's [SDK] and [exporter] configuration.
//!
//! [SDK]: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
//! [exporter]: https://opentelemetry.io/docs/specs/otel/protocol/exporter/
//!
//! | field | variable (`T_` = `OTEL_EXPORTER_OTLP_TRACES_` before `OTEL_EXPORTER_OTLP_`) | default | unit of the variable |
//! |---|---|---|---|
//! | `enabled` | `OTEL_SDK_DISABLED`, which can only disable | `false` | `true`, `false` |
//! | `service_name` | `OTEL_SERVICE_NAME`, else in `OTEL_RESOURCE_ATTRIBUTES` | `unknown_service:<program>` | text |
//! | `service_version` | in `OTEL_RESOURCE_ATTRIBUTES` | none | text |
//! | `environment` | `deployment.environment.name` in `OTEL_RESOURCE_ATTRIBUTES` | none | text |
//! | `resource_attributes` | `OTEL_RESOURCE_ATTRIBUTES`, key by key | detected ones | `key=value,..` |
//! | `detect` | `OTEL_EXPERIMENTAL_RESOURCE_DETECTORS` | `service`, `host`, `process`, and all of `resource_detectors` | [names](crate::hosted::resource::BuiltinDetector), `all`, `none` |
//! | `exporter` | - | none: the rows below | - |
//! | `further_destinations` | a list in `OTEL_TRACES_EXPORTER` | none | names |
//! | `endpoint` | `T_ENDPOINT`, `OTEL_TRACES_EXPORTER` (see [`Target`]) | the standard output | URL |
//! | `stdout_format` | `otlp/stdout` of `OTEL_TRACES_EXPORTER` asks for lines | by what the output is | - |
//! | `headers` | `T_HEADERS`, all or none | none | `key=value,..` |
//! | `user_agent_prefix` | - | none | - |
//! | `protocol` | `T_PROTOCOL` | `http/protobuf` | name |
//! | `compression` | `T_COMPRESSION` | `gzip` | name |
//! | `gzip_level` | - | the encoder made for spans | 0 to 9 |
//! | `timeout` | `T_TIMEOUT` | 10 s | ms, 0 = none |
//! | `certificate` | `T_CERTIFICATE` | the transport's roots | path |
//! | `client_certificate`, `client_key` | `T_CLIENT_CERTIFICATE`, `T_CLIENT_KEY`, as a pair | none | path |
//! | `processors` | - | none | - |
//! | `sampler`, `sample_rate` | `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG` | `parentbased_always_on` | name, 0 to 1 |
//! | `limits` | `OTEL_SPAN_*_LIMIT`, `OTEL_ATTRIBUTE_*_LIMIT`, `OTEL_EVENT_..`, `OTEL_LINK_..` | [`SpanLimits::DEFAULT`](crate::limits::SpanLimits::DEFAULT) | count, characters |
//! | `scheduled_delay` | `OTEL_BSP_SCHEDULE_DELAY` | 5 s | ms |
//! | `export_timeout` | `OTEL_BSP_EXPORT_TIMEOUT` | 30 s | ms, 0 = none |
//! | `max_queue_size` | `OTEL_BSP_MAX_QUEUE_SIZE` | 2048 | spans |
//! | `max_export_batch_size` | `OTEL_BSP_MAX_EXPORT_BATCH_SIZE` | 512 | spans |
//! | `buffer_bytes` | - | 2 MiB | bytes |
//! | `shard_bytes` | - | 256 KiB, twice that allocated | bytes |
//! | `max_span_bytes` | - | 16 KiB | bytes |
//! | `max_request_bytes` | - | 4 MiB | bytes |
//! | `concurrent_exports` | - | 1 | requests |
//! | `backoff` | - | [`BackoffConfig::DEFAULT`](crate::backoff::BackoffConfig::DEFAULT) | - |
//! | `breaker` | - | [`BreakerConfig::DEFAULT`](crate::breaker::BreakerConfig::DEFAULT) | - |
//! | `when_open`, `on_too_large`, `when_full` | - | hold, drop, drop the newest | - |
//! | `max_batch_age` | - | 300 s | - |
//! | `propagators` | `OTEL_PROPAGATORS` | `tracecontext,baggage` | names, or `none` |
//! | `incoming` | - | [`Incoming::Continue`] | - |
//! | `baggage_attributes` | - | none | - |
//! | `metrics_interval` | - | no metrics are sent | - |
//! | `metrics_endpoint` | `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT` | the endpoint with `/v1/metrics` for `/v1/traces` | URL |
//! | `shutdown_timeout` | - | 5 s | - |
//! | `use_environment_proxy` | - | `false` | - |
//! | `allow_plaintext_credentials`, `refuse_plaintext_credentials` | - | `false`: sent with a diagnostic | - |
//! | `read_environment`, `set_global` | - | `true` | - |
//! | - | `OTEL_LOG_LEVEL` | `info` | name |
//!
//! # How long an export takes
//!
//! | limit | of what | default |
//! |---|---|---|
//! | the smaller of `timeout` and `export_timeout`; zero = without limit | an export: all requests of a batch with the waits between them, while the circuit is closed | 10 s |
//! | [`backoff.max_retries`](crate::backoff::BackoffConfig::max_retries) | requests after the first one | 5 |
//! | [`backoff.max_elapsed`](crate::backoff::BackoffConfig::max_elapsed) | from the end of the first request to the start of the last one | 10 s |
//! | `max_batch_age` | from the first request to the last one, also while the circuit is open | 300 s |
//!
//! The limit covers an export with its retries, as the
//! [specification](https://opentelemetry.io/docs/specs/otel/protocol/exporter/#configuration-options)
//! has it: a request gets what the export has left, and no retry starts after its end. The end of its
//! time ends the export, but loses no span: a collector that took nothing for so long is failing, so the
//! circuit opens and the batch goes back to the queue, until the wait before the next retry is over, or
//! the circuit's first open interval if that is shorter.
//! Then it is sent as the probe, which is an export of its own, with the whole limit; if that fails
//! too, the circuit stays open for as long as `breaker` says. What waits for an open circuit, or for
//! the end of a pause that the collector asked for, is a queue and no export: no time of an export runs
//! there, `max_batch_age` does. A shutdown has its own deadline instead. With `when_open: WhenOpen::Drop`
//! the batch is dropped where it would go back to the queue.
//!
//! Durations in code are [`Duration`](core::time::Duration)s, so they have no unit of their own.
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

mod beside;
pub(in crate::hosted) mod credential;
mod debug;
mod delivery;
mod destination;
mod doubt;
mod environment;
mod error;
mod fields;
mod further;
mod headers;
mod http;
mod incoming;
mod keep;
mod merge;
mod notes;
mod overridden;
mod resolve;
mod sampler;
mod settings;
mod sizes;
mod stdout_format;
mod when_full;

pub use error::SettingsError;
pub use fields::{
    Config, DEFAULT_BUFFER_BYTES, DEFAULT_MAX_SPAN_BYTES, DEFAULT_SHARD_BYTES,
    MAX_CONCURRENT_EXPORTS,
};
pub use further::FurtherDestination;
pub use http::{HttpSettings, HttpSettingsError, HttpTarget, Proxy, TlsFiles};
pub use incoming::Incoming;
pub use keep::Keep;
pub use sampler::HostedSampler;
pub(in crate::hosted) use settings::VariableUse;
pub use settings::{Settings, Target};
pub use stdout_format::StdoutFormat;
pub use when_full::WhenFull;
