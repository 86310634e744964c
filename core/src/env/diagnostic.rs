//! Problems of the configuration, in sentences for the person who wrote it.
//!
//! ```
//! use spandrel_core::env;
//!
//! let (_, diagnostics) = env::from_lookup(|name| match name {
//!     "OTEL_EXPORTER_OTLP_HEADERS" => Some("api-key=hunter2%,tenant=a"),
//!     "OTEL_EXPORTER_OTLP_PROTOCOL" => Some("grpc"),
//!     _ => None,
//! });
//! let said: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
//! assert_eq!(said, [
//!     "OTEL_EXPORTER_OTLP_PROTOCOL: \"grpc\" is not supported here, \
//!      only one of http/protobuf, http/json; using the default http/protobuf",
//!     "OTEL_EXPORTER_OTLP_HEADERS: member 1 (\"api-key\") has a '%' without two hexadecimal \
//!      digits, write %25 for '%'; leaving it out",
//! ]);
//! ```

use core::fmt;

use super::headers::HeaderProblemKind;
use super::resource::ResourceProblem;
use super::url::EndpointErrorKind;
use super::variable::Variable;

/// The number of diagnostics that are kept; further ones are counted.
const CAPACITY: usize = 16;
/// The most characters of a value that are shown.
const SHOWN: usize = 80;

/// The diagnostics of one reading of the configuration: the first 16, and a count of the others.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Diagnostics<'a> {
    kept: heapless::Vec<Diagnostic<'a>, CAPACITY>,
    overflow: u32,
}

impl<'a> Diagnostics<'a> {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            kept: heapless::Vec::new(),
            overflow: 0,
        }
    }

    pub(super) fn push(&mut self, diagnostic: Diagnostic<'a>) {
        if self.kept.push(diagnostic).is_err() {
            self.overflow = self.overflow.saturating_add(1);
        }
    }

    /// Returns the diagnostics that were kept, in the order in which they were found.
    pub fn iter(&self) -> core::slice::Iter<'_, Diagnostic<'a>> {
        self.kept.iter()
    }

    /// Returns the number of diagnostics that were kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Returns true if there are no diagnostics.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Returns the number of diagnostics that could not be kept.
    #[must_use]
    pub const fn overflow(&self) -> u32 {
        self.overflow
    }
}

impl<'d, 'a> IntoIterator for &'d Diagnostics<'a> {
    type Item = &'d Diagnostic<'a>;
    type IntoIter = core::slice::Iter<'d, Diagnostic<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One mistake, or one setting that is unlikely to be meant.
///
/// `Display` names the variable, what is wrong with it, and what happens instead. Values are
/// quoted, with control characters escaped, and cut after 80 characters.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Diagnostic<'a> {
    variable: &'static Variable,
    kind: DiagnosticKind,
    value: Option<&'a str>,
}

impl<'a> Diagnostic<'a> {
    pub(super) const fn new(
        variable: &'static Variable,
        kind: DiagnosticKind,
        value: Option<&'a str>,
    ) -> Self {
        Self {
            variable,
            kind,
            value,
        }
    }

    /// Returns the name of the variable, or `endpoint` for an endpoint set in code.
    #[must_use]
    pub const fn variable(&self) -> &'static str {
        self.variable.name
    }

    /// Returns the kind of the problem.
    #[must_use]
    pub const fn kind(&self) -> DiagnosticKind {
        self.kind
    }

    /// Returns the wrong text. For a header this is the key, never the value; for a URL that may
    /// hold credentials there is none.
    #[must_use]
    pub const fn value(&self) -> Option<&'a str> {
        self.value
    }
}

