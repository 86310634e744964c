//! What a start says, and what cannot stop it, with both transports. Each case is a process of its
//! own, because variables, loggers and reports belong to a process.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::time::Duration;

use spandrel_core::hosted::diagnostics::set_handler;
use spandrel_core::hosted::layer::layer;
use spandrel_core::hosted::trace::{self, Tracer};
use spandrel_tests::fault_server::{FaultServer, Front, Script};
use spandrel_tests::tls::Authority;
use spandrel_transport_std::Config;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::child::say;
use crate::tls::PemFile;
use crate::values;

const CASE: &str = "SPANDREL_TEST_START";
pub(crate) const TRANSPORT: &str = "SPANDREL_TEST_TRANSPORT";
const TRANSPORTS: [&str; 2] = ["std", "async"];

/// Everything that a child said.
struct Said {
    /// What a handler, a logger or a subscriber was given.
    heard: Vec<String>,
    /// Spandrel's own lines on the standard error.
    stderr: Vec<String>,
}

/// Runs `case` with these variables and no others.
fn run(case: &str, transport: &str, variables: &[(&str, &OsStr)]) -> Said {
    let mut command = Command::new(std::env::current_exe().expect("our own path"));
    command
        .args(["start::case", "--exact", "--nocapture", "--test-threads=1"])
        .env_clear()
        .env(CASE, case)
        .env(TRANSPORT, transport)
        .stdin(Stdio::null());
    for (name, value) in variables {
        command.env(name, value);
    }
    let output = command.output().expect("a child");
    let lines = |bytes: &[u8], mark: &str| -> Vec<String> {
        let text = String::from_utf8_lossy(bytes);
        let lines = text.lines().filter_map(|line| line.split_once(mark));
        lines.map(|(_, text)| text.to_owned()).collect()
    };
    assert!(
        output.status.success(),
        "{case}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Said {
        heard: lines(&output.stdout, "=> "),
        stderr: lines(&output.stderr, "spandrel: "),
    }
}

fn run_text(case: &str, transport: &str, variables: &[(&str, &str)]) -> Said {
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| (*name, OsStr::new(*value)))
        .collect();
    run(case, transport, &variables)
}

/// A running pipeline of either transport.
enum Running {
    Blocking(spandrel_transport_std::Telemetry),
    Async(tokio::runtime::Runtime, spandrel_transport_async::Telemetry),
}

impl Running {
    fn init(config: Config) -> Result<Self, String> {
        if std::env::var(TRANSPORT).is_ok_and(|name| name == "std") {
            let started = spandrel_transport_std::init(config);
            return started.map(Self::Blocking).map_err(|it| it.to_string());
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let started = {
            let _inside = runtime.enter();
            spandrel_transport_async::init(config)
        };
        let telemetry = started.map_err(|it| it.to_string())?;
        Ok(Self::Async(runtime, telemetry))
    }

    fn tracer(&self) -> Tracer {
        match self {
            Self::Blocking(telemetry) => telemetry.tracer("start"),
            Self::Async(_, telemetry) => telemetry.tracer("start"),
        }
    }

    fn ledger(&self) -> String {
        match self {
            Self::Blocking(telemetry) => telemetry.ledger().to_string(),
            Self::Async(_, telemetry) => telemetry.ledger().to_string(),
        }
    }

    fn flush(&self, timeout: Duration) -> bool {
        let report = match self {
            Self::Blocking(telemetry) => telemetry.force_flush(timeout),
            Self::Async(runtime, telemetry) => runtime.block_on(telemetry.force_flush(timeout)),
        };
        report.is_success()
    }

    fn shutdown(&self, timeout: Duration) {
        let _ = match self {
            Self::Blocking(telemetry) => telemetry.shutdown(timeout),
            Self::Async(runtime, telemetry) => runtime.block_on(telemetry.shutdown(timeout)),
        };
    }
}

pub(crate) fn config() -> Config {
    Config {
        enabled: true,
        shutdown_timeout: Duration::from_millis(200),
        ..Config::default()
    }
}

fn tell() {
    set_handler(Box::new(|report| {
        say(&format!("{:?} {report}", report.severity));
    }));
}

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.target() == "spandrel" {
            say(&format!("{} {}", record.level(), record.args()));
        }
    }

    fn flush(&self) {}
}

