//! The figures side by side: all of them for `RESULTS.md`, the few that matter for the README.

use std::fmt::Write as _;

use super::Results;
use crate::table::digits;

/// Who has a column: the title, and the names in the results; the first that has a figure counts.
const COLUMNS: [(&str, &[&str]); 7] = [
    ("Spandrel", &["spandrel"]),
    ("Spandrel's `tracing` layer", &["spandrel, tracing layer"]),
    (
        "opentelemetry_sdk",
        &["opentelemetry_sdk", "opentelemetry (no-op)"],
    ),
    (
        "tracing-opentelemetry",
        &["tracing-opentelemetry", "tracing (level off)"],
    ),
    ("fastrace", &["fastrace", "fastrace (outside of a trace)"]),
    (
        "fastrace, local child",
        &["fastrace, child of a local root"],
    ),
    ("emit", &["emit", "emit (filtered out)"]),
];

const MICRO: &str = "One operation on the recording thread";
/// There, the column of the first spans after other work.
const COLD: &str = "ns cold, median";
const PACED: &str = "100,000 spans/s, 1 thread";
const FULL_SPEED: &str = "full speed, 2 threads";
const OUTAGE: &str = "an outage";
const BUILD: &str = "What it adds to a build";
const PARTS: &str = "The parts of Spandrel";

/// Where the cells of a row come from.
struct Row {
    title: &'static str,
    heading: &'static str,
    /// The first cells of its rows, before the name.
    operation: Option<&'static str>,
    column: &'static str,
    /// The column of ratios that is given as well.
    ratio: Option<&'static str>,
}

const fn micro(title: &'static str, operation: &'static str) -> Row {
    Row {
        title,
        heading: MICRO,
        operation: Some(operation),
        column: "ns, median",
        ratio: Some("x ours"),
    }
}

const fn cold(title: &'static str, operation: &'static str) -> Row {
    Row {
        column: COLD,
        ratio: Some("x ours, cold"),
        ..micro(title, operation)
    }
}

const fn whole(title: &'static str, heading: &'static str, column: &'static str) -> Row {
    Row {
        title,
        heading,
        operation: None,
        column,
        ratio: None,
    }
}

const ROWS: [Row; 22] = [
    micro("start + end, ns", "start + end"),
    cold("start + end cold, ns", "start + end"),
    micro(
        "start + 4 attributes + end, ns",
        "start + 4 attributes + end",
    ),
    cold(
        "start + 4 attributes + end cold, ns",
        "start + 4 attributes + end",
    ),
    micro(
        "start + 10 attributes + end, ns",
        "start + 10 attributes of 20 characters + end",
    ),
    micro("parent + child, ns", "parent + child, both current"),
    micro("start + end, not sampled, ns", "unsampled: start + end"),
    micro("start + end, disabled, ns", "disabled: start + end"),
    micro(
        "2 threads: time per span, ns",
        "2 threads, wall time / span",
    ),
    Row {
        title: "allocations of a span with 4 attributes",
        heading: MICRO,
        operation: Some("start + 4 attributes + end"),
        column: "allocs",
        ratio: None,
    },
    Row {
        ratio: Some("x ours"),
        ..whole(
            "whole process at 100,000/s: CPU per span delivered, ns",
            PACED,
            "median",
        )
    },
    whole("bytes on the wire per span", PACED, "wire B"),
    whole("peak memory, MiB", PACED, "peak MiB"),
    whole(
        "as fast as possible, 2 threads: delivered of 500,000",
        FULL_SPEED,
        "delivered",
    ),
    whole(
        "delivered per second as fast as possible",
        FULL_SPEED,
        "spans/s delivered",
    ),
    whole(
        "peak memory as fast as possible, MiB",
        FULL_SPEED,
        "peak MiB",
    ),
    whole(
        "collector away, 10,000/s: CPU per span made, ns",
        OUTAGE,
        "for tracing",
    ),
    whole("collector away: peak memory, MiB", OUTAGE, "peak MiB"),
    whole("crates compiled", BUILD, "crates"),
    whole("clean release build, s", BUILD, "clean build"),
    whole("KiB added to a program", BUILD, "KiB added"),
    whole("which can send to https://", BUILD, "TLS"),
];

/// The rows of the README, by title; the columns are those of [`COLUMNS`] that stand in its width.
const SUMMARY_ROWS: [&str; 8] = [
    "start + end, ns",
    "start + 4 attributes + end, ns",
    "start + end, disabled, ns",
    "allocations of a span with 4 attributes",
    "whole process at 100,000/s: CPU per span delivered, ns",
    "bytes on the wire per span",
    "collector away: peak memory, MiB",
    "crates compiled",
];
const SUMMARY_COLUMNS: [&str; 5] = [
    "Spandrel",
    "opentelemetry_sdk",
    "tracing-opentelemetry",
    "fastrace",
    "emit",
];

/// The README's figures, to stand between the marks.
#[must_use]
pub fn summary(results: &Results) -> String {
    let head = |row| results.cell("Results", &[row], "value").unwrap_or("-");
    format!(
        "![Spandrel and its rivals](benches/summary.svg)\n\n{}\n\
         Measured by `{}` on {}, every contestant set up as its own documentation recommends. All\n\
         take turns in every round; figures are medians, and ratios are those within a round.\n",
        table(
            results,
            |title| SUMMARY_ROWS.contains(&title),
            |title| SUMMARY_COLUMNS.contains(&title)
        ),
        head("command"),
        head("machine"),
    )
}

