//! What runs in a process of its own: this test binary started again with one case.
//!
//! Diagnostics, the standard output and the end of a process belong to a whole process, so each
//! test that speaks of them starts a child, which does what its case says and prints what it saw,
//! line by line.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio, exit};
use std::time::{Duration, Instant};

use spandrel_core::backoff::BackoffConfig;
use spandrel_core::breaker::OpenInterval;
use spandrel_core::hosted::diagnostics::{Kind, set_handler};
use spandrel_tests::fault_server::{Reply, Script};
use spandrel_transport_std::{Config, Telemetry, init, start};

use crate::harness::{PATIENCE, Rig, config, ms};

const CASE: &str = "SPANDREL_TEST_CASE";
const URL: &str = "SPANDREL_TEST_URL";
const BATCHES: &str = "SPANDREL_TEST_BATCHES";
const CERTIFICATE: &str = "SPANDREL_TEST_CERTIFICATE";

/// In every header and URL of a child, and in none of its texts.
pub(crate) const SECRET: &str = "s3cr3t";

/// Started, and killed at the latest when dropped.
pub(crate) struct Process {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Process {
    /// Starts `case`, to send `batches` batches to `url`.
    pub(crate) fn start(case: &str, url: &str, batches: usize, certificate: Option<&str>) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("our own path"));
        command
            .args([
                "child::case",
                "--exact",
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .env_clear()
            .env(CASE, case)
            .env(URL, url)
            .env(BATCHES, batches.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        if let Some(path) = certificate {
            command.env(CERTIFICATE, path);
        }
        let mut child = command.spawn().expect("a child");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, out }
    }

    /// The next line that our own code printed, without the test harness's words.
    pub(crate) fn line(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.out.read_line(&mut line).unwrap_or(0) == 0 {
                return None;
            }
            let ours = line
                .split_once("> ")
                .filter(|(before, _)| before.ends_with('='));
            if let Some((_, text)) = ours {
                return Some(text.trim_end_matches('\n').to_owned());
            }
            if let Some(start) = line.find("{\"") {
                return Some(line.split_off(start));
            }
        }
    }

    /// All lines to the end; the process must end by itself.
    pub(crate) fn lines(mut self) -> Vec<String> {
        let lines: Vec<_> = std::iter::from_fn(|| self.line()).collect();
        let limit = Instant::now() + PATIENCE;
        while self.child.try_wait().expect("our child").is_none() {
            assert!(Instant::now() < limit, "the child does not end: {lines:?}");
            std::thread::sleep(ms(1));
        }
        lines
    }

    /// Ends it as an out-of-memory killer would.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("our child");
        self.child.wait().expect("our child");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line that [`Process::line`] finds, even behind words of the test harness.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "=> {text}");
    let _ = out.flush();
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn settings() -> Config {
    let certificate = Some(variable(CERTIFICATE)).filter(|path| !path.is_empty());
    Config {
        headers: vec![("authorization".into(), format!("Bearer {SECRET}"))],
        certificate: certificate.map(Into::into),
        // Only a hanging server makes it last so long.
        timeout: Some(PATIENCE),
        ..config(&variable(URL))
    }
}

fn tell_everything() {
    set_handler(Box::new(|report| {
        say(&format!(
            "{:?} {:?}: {report}",
            report.severity, report.kind
        ));
    }));
}

fn record(telemetry: &Telemetry, spans: usize) {
    let tracer = telemetry.tracer("child");
    for _ in 0..spans {
        tracer.start("work").end();
    }
}

/// Two spans in each batch.
fn deliver(telemetry: &Telemetry) {
    for _ in 0..variable(BATCHES).parse().unwrap_or(0) {
        record(telemetry, 2);
        let _ = telemetry.force_flush(ms(2000));
    }
}

fn end(telemetry: &Telemetry) {
    let _ = telemetry.shutdown(PATIENCE);
    say(&telemetry.ledger().to_string());
}

