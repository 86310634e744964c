//! Settings with a few possible values: exporter, protocol, compression, sampler, propagators.

use core::fmt;
use core::time::Duration;

use super::diagnostic::DiagnosticKind;
use super::parse::{Names, Reader, parse_number, parse_ratio};
use super::variable as var;

/// The destination of traces:
/// [`OTEL_TRACES_EXPORTER`](https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#exporter-selection).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum TracesExporter {
    /// `otlp`: OTLP over HTTP, the default.
    Otlp,
    /// `console`: OTLP/JSON lines on the standard output, like `otlp/stdout`.
    Console,
    /// `otlp/stdout`: OTLP/JSON lines on the standard output.
    OtlpStdout,
    /// `none`: nowhere.
    None,
}

impl TracesExporter {
    pub(super) const NAMES: Names<Self> = &[
        ("otlp", Some(Self::Otlp)),
        ("console", Some(Self::Console)),
        ("otlp/stdout", Some(Self::OtlpStdout)),
        ("none", Some(Self::None)),
        ("zipkin", None),
    ];
}

/// Destinations of traces besides the first one, each at most once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TracesExporters {
    /// The first ones are taken.
    names: [Option<TracesExporter>; 2],
}

impl TracesExporters {
    /// The names, in order.
    pub fn iter(&self) -> impl Iterator<Item = TracesExporter> {
        self.names.into_iter().flatten()
    }
}

/// A list with commas: the first destination, which is the collector wherever it stands, and the
/// others. Duplicates count once, unknown names are skipped, and `none` among others is.
pub(super) fn read_exporters(
    from: &mut Reader<'_, '_>,
) -> (Option<TracesExporter>, TracesExporters) {
    let variable = &var::TRACES_EXPORTER;
    let Some(text) = from.word(variable) else {
        return (None, TracesExporters::default());
    };
    let (mut first, mut further) = (None, TracesExporters::default());
    if !text.contains(',') {
        return (from.choice(variable, TracesExporter::NAMES), further);
    }
    for name in text.split(',').map(str::trim_ascii) {
        if name.is_empty() {
            continue;
        }
        let mut names = TracesExporter::NAMES.iter();
        let is_it = |(known, _): &&(&str, _)| name.eq_ignore_ascii_case(known);
        let Some((_, Some(found))) = names.find(is_it) else {
            from.warn(variable, DiagnosticKind::UnknownExporter, Some(name));
            continue;
        };
        let found = *found;
        let known = |it: &Option<TracesExporter>| *it == Some(found);
        if known(&first) || further.names.iter().any(known) {
            continue;
        }
        let behind = match (first, found) {
            (Some(TracesExporter::None), _) | (Some(_), TracesExporter::None) => {
                from.warn(variable, DiagnosticKind::NoneAmongExporters, Some(text));
                if found != TracesExporter::None {
                    first = Some(found);
                }
                continue;
            }
            (Some(before), TracesExporter::Otlp) => {
                first = Some(found);
                Some(before)
            }
            (Some(_), _) => Some(found),
            (None, _) => {
                first = Some(found);
                None
            }
        };
        if let Some(place) = further.names.iter_mut().find(|it| it.is_none()) {
            *place = behind;
        }
    }
    if first.is_none() {
        from.warn(variable, DiagnosticKind::Unknown, Some(text));
    }
    (first, further)
}

/// The encoding of a request:
/// [`OTEL_EXPORTER_OTLP_PROTOCOL`](https://opentelemetry.io/docs/specs/otel/protocol/exporter/#specify-protocol).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Protocol {
    /// `http/protobuf`, the default.
    #[default]
    HttpProtobuf,
    /// `http/json`.
    HttpJson,
}

impl Protocol {
    pub(super) const NAMES: Names<Self> = &[
        ("http/protobuf", Some(Self::HttpProtobuf)),
        ("http/json", Some(Self::HttpJson)),
        ("grpc", None),
    ];
}

/// The compression of a request:
/// [`OTEL_EXPORTER_OTLP_COMPRESSION`](https://opentelemetry.io/docs/specs/otel/protocol/exporter/#configuration-options).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Compression {
    /// `gzip`.
    Gzip,
    /// `none`.
    None,
}

impl Compression {
    pub(super) const NAMES: Names<Self> = &[("gzip", Some(Self::Gzip)), ("none", Some(Self::None))];
}

/// The level of the pipeline's own diagnostics, from none to all: `OTEL_LOG_LEVEL`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LogLevel {
    /// `none` or `off`: silence.
    None,
    /// `error`.
    Error,
    /// `warn`.
    Warn,
    /// `info`, the default.
    #[default]
    Info,
    /// `debug`.
    Debug,
    /// `trace`.
    Trace,
}

