//! What every small example needs around its few lines: a pipeline, and a look at what arrived.

use std::error::Error;
use std::fmt::Write;
use std::time::Duration;

use spandrel_core::hosted::diagnostics::{Severity, set_handler};
use spandrel_transport_std::{Config, Telemetry, init};

use crate::waterfall::{Style, waterfall};
use crate::{Collector, ReceivedSpan};

/// How long the last flush may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tracing for one example: to the collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names, or else to
/// one in this process.
///
/// ```
/// use spandrel_examples::Demo;
/// use spandrel_transport_std::tracer;
///
/// let demo = Demo::start("shop")?;
/// tracer("orders").start("order.place").end();
/// println!("{}", demo.finish()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Demo {
    telemetry: Telemetry,
    collector: Option<Collector>,
}

impl Demo {
    /// Starts tracing. The pipeline's own warnings go to the standard error.
    ///
    /// # Errors
    ///
    /// When there is no port for a collector, or the configuration is wrong.
    pub fn start(service_name: &str) -> Result<Self, Box<dyn Error>> {
        show_warnings();
        let collector = match collector_of_environment() {
            Some(_) => None,
            None => Some(Collector::start()?),
        };
        let endpoint = collector.as_ref().map_or("", Collector::endpoint);
        let telemetry = init(Config {
            enabled: true,
            service_name: service_name.into(),
            endpoint: endpoint.into(),
            ..Config::default()
        })?;
        Ok(Self {
            telemetry,
            collector,
        })
    }

    /// Ends tracing, and tells what the collector got and where every span is.
    ///
    /// # Errors
    ///
    /// When not every span was delivered.
    pub fn finish(self) -> Result<String, Box<dyn Error>> {
        let report = self.telemetry.shutdown(PATIENCE);
        if !report.is_success() {
            return Err(format!("not everything arrived: {report}").into());
        }
        let mut text = match (&self.collector, collector_of_environment()) {
            (Some(collector), _) => drawn(&collector.spans()),
            (None, endpoint) => {
                format!("the trace is at {}\n", endpoint.unwrap_or_default())
            }
        };
        write!(text, "\n{}", self.telemetry.ledger())?;
        Ok(text)
    }
}

/// The collector that the environment names, if it does.
#[must_use]
pub fn collector_of_environment() -> Option<String> {
    [
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ]
    .into_iter()
    .find_map(|name| {
        std::env::var(name)
            .ok()
            .filter(|url| !url.trim().is_empty())
    })
}

/// A waterfall that suits the standard output: as wide as the terminal, in colour if it shows
/// colours.
#[must_use]
pub fn drawn(spans: &[ReceivedSpan]) -> String {
    waterfall(spans, Style::of_stdout())
}

/// Shows what the pipeline says about itself, from warnings up, on the standard error.
#[allow(clippy::print_stderr, reason = "this is how the examples speak")]
pub fn show_warnings() {
    set_handler(Box::new(|report| {
        if report.severity >= Severity::Warn {
            eprintln!("spandrel: {report}");
        }
    }));
}