/// The problem of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DiagnosticKind {
    /// Neither `true` nor `false`; it counts as false.
    NotABoolean,
    /// Not a whole number.
    NotANumber,
    /// A number below zero.
    Negative,
    /// A number that is too large to be represented.
    TooLarge,
    /// A zero where at least one is required.
    Zero,
    /// A batch that is larger than the queue.
    BatchOverQueue {
        /// The size of the queue, in spans.
        queue: u32,
        /// The size of the batch that is used instead.
        used: u32,
    },
    /// Not one of the known words.
    Unknown,
    /// A word that the specification knows and this pipeline does not support.
    Unsupported,
    /// Not a number from 0 to 1.
    NotARatio,
    /// Not a whole number above zero, for a sampler that limits the rate.
    NotARate,
    /// An argument without a sampler that takes one.
    UnusedSamplerArg,
    /// An unknown propagator; it is skipped.
    UnknownPropagator,
    /// A propagator that this pipeline does not have; it is skipped.
    UnsupportedPropagator,
    /// `none` next to other propagators; it wins.
    NoneAmongOthers,
    /// A name in a list of exporters that is not known here; it is skipped.
    UnknownExporter,
    /// `none` next to other exporters; it is skipped.
    NoneAmongExporters,
    /// All propagators were skipped.
    NoPropagatorLeft,
    /// Not a usable URL.
    Endpoint(EndpointErrorKind),
    /// A user name or password in the URL, which is not sent.
    UserinfoIgnored,
    /// A query in a base URL, which is not sent.
    QueryIgnored,
    /// A fragment in the URL, which is never sent.
    FragmentIgnored,
    /// A base URL that already ends in the path that is about to be appended.
    SignalPathInBase,
    /// The port of OTLP over gRPC.
    GrpcPort,
    /// A header that is left out, and the position of its member, counted from 1.
    Header(HeaderProblemKind, u32),
    /// Headers, which may be secrets, cross a network in clear text.
    HeadersInClear,
    /// Resource attributes that are discarded as a whole.
    Resource(ResourceProblem),
    /// A client key without a client certificate.
    KeyWithoutCertificate,
    /// A client certificate without a client key.
    CertificateWithoutKey,
    /// A configuration file, which is not supported.
    ConfigFile,
}

