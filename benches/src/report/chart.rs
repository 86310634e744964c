//! The charts.

use super::Results;
use crate::svg::{Group, chart};

/// What is drawn.
const GROUPS: [Source; 9] = [
    (
        "start + end, ns",
        "One operation",
        Some("start + end"),
        "ns, median",
    ),
    (
        "start + end cold, just after other work, ns",
        "One operation",
        Some("start + end"),
        "ns cold, median",
    ),
    (
        "start + 4 attributes + end, ns",
        "One operation",
        Some("start + 4 attributes + end"),
        "ns, median",
    ),
    (
        "start + end, not sampled, ns",
        "One operation",
        Some("unsampled: start + end"),
        "ns, median",
    ),
    (
        "CPU of the whole process per span delivered, 100,000 spans/s, ns",
        "100,000 spans/s, 1 thread",
        None,
        "median",
    ),
    (
        "bytes on the wire per span, at 100,000 spans/s",
        "100,000 spans/s, 1 thread",
        None,
        "wire B",
    ),
    (
        "CPU per span delivered, made as fast as possible by 2 threads, ns",
        "full speed, 2 threads",
        None,
        "median",
    ),
    (
        "collector away, 10,000 spans/s: peak memory, MiB",
        "an outage",
        None,
        "peak MiB",
    ),
    (
        "KiB added to a release program",
        "What it adds to a build",
        None,
        "KiB added",
    ),
];

/// Of these, the three for the README.
const SUMMARY: [usize; 3] = [2, 4, 7];

/// The chart of all results.
#[must_use]
pub fn svg(results: &Results) -> String {
    draw(results, &GROUPS)
}

/// The chart of the results that matter most.
#[must_use]
pub fn summary_svg(results: &Results) -> String {
    draw(results, &SUMMARY.map(|at| GROUPS[at]))
}

/// The title, and where the figures come from.
type Source = (
    &'static str,
    &'static str,
    Option<&'static str>,
    &'static str,
);

fn draw(results: &Results, sources: &[Source]) -> String {
    let groups = sources
        .iter()
        .map(|&(title, heading, operation, column)| Group {
            title: title.into(),
            bars: bars(results, heading, operation, column),
        });
    let groups: Vec<_> = groups.filter(|group| !group.bars.is_empty()).collect();
    chart("Spandrel and its rivals: shorter is better", &groups)
}

/// In the order of the table; what is in brackets is not a contestant.
fn bars(
    results: &Results,
    heading: &str,
    operation: Option<&str>,
    column: &str,
) -> Vec<(String, f64, String)> {
    let tables = results.tables.iter();
    let mut tables = tables.filter(|table| table.heading.starts_with(heading));
    let Some(table) = tables.find(|table| table.columns.iter().any(|c| c.contains(column))) else {
        return Vec::new();
    };
    let rows = table.rows.iter().filter(|row| {
        operation.is_none_or(|operation| row.first().is_some_and(|first| first == operation))
    });
    let who = usize::from(operation.is_some());
    let names = rows.filter_map(|row| row.get(who));
    let names = names.filter(|name| !name.starts_with('('));
    names
        .filter_map(|name| {
            let key: Vec<_> = operation.into_iter().chain([name.as_str()]).collect();
            let text = results.cell(heading, &key, column)?;
            let value = results.number(heading, &key, column)?;
            Some((name.clone(), value, text.to_owned()))
        })
        .collect()
}
