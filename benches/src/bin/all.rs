//! Runs every comparison and writes `RESULTS.md` and `results.svg`: `all [--quick]`.
//!
//! Started by `run.sh`, which builds the programs that this one starts.

use std::path::Path;
use std::process::{Command, Stdio};

use spandrel_benches::svg::{Group, chart};
use spandrel_benches::table::cells;

/// The operations and plans of the chart, with the column of the figure.
const CHARTED: [(&str, &str); 5] = [
    ("start + end", "ns"),
    ("start + 4 attributes + end", "ns"),
    ("unsampled: start + end", "ns"),
    (
        "100,000 spans/s, 1 thread",
        "ns of CPU per delivered span, whole process",
    ),
    (
        "full speed, 2 threads",
        "ns of CPU per delivered span, whole process",
    ),
];

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (rounds, runs, outage) = if quick {
        ("60", "1", "5")
    } else {
        ("500", "5", "60")
    };
    let started = std::time::SystemTime::now();
    let load_before = load();
    let micro = run("micro", &["--rounds", rounds]);
    let machines = run("machines", &["--rounds", rounds]);
    let e2e = run("e2e", &["--rounds", runs, "--outage", outage]);
    let counts = run("counts", &[]);
    let trees = trees();
    let text = format!(
        "# Results\n\n\
         Written by `benches/run.sh`; what is measured and how is in \
         [README.md](README.md).\n\n{}\n\
         ![Spandrel and its rivals](results.svg)\n\n\
         ## One operation on the recording thread\n\n{micro}\n\
         ## Whole processes over HTTP\n{e2e}\n\
         ## The parts of Spandrel\n\n{machines}\n\
         ## Instructions\n\n{counts}\n\
         ## Crates in the tree\n\n{trees}",
        machine(started, &load_before)
    );
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::write(here.join("RESULTS.md"), text).expect("RESULTS.md can be written");
    let svg = chart(
        "Spandrel and its rivals: shorter is better",
        &groups(&micro, &e2e),
    );
    std::fs::write(here.join("results.svg"), svg).expect("results.svg can be written");
}

/// What a program beside this one prints; its progress and its complaints go to the terminal.
fn run(name: &str, arguments: &[&str]) -> String {
    eprintln!("{name} {} ...", arguments.join(" "));
    let program = std::env::current_exe()
        .expect("this program")
        .with_file_name(name);
    let output = Command::new(&program)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|error| {
            panic!(
                "{}: {error}; run `cargo build --release --bins` first",
                program.display()
            )
        });
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What an application takes in with each of them, in this workspace's resolution of features.
const TREES: [(&str, &[&str]); 6] = [
    ("spandrel-core", &["spandrel-core"]),
    ("spandrel-transport-std", &["spandrel-transport-std"]),
    (
        "opentelemetry_sdk + opentelemetry-otlp",
        &["opentelemetry_sdk", "opentelemetry-otlp"],
    ),
    (
        "tracing-opentelemetry + the two",
        &[
            "tracing-opentelemetry",
            "tracing-subscriber",
            "opentelemetry_sdk",
            "opentelemetry-otlp",
        ],
    ),
    (
        "fastrace-opentelemetry + opentelemetry-otlp",
        &["fastrace", "fastrace-opentelemetry", "opentelemetry-otlp"],
    ),
    ("emit + emit_otlp", &["emit", "emit_otlp"]),
];

fn trees() -> String {
    let mut text = String::from("| what | crates |\n|---|---:|\n");
    for (name, packages) in TREES {
        let mut tree = Command::new("cargo");
        tree.current_dir(env!("CARGO_MANIFEST_DIR"));
        tree.args([
            "tree",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ]);
        for package in packages {
            tree.args(["--package", package]);
        }
        let output = tree.output().expect("cargo");
        let lines = String::from_utf8_lossy(&output.stdout);
        let crates: std::collections::BTreeSet<_> = lines
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| line.trim_end_matches(" (*)"))
            .collect();
        text.push_str(&format!("| {name} | {} |\n", crates.len()));
    }
    text
}

fn groups(micro: &str, e2e: &str) -> Vec<Group> {
    CHARTED
        .iter()
        .map(|(title, unit)| Group {
            title: format!("{title} ({unit})"),
            bars: bars(title, micro, e2e),
        })
        .collect()
}

/// From the tables: fastest rounds, who by who.
fn bars(title: &str, micro: &str, e2e: &str) -> Vec<(String, f64, String)> {
    let mut bars = Vec::new();
    let mut inside = false;
    for line in micro.lines() {
        let cells = cells(line);
        if let [name, who, fastest, ..] = cells[..] {
            inside = name == title || (inside && name.is_empty());
            if inside {
                push(&mut bars, who, fastest);
            }
        }
    }
    for line in e2e.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            inside = heading.starts_with(title);
        } else if inside && let [who, fastest, ..] = cells(line)[..] {
            push(&mut bars, who, fastest);
        }
    }
    bars
}

fn push(bars: &mut Vec<(String, f64, String)>, who: &str, text: &str) {
    if let Ok(value) = text.replace(',', "").parse()
        && !who.starts_with('(')
    {
        bars.push((who.into(), value, text.into()));
    }
}

/// What the figures were taken on.
fn machine(started: std::time::SystemTime, load_before: &str) -> String {
    let cpu = read("/proc/cpuinfo");
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = read("/proc/meminfo")
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .split_whitespace()
                .next()?
                .parse::<u64>()
                .ok()
        })
        .unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let minutes = started.elapsed().map_or(0, |took| took.as_secs() / 60 + 1);
    format!(
        "| | |\n|---|---|\n\
         | machine | {cores} x {model}, {} GiB, Linux {} |\n\
         | compiler | {} |\n\
         | load before and after | {load_before}, {} (1 minute average) |\n\
         | duration | {minutes} min |\n",
        memory.div_ceil(1 << 20),
        kernel.trim(),
        rustc(),
        load(),
    )
}

fn load() -> String {
    read("/proc/loadavg")
        .split_whitespace()
        .next()
        .unwrap_or("unknown")
        .into()
}

fn rustc() -> String {
    let output = Command::new("rustc").arg("--version").output();
    output.map_or_else(
        |_| "unknown".into(),
        |output| String::from_utf8_lossy(&output.stdout).trim().into(),
    )
}

/// Empty where there is no such file.
fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