/// Says what the events of Spandrel are.
struct Listening;

struct Message(String);

impl tracing::field::Visit for Message {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn core::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Listening {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let metadata = event.metadata();
        if metadata.target() == "spandrel" {
            let mut message = Message(String::new());
            event.record(&mut message);
            say(&format!("{} {}", metadata.level(), message.0));
        }
    }
}

/// Not a check of its own: the entry of the processes that other tests start, which name a case.
#[test]
fn case() {
    let Ok(case) = std::env::var(CASE) else {
        return;
    };
    match case.as_str() {
        "nobody" => {
            let running = Running::init(config()).unwrap();
            running.shutdown(Duration::from_millis(200));
        }
        "nobody-waits" => {
            let running = Running::init(config()).unwrap();
            std::thread::sleep(Duration::from_secs(5));
            say("waited");
            std::mem::forget(running);
        }
        "handler-first" => {
            tell();
            let running = Running::init(config()).unwrap();
            running.shutdown(Duration::from_millis(200));
        }
        "handler-later" => {
            let running = Running::init(config()).unwrap();
            tell();
            say("set");
            running.shutdown(Duration::from_millis(200));
        }
        "logger-later" => {
            let running = Running::init(config()).unwrap();
            log::set_logger(&Logger).unwrap();
            log::set_max_level(log::LevelFilter::Info);
            running.shutdown(Duration::from_millis(200));
        }
        "subscriber-later" => {
            let running = Running::init(config()).unwrap();
            let spans = layer(&running.tracer());
            tracing_subscriber::registry()
                .with(Listening)
                .with(spans)
                .init();
            running.shutdown(Duration::from_millis(200));
        }
        "early" => {
            tell();
            let early = trace::tracer("early");
            let spans = layer(&early);
            let running = Running::init(config()).unwrap();
            early.start("work").end();
            say(&running.ledger());
            drop(spans);
            running.shutdown(Duration::from_millis(200));
        }
        "start" => {
            tell();
            let running = Running::init(config()).unwrap();
            running.tracer().start("work").end();
            running.shutdown(Duration::from_millis(100));
            say(&running.ledger());
        }
        // The file appears while the program runs.
        "file-later" => {
            tell();
            let running = Running::init(config()).unwrap();
            running.tracer().start("work").end();
            let _ = running.flush(Duration::from_millis(200));
            say(&running.ledger());
            let path = std::env::var("OTEL_EXPORTER_OTLP_CERTIFICATE").unwrap();
            std::fs::write(path, std::env::var("SPANDREL_TEST_PEM").unwrap()).unwrap();
            let _ = running.flush(Duration::from_secs(20));
            say(&running.ledger());
        }
        "code-certificate" => {
            let failed = Running::init(Config {
                endpoint: "https://localhost:1".into(),
                certificate: Some("missing.pem".into()),
                ..config()
            });
            say(&failed.err().unwrap());
        }
        "memory" => {
            let huge = Some(1 << (usize::BITS - 4));
            for config in [
                Config {
                    buffer_bytes: huge,
                    ..config()
                },
                Config {
                    shard_bytes: huge,
                    ..config()
                },
                Config {
                    buffer_bytes: Some(usize::MAX),
                    ..config()
                },
                Config {
                    max_span_bytes: huge,
                    shard_bytes: Some(usize::MAX),
                    buffer_bytes: Some(usize::MAX),
                    max_request_bytes: Some(usize::MAX),
                    ..config()
                },
            ] {
                say(&Running::init(config).err().unwrap());
            }
        }
        "disabled" => {
            tell();
            let running = Running::init(Config {
                enabled: false,
                ..config()
            });
            drop(running);
        }
        "table" => values::table(),
        other => unreachable!("no such case: {other}"),
    }
}

