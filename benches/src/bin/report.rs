//! Makes the charts and the figures side by side, here and in the README, from the tables of
//! `RESULTS.md`: `report [--check]`.
//!
//! With `--check` nothing is written, and a difference is a failure.

use std::path::Path;
use std::process::ExitCode;

use spandrel_benches::report::{Results, replace_section, section, summary, summary_svg, svg};

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
    let document = benches.join("RESULTS.md");
    let before = read(&document)?;
    let results = Results::parse(&before);
    let after = replace_section(&before, &section(&results))?;
    settle(check, &document, &before, &after)?;
    let readme = benches.join("../README.md");
    let before = read(&readme)?;
    let after = replace_section(&before, &summary(&results))?;
    settle(check, &readme, &before, &after)?;
    for (name, chart) in [
        ("results.svg", svg(&results)),
        ("summary.svg", summary_svg(&results)),
    ] {
        let path = benches.join(name);
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        settle(check, &path, &before, &chart)?;
    }
    Ok(())
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
            "{} does not say what the tables of RESULTS.md say: run `benches/run.sh --report`",
            path.display()
        ));
    }
    std::fs::write(path, after).map_err(|error| format!("{}: {error}", path.display()))
}
