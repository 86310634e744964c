//! What every small example needs around its few lines: a pipeline, and a look at what arrived.

mod seen;

use std::fmt::Write;
use std::time::Duration;

use spandrel_core::exporter::FlushReport;
use spandrel_core::id::TraceId;
use spandrel_transport_std::{Config, Telemetry, start};

use crate::output::{Failure, show_warnings};
use crate::waterfall::{style_of_stdout, waterfall};
use crate::{Collector, ReceivedSpan};
use seen::SeenTraces;

/// How long the last flush may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tracing for one example: to the collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names, or else to
/// one in this process.
///
/// ```
/// use spandrel_examples::{Demo, Failure};
/// use spandrel_transport_std::tracer;
///
/// let demo = Demo::start("shop")?;
/// tracer("orders").start("order.place").end();
/// println!("{}", demo.finish()?);
/// # Ok::<(), Failure>(())
/// ```
pub struct Demo {
    telemetry: Telemetry,
    collector: Option<Collector>,
    seen: SeenTraces,
}

impl Demo {
    /// Starts tracing. The pipeline's own warnings go to the standard error.
    ///
    /// # Errors
    ///
    /// When there is no port for a collector, or the configuration is wrong.
    pub fn start(service_name: &str) -> Result<Self, Failure> {
        Self::start_with(Config {
            service_name: service_name.into(),
            ..Config::default()
        })
    }

    /// As [`Self::start`], with more settings than a name. Whether it is enabled, and the endpoint, are
    /// set here.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub fn start_with(config: Config) -> Result<Self, Failure> {
        show_warnings();
        let collector = own_collector()?;
        let endpoint = collector.as_ref().map_or("", Collector::endpoint);
        let mut settings = Config {
            enabled: true,
            endpoint: endpoint.into(),
            ..config
        }
        .resolve()?;
        let seen = SeenTraces::listen(&mut settings.sampler);
        Ok(Self {
            telemetry: start(&settings)?,
            collector,
            seen,
        })
    }

    /// Ends tracing. Returns a drawing of what the collector got, or where to look for it, and
    /// what became of every span.
    ///
    /// # Errors
    ///
    /// When not every span was delivered.
    pub fn finish(self) -> Result<String, Failure> {
        check_delivery(&self.telemetry.shutdown(PATIENCE))?;
        let mut text = match &self.collector {
            Some(collector) => drawn(&collector.spans()),
            None => whereabouts(&self.seen.ids()),
        };
        write!(text, "\n{}", self.telemetry.ledger())?;
        Ok(text)
    }
}

/// A collector in this process, unless the environment names one.
///
/// With `None`, leave `Config::endpoint` empty: the transport then reads the environment itself.
///
/// # Errors
///
/// When there is no port for it.
pub fn own_collector() -> Result<Option<Collector>, Failure> {
    match collector_of_environment() {
        Some(_) => Ok(None),
        None => Ok(Some(Collector::start()?)),
    }
}

/// The variable that names a collector, and the collector's URL.
fn collector_of_environment() -> Option<(&'static str, String)> {
    [
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ]
    .into_iter()
    .find_map(|name| {
        let url = std::env::var(name).ok()?;
        (!url.trim().is_empty()).then_some((name, url))
    })
}

/// Where to look for traces that went to the collector of the environment: one line for each.
#[must_use]
pub fn whereabouts(ids: &[TraceId]) -> String {
    let (_, collector) = collector_of_environment().unwrap_or_default();
    ids.iter().fold(String::new(), |mut text, id| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "trace {id} is at {collector}");
        text
    })
}

/// Turns the report of a shutdown into a failure unless everything has arrived.
///
/// # Errors
///
/// When something has not: what became of the spans, and what to do.
pub fn check_delivery(report: &FlushReport) -> Result<(), Failure> {
    if report.is_success() {
        return Ok(());
    }
    let advice = match collector_of_environment() {
        Some((variable, collector)) => format!(
            "Check that a collector takes OTLP over HTTP at {collector},\n\
             or unset {variable} to use the example's own collector."
        ),
        None => "The lines above say why.".into(),
    };
    Err(Failure::new(format!(
        "not everything arrived: {report}.\n{advice}"
    )))
}

/// A waterfall that suits the standard output: as wide as the terminal, in colour if it shows
/// colours.
#[must_use]
pub fn drawn(spans: &[ReceivedSpan]) -> String {
    waterfall(spans, style_of_stdout())
}