impl LogLevel {
    pub(super) const NAMES: Names<Self> = &[
        ("none", Some(Self::None)),
        ("off", Some(Self::None)),
        ("error", Some(Self::Error)),
        ("warn", Some(Self::Warn)),
        ("info", Some(Self::Info)),
        ("debug", Some(Self::Debug)),
        ("trace", Some(Self::Trace)),
    ];
}

/// A limit in time. A variable expresses "no limit" as zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Timeout {
    /// No limit.
    Infinite,
    /// Give up after this time; never zero when it comes from a variable.
    After(Duration),
}

impl Timeout {
    /// The limit that a variable states: zero means no limit.
    pub(super) const fn from_millis(millis: u64) -> Self {
        match millis {
            0 => Self::Infinite,
            millis => Self::After(Duration::from_millis(millis)),
        }
    }

    /// Returns the limit, or `None` for no limit.
    #[must_use]
    pub const fn as_duration(self) -> Option<Duration> {
        match self {
            Self::Infinite => None,
            Self::After(duration) => Some(duration),
        }
    }
}

/// The sampler:
/// [`OTEL_TRACES_SAMPLER`](https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#general-sdk-configuration)
/// with its argument.
///
/// Ratios are from 0 to 1. `probability` and `rate_limited`, and the same behind `parentbased_`, are
/// names of this pipeline; the specification has none for these samplers.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SamplerChoice {
    /// `always_on`.
    AlwaysOn,
    /// `always_off`.
    AlwaysOff,
    /// `traceidratio`.
    TraceIdRatio(f64),
    /// `parentbased_always_on`, the default.
    ParentBasedAlwaysOn,
    /// `parentbased_always_off`.
    ParentBasedAlwaysOff,
    /// `parentbased_traceidratio`.
    ParentBasedTraceIdRatio(f64),
    /// `probability`: consistent probability sampling.
    Probability(f64),
    /// `parentbased_probability`.
    ParentBasedProbability(f64),
    /// `rate_limited`: so many spans a second.
    RateLimited(u32),
    /// `parentbased_rate_limited`: so many traces a second.
    ParentBasedRateLimited(u32),
}

/// The spans or traces a second of a sampler that limits the rate, if its argument is not set.
const DEFAULT_RATE: u32 = 100;

impl SamplerChoice {
    const NAMES: Names<Self> = &[
        ("always_on", Some(Self::AlwaysOn)),
        ("always_off", Some(Self::AlwaysOff)),
        ("traceidratio", Some(Self::TraceIdRatio(1.0))),
        ("parentbased_always_on", Some(Self::ParentBasedAlwaysOn)),
        ("parentbased_always_off", Some(Self::ParentBasedAlwaysOff)),
        (
            "parentbased_traceidratio",
            Some(Self::ParentBasedTraceIdRatio(1.0)),
        ),
        ("probability", Some(Self::Probability(1.0))),
        (
            "parentbased_probability",
            Some(Self::ParentBasedProbability(1.0)),
        ),
        ("rate_limited", Some(Self::RateLimited(DEFAULT_RATE))),
        (
            "parentbased_rate_limited",
            Some(Self::ParentBasedRateLimited(DEFAULT_RATE)),
        ),
        ("jaeger_remote", None),
        ("parentbased_jaeger_remote", None),
        ("xray", None),
    ];

    /// The sampler with its argument; the kind of what is wrong with that.
    fn with_argument(self, text: &str) -> Result<Self, DiagnosticKind> {
        let ratio = || parse_ratio(text).ok_or(DiagnosticKind::NotARatio);
        let rate = || {
            let number = parse_number(text).ok();
            let number = number.and_then(|number| u32::try_from(number).ok());
            number
                .filter(|&rate| rate > 0)
                .ok_or(DiagnosticKind::NotARate)
        };
        Ok(match self {
            Self::TraceIdRatio(_) => Self::TraceIdRatio(ratio()?),
            Self::ParentBasedTraceIdRatio(_) => Self::ParentBasedTraceIdRatio(ratio()?),
            Self::Probability(_) => Self::Probability(ratio()?),
            Self::ParentBasedProbability(_) => Self::ParentBasedProbability(ratio()?),
            Self::RateLimited(_) => Self::RateLimited(rate()?),
            Self::ParentBasedRateLimited(_) => Self::ParentBasedRateLimited(rate()?),
            _ => return Err(DiagnosticKind::UnusedSamplerArg),
        })
    }
}

