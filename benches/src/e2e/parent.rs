//! Starts contestants in turns and makes a table of what they did.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::child::{Job, Outcome};
use super::contestants::{self, BARE};
use crate::harness::{median, order};
use crate::process::{self, Complaints};
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
    /// Whether nobody listens where the spans go.
    pub outage: bool,
}

impl Plan {
    /// Delivery, all of them.
    pub const DELIVERY: [Self; 6] = [
        Self::paced("100,000 spans/s, 1 thread", 1),
        Self::paced("100,000 spans/s, 4 threads", 4),
        Self::full_speed("full speed, 1 thread", 1),
        Self::full_speed("full speed, 2 threads", 2),
        Self::full_speed("full speed, 4 threads", 4),
        Self::full_speed("full speed, 8 threads", 8),
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

    fn job(&self, contestant: &str, endpoint: &str) -> Job {
        Job {
            contestant: contestant.into(),
            endpoint: endpoint.into(),
            threads: self.threads,
            spans: self.spans,
            rate: self.rate,
            patience: if self.outage { 1_000 } else { 60_000 },
        }
    }

    /// Nobody needs as long; one that hangs must not hang the others.
    fn limit(&self) -> Duration {
        let paced = self.spans.checked_div(self.rate).unwrap_or_default();
        Duration::from_secs(2 * paced + 90)
    }
}

/// The process that receives. Each run has one of its own, on a port of its own.
struct SinkProcess {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    endpoint: String,
}

impl SinkProcess {
    fn start(program: &Path) -> Result<Self, String> {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("no sink: {error}"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("no sink: no pipes".into());
        };
        let mut sink = Self {
            child,
            input,
            output: BufReader::new(output),
            endpoint: String::new(),
        };
        sink.endpoint = sink.line()?;
        Ok(sink)
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.output.read_line(&mut line) {
            Ok(1..) => Ok(line.trim().into()),
            Ok(0) => Err("the sink has failed".into()),
            Err(error) => Err(format!("the sink has failed: {error}")),
        }
    }

    fn take_totals(&mut self) -> Result<Totals, String> {
        writeln!(self.input).map_err(|error| format!("the sink has failed: {error}"))?;
        let line = self.line()?;
        let mut numbers = line.split_whitespace().filter_map(|n| n.parse().ok());
        let mut next = || numbers.next().unwrap_or_default();
        Ok(Totals {
            requests: next(),
            spans: next(),
            attributes: next(),
            wire_bytes: next(),
            plain_bytes: next(),
        })
    }
}

impl Drop for SinkProcess {
    fn drop(&mut self) {
        // It was started here and has nothing to lose.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that is taken by this socket, which does not listen: connections are refused, and nobody
/// else can come to listen there.
fn closed_port() -> std::io::Result<(Socket, String)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let any: std::net::SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    socket.bind(&any.into())?;
    let address = socket.local_addr()?.as_socket();
    let address = address.ok_or_else(|| std::io::Error::other("not an address of IP"))?;
    Ok((socket, format!("http://{address}")))
}

struct Run {
    outcome: Outcome,
    totals: Totals,
}

impl Run {
    fn cpu_nanos(&self) -> f64 {
        (self.outcome.usage.user + self.outcome.usage.system).as_nanos() as f64
    }

    /// Those delivered; those made where nothing is delivered by design.
    fn spans(&self) -> u64 {
        match self.totals.spans {
            0 => self.outcome.created,
            spans => spans,
        }
    }

