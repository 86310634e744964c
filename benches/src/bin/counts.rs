//! Instructions per operation against the committed baseline.
//!
//! `counts` compares and fails beyond the tolerance; `counts --write` makes a new baseline;
//! `counts --print` compares and succeeds. Without valgrind it says so and succeeds.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Command, ExitCode};

use spandrel_benches::counts::{CASES, count, is_available, run_case};
use spandrel_benches::process::end_with_parent;

/// Relative; compilers inline a little differently from one day to the next.
const TOLERANCE: f64 = 0.03;
/// Absolute, for the cases of a few instructions.
const SLACK: f64 = 2.0;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["run", index] => {
            run_case(index.parse().expect("a number"));
            ExitCode::SUCCESS
        }
        [] => compare(Mode::Check),
        ["--write"] => compare(Mode::Write),
        ["--print"] => compare(Mode::Print),
        _ => {
            eprintln!("usage: counts [--write | --print]");
            ExitCode::FAILURE
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Beyond the tolerance is a failure.
    Check,
    /// Makes the baseline.
    Write,
    /// Tells the figures, whatever they are.
    Print,
}

fn compare(mode: Mode) -> ExitCode {
    end_with_parent();
    if !is_available() {
        println!("counts: skipped, because valgrind is not installed");
        return ExitCode::SUCCESS;
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/counts.json");
    let baseline = parse(&std::fs::read_to_string(path).unwrap_or_default());
    let compiler = compiler();
    let mut text = format!("{{\n  \"compiler\": \"{compiler}\"");
    let mut beyond = false;
    println!("| operation | instructions | baseline | |\n|---|---:|---:|---:|");
    for (index, case) in CASES.iter().enumerate() {
        let now = match count(index) {
            Ok(now) => now,
            Err(error) => {
                eprintln!("{}: {error}", case.name);
                return ExitCode::FAILURE;
            }
        };
        let _ = write!(text, ",\n  \"{}\": {now:.1}", case.name);
        let before = baseline.get(case.name).and_then(|n| n.parse::<f64>().ok());
        let (before_text, verdict) = match before {
            None => ("-".into(), "new".into()),
            Some(before) => {
                let off = (now - before).abs() > (before * TOLERANCE).max(SLACK);
                beyond |= off;
                let change = (now / before - 1.0) * 100.0;
                let mark = if off { " **beyond**" } else { "" };
                (format!("{before:.1}"), format!("{change:+.1} %{mark}"))
            }
        };
        println!("| {} | {now:.1} | {before_text} | {verdict} |", case.name);
    }
    text.push_str("\n}\n");
    if mode == Mode::Write {
        std::fs::write(path, text).expect("counts.json can be written");
        return ExitCode::SUCCESS;
    }
    match (beyond, baseline.get("compiler")) {
        (false, _) => ExitCode::SUCCESS,
        _ if mode == Mode::Print => ExitCode::SUCCESS,
        (true, Some(before)) if *before != compiler => {
            println!(
                "\nThe baseline was made with {before} and this is {compiler}: not a failure. \
                 Renew it with `counts --write`."
            );
            ExitCode::SUCCESS
        }
        (true, _) => {
            println!(
                "\nBeyond {:.0} %. If that is meant, renew the baseline with `counts --write` and \
                 say why in the commit.",
                TOLERANCE * 100.0
            );
            ExitCode::FAILURE
        }
    }
}

fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output();
    output.map_or_else(
        |_| "unknown".into(),
        |output| String::from_utf8_lossy(&output.stdout).trim().into(),
    )
}

/// One `"name": value` in a line, as this program writes it.
fn parse(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| {
        let (name, value) = line.trim().trim_end_matches(',').rsplit_once("\": ")?;
        Some((
            name.trim_start_matches('"').into(),
            value.trim_matches('"').into(),
        ))
    });
    pairs.collect()
}
