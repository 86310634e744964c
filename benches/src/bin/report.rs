//! Makes the chart and the figures of the README from `RESULTS.md`: `report [--check]`.
//!
//! With `--check` nothing is written, and a difference is a failure.

use std::path::Path;
use std::process::ExitCode;

use spandrel_benches::report::{Results, replace_section, section, svg};

fn main() -> ExitCode {
    let check = std::env::args().any(|argument| argument == "--check");
    match report(check) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("report: {error}");
            ExitCode::FAILURE
        }
    }
}

fn report(check: bool) -> Result<(), String> {
    let benches = Path::new(env!("CARGO_MANIFEST_DIR"));
    let results = Results::parse(&read(&benches.join("RESULTS.md"))?);
    let readme = benches.join("../README.md");
    let before = read(&readme)?;
    let after = replace_section(&before, &section(&results))?;
    settle(check, &readme, &before, &after)?;
    let chart = benches.join("results.svg");
    let before = std::fs::read_to_string(&chart).unwrap_or_default();
    settle(check, &chart, &before, &svg(&results))
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn settle(check: bool, path: &Path, before: &str, after: &str) -> Result<(), String> {
    if before == after {
        return Ok(());
    }
    if check {
        return Err(format!(
            "{} does not say what RESULTS.md says: run `benches/run.sh --report`",
            path.display()
        ));
    }
    std::fs::write(path, after).map_err(|error| format!("{}: {error}", path.display()))
}
