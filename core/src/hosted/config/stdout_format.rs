//! The form of spans on the standard output.

/// What spans look like on the standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StdoutFormat {
    /// A drawing where the standard output is a terminal, else lines.
    /// `OTEL_TRACES_EXPORTER=otlp/stdout` means lines everywhere.
    #[default]
    Auto,
    /// [OTLP/JSON
    /// lines](https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/#json-lines-file), one
    /// for each batch, for programs.
    Json,
    /// A waterfall for each trace of a batch, for people. `COLUMNS` gives its width, which is 80
    /// columns on a terminal otherwise; `NO_COLOR` turns its colours off.
    Waterfall,
}
