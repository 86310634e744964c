//! Child processes that end: by themselves within a time, or by being ended.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Set for children whose standard input this process holds open.
const HELD: &str = "SPANDREL_BENCHES_HELD";

/// What becomes of the standard error of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Complaints {
    /// Its last line is told when the child fails.
    Keep,
    /// The same, and all of it goes to the terminal.
    Show,
}

/// Runs a program to its end; what it wrote to the standard output.
///
/// Its standard input stays open for as long as this process lives, so that a child which calls
/// [`end_with_parent`] never outlives it.
///
/// # Errors
///
/// Why it could not be started, how it failed, or that it took longer than `limit` and was ended.
pub fn run(
    mut command: Command,
    limit: Duration,
    complaints: Complaints,
) -> Result<String, String> {
    let deadline = Instant::now() + limit;
    let mut child = command
        .env(HELD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}", program(&command)))?;
    let output = collect(child.stdout.take());
    let last_words = last_line(child.stderr.take(), complaints);
    let _open = child.stdin.take();
    let text = output.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    let Some(status) = text.is_ok().then(|| wait(&mut child, deadline)).flatten() else {
        // It was started here and has nothing to lose.
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("ended after {} s", limit.as_secs()));
    };
    if status.success() {
        return Ok(text.unwrap_or_default());
    }
    let words = last_words
        .recv_timeout(Duration::from_secs(1))
        .unwrap_or_default();
    Err(format!("{status}: {words}"))
}

/// Ends this process when its parent does: when the standard input, which [`run`] holds open, ends.
/// Does nothing in a process that was started by somebody else.
pub fn end_with_parent() {
    if std::env::var_os(HELD).is_none() {
        return;
    }
    std::thread::spawn(|| {
        let mut byte = [0];
        while matches!(std::io::stdin().read(&mut byte), Ok(1..)) {}
        eprintln!("the standard input has ended, and so has the parent");
        std::process::exit(1);
    });
}

fn program(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

/// None when the time is over.
fn wait(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(2));
            }
            _ => return None,
        }
    }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (done, text) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        let _ = done.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    text
}

fn last_line(pipe: Option<impl Read + Send + 'static>, complaints: Complaints) -> Receiver<String> {
    let (done, text) = channel();
    std::thread::spawn(move || {
        let mut last = String::new();
        let lines = pipe.map(|pipe| BufReader::new(pipe).lines());
        for line in lines.into_iter().flatten().map_while(Result::ok) {
            if complaints == Complaints::Show {
                let _ = writeln!(std::io::stderr(), "{line}");
            }
            // The hint after a panic says nothing about it.
            if !line.trim().is_empty() && !line.starts_with("note:") {
                last = line;
            }
        }
        let _ = done.send(last);
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_of_a_success_comes_back() {
        let text = run(shell("echo 17"), Duration::from_secs(10), Complaints::Keep);
        assert_eq!(text, Ok("17\n".into()));
    }

    #[test]
    fn a_failure_tells_its_last_words() {
        let text = run(
            shell("echo first >&2; echo last >&2; exit 3"),
            Duration::from_secs(10),
            Complaints::Keep,
        );
        let error = text.expect_err("a failure");
        assert!(error.contains("3") && error.ends_with("last"), "{error}");
    }

    #[test]
    fn a_child_that_does_not_end_is_ended() {
        let before = Instant::now();
        let text = run(
            shell("exec sleep 600"),
            Duration::from_millis(50),
            Complaints::Keep,
        );
        assert!(text.is_err());
        assert!(before.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn a_program_that_does_not_exist_is_an_error() {
        let text = run(
            Command::new("/nowhere/at/all"),
            Duration::from_secs(1),
            Complaints::Keep,
        );
        assert!(text.expect_err("no such program").contains("nowhere"));
    }
}