#[test]
#[ignore = "other tests start it as a process of its own"]
fn case() {
    match variable(CASE).as_str() {
        "diagnose" => {
            tell_everything();
            if let Ok(telemetry) = init(settings()) {
                deliver(&telemetry);
                end(&telemetry);
            }
        }
        "diagnose-shutdown" => {
            tell_everything();
            let telemetry = init(settings()).unwrap();
            record(&telemetry, 2);
            end(&telemetry);
        }
        "bad-header" => {
            tell_everything();
            let headers = vec![("x-bad".into(), format!("{SECRET}\r\n"))];
            let failed = init(Config {
                headers,
                ..settings()
            })
            .is_err();
            say(&format!("failed {failed}"));
        }
        "disabled" => {
            tell_everything();
            drop(init(Config {
                enabled: false,
                ..settings()
            }));
        }
        "twice" => {
            tell_everything();
            let global = || {
                init(Config {
                    set_global: true,
                    ..settings()
                })
            };
            let handles = [global(), global()];
            drop(handles);
        }
        "handler-panics" => {
            set_handler(Box::new(|_| std::panic::resume_unwind(Box::new("handler"))));
            let telemetry = init(settings()).unwrap();
            deliver(&telemetry);
            end(&telemetry);
        }
        "handler-records" => handler_records(),
        "handler-drops" => handler_drops(),
        "handler-parks" => handler_parks(),
        "stdout" => {
            let telemetry = init(Config {
                endpoint: String::new(),
                ..settings()
            })
            .unwrap();
            deliver(&telemetry);
            end(&telemetry);
        }
        "console" => console(),
        "exit" => {
            let telemetry = init(settings()).unwrap();
            deliver(&telemetry);
            record(&telemetry, 3);
            say("leaving");
            exit(0);
        }
        "forget" => {
            let telemetry = init(settings()).unwrap();
            record(&telemetry, 3);
            let _ = telemetry.force_flush(ms(50));
            std::mem::forget(telemetry);
            say("leaving");
        }
        "drop" => {
            let telemetry = init(settings()).unwrap();
            record(&telemetry, 3);
            drop(telemetry);
            say("leaving");
        }
        "work" => work_until_killed(),
        "files" => files(),
        "idle" => idle(),
        other => unreachable!("no such case: {other}"),
    }
}

/// A logger that is itself traced: what it records on the sender's thread must not be exported, or
/// each export would cause the next.
fn handler_records() {
    let telemetry = init(settings()).unwrap();
    let tracer = telemetry.tracer("logger");
    set_handler(Box::new(move |_| tracer.start("log").end()));
    deliver(&telemetry);
    end(&telemetry);
}

/// The last handle goes away on the sender's own thread, which cannot wait for itself.
fn handler_drops() {
    let telemetry = init(Config {
        max_export_batch_size: Some(2),
        ..settings()
    })
    .unwrap();
    let tracer = telemetry.tracer("dropped");
    let (done, finished) = std::sync::mpsc::channel();
    let held = std::sync::Mutex::new(Some(telemetry));
    set_handler(Box::new(move |_| {
        let held = held.lock().unwrap().take();
        if let Some(telemetry) = held {
            let flushed = telemetry.force_flush(PATIENCE);
            let shut = telemetry.shutdown(PATIENCE);
            say(&format!("{} {}", flushed.is_success(), shut.is_success()));
            say(&telemetry.ledger().to_string());
            drop(telemetry);
            let _ = done.send(());
        }
    }));
    let started = Instant::now();
    for _ in 0..2 {
        tracer.start("work").end();
    }
    finished.recv_timeout(PATIENCE).unwrap();
    say(&format!(
        "in time {}",
        started.elapsed() < Duration::from_secs(2)
    ));
}

