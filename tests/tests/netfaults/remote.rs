//! A child process that does what it is told, line by line.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// What a child says starts so, whatever the test harness prints around it.
const MARK: &str = "=> ";
/// The name of the role in the environment of a child.
pub(crate) const ROLE: &str = "SPANDREL_TEST_ROLE";
/// The first word of a child.
const READY: &str = "ready";
/// Longer than any answer takes, on a loaded machine too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Numbers by name, as a child answers them.
pub(crate) type Books = BTreeMap<String, u64>;

/// The child; it is killed when dropped.
pub(crate) struct Remote {
    child: Child,
    commands: ChildStdin,
    answers: Receiver<String>,
}

impl Remote {
    /// Starts this program again as `role`, behind the words of `wrapper`, which must run it in place
    /// of themselves.
    pub(crate) fn start(role: &str, wrapper: &[&str]) -> io::Result<Self> {
        let program = std::env::current_exe()?;
        let mut words = wrapper.iter().map(|word| (*word).to_owned());
        let mut command = match words.next() {
            Some(first) => {
                let mut command = Command::new(first);
                command.args(words).arg(program);
                command
            }
            None => Command::new(program),
        };
        let mut child = command
            .args(["child::child", "--exact", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let commands = child.stdin.take().expect("a pipe");
        let output = child.stdout.take().map(BufReader::new);
        let (said, answers) = channel();
        std::thread::spawn(move || {
            let lines = output.into_iter().flat_map(BufRead::lines);
            for line in lines.map_while(Result::ok) {
                if let Some((_, text)) = line.split_once(MARK) {
                    let _ = said.send(text.to_owned());
                }
            }
        });
        let remote = Self {
            child,
            commands,
            answers,
        };
        // From here on the process is what it was started as, and in the namespaces of its wrapper.
        match remote.hear() {
            Ok(word) if word == READY => Ok(remote),
            Ok(other) => Err(io::Error::other(other)),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    pub(crate) fn id(&self) -> String {
        self.child.id().to_string()
    }

    /// Sends a command and does not wait.
    pub(crate) fn tell(&mut self, command: &str) {
        writeln!(self.commands, "{command}").expect("a child that listens");
    }

    /// The next line of the child, or why there is none.
    pub(crate) fn hear(&self) -> Result<String, String> {
        let heard = self.answers.recv_timeout(PATIENCE);
        heard.map_err(|error| format!("no answer of the child: {error}"))
    }

    /// Sends a command and waits for its answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.tell(command);
        self.hear()
            .unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// As [`Remote::ask`], for an answer of numbers.
    #[track_caller]
    pub(crate) fn books(&mut self, command: &str) -> Books {
        let answer = self.ask(command);
        let mut words = answer.split_whitespace();
        let mut books = Books::new();
        while let (Some(name), Some(number)) = (words.next(), words.next()) {
            let number = number.parse().expect("a number behind each name");
            books.insert(name.to_owned(), number);
        }
        books
    }

    /// How the child ended, if it does within `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + limit;
        loop {
            let status = self.child.try_wait().expect("our child");
            if status.is_some() || Instant::now() >= until {
                return status;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Everything that the child still says; it must have ended.
    pub(crate) fn rest(&self) -> Vec<String> {
        std::iter::from_fn(|| self.answers.recv_timeout(PATIENCE).ok()).collect()
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says a line that [`Remote::hear`] finds.
pub(crate) fn say(text: &str) {
    let mut output = io::stdout().lock();
    let _ = writeln!(output, "{MARK}{text}");
    let _ = output.flush();
}

/// The commands of a child, until its input ends.
pub(crate) fn commands() -> impl Iterator<Item = String> {
    say(READY);
    io::stdin().lines().map_while(Result::ok)
}