/// The argument applies to samplers with a ratio or a rate only; an argument that has no effect
/// becomes a diagnostic.
pub(super) fn read_sampler(from: &mut Reader<'_, '_>) -> Option<SamplerChoice> {
    let argument = &var::TRACES_SAMPLER_ARG;
    let is_set = from.word(&var::TRACES_SAMPLER).is_some();
    let choice = from.choice(&var::TRACES_SAMPLER, SamplerChoice::NAMES);
    let Some(text) = from.word(argument) else {
        return choice;
    };
    let Some(sampler) = choice else {
        // A bad sampler has its own diagnostic.
        if !is_set {
            from.warn(argument, DiagnosticKind::UnusedSamplerArg, Some(text));
        }
        return None;
    };
    match sampler.with_argument(text) {
        Ok(sampler) => Some(sampler),
        Err(kind) => {
            // As if it were unset.
            from.warn(argument, kind, Some(text));
            choice
        }
    }
}

/// A propagator that `OTEL_PROPAGATORS` can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PropagatorName {
    /// `tracecontext`: the headers `traceparent` and `tracestate`.
    TraceContext,
    /// `baggage`: the header of that name.
    Baggage,
    /// `b3`: B3 in a single header.
    B3,
    /// `b3multi`: B3 in multiple headers.
    B3Multi,
}

impl PropagatorName {
    const NAMES: [(&'static str, Self); 4] = [
        ("tracecontext", Self::TraceContext),
        ("baggage", Self::Baggage),
        ("b3", Self::B3),
        ("b3multi", Self::B3Multi),
    ];
}

/// Propagators, each at most once, in the order in which they run:
/// [`OTEL_PROPAGATORS`](https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#general-sdk-configuration).
///
/// The default is Trace Context and baggage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Propagators {
    /// The first ones are taken.
    names: [Option<PropagatorName>; 4],
}

impl Propagators {
    /// None: nothing is propagated.
    pub const NONE: Self = Self { names: [None; 4] };
    /// W3C Trace Context.
    pub const TRACE_CONTEXT: Self = Self::NONE.with(PropagatorName::TraceContext);

    /// These, and `name` behind them if it is not among them.
    #[must_use]
    pub const fn with(mut self, name: PropagatorName) -> Self {
        let mut at = 0;
        while at < self.names.len() {
            match self.names[at] {
                Some(there) if there as u8 == name as u8 => break,
                Some(_) => at += 1,
                None => {
                    self.names[at] = Some(name);
                    break;
                }
            }
        }
        self
    }

    /// The names, in order.
    pub fn iter(&self) -> impl Iterator<Item = PropagatorName> {
        self.names.into_iter().flatten()
    }

    /// Returns true if nothing is propagated.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.names[0].is_none()
    }
}

/// `tracecontext,baggage`.
impl Default for Propagators {
    fn default() -> Self {
        Self::TRACE_CONTEXT.with(PropagatorName::Baggage)
    }
}

/// The text of the variable: `none`, or the names with commas.
impl fmt::Display for Propagators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        for (number, name) in self.iter().enumerate() {
            if number > 0 {
                f.write_str(",")?;
            }
            let known = PropagatorName::NAMES.iter().find(|(_, it)| *it == name);
            f.write_str(known.map_or("", |(name, _)| name))?;
        }
        Ok(())
    }
}

/// Names of the specification that this pipeline does not have: the propagators are deprecated, or a
/// vendor's.
const OTHER_PROPAGATORS: [&str; 3] = ["jaeger", "xray", "ottrace"];

/// Duplicates count once, unknown names are skipped. If nothing is left, the variable counts as
/// unset: losing all propagation over a typing error would break traces.
pub(super) fn read_propagators(from: &mut Reader<'_, '_>) -> Option<Propagators> {
    let variable = &var::PROPAGATORS;
    let text = from.word(variable)?;
    let (mut found, mut none, mut others) = (Propagators::NONE, false, false);
    for name in text.split(',').map(str::trim_ascii) {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if name.is_empty() {
            continue;
        }
        if is("none") {
            none = true;
            continue;
        }
        others = true;
        if let Some((_, known)) = PropagatorName::NAMES.iter().find(|(known, _)| is(known)) {
            found = found.with(*known);
        } else if OTHER_PROPAGATORS.into_iter().any(is) {
            from.warn(variable, DiagnosticKind::UnsupportedPropagator, Some(name));
        } else {
            from.warn(variable, DiagnosticKind::UnknownPropagator, Some(name));
        }
    }
    if none {
        if others {
            from.warn(variable, DiagnosticKind::NoneAmongOthers, Some(text));
        }
        return Some(Propagators::NONE);
    }
    if found.is_empty() {
        from.warn(variable, DiagnosticKind::NoPropagatorLeft, Some(text));
        return None;
    }
    Some(found)
}
