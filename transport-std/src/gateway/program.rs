//! The program: streams by option, a status line, and an orderly end.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use spandrel_core::hosted::diagnostics::{self, Severity};

use super::options::{HELP, Options, Request, Source, parse};
use super::{Gateway, StreamError, tell_end};

/// The interval at which the line on a terminal is drawn.
const REDRAW: Duration = Duration::from_secs(1);
/// The pause before a missing serial port is opened again.
const REOPEN: Duration = Duration::from_secs(1);

/// Why the program wakes up.
enum Wake {
    Interrupted,
    /// A source that ends has ended.
    Ended,
}

/// Runs the program with the arguments behind its name.
///
/// The exit code is 0 when everything that arrived was delivered or was dropped for a reason that
/// the last line names, 1 when it could not start or had to give spans up at the end, and 2 when
/// the arguments were wrong.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match parse(arguments) {
        Ok(Request::Help) => say_out(HELP),
        Ok(Request::Version) => say_out(concat!(
            "spandrel-gateway ",
            env!("CARGO_PKG_VERSION"),
            "\n"
        )),
        Ok(Request::Run(options)) => match start(*options) {
            Ok(code) => code,
            Err(error) => {
                say(&format!("spandrel-gateway: {error}"));
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            say(&format!(
                "spandrel-gateway: {error}\nTry spandrel-gateway --help."
            ));
            ExitCode::from(2)
        }
    }
}

fn start(options: Options) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let terminal = io::stderr().is_terminal() && !options.quiet;
    let least = if options.quiet {
        Severity::Error
    } else {
        Severity::Info
    };
    diagnostics::set_handler(Box::new(move |report| {
        if report.severity >= least {
            let clear = if terminal { "\r\x1b[K" } else { "" };
            say(&format!("{clear}{report}"));
        }
    }));
    let gateway = Gateway::new(&options.config, options.gateway)?;
    let (wake, woken) = channel();
    let interrupts = Arc::new(AtomicUsize::new(0));
    let interrupted = wake.clone();
    ctrlc::set_handler(move || {
        if interrupts.fetch_add(1, Ordering::Relaxed) > 0 {
            std::process::exit(130);
        }
        let _ = interrupted.send(Wake::Interrupted);
    })?;
    let mut ending = 0;
    for source in options.sources {
        ending += usize::from(open(&gateway, source, &wake, options.quiet)?);
    }
    let keeps_listening = ending == 0;
    let mut tick = if terminal {
        REDRAW
    } else {
        options.status_every.max(REDRAW)
    };
    if options.quiet {
        tick = Duration::MAX;
    }
    let mut next = Instant::now().checked_add(tick);
    loop {
        let wait = next.map_or(Duration::from_secs(3600), |at| {
            at.saturating_duration_since(Instant::now())
        });
        match woken.recv_timeout(wait) {
            Ok(Wake::Interrupted) | Err(RecvTimeoutError::Disconnected) => break,
            Ok(Wake::Ended) => {
                ending -= 1;
                if ending == 0 && !keeps_listening {
                    break;
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                if next.is_some() {
                    draw(&gateway, terminal);
                }
                next = Instant::now().checked_add(tick);
            }
        }
    }
    Ok(end(&gateway, options.config.shutdown_timeout, terminal))
}

/// Starts to read a source; whether it has an end that the program waits for.
fn open(
    gateway: &Gateway,
    source: Source,
    wake: &Sender<Wake>,
    quiet: bool,
) -> Result<bool, Box<dyn std::error::Error>> {
    let gateway = gateway.clone();
    let wake = wake.clone();
    match source {
        Source::Tcp(address) => {
            let listener =
                TcpListener::bind(&address).map_err(|error| format!("{address}: {error}"))?;
            if !quiet {
                say(&format!("listening on {}", listener.local_addr()?));
            }
            gateway.listen(listener)?;
            Ok(false)
        }
        Source::Stdin => {
            std::thread::Builder::new()
                .name("spandrel-stdin".into())
                .spawn(move || {
                    if let Err(error) = gateway.serve(&mut io::stdin().lock(), None) {
                        tell_end("the standard input", &error);
                    }
                    let _ = wake.send(Wake::Ended);
                })?;
            Ok(true)
        }
        Source::Path(path) => {
            let named = |error: io::Error| format!("{}: {error}", path.display());
            let is_file = std::fs::metadata(&path).map_err(named)?.is_file();
            // A port that cannot be opened at the start is a mistake; later it is a loose cable.
            OpenOptions::new().read(true).open(&path).map_err(named)?;
            std::thread::Builder::new()
                .name("spandrel-serial".into())
                .spawn(move || {
                    read_path(&gateway, &path, is_file);
                    let _ = wake.send(Wake::Ended);
                })?;
            Ok(is_file)
        }
    }
}

/// Reads a file once, or a port again and again, until the gateway stops.
fn read_path(gateway: &Gateway, path: &Path, is_file: bool) {
    loop {
        let result = serve_path(gateway, path, is_file);
        if let Err(error) = &result {
            tell_end(&path.display().to_string(), error);
        }
        if is_file || gateway.is_stopping() {
            return;
        }
        std::thread::sleep(REOPEN);
    }
}

fn serve_path(gateway: &Gateway, path: &Path, is_file: bool) -> Result<(), StreamError> {
    let open = |write| OpenOptions::new().read(true).write(write).open(path);
    if is_file {
        let mut file = open(false).map_err(StreamError::Io)?;
        return gateway.serve(&mut file, None);
    }
    // A port that may only be read has no way back.
    let Ok(mut port) = open(true) else {
        let mut port = open(false).map_err(StreamError::Io)?;
        return gateway.serve(&mut port, None);
    };
    let mut output = port.try_clone().map_err(StreamError::Io)?;
    gateway.serve(&mut port, Some(&mut output))
}

fn draw(gateway: &Gateway, terminal: bool) {
    let status = gateway.status();
    if terminal {
        let mut stderr = io::stderr().lock();
        let _ = write!(stderr, "\r\x1b[K{status}").and_then(|()| stderr.flush());
    } else {
        say(&status.to_string());
    }
}

/// The last flush, and the last words.
fn end(gateway: &Gateway, timeout: Duration, terminal: bool) -> ExitCode {
    let status = gateway.shutdown(timeout);
    let clear = if terminal { "\r\x1b[K" } else { "" };
    say(&format!("{clear}{status}"));
    say(&format!(
        "devices: ended {}, dropped {}; links: lost {}, repeated {}; here: {}",
        status.tally.ended,
        status.tally.dropped_by_device,
        status.tally.lost_on_link,
        status.tally.repeated,
        status.ledger,
    ));
    let given_up = status
        .ledger
        .dropped(spandrel_core::response::DropReason::Shutdown);
    if given_up > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// A line for people, who may have closed the terminal.
fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

fn say_out(text: &str) -> ExitCode {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