impl fmt::Display for Diagnostic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use DiagnosticKind as Kind;
        let Variable {
            name,
            expects,
            default,
            ..
        } = self.variable;
        let value = Quoted(self.value);
        let instead = Instead(self.variable);
        write!(f, "{name}: ")?;
        match self.kind {
            Kind::NotABoolean => write!(f, "{value} is not {expects}; taking it as false"),
            Kind::NotANumber | Kind::Unknown => write!(f, "{value} is not {expects}; {instead}"),
            Kind::NotARatio => write!(f, "{value} is not {expects}; {instead}"),
            Kind::NotARate => write!(
                f,
                "{value} is not a whole number of spans or traces a second; using the default 100"
            ),
            Kind::Negative => write!(f, "{value} is less than zero; {instead}"),
            Kind::TooLarge => write!(f, "{value} is too large; {instead}"),
            Kind::Zero => write!(f, "{value} is not more than zero; {instead}"),
            Kind::BatchOverQueue { queue, used } => write!(
                f,
                "{value} is more than the queue of {queue} holds; using {used}"
            ),
            Kind::Unsupported => {
                write!(
                    f,
                    "{value} is not supported here, only {expects}; {instead}"
                )
            }
            Kind::UnusedSamplerArg => write!(
                f,
                "{value} is not used; set OTEL_TRACES_SAMPLER to traceidratio or \
                 parentbased_traceidratio to sample by ratio, or to another sampler with an argument"
            ),
            Kind::UnknownExporter => write!(f, "{value} is not known here; leaving it out"),
            Kind::NoneAmongExporters => {
                write!(f, "{value} has none among others; leaving it out")
            }
            Kind::UnknownPropagator => write!(f, "{value} is not known; leaving it out"),
            Kind::UnsupportedPropagator => {
                write!(f, "{value} is not supported here; leaving it out")
            }
            Kind::NoneAmongOthers => {
                write!(f, "{value} has none among others; taking it as none")
            }
            Kind::NoPropagatorLeft => {
                write!(f, "{value} has no supported propagator; {instead}")
            }
            Kind::Endpoint(problem) => write!(f, "{value} {problem}; {instead}"),
            Kind::UserinfoIgnored => f.write_str(
                "the user name or password in the URL is not sent; \
                 use an authorization header in OTEL_EXPORTER_OTLP_HEADERS",
            ),
            Kind::QueryIgnored => f.write_str(
                "the query of a base URL is not sent; \
                 write the whole URL in OTEL_EXPORTER_OTLP_TRACES_ENDPOINT to keep it",
            ),
            Kind::FragmentIgnored => f.write_str("the part after '#' is not sent"),
            Kind::SignalPathInBase => f.write_str(
                "/v1/traces is appended to a base URL that already ends in it; \
                 leave it out here, or write the URL in OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            ),
            Kind::GrpcPort => f.write_str(
                "4317 is the port of OTLP over gRPC, and this is OTLP over HTTP; \
                 collectors listen for it on 4318",
            ),
            Kind::Header(problem, number) => {
                write!(f, "member {number} ")?;
                if self.value.is_some() {
                    write!(f, "({value}) ")?;
                }
                write!(f, "{problem}; leaving it out")
            }
            Kind::HeadersInClear => f.write_str(
                "headers cross the network in clear text, because the endpoint is http and not \
                 this machine; use https if they are secret",
            ),
            Kind::Resource(problem) => write!(f, "{value} {problem}; using none of it"),
            Kind::KeyWithoutCertificate => write!(
                f,
                "the key {value} has no OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE with it; \
                 connecting without a client certificate"
            ),
            Kind::CertificateWithoutKey => write!(
                f,
                "the certificate {value} has no OTEL_EXPORTER_OTLP_CLIENT_KEY with it; \
                 connecting without a client certificate"
            ),
            Kind::ConfigFile => write!(
                f,
                "{value} is not read, configuration files are not supported; using {default}"
            ),
        }
    }
}

/// The value that applies instead.
struct Instead(&'static Variable);

impl fmt::Display for Instead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Variable {
            general, default, ..
        } = self.0;
        f.write_str("using ")?;
        if let Some(general) = general {
            write!(f, "{general} if that is set, else ")?;
        }
        write!(f, "the default {default}")
    }
}

/// A value in quotes, on one line of bounded length.
pub(super) struct Quoted<'a>(pub(super) Option<&'a str>);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        let Some(text) = self.0 else {
            return f.write_str("(not shown)");
        };
        f.write_char('"')?;
        let mut chars = text.chars();
        for c in chars.by_ref().take(SHOWN) {
            if c.is_control() || matches!(c, '"' | '\\') {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        f.write_str(if chars.next().is_some() { "..\"" } else { "\"" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::variable;
    use std::string::ToString;

    #[test]
    fn a_value_cannot_forge_or_flood_the_log() {
        let quoted = |text| Quoted(Some(text)).to_string();
        assert_eq!(
            quoted("a\r\nERROR \"x\"\u{1b}[31m"),
            "\"a\\r\\nERROR \\\"x\\\"\\u{1b}[31m\""
        );
        assert_eq!(quoted("ä"), "\"ä\"");
        let long = "x".repeat(1000);
        assert_eq!(Quoted(Some(&long)).to_string().len(), SHOWN + 4);
        assert_eq!(quoted(&"x".repeat(SHOWN)).len(), SHOWN + 2);
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let mut diagnostics = Diagnostics::new();
        let one = Diagnostic::new(&variable::SDK_DISABLED, DiagnosticKind::NotABoolean, None);
        for _ in 0..CAPACITY + 3 {
            diagnostics.push(one);
        }
        assert_eq!((diagnostics.len(), diagnostics.overflow()), (CAPACITY, 3));
    }
}
