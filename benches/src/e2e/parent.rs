//! Starts contestants in turns and makes a table of what they did.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::child::{Job, Outcome};
use super::contestants::NAMES;
use crate::harness::median;
use crate::sink::Totals;
use crate::table::{digits, thousands};

/// One way to make spans.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// For the table.
    pub title: &'static str,
    /// Producing threads.
    pub threads: u64,
    /// Spans of a run.
    pub spans: u64,
    /// Spans in a second; 0 = as fast as possible.
    pub rate: u64,
    /// Whether the spans go to a closed port.
    pub outage: bool,
}

/// Where nobody listens: the port of a protocol that nobody serves any more.
const CLOSED: &str = "http://127.0.0.1:9";

impl Plan {
    /// Delivery, all of them.
    pub const DELIVERY: [Self; 4] = [
        Self::paced("100,000 spans/s, 1 thread", 1),
        Self::paced("100,000 spans/s, 2 threads", 2),
        Self::full_speed("full speed, 1 thread", 1),
        Self::full_speed("full speed, 2 threads", 2),
    ];

    /// Nobody answers for a minute.
    pub const OUTAGE: Self = Self {
        title: "an outage: 10,000 spans/s, nobody listens",
        threads: 1,
        spans: 600_000,
        rate: 10_000,
        outage: true,
    };

    const fn paced(title: &'static str, threads: u64) -> Self {
        Self {
            title,
            threads,
            spans: 300_000,
            rate: 100_000,
            outage: false,
        }
    }

    const fn full_speed(title: &'static str, threads: u64) -> Self {
        Self {
            title,
            threads,
            spans: 500_000,
            rate: 0,
            outage: false,
        }
    }
}

/// The process that receives.
struct SinkProcess {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    endpoint: String,
}

impl SinkProcess {
    fn start(program: &Path) -> Self {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the sink");
        let input = child.stdin.take().expect("piped");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut endpoint = String::new();
        output.read_line(&mut endpoint).expect("an address");
        Self {
            child,
            input,
            output,
            endpoint: endpoint.trim().into(),
        }
    }

    fn take_totals(&mut self) -> Totals {
        writeln!(self.input).expect("the sink listens");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the sink answers");
        let mut numbers = line.split_whitespace().filter_map(|n| n.parse().ok());
        let mut next = || numbers.next().unwrap_or_default();
        Totals {
            requests: next(),
            spans: next(),
            attributes: next(),
            wire_bytes: next(),
            plain_bytes: next(),
        }
    }
}

impl Drop for SinkProcess {
    fn drop(&mut self) {
        // It was started here and has nothing to lose.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Run {
    outcome: Outcome,
    totals: Totals,
}

impl Run {
    fn cpu_nanos(&self) -> f64 {
        (self.outcome.usage.user + self.outcome.usage.system).as_nanos() as f64
    }

    /// Per delivered span; per created one where nothing is delivered by design.
    fn cpu_per_span(&self) -> f64 {
        let spans = match self.totals.spans {
            0 => self.outcome.created,
            spans => spans,
        };
        self.cpu_nanos() / spans as f64
    }
}

/// Runs one plan in `rounds` turns; the table.
///
/// # Panics
///
/// When a process cannot be started or fails.
#[must_use]
pub fn run(plan: &Plan, rounds: usize, wanted: &[String]) -> String {
    let program = std::env::current_exe().expect("this program");
    let mut sink = SinkProcess::start(&program.with_file_name("sink"));
    let names: Vec<_> = NAMES
        .into_iter()
        .filter(|name| wanted.is_empty() || wanted.iter().any(|w| w == name))
        .collect();
    let mut runs: Vec<Vec<Run>> = names.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for turn in 0..names.len() {
            let at = (round + turn) % names.len();
            let job = Job {
                contestant: names[at].into(),
                endpoint: if plan.outage {
                    CLOSED.into()
                } else {
                    sink.endpoint.clone()
                },
                threads: plan.threads,
                spans: plan.spans,
                rate: plan.rate,
                patience: if plan.outage { 1_000 } else { 60_000 },
            };
            let _ = sink.take_totals();
            let output = Command::new(&program)
                .args(job.to_arguments())
                .stderr(Stdio::null())
                .output()
                .expect("a contestant");
            let text = String::from_utf8_lossy(&output.stdout);
            let outcome = text
                .lines()
                .find_map(Outcome::from_line)
                .unwrap_or_else(|| panic!("{} failed: {text}", names[at]));
            runs[at].push(Run {
                outcome,
                totals: sink.take_totals(),
            });
        }
    }
    table(plan, &names, &runs)
}

fn table(plan: &Plan, names: &[&str], runs: &[Vec<Run>]) -> String {
    let mut text = format!(
        "\n### {}, {} spans\n\n\
         | who | CPU ns / span, least | median | x ours | delivered | spans/s delivered | wire B / span | B / span, plain | requests | producing s | wall s | peak MiB | its own account (last run) |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|\n",
        plan.title,
        thousands(plan.spans)
    );
    for (at, (name, runs_of)) in names.iter().zip(runs).enumerate() {
        let of = |f: &dyn Fn(&Run) -> f64| median(runs_of.iter().map(f).collect());
        let least = runs_of
            .iter()
            .map(Run::cpu_per_span)
            .fold(f64::INFINITY, f64::min);
        let ratio = median(
            runs_of
                .iter()
                .zip(&runs[0])
                .map(|(a, b)| a.cpu_per_span() / b.cpu_per_span())
                .collect(),
        );
        let spans = |run: &Run| run.totals.spans.max(1) as f64;
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} | {:.1} % | {} | {:.1} | {:.0} | {:.0} | {:.2} | {:.2} | {:.1} | {} |",
            digits(least),
            digits(of(&Run::cpu_per_span)),
            if at == 0 { "1".into() } else { digits(ratio) },
            of(&|r| r.totals.spans as f64 * 100.0 / r.outcome.created as f64),
            thousands(of(&|r| r.totals.spans as f64 / r.outcome.wall.as_secs_f64()) as u64),
            of(&|r| r.totals.wire_bytes as f64 / spans(r)),
            of(&|r| r.totals.plain_bytes as f64 / spans(r)),
            of(&|r| r.totals.requests as f64),
            of(&|r| r.outcome.producing.as_secs_f64()),
            of(&|r| r.outcome.wall.as_secs_f64()),
            of(&|r| r.outcome.usage.peak_kib as f64 / 1024.0),
            runs_of.last().map_or("", |r| r.outcome.account.as_str()),
        );
    }
    text
}
