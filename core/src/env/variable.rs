//! The variables: name, expected values, and default.
//!
//! Diagnostics are worded from this table, so that each one says which value applies instead.

use core::fmt;

/// One variable.
pub(super) struct Variable {
    pub(super) name: &'static str,
    /// The expected value, in words that follow "is not".
    pub(super) expects: &'static str,
    /// The default, as a person would write it.
    pub(super) default: &'static str,
    /// The more general variable that is read before the default applies.
    pub(super) general: Option<&'static str>,
}

/// Only the name: the rest is wording.
impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Variable {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=str}", self.name);
    }
}

impl PartialEq for Variable {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// A signal-specific variable and its generic one, in the order in which they are read.
pub(super) type Pair = [&'static Variable; 2];

/// A setting made in code, for diagnostics of an endpoint that does not come from a variable.
pub(super) static ENDPOINT_IN_CODE: Variable = Variable {
    name: "endpoint",
    expects: "host:port or an http or https URL",
    default: "the standard output",
    general: None,
};

macro_rules! variables {
    (@general) => { None };
    (@general $general:literal) => { Some($general) };
    ($($ident:ident = $name:literal $(else $general:literal)?, $expects:expr, $default:literal;)*) => {
        $(pub(super) static $ident: Variable = Variable {
            name: $name,
            expects: $expects,
            default: $default,
            general: variables!(@general $($general)?),
        };)*

        /// The names of all variables that [`from_lookup`](super::from_lookup) reads.
        pub const VARIABLES: &[&str] = &[$($name),*];
    };
}

const MILLIS: &str = "a whole number of milliseconds";
const COUNT: &str = "a whole number";
const PROTOCOLS: &str = "one of http/protobuf, http/json";
const COMPRESSIONS: &str = "one of gzip, none";
const URL: &str = "an http or https URL";
const PATH: &str = "a path";
const HEADER_LIST: &str = "a list like key1=value1,key2=value2";

variables! {
    CONFIG_FILE = "OTEL_CONFIG_FILE", PATH, "the variables";
    SDK_DISABLED = "OTEL_SDK_DISABLED", "true or false", "false";
    LOG_LEVEL = "OTEL_LOG_LEVEL", "one of none, error, warn, info, debug, trace", "info";
    SERVICE_NAME = "OTEL_SERVICE_NAME", "a name", "unknown_service";
    RESOURCE_ATTRIBUTES = "OTEL_RESOURCE_ATTRIBUTES", "a list like key1=value1,key2=value2", "none";
    PROPAGATORS = "OTEL_PROPAGATORS", "a list of tracecontext, baggage, b3, b3multi, or none",
        "tracecontext,baggage";
    RESOURCE_DETECTORS = "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "a list of names", "service,host,process";
    TRACES_SAMPLER = "OTEL_TRACES_SAMPLER",
        "one of always_on, always_off, traceidratio, parentbased_always_on, \
         parentbased_always_off, parentbased_traceidratio, probability, \
         parentbased_probability, rate_limited, parentbased_rate_limited",
        "parentbased_always_on";
    TRACES_SAMPLER_ARG = "OTEL_TRACES_SAMPLER_ARG", "a number from 0 to 1", "1.0";
    TRACES_EXPORTER = "OTEL_TRACES_EXPORTER", "one of otlp, console, otlp/stdout, none", "otlp";

    GENERIC_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT", URL, "http://localhost:4318";
    TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" else "OTEL_EXPORTER_OTLP_ENDPOINT",
        URL, "http://localhost:4318/v1/traces";
    METRICS_ENDPOINT = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT" else "OTEL_EXPORTER_OTLP_ENDPOINT",
        URL, "http://localhost:4318/v1/metrics";
    GENERIC_PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL", PROTOCOLS, "http/protobuf";
    TRACES_PROTOCOL = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL" else "OTEL_EXPORTER_OTLP_PROTOCOL",
        PROTOCOLS, "http/protobuf";
    GENERIC_HEADERS = "OTEL_EXPORTER_OTLP_HEADERS", HEADER_LIST, "none";
    TRACES_HEADERS = "OTEL_EXPORTER_OTLP_TRACES_HEADERS" else "OTEL_EXPORTER_OTLP_HEADERS",
        HEADER_LIST, "none";
    GENERIC_TIMEOUT = "OTEL_EXPORTER_OTLP_TIMEOUT", MILLIS, "10000";
    TRACES_TIMEOUT = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT" else "OTEL_EXPORTER_OTLP_TIMEOUT",
        MILLIS, "10000";
    GENERIC_COMPRESSION = "OTEL_EXPORTER_OTLP_COMPRESSION", COMPRESSIONS, "compression";
    TRACES_COMPRESSION = "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION"
        else "OTEL_EXPORTER_OTLP_COMPRESSION", COMPRESSIONS, "compression";
    GENERIC_CERTIFICATE = "OTEL_EXPORTER_OTLP_CERTIFICATE", PATH, "roots";
    TRACES_CERTIFICATE = "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE"
        else "OTEL_EXPORTER_OTLP_CERTIFICATE", PATH, "roots";
    GENERIC_CLIENT_KEY = "OTEL_EXPORTER_OTLP_CLIENT_KEY", PATH, "none";
    TRACES_CLIENT_KEY = "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY"
        else "OTEL_EXPORTER_OTLP_CLIENT_KEY", PATH, "none";
    GENERIC_CLIENT_CERTIFICATE = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", PATH, "none";
    TRACES_CLIENT_CERTIFICATE = "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE"
        else "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", PATH, "none";

    BSP_SCHEDULE_DELAY = "OTEL_BSP_SCHEDULE_DELAY", MILLIS, "5000";
    BSP_EXPORT_TIMEOUT = "OTEL_BSP_EXPORT_TIMEOUT", MILLIS, "30000";
    BSP_MAX_QUEUE_SIZE = "OTEL_BSP_MAX_QUEUE_SIZE", COUNT, "2048";
    BSP_MAX_EXPORT_BATCH_SIZE = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", COUNT, "512";

    ATTRIBUTE_VALUE_LENGTH_LIMIT = "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", COUNT, "unlimited";
    ATTRIBUTE_COUNT_LIMIT = "OTEL_ATTRIBUTE_COUNT_LIMIT", COUNT, "128";
    SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT = "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT"
        else "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", COUNT, "unlimited";
    SPAN_ATTRIBUTE_COUNT_LIMIT = "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"
        else "OTEL_ATTRIBUTE_COUNT_LIMIT", COUNT, "128";
    SPAN_EVENT_COUNT_LIMIT = "OTEL_SPAN_EVENT_COUNT_LIMIT", COUNT, "128";
    SPAN_LINK_COUNT_LIMIT = "OTEL_SPAN_LINK_COUNT_LIMIT", COUNT, "128";
    EVENT_ATTRIBUTE_COUNT_LIMIT = "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT"
        else "OTEL_ATTRIBUTE_COUNT_LIMIT", COUNT, "128";
    LINK_ATTRIBUTE_COUNT_LIMIT = "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT"
        else "OTEL_ATTRIBUTE_COUNT_LIMIT", COUNT, "128";
}

macro_rules! pairs {
    ($($pair:ident = $specific:ident, $generic:ident;)*) => {
        $(pub(super) const $pair: Pair = [&$specific, &$generic];)*
    };
}

pairs! {
    ENDPOINT = TRACES_ENDPOINT, GENERIC_ENDPOINT;
    PROTOCOL = TRACES_PROTOCOL, GENERIC_PROTOCOL;
    HEADERS = TRACES_HEADERS, GENERIC_HEADERS;
    TIMEOUT = TRACES_TIMEOUT, GENERIC_TIMEOUT;
    COMPRESSION = TRACES_COMPRESSION, GENERIC_COMPRESSION;
    CERTIFICATE = TRACES_CERTIFICATE, GENERIC_CERTIFICATE;
    CLIENT_KEY = TRACES_CLIENT_KEY, GENERIC_CLIENT_KEY;
    CLIENT_CERTIFICATE = TRACES_CLIENT_CERTIFICATE, GENERIC_CLIENT_CERTIFICATE;
}