/// Four mistakes, as in a compose file that quotes its values.
const FOUR: [(&str, &str); 4] = [
    ("OTEL_BSP_SCHEDULE_DELAY", "5s"),
    ("OTEL_TRACES_SAMPLER", "half"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "\"http://localhost:4318\""),
    ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization: Bearer abc"),
];

#[track_caller]
fn names_all(lines: &[String]) {
    for (name, _) in FOUR {
        let found = lines.iter().filter(|line| line.contains(name)).count();
        assert_eq!(found, 1, "{name}: {lines:?}");
    }
}

/// Fault X20.
#[test]
fn four_bad_variables_give_four_reports() {
    for transport in TRANSPORTS {
        let said = run_text("handler-first", transport, &FOUR);
        names_all(&said.heard);
        assert!(said.stderr.is_empty(), "{:?}", said.stderr);
    }
}

/// Fault X21.
#[test]
fn reports_of_the_start_wait_for_whatever_listens_later() {
    for transport in TRANSPORTS {
        for case in ["handler-later", "logger-later", "subscriber-later"] {
            let said = run_text(case, transport, &FOUR);
            names_all(&said.heard);
            let started = |line: &String| line.contains("tracing started");
            assert!(said.heard.iter().any(started), "{case}: {:?}", said.heard);
            assert!(said.stderr.is_empty(), "{case}: {:?}", said.stderr);
        }
        // A handler gets them at once, and in order.
        let heard = run_text("handler-later", transport, &FOUR).heard;
        let at = |text: &str| heard.iter().position(|line| line.contains(text));
        assert!(
            at("OTEL_BSP_SCHEDULE_DELAY") < at("tracing started"),
            "{heard:?}"
        );
        assert!(at("tracing started") < at("set"), "{heard:?}");
    }
}

/// Fault X22.
#[test]
fn where_nothing_listens_warnings_go_to_the_standard_error() {
    for transport in TRANSPORTS {
        let said = run_text("nobody", transport, &FOUR);
        names_all(&said.stderr);
        assert_eq!(said.stderr.len(), 4, "{:?}", said.stderr);
        assert!(said.stderr.iter().all(|line| line.starts_with("warning: ")));
        // Not only at the end.
        let said = run_text("nobody-waits", transport, &FOUR);
        names_all(&said.stderr);
        // The operator can turn it off.
        let mut silenced = FOUR.to_vec();
        silenced.push(("OTEL_LOG_LEVEL", "off"));
        let said = run_text("nobody", transport, &silenced);
        assert!(said.stderr.is_empty(), "{:?}", said.stderr);
    }
}

/// Fault X23.
#[test]
fn a_tracer_from_before_init_records_after_it_and_nothing_is_said_of_it() {
    for transport in TRANSPORTS {
        let said = run_text("early", transport, &[]);
        let all = [said.heard, said.stderr].concat().join("\n");
        assert!(all.contains("ended 1 = "), "{all}");
        assert!(!all.contains("before `init`"), "{all}");
    }
}

/// Fault X26.
#[test]
fn an_unreadable_file_of_a_variable_stops_no_program_and_nothing_is_sent() {
    const HTTPS: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://localhost:1");
    let empty = PemFile::new("x26-empty", "");
    let empty = empty.path().display().to_string();
    for transport in TRANSPORTS {
        for (name, files) in [
            (
                "OTEL_EXPORTER_OTLP_CERTIFICATE",
                vec![("OTEL_EXPORTER_OTLP_CERTIFICATE", "/missing/ca.pem")],
            ),
            (
                "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
                vec![
                    ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", empty.as_str()),
                    ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/missing/ca.pem"),
                ],
            ),
            (
                "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
                vec![
                    ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/missing/own.pem"),
                    ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/missing/own.key"),
                ],
            ),
        ] {
            let variables = [vec![HTTPS], files].concat();
            let heard = run_text("start", transport, &variables).heard;
            let said: Vec<_> = heard.iter().filter(|line| line.contains(name)).collect();
            assert_eq!(said.len(), 1, "{heard:?}");
            assert!(
                said[0].starts_with(&format!("Error {name}: cannot use ")),
                "{heard:?}"
            );
            let ledger = "ended 1 = exported 0 + dropped 1 (shutdown 1)";
            assert!(
                heard.iter().any(|line| line.starts_with(ledger)),
                "{heard:?}"
            );
        }
        let heard = run_text("code-certificate", transport, &[]).heard;
        let failed = "failed to create OTLP exporter: cannot use missing.pem: ";
        assert!(heard.last().unwrap().starts_with(failed), "{heard:?}");
    }
}

