//! What a child process said.

use spandrel_tests::fault_server::FaultServer;

use crate::child::{Process, SECRET};
use crate::tls::PemFile;

/// What a child said about a case, but for the steps that went well.
pub(crate) struct Said {
    pub(crate) lines: Vec<String>,
    url: String,
}

impl Said {
    pub(crate) fn of(
        case: &str,
        server: &FaultServer,
        batches: usize,
        certificate: Option<&PemFile>,
    ) -> Self {
        let url = server.url();
        let path = certificate.map(|file| file.path().display().to_string());
        let lines = Process::start(case, &url, batches, path.as_deref()).lines();
        for line in &lines {
            assert!(!line.contains(SECRET), "{line}");
        }
        let quiet = ["Debug ", "Info Lifecycle: ", "Info Totals: "];
        let mut lines = lines;
        lines.retain(|line| !quiet.iter().any(|start| line.starts_with(start)));
        // Nothing but spans that are dropped and those that fit has a place for a number of its own.
        for line in &mut lines {
            mask_room(line);
        }
        Self { lines, url }
    }

    /// Takes the totals, which must be there, out of the lines.
    #[track_caller]
    pub(crate) fn totals(&mut self) -> String {
        let is_it = |line: &String| line.starts_with("Warn Totals: ");
        let found = self
            .lines
            .extract_if(.., |line| is_it(line))
            .collect::<Vec<_>>();
        assert_eq!(found.len(), 1, "{:?} {found:?}", self.lines);
        found.concat().replace(&self.url, "@")
    }

    /// Exactly these lines; `@` stands for the collector.
    #[track_caller]
    pub(crate) fn are(&self, expected: &[&str]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|it| it.replace('@', &self.url))
            .collect();
        assert_eq!(self.lines, expected);
    }
}

/// Writes `N` for the number of spans for which there is room.
fn mask_room(line: &mut String) {
    const BEFORE: &str = "room for about ";
    if let Some((head, tail)) = line.split_once(BEFORE) {
        let tail = tail.trim_start_matches(|c: char| c.is_ascii_digit());
        *line = format!("{head}{BEFORE}N{tail}");
    }
}
