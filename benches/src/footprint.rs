//! What each of them adds to a build: crates, time, bytes.
//!
//! `programs/` holds the same small application without tracing and with each of them. Each is
//! built alone into a directory of its own, so nothing is shared and nothing is cached, and then
//! run against a sink: a program that delivers nothing has not linked what it should.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::{Complaints, run};
use crate::sink::Sink;
use crate::table::{digits, one_line, thousands};
use crate::usage::usage_of_children;

/// An application of `programs/`.
struct Program {
    /// For the table.
    title: &'static str,
    /// The package, without `program-`.
    name: &'static str,
    /// Whether it can send to https://.
    tls: bool,
}

/// Without tracing first: what the others are compared with.
const PROGRAMS: [Program; 8] = [
    Program {
        title: "(no tracing)",
        name: "none",
        tls: false,
    },
    Program {
        title: "spandrel",
        name: "spandrel",
        tls: true,
    },
    Program {
        title: "spandrel, tracing layer",
        name: "spandrel-tracing",
        tls: true,
    },
    Program {
        title: "opentelemetry_sdk",
        name: "opentelemetry",
        tls: false,
    },
    Program {
        title: "opentelemetry_sdk, TLS",
        name: "opentelemetry-tls",
        tls: true,
    },
    Program {
        title: "tracing-opentelemetry",
        name: "tracing-opentelemetry",
        tls: false,
    },
    Program {
        title: "fastrace",
        name: "fastrace",
        tls: false,
    },
    Program {
        title: "emit",
        name: "emit",
        tls: true,
    },
];

/// Spans that each of them makes, except the first.
const SPANS: u64 = 2;
/// For one build, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(600);

struct Built {
    wall: Duration,
    cpu: Duration,
    bytes: u64,
}

/// The table. Without `builds`, which take minutes, it has the crates alone.
#[must_use]
pub fn table(builds: bool) -> String {
    let mut text = String::from(
        "| what | TLS | crates | clean build, s | CPU s | program, KiB | KiB added |\n\
         |---|---|---:|---:|---:|---:|---:|\n",
    );
    if let Err(error) = fetch() {
        return format!("failed: {error}\n");
    }
    let mut bare = None;
    for program in &PROGRAMS {
        eprintln!("footprint {} ...", program.title);
        let tls = if program.tls { "yes" } else { "no" };
        let crates = crates(program).map_or_else(|e| one_line(&e), |n| n.to_string());
        let _ = write!(text, "| {} | {tls} | {crates} |", program.title);
        let built = if builds {
            build(program)
        } else {
            Err("left out of a quick run".into())
        };
        let _ = match built {
            Err(error) => writeln!(text, " {} | - | - | - |", one_line(&error)),
            Ok(built) => {
                let before = *bare.get_or_insert(built.bytes);
                writeln!(
                    text,
                    " {} | {} | {} | {} |",
                    digits(built.wall.as_secs_f64()),
                    digits(built.cpu.as_secs_f64()),
                    thousands(built.bytes.div_ceil(1024)),
                    thousands(built.bytes.saturating_sub(before).div_ceil(1024)),
                )
            }
        };
    }
    text
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(workspace()).args(arguments);
    // A cache of compiled crates would be what is measured.
    command.env_remove("RUSTC_WRAPPER");
    command
}

/// So that no download is timed.
fn fetch() -> Result<(), String> {
    run(cargo(&["fetch", "--locked"]), PATIENCE, Complaints::Keep).map(drop)
}

/// Distinct crates that are compiled for it, itself left out.
fn crates(program: &Program) -> Result<usize, String> {
    let package = format!("program-{}", program.name);
    let tree = run(
        cargo(&[
            "tree",
            "--locked",
            "--offline",
            "--edges=normal,build",
            "--prefix=none",
            "--format={p}",
            "--package",
            &package,
        ]),
        PATIENCE,
        Complaints::Keep,
    )?;
    let crates: BTreeSet<_> = tree
        .lines()
        .map(|line| line.trim_end_matches(" (*)"))
        .filter(|line| !line.is_empty() && !line.starts_with(&package))
        .collect();
    Ok(crates.len())
}

/// Builds it from nothing, runs it, and clears up.
fn build(program: &Program) -> Result<Built, String> {
    let directory = std::env::current_exe()
        .map_err(|error| error.to_string())?
        .with_file_name("footprint-of")
        .join(program.name);
    let result = build_in(program, &directory);
    // Also on failure: a hundred megabytes that nobody will look at.
    let _ = std::fs::remove_dir_all(&directory);
    result
}

fn build_in(program: &Program, directory: &PathBuf) -> Result<Built, String> {
    let _ = std::fs::remove_dir_all(directory);
    let package = format!("program-{}", program.name);
    let mut command = cargo(&[
        "build",
        "--quiet",
        "--locked",
        "--offline",
        "--profile=shipped",
        "--package",
        &package,
        "--target-dir",
    ]);
    command.arg(directory);
    let (start, before) = (Instant::now(), usage_of_children());
    run(command, PATIENCE, Complaints::Keep)?;
    let wall = start.elapsed();
    let used = usage_of_children().since(&before);
    let binary = directory.join("shipped").join(&package);
    let bytes = std::fs::metadata(&binary).map_err(|error| error.to_string())?;
    check(program, &binary)?;
    Ok(Built {
        wall,
        cpu: used.user + used.system,
        bytes: bytes.len(),
    })
}

fn check(program: &Program, binary: &Path) -> Result<(), String> {
    let sink = Sink::start().map_err(|error| error.to_string())?;
    let mut command = Command::new(binary);
    command.arg(sink.endpoint());
    run(command, Duration::from_secs(60), Complaints::Keep)?;
    let expected = if program.name == "none" { 0 } else { SPANS };
    match sink.take_totals().spans {
        spans if spans == expected => Ok(()),
        spans => Err(format!("{spans} of {expected} spans arrived")),
    }
}