/// All figures side by side, to stand between the marks in `RESULTS.md`.
#[must_use]
pub fn section(results: &Results) -> String {
    let mut text = String::from(
        "All contestants take turns in every round. A figure is the median of the rounds, and a ratio \
         the\nmedian of the ratios within a round.\n",
    );
    if results.cell(MICRO, &["start + end"], COLD).is_some() {
        text.push_str(
            "*Cold* is the first 100 spans after the other contestants' turns. *Warm* is the rest: \
             thousands of\nspans in a row, with the sender woken as often as in steady state.\n",
        );
    }
    text.push('\n');
    text.push_str(&table(results, |_| true, |_| true));
    text.push_str(&compression(results));
    text.push_str(&levels(results));
    text.push_str(&threads(results));
    text
}

fn table(
    results: &Results,
    has_row: impl Fn(&str) -> bool,
    has_column: impl Fn(&str) -> bool,
) -> String {
    let rows: Vec<_> = ROWS
        .iter()
        .filter(|row| has_row(row.title))
        .map(|row| {
            (
                row.title,
                COLUMNS.map(|(_, names)| cell(results, row, names)),
            )
        })
        .collect();
    // A column without any figure is left out.
    let used = |at: usize| {
        let is_empty = rows.iter().all(|(_, cells)| cells[at].is_none());
        has_column(COLUMNS[at].0) && (at == 0 || !is_empty)
    };
    let columns: Vec<_> = (0..COLUMNS.len()).filter(|&at| used(at)).collect();
    let mut text = String::from("| |");
    for &at in &columns {
        let _ = write!(text, " {} |", COLUMNS[at].0);
    }
    let _ = writeln!(text, "\n|---|{}", "---:|".repeat(columns.len()));
    for (title, cells) in &rows {
        // Nor is a row.
        if cells.iter().any(Option::is_some) {
            let _ = write!(text, "| {title} |");
            for &at in &columns {
                let _ = write!(text, " {} |", cells[at].as_deref().unwrap_or("-"));
            }
            text.push('\n');
        }
    }
    text
}

fn cell(results: &Results, row: &Row, names: &[&str]) -> Option<String> {
    let keys = names
        .iter()
        .map(|who| row.operation.into_iter().chain([*who]).collect::<Vec<_>>());
    let (key, text) = { keys }.find_map(|key| {
        let text = results.cell(row.heading, &key, row.column)?.to_owned();
        Some((key, text))
    })?;
    let number = results.number(row.heading, &key, row.column);
    let ratio = row.ratio;
    match ratio.and_then(|column| results.cell(row.heading, &key, column)) {
        Some(ratio) if names != COLUMNS[0].1 && number.is_some() => {
            Some(format!("{text} ({ratio}x)"))
        }
        _ => Some(text),
    }
}

/// What the levels of gzip cost and give.
fn compression(results: &Results) -> String {
    let levels = (1..=9).map(|level: u32| (level.to_string(), format!("zlib-rs level {level}")));
    let default = ("default".to_owned(), "spandrel_core (for spans)".to_owned());
    let levels: Vec<_> = [default]
        .into_iter()
        .chain(levels)
        .filter_map(|(level, name)| {
            let name = format!("gzip, {name}");
            let cell = |column| results.cell(PARTS, &[&name, "512"], column);
            Some((level, cell("ns / span, median")?, cell("B / span")?))
        })
        .collect();
    if levels.is_empty() {
        return String::new();
    }
    let mut text = String::from("\n| gzip of a batch of 512, level |");
    for (level, ..) in &levels {
        let _ = write!(text, " {level} |");
    }
    let _ = write!(
        text,
        "\n|---|{}\n| ns per span |",
        "---:|".repeat(levels.len())
    );
    for (_, ns, _) in &levels {
        let _ = write!(text, " {ns} |");
    }
    text.push_str("\n| bytes per span |");
    for (.., bytes) in &levels {
        let _ = write!(text, " {bytes} |");
    }
    text.push('\n');
    text
}

/// Whole processes with other settings of gzip than the default.
fn levels(results: &Results) -> String {
    let tables = results.tables.iter();
    let mut tables = tables.filter(|table| table.heading.starts_with(PACED));
    let names = tables.next().into_iter().flat_map(|table| &table.rows);
    let names = names.filter_map(|row| Some((row.first()?, row.first()?.split_once(", gzip ")?.1)));
    let settings = names.filter_map(|(who, setting)| {
        let cpu = results.cell(PACED, &[who], "median")?;
        let bytes = results.cell(PACED, &[who], "wire B")?;
        Some(format!("{cpu} ns and {bytes} bytes at {setting}"))
    });
    let settings: Vec<_> = settings.collect();
    if settings.is_empty() {
        return String::new();
    }
    format!(
        "\nWith `gzip_level`, the whole process takes for a span, at 100,000/s: {}.\n",
        settings.join(", ")
    )
}

/// How much more two threads do than one, beside work that shares nothing: what that falls short of
/// two is the machine's doing.
fn threads(results: &Results) -> String {
    let gain = |who: &str, column: &str| {
        let time = |threads: &str| {
            let operation = format!("{threads}, wall time / span");
            results.number(MICRO, &[&operation, who], column)
        };
        Some(digits(time("1 thread")? / time("2 threads")?))
    };
    let both = |column| {
        Some((
            gain("spandrel", column)?,
            gain("(two clock reads)", column)?,
        ))
    };
    match (both("ns, fastest"), both("ns, median")) {
        (Some((ours, clock)), Some((our_median, clock_median))) => format!(
            "\nIn the fastest rounds two threads record {ours} times as much as one, and read the clock {clock} times\n\
             as often, which shares nothing; in the median {our_median} and {clock_median}: this machine does not always \
             run two\nthreads at once.\n",
        ),
        _ => String::new(),
    }
}