    fn cpu_per_span(&self) -> f64 {
        self.cpu_nanos() / self.spans() as f64
    }
}

/// The runs of one contestant, by round. A round that failed has its reason.
type Runs = Vec<Result<Run, String>>;

/// Runs one plan in `rounds` turns; the table. A contestant that fails has its reason there.
#[must_use]
pub fn run(plan: &Plan, rounds: usize, wanted: &[String]) -> String {
    let names: Vec<_> = contestants::names()
        .filter(|name| wanted.is_empty() || wanted.iter().any(|w| w == name))
        .collect();
    let mut runs: Vec<Runs> = names.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for at in order(round, names.len()) {
            eprintln!("{}, round {round}, {} ...", plan.title, names[at]);
            runs[at].push(deliver(plan, names[at]));
        }
    }
    table(plan, &names, &runs)
}

/// Runs all contestants at the same time, for all to see the same minute; together they are busy
/// for a small part of it.
#[must_use]
pub fn run_outage(plan: &Plan, wanted: &[String]) -> String {
    let names: Vec<_> = contestants::names()
        .filter(|name| !name.contains("gzip"))
        .filter(|name| wanted.is_empty() || wanted.iter().any(|w| w == name))
        .collect();
    eprintln!("{}, all at once ...", plan.title);
    let (_held, endpoint) = match closed_port() {
        Ok(port) => port,
        Err(error) => return format!("\n### {}\n\nfailed: {error}\n", plan.title),
    };
    let runs: Vec<Runs> = std::thread::scope(|scope| {
        let threads: Vec<_> = names
            .iter()
            .map(|name| scope.spawn(|| contest(plan, name, &endpoint)))
            .collect();
        let results = threads.into_iter().map(|thread| {
            let outcome = thread.join().unwrap_or_else(|_| Err("a panic".into()));
            let totals = Totals::default();
            vec![outcome.map(|outcome| Run { outcome, totals })]
        });
        results.collect()
    });
    table(plan, &names, &runs)
}

fn deliver(plan: &Plan, name: &str) -> Result<Run, String> {
    let mut sink = SinkProcess::start(&this_program()?.with_file_name("sink"))?;
    let outcome = contest(plan, name, &sink.endpoint)?;
    let totals = sink.take_totals()?;
    Ok(Run { outcome, totals })
}

fn contest(plan: &Plan, name: &str, endpoint: &str) -> Result<Outcome, String> {
    let mut command = Command::new(this_program()?);
    command.args(plan.job(name, endpoint).to_arguments());
    let text = process::run(command, plan.limit(), Complaints::Keep)?;
    let outcome = text.lines().find_map(Outcome::from_line);
    outcome.ok_or_else(|| "it told nothing".into())
}

fn this_program() -> Result<PathBuf, String> {
    std::env::current_exe().map_err(|error| error.to_string())
}

fn table(plan: &Plan, names: &[&str], runs: &[Runs]) -> String {
    let per = if plan.outage { "made" } else { "delivered" };
    let mut text = format!(
        "\n### {}, {} spans\n\n\
         | who | CPU ns / span {per}, least | median | x ours | of it for tracing | delivered | spans/s delivered | wire B / span | B / span, plain | requests | producing s | wall s | peak MiB | its own account (last run) |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|\n",
        plan.title,
        thousands(plan.spans)
    );
    let of = |at: Option<usize>| at.map_or(&[][..], |at| runs[at].as_slice());
    let first = of((!runs.is_empty()).then_some(0));
    let bare = of(names.iter().position(|name| *name == BARE));
    for (name, runs_of) in names.iter().zip(runs) {
        text.push_str(&row(name, runs_of, first, bare));
    }
    for (name, runs_of) in names.iter().zip(runs) {
        let reasons: Vec<_> = runs_of.iter().filter_map(|r| r.as_ref().err()).collect();
        if let Some(reason) = reasons.first() {
            let (failed, all) = (reasons.len(), runs_of.len());
            let _ = writeln!(text, "\n{name}: {failed} of {all} runs failed: {reason}");
        }
    }
    text
}

type RunsOf<'a> = &'a [Result<Run, String>];

/// The median over the rounds in which both went well.
fn pairs(runs: RunsOf, others: RunsOf, compare: impl Fn(&Run, &Run) -> f64) -> f64 {
    let pairs = runs.iter().zip(others).filter_map(|pair| match pair {
        (Ok(a), Ok(b)) => Some(compare(a, b)),
        _ => None,
    });
    median(pairs.collect())
}

/// `first` is who is compared with, `bare` the one without tracing.
fn row(name: &str, runs: RunsOf, first: RunsOf, bare: RunsOf) -> String {
    let good: Vec<_> = runs.iter().flatten().collect();
    let Some(last) = good.last() else {
        return format!("| {name} | failed |{}\n", " - |".repeat(12));
    };
    let of = |f: &dyn Fn(&Run) -> f64| median(good.iter().map(|run| f(run)).collect());
    let least = good
        .iter()
        .map(|run| run.cpu_per_span())
        .fold(f64::INFINITY, f64::min);
    let ratio = pairs(runs, first, |a, b| a.cpu_per_span() / b.cpu_per_span());
    // The work itself is done for every span that is made, whether it is delivered or not.
    let tracing = pairs(runs, bare, |a, b| {
        (a.cpu_nanos() - b.cpu_nanos()) / a.spans() as f64
    });
    let delivered = |run: &Run| run.totals.spans.max(1) as f64;
    format!(
        "| {name} | {} | {} | {} | {} | {:.1} % | {} | {:.1} | {:.0} | {:.0} | {:.2} | {:.2} | {:.1} | {} |\n",
        digits(least),
        digits(of(&Run::cpu_per_span)),
        digits(ratio),
        digits(tracing.clamp(0.0, f64::INFINITY)),
        of(&|r| r.totals.spans as f64 * 100.0 / r.outcome.created as f64),
        thousands(of(&|r| r.totals.spans as f64 / r.outcome.wall.as_secs_f64()) as u64),
        of(&|r| r.totals.wire_bytes as f64 / delivered(r)),
        of(&|r| r.totals.plain_bytes as f64 / delivered(r)),
        of(&|r| r.totals.requests as f64),
        of(&|r| r.outcome.producing.as_secs_f64()),
        of(&|r| r.outcome.wall.as_secs_f64()),
        of(&|r| r.outcome.usage.peak_kib as f64 / 1024.0),
        last.outcome.account.replace('|', " "),
    )
}
