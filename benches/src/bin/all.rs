//! Runs every comparison and writes `RESULTS.md`, from which `report` makes the rest.
//!
//! `all [--quick]`; with `--quick` into the folder `quick`, beside the committed results. Started
//! by `run.sh`, which builds the programs that this one starts.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use spandrel_benches::process::{Complaints, run};
use spandrel_benches::report::{BEGIN, END, Results, replace_section, section, svg};
use spandrel_benches::usage::{usage, usage_of_children};

/// How much is done, and how long each part may take before it is ended.
struct Effort {
    command: &'static str,
    /// Rounds of `micro` and `machines`.
    rounds: &'static str,
    /// Runs of each contestant of `e2e`.
    runs: &'static str,
    /// Seconds.
    outage: &'static str,
    /// Arguments of `footprint`.
    footprint: &'static [&'static str],
    limit: Duration,
}

const FULL: Effort = Effort {
    command: "benches/run.sh",
    rounds: "100",
    runs: "5",
    outage: "60",
    footprint: &[],
    limit: Duration::from_secs(30 * 60),
};

const QUICK: Effort = Effort {
    command: "benches/run.sh --quick",
    rounds: "30",
    runs: "1",
    outage: "5",
    footprint: &["--crates"],
    limit: Duration::from_secs(10 * 60),
};

fn main() -> std::io::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (effort, directory) = if quick {
        (QUICK, here.join("quick"))
    } else {
        (FULL, here.to_owned())
    };
    let machine = Machine::now();
    let part = |name, arguments: &[&str]| part(&effort, name, arguments);
    let micro = part("micro", &["--rounds", effort.rounds]);
    let machines = part("machines", &["--rounds", effort.rounds]);
    let e2e = part("e2e", &["--rounds", effort.runs, "--outage", effort.outage]);
    let counts = part("counts", &["--print"]);
    let footprint = part("footprint", effort.footprint);
    let text = format!(
        "# Results\n\n\
         What is measured and how is in [README.md](README.md).\n\n{}\n\
         ![Spandrel and its rivals](results.svg)\n\n\
         ## Side by side\n\n{BEGIN}\n{END}\n\n\
         ## One operation on the recording thread\n\n{micro}\n\
         ## Whole processes over HTTP\n{e2e}\n\
         ## The parts of Spandrel\n\n{machines}\n\
         ## Instructions\n\n{counts}\n\
         ## What it adds to a build\n\n{footprint}",
        machine.table(effort.command)
    );
    std::fs::create_dir_all(&directory)?;
    let results = Results::parse(&text);
    let text = replace_section(&text, &section(&results)).map_err(std::io::Error::other)?;
    std::fs::write(directory.join("results.svg"), svg(&results))?;
    std::fs::write(directory.join("RESULTS.md"), text)?;
    println!("{}", directory.join("RESULTS.md").display());
    Ok(())
}

/// What a program beside this one prints. One that fails has its reason in the results, and the
/// others go on.
fn part(effort: &Effort, name: &str, arguments: &[&str]) -> String {
    eprintln!("== {name} {}", arguments.join(" "));
    let path = std::env::current_exe().map(|path| path.with_file_name(name));
    let text = path.map_err(|error| error.to_string()).and_then(|path| {
        let mut command = Command::new(path);
        command.args(arguments);
        run(command, effort.limit, Complaints::Show)
    });
    text.unwrap_or_else(|error| format!("failed: {error}\n"))
}

/// What the figures were taken on, and what else it did meanwhile.
struct Machine {
    started: Instant,
    stat: Stat,
}

/// Processor seconds since the machine started.
#[derive(Clone, Copy, Debug, Default)]
struct Stat {
    busy: f64,
    /// Taken by other guests of the host.
    stolen: f64,
}

impl Stat {
    fn now() -> Self {
        let text = read("/proc/stat");
        let line = text.lines().next().unwrap_or_default();
        let ticks: Vec<f64> = line
            .split_whitespace()
            .filter_map(|n| n.parse().ok())
            .collect();
        // user, nice, system, idle, iowait, irq, softirq, steal; the tick of /proc is 10 ms.
        let sum = |at: &[usize]| at.iter().filter_map(|&at| ticks.get(at)).sum::<f64>() / 100.0;
        Self {
            busy: sum(&[0, 1, 2, 5, 6]),
            stolen: sum(&[7]),
        }
    }
}

impl Machine {
    fn now() -> Self {
        Self {
            started: Instant::now(),
            stat: Stat::now(),
        }
    }

    fn table(&self, command: &str) -> String {
        let cpu = read("/proc/cpuinfo");
        let model = cpu
            .lines()
            .find_map(|line| line.strip_prefix("model name"))
            .map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let kernel = read("/proc/sys/kernel/osrelease");
        let elapsed = self.started.elapsed().as_secs_f64();
        let stat = Stat::now();
        let (own, children) = (usage(), usage_of_children());
        let ours = own.user + own.system + children.user + children.system;
        let share = |seconds: f64| seconds.max(0.0) * 100.0 / (elapsed * cores as f64);
        let others = share(stat.busy - self.stat.busy - ours.as_secs_f64());
        let stolen = share(stat.stolen - self.stat.stolen);
        format!(
            "| what | value |\n|---|---|\n\
             | command | {command} |\n\
             | commit | {} |\n\
             | machine | {cores} x {model}, {} GiB, Linux {} |\n\
             | compiler | {} |\n\
             | noise | other programs took {others:.1} % of the machine, other guests of its host {stolen:.1} % |\n\
             | duration | {:.0} min |\n\
             | versions | {} |\n",
            commit(),
            memory_gib(),
            kernel.trim(),
            first_line("rustc", &["--version"]),
            (elapsed / 60.0).ceil(),
            versions(),
        )
    }
}

fn memory_gib() -> u64 {
    let text = read("/proc/meminfo");
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default().div_ceil(1 << 20)
}

fn commit() -> String {
    let commit = first_line("git", &["rev-parse", "--short", "HEAD"]);
    match first_line("git", &["status", "--porcelain", "--untracked-files=no"]).as_str() {
        "" => commit,
        _ => format!("{commit} with changes"),
    }
}

/// Of the rivals, from the lock file.
fn versions() -> String {
    const NAMES: [&str; 12] = [
        "opentelemetry_sdk",
        "opentelemetry-otlp",
        "tracing-opentelemetry",
        "tracing-subscriber",
        "fastrace",
        "fastrace-opentelemetry",
        "emit",
        "emit_otlp",
        "flate2",
        "zlib-rs",
        "miniz_oxide",
        "libdeflater",
    ];
    let lock = read(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock"));
    let versions = NAMES.iter().filter_map(|name| {
        let (_, rest) = lock.rsplit_once(&format!("name = \"{name}\"\nversion = \""))?;
        Some(format!("{name} {}", rest.split('"').next()?))
    });
    versions.collect::<Vec<_>>().join(", ")
}

fn first_line(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.args(arguments).output();
    output.map_or_else(
        |_| "unknown".into(),
        |output| {
            let text = String::from_utf8_lossy(&output.stdout);
            text.lines().next().unwrap_or_default().into()
        },
    )
}

/// Empty where there is no such file.
fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
