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
        end(&mut child);
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

/// Ends a child and what it has started: a build is cargo, compilers, and compilers of C.
fn end(child: &mut Child) {
    let mut pids = descendants(child.id());
    // They were started here and have nothing to lose.
    let _ = child.kill();
    let _ = child.wait();
    // What they started meanwhile belongs to nobody now, and is found by its parent all the same.
    pids.extend(pids.clone().into_iter().flat_map(descendants));
    for pid in pids.into_iter().filter_map(|pid| i32::try_from(pid).ok()) {
        // SAFETY: the call has no precondition; a process that has ended meanwhile is an error of it.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
}

/// By `/proc`; none where there is none.
fn descendants(pid: u32) -> Vec<u32> {
    let children = |parent: u32| {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
            .filter(move |&pid| parent_of(pid) == Some(parent))
    };
    let mut found: Vec<u32> = children(pid).collect();
    let mut at = 0;
    while let Some(&next) = found.get(at) {
        found.extend(children(next));
        at += 1;
    }
    found
}

fn parent_of(pid: u32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which stands in brackets: the state, the parent.
    text.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
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
        // Nobody is left to be told: `eprintln` would panic.
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
    fn what_such_a_child_has_started_ends_with_it() {
        let own = std::process::id();
        let text = run(
            shell("sleep 86123 & sleep 86124"),
            Duration::from_millis(300),
            Complaints::Keep,
        );
        assert!(text.is_err());
        // Killed is not yet gone; what is left is only a name in the table.
        let asleep = |pid: &u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.starts_with(b"sleep\x008612")
        };
        let before = Instant::now();
        while descendants(own).iter().any(asleep) || descendants(1).iter().any(asleep) {
            assert!(before.elapsed() < Duration::from_secs(10), "still there");
            std::thread::yield_now();
        }
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
