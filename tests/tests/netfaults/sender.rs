//! Both transports behind one face: what a service calls to start, to flush and to end.

use std::time::Duration;

use spandrel_core::backoff::{BackoffConfig, Jitter};
use spandrel_core::breaker::{BreakerConfig, OpenInterval};
use spandrel_core::env::Compression;
use spandrel_core::exporter::FlushReport;
use spandrel_core::hosted::config::Config;
use spandrel_core::hosted::trace::Tracer;
use spandrel_core::stats::{DeliveryStats, Ledger};
use tokio::runtime::Runtime;

/// The transports, by the names that children are started with.
pub(crate) const SENDERS: [&str; 2] = ["blocking", "tokio"];

/// A transport with whatever it needs to run.
pub(crate) enum Sender {
    Blocking(spandrel_transport_std::Telemetry),
    Tokio(spandrel_transport_async::Telemetry, Runtime),
}

impl Sender {
    pub(crate) fn start(name: &str, config: Config) -> Result<Self, String> {
        if name == "blocking" {
            let telemetry = spandrel_transport_std::init(config);
            return telemetry
                .map(Self::Blocking)
                .map_err(|error| error.to_string());
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let entered = runtime.enter();
        let telemetry = spandrel_transport_async::init(config);
        drop(entered);
        match telemetry {
            Ok(telemetry) => Ok(Self::Tokio(telemetry, runtime)),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(crate) fn tracer(&self) -> Tracer {
        match self {
            Self::Blocking(telemetry) => telemetry.tracer("service"),
            Self::Tokio(telemetry, _) => telemetry.tracer("service"),
        }
    }

    pub(crate) fn flush(&self, timeout: Duration) -> FlushReport {
        match self {
            Self::Blocking(telemetry) => telemetry.force_flush(timeout),
            Self::Tokio(telemetry, runtime) => runtime.block_on(telemetry.force_flush(timeout)),
        }
    }

    pub(crate) fn shutdown(&self, timeout: Duration) -> FlushReport {
        match self {
            Self::Blocking(telemetry) => telemetry.shutdown(timeout),
            Self::Tokio(telemetry, runtime) => runtime.block_on(telemetry.shutdown(timeout)),
        }
    }

    pub(crate) fn ledger(&self) -> Ledger {
        match self {
            Self::Blocking(telemetry) => telemetry.ledger(),
            Self::Tokio(telemetry, _) => telemetry.ledger(),
        }
    }

    pub(crate) fn stats(&self) -> DeliveryStats {
        match self {
            Self::Blocking(telemetry) => telemetry.stats(),
            Self::Tokio(telemetry, _) => telemetry.stats(),
        }
    }
}

/// Short waits, a batch only when the test says so, and bodies as large as their spans.
pub(crate) fn config(url: &str, timeout: Duration) -> Config {
    let ms = Duration::from_millis;
    Config {
        enabled: true,
        service_name: "service".into(),
        endpoint: url.into(),
        backoff: Some(BackoffConfig {
            initial: ms(20),
            cap: ms(200),
            floor: ms(1),
            jitter: Jitter::None,
            // What ends a fault here is the test, and nothing may be given up before.
            max_retries: 1_000,
            max_elapsed: Duration::from_secs(3600),
            ..BackoffConfig::DEFAULT
        }),
        breaker: Some(BreakerConfig {
            open: OpenInterval::Fixed(ms(200)),
            ..BreakerConfig::DEFAULT
        }),
        compression: Some(Compression::None),
        timeout: Some(timeout),
        scheduled_delay: Some(Duration::from_secs(3600)),
        read_environment: false,
        set_global: false,
        ..Config::default()
    }
}