/// Fault X26.
#[test]
fn a_file_of_a_variable_that_appears_later_is_read_then() {
    let authority = Authority::new();
    for transport in TRANSPORTS {
        let front = Front::Tls(authority.server().server_config());
        let server = FaultServer::start_with(Script::new(), front);
        let file = PemFile::new(&format!("x26-{transport}"), "");
        std::fs::remove_file(file.path()).unwrap();
        let (url, path, pem) = (server.url(), file.path(), authority.pem());
        let heard = run_text(
            "file-later",
            transport,
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
                ("OTEL_EXPORTER_OTLP_CERTIFICATE", path.to_str().unwrap()),
                ("SPANDREL_TEST_PEM", pem.as_str()),
            ],
        );
        let ledgers: Vec<_> = heard
            .heard
            .iter()
            .filter(|it| it.contains("ended"))
            .collect();
        assert!(
            ledgers[0].starts_with("ended 1 = exported 0 + dropped 0"),
            "{ledgers:?}"
        );
        assert!(
            ledgers[1].starts_with("ended 1 = exported 1"),
            "{ledgers:?}"
        );
        assert_eq!(server.requests().len(), 1);
    }
}

/// Fault X28.
#[test]
fn memory_that_cannot_be_had_is_an_error_of_the_start() {
    for transport in TRANSPORTS {
        let heard = run_text("memory", transport, &[]).heard;
        let fields = [
            "buffer_bytes",
            "shard_bytes",
            "buffer_bytes",
            "max_request_bytes",
        ];
        assert_eq!(heard.len(), fields.len(), "{heard:?}");
        for (line, field) in heard.iter().zip(fields) {
            assert!(line.contains(field), "{line}");
        }
        assert!(heard[0].ends_with("; lower it"), "{heard:?}");
    }
}

/// Fault X27.
#[test]
fn no_value_of_a_variable_stops_a_start() {
    for transport in TRANSPORTS {
        let said = run_text("table", transport, &[]);
        assert_eq!(said.heard, ["many starts"]);
    }
}

/// Fault X27.
#[cfg(unix)]
#[test]
fn bytes_that_are_no_text_stop_no_start() {
    use std::os::unix::ffi::OsStrExt as _;
    let variables: Vec<_> = spandrel_core::env::VARIABLES
        .iter()
        .map(|name| (*name, OsStr::from_bytes(b"\xff\xfe")))
        .collect();
    for transport in TRANSPORTS {
        let heard = run("start", transport, &variables).heard;
        for (name, _) in &variables {
            let named = |line: &&String| line.contains(&format!("{name}: the value is not UTF-8"));
            assert_eq!(heard.iter().filter(named).count(), 1, "{name}: {heard:?}");
        }
    }
}

/// Fault X30.
#[test]
fn why_nothing_is_recorded_is_said() {
    const DISABLED: &str = "tracing is disabled: no span is recorded";
    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:1");
    for transport in TRANSPORTS {
        for (case, variables, severity, why) in [
            ("disabled", vec![], "Info", ""),
            (
                "disabled",
                vec![ENDPOINT],
                "Warn",
                ", although a variable names an exporter; set `enabled: true` in code",
            ),
            (
                "start",
                vec![ENDPOINT, ("OTEL_SDK_DISABLED", "true")],
                "Info",
                ", because OTEL_SDK_DISABLED is true",
            ),
            (
                "start",
                vec![("OTEL_TRACES_EXPORTER", "none")],
                "Info",
                ", because OTEL_TRACES_EXPORTER is none",
            ),
        ] {
            let heard = run_text(case, transport, &variables).heard;
            assert_eq!(heard[0], format!("{severity} {DISABLED}{why}"), "{heard:?}");
        }
    }
}
