//! What runs in a process of its own: this test binary started again with one case.
//!
//! Diagnostics, the standard output and the end of a process belong to a whole process, so each
//! test that speaks of them starts a child, which does what its case says and prints what it saw,
//! line by line.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio, exit};
use std::time::{Duration, Instant};

use spandrel_core::env::LogLevel;
use spandrel_core::hosted::diagnostics::{set_handler, set_level};
use spandrel_transport_std::{Config, Telemetry, init};

use crate::cases;
use crate::harness::{PATIENCE, config, ms};

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
        Self::spawn(program(), case, url, batches, certificate)
    }

    /// Starts `case` while the signal `ignored` is ignored.
    #[cfg(unix)]
    pub(crate) fn start_ignoring(ignored: &str, case: &str, url: &str) -> Self {
        let mut shell = Command::new("/bin/sh");
        let line = format!("trap '' {ignored}; exec \"$0\" \"$@\"");
        shell.arg("-c").arg(line);
        shell.arg(std::env::current_exe().expect("our own path"));
        Self::spawn(shell, case, url, 0, None)
    }

    fn spawn(
        mut command: Command,
        case: &str,
        url: &str,
        batches: usize,
        certificate: Option<&str>,
    ) -> Self {
        command
            .args(["child::case", "--exact", "--nocapture", "--test-threads=1"])
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
    pub(crate) fn lines(self) -> Vec<String> {
        self.outcome().0
    }

    /// As [`lines`](Self::lines), and how it ended.
    pub(crate) fn outcome(mut self) -> (Vec<String>, ExitStatus) {
        let lines: Vec<_> = std::iter::from_fn(|| self.line()).collect();
        let limit = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                return (lines, status);
            }
            assert!(Instant::now() < limit, "the child does not end: {lines:?}");
            std::thread::sleep(ms(1));
        }
    }

    /// Ends it as an operator would.
    #[cfg(unix)]
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends the signal `name`.
    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status();
        assert!(sent.expect("the program `kill`").success());
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

/// This program, in which signals have their usual effect: what a shell runs in the background ignores
/// some, and so do its children.
fn program() -> Command {
    let path = std::env::current_exe().expect("our own path");
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.map_or(Ok(0), |set| u64::from_str_radix(set.trim(), 16));
    // HUP, INT, QUIT and TERM.
    if ignored.is_ok_and(|set| set & 0x4007 == 0) {
        return Command::new(path);
    }
    let mut env = Command::new("/usr/bin/env");
    env.arg("--default-signal=HUP,INT,QUIT,TERM").arg(path);
    env
}

/// A line that [`Process::line`] finds, even behind words of the test harness.
pub(crate) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "=> {text}");
    let _ = out.flush();
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

pub(crate) fn settings() -> Config {
    let certificate = Some(variable(CERTIFICATE)).filter(|path| !path.is_empty());
    Config {
        headers: vec![("authorization".into(), format!("Bearer {SECRET}"))],
        certificate: certificate.map(Into::into),
        // Only a hanging server makes it last so long.
        timeout: Some(PATIENCE),
        ..config(&variable(URL))
    }
}

pub(crate) fn tell_everything() {
    set_handler(Box::new(|report| {
        say(&format!(
            "{:?} {:?}: {report}",
            report.severity, report.kind
        ));
    }));
}

pub(crate) fn record(telemetry: &Telemetry, spans: usize) {
    let tracer = telemetry.tracer("child");
    for _ in 0..spans {
        tracer.start("work").end();
    }
}

/// Two spans in each batch.
pub(crate) fn deliver(telemetry: &Telemetry) {
    for _ in 0..variable(BATCHES).parse().unwrap_or(0) {
        record(telemetry, 2);
        let _ = telemetry.force_flush(ms(2000));
    }
}

pub(crate) fn end(telemetry: &Telemetry) {
    end_within(telemetry, PATIENCE);
}

pub(crate) fn end_within(telemetry: &Telemetry, timeout: Duration) {
    let _ = telemetry.shutdown(timeout);
    say(&telemetry.ledger().to_string());
}

/// Not a check of its own: the entry of the processes that other tests start, which name a case.
/// The harness gives a test binary no other way in.
#[test]
fn case() {
    if std::env::var_os(CASE).is_none() {
        return;
    }
    set_level(LogLevel::Trace);
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
        "metrics" => {
            tell_everything();
            let telemetry = init(Config {
                metrics_interval: Some(Duration::from_millis(20)),
                ..settings()
            })
            .unwrap();
            while telemetry.stats().attempts == 0 {
                record(&telemetry, 1);
                let _ = telemetry.force_flush(PATIENCE);
            }
            end(&telemetry);
        }
        "levels" => cases::levels(),
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
        "incomplete" => cases::incomplete(),
        "handler-records" => cases::handler_records(),
        "handler-drops" => cases::handler_drops(),
        "handler-parks" => cases::handler_parks(),
        "stdout" => {
            let telemetry = init(Config {
                endpoint: String::new(),
                ..settings()
            })
            .unwrap();
            deliver(&telemetry);
            end(&telemetry);
        }
        "console" => cases::console(),
        "burst" => cases::burst(),
        "too-large" => cases::too_large(),
        "bad-sampler" => cases::bad_sampler(),
        "loses-while-hanging" => cases::loses_while_hanging(false),
        "loses-while-hanging-async" => cases::loses_while_hanging(true),
        "gives-up" => cases::gives_up(),
        #[cfg(unix)]
        "terminated" => cases::terminated(),
        "waits in a handler" => crate::waiting::waits_in_a_handler(),
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
        "work" => cases::work_until_killed(),
        "files" => cases::files(),
        #[cfg(unix)]
        "forks" => crate::fork::forks(false),
        #[cfg(unix)]
        "signals in children" => crate::fork::signals(),
        #[cfg(unix)]
        "forks of many threads" => crate::fork::forks(true),
        "idle" => cases::idle(),
        other => crate::ends::case(other),
    }
}
