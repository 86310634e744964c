//! The options of the program.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;
use spandrel_core::hosted::config::Config;

use super::GatewayConfig;

/// The text of `--help`.
pub(super) const HELP: &str = "\
Reads spans of devices from serial lines, TCP connections or the standard input, and delivers
them to an OpenTelemetry collector over OTLP/HTTP.

Usage: spandrel-gateway [OPTIONS]

Where devices are (any number of these; without any: --tcp 127.0.0.1:4319)
  --tcp ADDRESS:PORT       listen for devices
  --serial PATH            read a serial port or a file; set the line up before, for example:
                           stty -F /dev/ttyACM0 115200 raw -echo
  --stdin                  read the standard input, and end with it

Where spans go
  --endpoint URL           the collector, as in localhost:4318; default: the one of the OTEL_*
                           variables, else OTLP/JSON lines on the standard output
  --header NAME=VALUE      a header of every request (repeatable)
  --attribute KEY=VALUE    an attribute for the resource of every device (repeatable)

Limits
  --max-devices N          devices with different resources [64]
  --buffer-bytes N         bytes of spans that each device may have waiting [2097152]
  --shutdown-timeout SECS  how long the last flush may take [5]

Else
  --status SECS            seconds between two status lines where there is no terminal [60]
  -q, --quiet              no status, errors only
  -h, --help               this text
  -V, --version            the version

The OTEL_* variables of exporters apply: OTEL_EXPORTER_OTLP_ENDPOINT, _HEADERS, _COMPRESSION,
_TIMEOUT, _CERTIFICATE, OTEL_BSP_SCHEDULE_DELAY and so on; options win over them.
Ctrl-C ends the program after a last flush; a second one ends it at once.
";

/// A stream to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Tcp(String),
    Path(PathBuf),
    Stdin,
}

/// The program's arguments.
#[derive(Debug)]
pub(super) enum Request {
    Help,
    Version,
    Run(Box<Options>),
}

#[derive(Debug)]
pub(super) struct Options {
    pub(super) sources: Vec<Source>,
    pub(super) config: Config,
    pub(super) gateway: GatewayConfig,
    pub(super) status_every: Duration,
    pub(super) quiet: bool,
}

/// Reads the arguments behind the program's name.
pub(super) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Request, lexopt::Error> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut options = Options {
        sources: Vec::new(),
        config: Config {
            enabled: true,
            set_global: false,
            ..Config::default()
        },
        gateway: GatewayConfig::default(),
        status_every: Duration::from_secs(60),
        quiet: false,
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Request::Help),
            Short('V') | Long("version") => return Ok(Request::Version),
            Short('q') | Long("quiet") => options.quiet = true,
            Long("tcp") => options.sources.push(Source::Tcp(parser.value()?.string()?)),
            Long("serial") => options.sources.push(Source::Path(parser.value()?.into())),
            Long("stdin") => options.sources.push(Source::Stdin),
            Long("endpoint") => options.config.endpoint = parser.value()?.string()?,
            Long("header") => options.config.headers.push(pair(&mut parser)?),
            Long("attribute") => options.gateway.attributes.push(pair(&mut parser)?),
            Long("max-devices") => options.gateway.max_devices = at_least_one(&mut parser)?,
            Long("buffer-bytes") => {
                options.config.buffer_bytes = Some(at_least_one(&mut parser)?);
            }
            Long("shutdown-timeout") => options.config.shutdown_timeout = seconds(&mut parser)?,
            Long("status") => options.status_every = seconds(&mut parser)?,
            other => return Err(other.unexpected()),
        }
    }
    if options.sources.is_empty() {
        options.sources.push(Source::Tcp("127.0.0.1:4319".into()));
    }
    Ok(Request::Run(Box::new(options)))
}

fn pair(parser: &mut lexopt::Parser) -> Result<(String, String), lexopt::Error> {
    parser
        .value()?
        .parse_with(|text| match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok((key.trim().to_owned(), value.trim().to_owned()))
            }
            _ => Err("it must look like KEY=VALUE"),
        })
}

fn at_least_one(parser: &mut lexopt::Parser) -> Result<usize, lexopt::Error> {
    parser.value()?.parse_with(|text| match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("it must be a whole number above zero"),
    })
}

fn seconds(parser: &mut lexopt::Parser) -> Result<Duration, lexopt::Error> {
    parser.value()?.parse_with(|text| {
        let seconds: Option<f64> = text.parse().ok();
        seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .ok_or("it must be a number of seconds")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &[&str]) -> Result<Options, String> {
        match parse(arguments.iter().map(Into::into)) {
            Ok(Request::Run(options)) => Ok(*options),
            Ok(other) => Err(format!("{other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_help() {
        let options = run(&[]).unwrap();
        assert_eq!(options.sources, [Source::Tcp("127.0.0.1:4319".into())]);
        assert_eq!(options.gateway.max_devices, 64);
        assert_eq!(options.config.shutdown_timeout, Duration::from_secs(5));
        assert_eq!(options.status_every, Duration::from_secs(60));
        assert!(options.config.enabled && !options.quiet);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (arguments, expected) in [
            (&["--attribute", "x"][..], "KEY=VALUE"),
            (&["--attribute", "=x"], "KEY=VALUE"),
            (&["--max-devices", "0"], "above zero"),
            (&["--status", "-1"], "number of seconds"),
            (&["--nonsense"], "--nonsense"),
            (&["file"], "file"),
            (&["--serial"], "--serial"),
        ] {
            let error = run(arguments).unwrap_err();
            assert!(error.contains(expected), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn sources_and_attributes_add_up() {
        let options = run(&[
            "--stdin",
            "--serial=/dev/ttyACM0",
            "--tcp=[::1]:9",
            "--attribute",
            "site = north=1",
            "-q",
        ])
        .unwrap();
        assert_eq!(
            options.sources,
            [
                Source::Stdin,
                Source::Path("/dev/ttyACM0".into()),
                Source::Tcp("[::1]:9".into())
            ]
        );
        let site = ("site".to_owned(), "north=1".to_owned());
        assert_eq!(options.gateway.attributes, [site]);
        assert!(options.quiet);
    }
}