/// Channels and other libraries park threads too, and so may a handler on the sender's thread: the
/// token of a wake that came meanwhile is then gone.
fn handler_parks() {
    // What it is called for happens while nothing is sent: a batch gets too old.
    let hour = Duration::from_secs(3600);
    let telemetry = init(Config {
        scheduled_delay: Some(Duration::ZERO),
        max_batch_age: Some(ms(50)),
        backoff: Some(BackoffConfig {
            initial: hour,
            cap: hour,
            max_elapsed: Duration::MAX,
            ..BackoffConfig::DEFAULT
        }),
        ..settings()
    })
    .unwrap();
    let (called, is_called) = std::sync::mpsc::sync_channel(1);
    let (record, recorded) = std::sync::mpsc::sync_channel(1);
    let recorded = std::sync::Mutex::new(recorded);
    set_handler(Box::new(move |report| {
        if report.kind != Kind::ExportFailed {
            return;
        }
        let _ = called.send(());
        let _ = recorded.lock().unwrap().recv_timeout(PATIENCE);
        std::thread::park_timeout(ms(50));
    }));
    let tracer = telemetry.tracer("parked");
    tracer.start("expired").end();
    is_called.recv_timeout(PATIENCE).unwrap();
    tracer.start("meanwhile").end();
    record.send(()).unwrap();
    let limit = Instant::now() + PATIENCE;
    while telemetry.ledger().exported == 0 && Instant::now() < limit {
        std::thread::sleep(ms(1));
    }
    say(&telemetry.ledger().to_string());
}

/// `OTEL_TRACES_EXPORTER=console`: each span as soon as it has ended.
fn console() {
    let config = Config {
        endpoint: String::new(),
        read_environment: true,
        scheduled_delay: None,
        ..settings()
    };
    let settings = config
        .resolve_with(|name| (name == "OTEL_TRACES_EXPORTER").then(|| "console".into()))
        .unwrap();
    let telemetry = start(&settings).unwrap();
    let tracer = telemetry.tracer("console");
    for _ in 0..3 {
        tracer.start("work").end();
        let exported = telemetry.ledger().exported;
        let started = Instant::now();
        while telemetry.ledger().exported == exported && started.elapsed() < PATIENCE {
            std::thread::sleep(ms(1));
        }
    }
    say(&format!("{}", telemetry.ledger()));
}

/// Says what is acknowledged, and only then goes on.
fn work_until_killed() {
    let telemetry = init(settings()).unwrap();
    let tracer = telemetry.tracer("worker");
    loop {
        let span = tracer.start("work");
        let id = span.context().span_id();
        span.end();
        if telemetry.force_flush(PATIENCE).is_success() {
            say(&id.to_string());
        }
    }
}

fn files() {
    let open = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let cycle = || {
        let telemetry = init(settings()).unwrap();
        deliver(&telemetry);
        drop(telemetry);
    };
    cycle();
    let threads = || std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    let before = (open(), threads());
    for _ in 0..20 {
        cycle();
    }
    let limit = Instant::now() + PATIENCE;
    while (open(), threads()) > before && Instant::now() < limit {
        std::thread::sleep(ms(1));
    }
    let after = (open(), threads());
    say(&format!("{}", after.0 <= before.0 && after.1 <= before.1));
}

/// Processor time that this process has used, in ticks of 10 ms.
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields = after_name.split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// Each state in which there is nothing to do must cost nothing.
fn idle() {
    // The one wait here that is no condition: it measures a time in which nothing happens.
    let watch = |state: &str| {
        let before = ticks();
        std::thread::sleep(ms(200));
        say(&format!("{state} {}", ticks() - before <= 5));
    };
    let rig = Rig::with(Script::new(), |config| {
        config.scheduled_delay = Some(Duration::ZERO);
    });
    rig.deliver(1);
    watch("without a delay");
    drop(rig);
    let long = Duration::from_secs(3600);
    for (state, reply) in [
        ("open", Reply::status(503)),
        ("throttled", Reply::retry_after(503, &["300"])),
        ("hanging", Reply::Hang),
    ] {
        let rig = Rig::with(reply, |config| {
            config.breaker.as_mut().unwrap().open = OpenInterval::Fixed(long);
            config.timeout = Some(long);
            config.max_queue_size = Some(4);
            config.max_export_batch_size = Some(4);
            config.scheduled_delay = Some(Duration::ZERO);
            config.shutdown_timeout = ms(1);
        });
        rig.record(20);
        let _ = rig.telemetry.force_flush(ms(100));
        watch(state);
    }
}
