//! One run of an emulator.

use std::fmt;
use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Why a run failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// The emulator could not be started.
    Start(io::Error),
    /// The program did not end in time, and was ended.
    Late(Duration),
    /// The program failed; with what the emulator said.
    Failed(ExitStatus, String),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => write!(f, "the emulator does not start: {error}"),
            Self::Late(patience) => write!(f, "the firmware did not end within {patience:?}"),
            Self::Failed(status, said) => {
                write!(f, "the firmware failed: {status}. {}", said.trim())
            }
        }
    }
}

impl std::error::Error for RunError {}

/// Runs `command`, a [`Board::command`](super::Board::command), and gives the device's serial line
/// to `read` while it runs. After `patience` the emulator is ended, so that `read` sees an end in
/// any case.
///
/// # Errors
///
/// When the emulator does not start, or the firmware does not end well.
pub fn run<T>(
    mut command: Command,
    patience: Duration,
    read: impl FnOnce(&mut dyn Read) -> T,
) -> Result<T, RunError> {
    let mut child = command.spawn().map_err(RunError::Start)?;
    let serial = child.stdout.take();
    let complaints = child.stderr.take();
    let running = Running(Arc::new(Mutex::new(child)));

    let complaints = thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(mut source) = complaints {
            // What was read until then may say why.
            let _ = source.read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    });
    let (done, awaited) = channel::<()>();
    let watched = Running(Arc::clone(&running.0));
    let watchdog = thread::spawn(move || {
        let late = awaited.recv_timeout(patience) == Err(RecvTimeoutError::Timeout);
        if late {
            watched.end();
        }
        late
    });

    let result = match serial {
        Some(mut serial) => read(&mut serial),
        None => read(&mut io::empty()),
    };
    drop(done);
    let late = watchdog.join().unwrap_or(false);
    let status = running.lock().wait().map_err(RunError::Start)?;
    let said = complaints.join().unwrap_or_default();
    match status.success() {
        _ if late => Err(RunError::Late(patience)),
        true => Ok(result),
        false => Err(RunError::Failed(status, said)),
    }
}

/// An emulator, which ends with its owner.
struct Running(Arc<Mutex<Child>>);

impl Running {
    fn lock(&self) -> MutexGuard<'_, Child> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        // It may have ended by itself.
        let _ = self.lock().kill();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    /// A shell in the place of an emulator.
    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn text(serial: &mut dyn Read) -> String {
        let mut text = String::new();
        serial
            .read_to_string(&mut text)
            .map_or_else(|error| error.to_string(), |_| text)
    }

    #[test]
    fn the_serial_line_is_read_to_its_end() {
        let result = run(shell("echo hello"), Duration::from_secs(30), text);
        assert_eq!(result.ok().as_deref(), Some("hello\n"));
    }

    #[test]
    fn a_program_that_fails_says_why() {
        let result = run(shell("echo hot >&2; exit 3"), Duration::from_secs(30), text);
        let error = result.map_err(|error| error.to_string());
        assert!(
            error.clone().is_err_and(|e| e.ends_with("3. hot")),
            "{error:?}"
        );
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let result = run(shell("exec sleep 600"), Duration::from_millis(50), text);
        assert!(matches!(result, Err(RunError::Late(_))), "{result:?}");
    }
}
