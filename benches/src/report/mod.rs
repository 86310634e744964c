//! `RESULTS.md` as data, and what is made of it: the charts, its own figures side by side, and the
//! README's.
//!
//! The committed tables are the only source of all of these, so that none can say something else;
//! `report --check` compares them in CI.

mod chart;
mod figures;

pub use chart::{summary_svg, svg};
pub use figures::{section, summary};

/// Where the figures that are made of the tables begin and end.
pub const BEGIN: &str = "<!-- figures: from here written by benches/run.sh, not by hand -->";
/// See [`BEGIN`].
pub const END: &str = "<!-- figures: to here -->";

/// The tables of `RESULTS.md`.
#[derive(Clone, Debug, Default)]
pub struct Results {
    tables: Vec<Table>,
}

#[derive(Clone, Debug, Default)]
struct Table {
    /// The nearest heading above.
    heading: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Results {
    /// Reads the tables of a document. A first cell that is empty is that of the row above.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut results = Self::default();
        let mut heading = "";
        let mut inside = false;
        for line in text.lines() {
            if let Some(title) = line.strip_prefix('#') {
                heading = title.trim_start_matches('#').trim();
            }
            let cells = cells(line);
            if cells.is_empty() {
                inside = false;
            } else if !inside {
                inside = true;
                results.tables.push(Table {
                    heading: heading.into(),
                    columns: cells,
                    rows: Vec::new(),
                });
            } else if let Some(table) = results.tables.last_mut()
                && !is_rule(&cells)
            {
                table.push(cells);
            }
        }
        results
    }

    /// The cell in the row that begins with `row`, in the column named `column` or else the first
    /// whose name contains it, of the first table under a heading that begins with `heading` which has one.
    #[must_use]
    pub fn cell(&self, heading: &str, row: &[&str], column: &str) -> Option<&str> {
        let tables = self.tables.iter();
        let mut tables = tables.filter(|table| table.heading.starts_with(heading));
        tables.find_map(|table| {
            let named = table.columns.iter().position(|c| c == column);
            let alike = || table.columns.iter().position(|c| c.contains(column));
            let at = named.or_else(alike)?;
            let row = table.rows.iter().find(|cells| cells.starts_with_all(row))?;
            row.get(at).map(String::as_str)
        })
    }

    /// The same as a number, if it is one.
    #[must_use]
    pub fn number(&self, heading: &str, row: &[&str], column: &str) -> Option<f64> {
        let text = self.cell(heading, row, column)?;
        let text = text.trim_end_matches('%').trim().replace(',', "");
        text.parse().ok()
    }
}

impl Table {
    fn push(&mut self, mut cells: Vec<String>) {
        if let (Some(first), Some(above)) = (cells.first_mut(), self.rows.last())
            && first.is_empty()
            && let Some(above) = above.first()
        {
            first.clone_from(above);
        }
        self.rows.push(cells);
    }
}

trait StartsWithAll {
    fn starts_with_all(&self, other: &[&str]) -> bool;
}

impl StartsWithAll for Vec<String> {
    fn starts_with_all(&self, other: &[&str]) -> bool {
        self.len() >= other.len() && self.iter().zip(other).all(|(a, b)| a == b)
    }
}

/// The cells of a line of a table; none of any other line.
fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().strip_prefix('|');
    let inner = inner.and_then(|rest| rest.strip_suffix('|'));
    inner.map_or_else(Vec::new, |inner| {
        inner.split('|').map(|cell| cell.trim().into()).collect()
    })
}

fn is_rule(cells: &[String]) -> bool {
    let mut letters = cells.iter().flat_map(|cell| cell.chars());
    letters.all(|letter| matches!(letter, '-' | ':'))
}

/// `document` with `section` between [`BEGIN`] and [`END`].
///
/// # Errors
///
/// When it has no such lines.
pub fn replace_section(document: &str, section: &str) -> Result<String, String> {
    let parts = document.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) = parts.ok_or_else(|| format!("there are no lines {BEGIN} and {END}"))?;
    Ok(format!("{before}{BEGIN}\n\n{section}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "# Results\n\n\
        | | |\n|---|---|\n| machine | 2 x M |\n\n\
        ## One operation\n\n\
        | operation | who | ns, median | lost |\n|---|---|---:|---:|\n\
        | start | ours | 1,234.5 | 0 |\n|  | theirs | failed: so | - |\n\n\
        ### full speed, 2 threads, 500,000 spans\n\n\
        | who | delivered |\n|---|---:|\n| ours | 22.5 % |\n";

    #[test]
    fn cells_are_found_by_heading_row_and_column() {
        let results = Results::parse(DOCUMENT);
        assert_eq!(results.cell("Results", &["machine"], ""), Some("machine"));
        let theirs = results.cell("One operation", &["start", "theirs"], "median");
        assert_eq!(theirs, Some("failed: so"));
        let ours = results.number("One operation", &["start", "ours"], "median");
        assert_eq!(ours, Some(1234.5));
        let delivered = results.number("full speed, 2 threads", &["ours"], "delivered");
        assert_eq!(delivered, Some(22.5));
        assert_eq!(results.cell("One operation", &["stop"], "median"), None);
        assert_eq!(
            results.number("One operation", &["start", "theirs"], "ns"),
            None
        );
    }

    #[test]
    fn a_section_is_replaced_and_nothing_else() {
        let document = format!("above\n{BEGIN}\nold\n{END}\nbelow\n");
        let new = replace_section(&document, "new\n").expect("a section");
        assert_eq!(new, format!("above\n{BEGIN}\n\nnew\n\n{END}\nbelow\n"));
        assert_eq!(
            replace_section(&new, "new\n"),
            Ok(new.clone()),
            "twice is once"
        );
        assert!(replace_section("nothing", "new").is_err());
    }

    #[test]
    fn a_document_without_figures_still_makes_a_section_and_a_chart() {
        let results = Results::parse("");
        assert!(section(&results).contains("Spandrel"));
        assert!(svg(&results).ends_with("</svg>\n"));
    }

    #[test]
    fn the_section_has_the_figures_of_the_results() {
        let results = Results::parse(
            "## One operation on the recording thread\n\
             | operation | who | ns, fastest | ns, median | x ours | ns cold, median | x ours, cold |\n\
             |---|---|---|---|---|---|---|\n\
             | start + end | spandrel | 40.0 | 41.0 | 1 | 70.0 | 1 |\n\
             |  | opentelemetry_sdk | 200 | 205 | 5.00 | 220 | 3.14 |\n\
             | disabled: start + end | spandrel | 1.00 | 1.10 | 1 | - | - |\n",
        );
        let section = section(&results);
        let row = |title| section.lines().find(|line| line.starts_with(title));
        let warm = row("| start + end, ns").expect("a row");
        assert!(warm.contains("| 41.0 | 205 (5.00x) |"), "{warm}");
        let cold = row("| start + end cold, ns").expect("a row");
        assert!(cold.contains("| 70.0 | 220 (3.14x) |"), "{cold}");
        assert!(section.contains("*Cold* is"));
        let summary = summary(&results);
        assert!(summary.contains("| start + end, ns | 41.0 | 205 (5.00x) |"));
        assert!(!summary.contains("cold"), "{summary}");
    }

    #[test]
    fn nothing_is_said_of_what_was_not_measured() {
        let results = Results::parse(
            "## One operation on the recording thread\n\
             | operation | who | ns, median | x ours |\n|---|---|---|---|\n\
             | start + end | spandrel | 41.0 | 1 |\n",
        );
        assert!(section(&results).contains("| start + end, ns | 41.0 |"));
        assert!(!section(&results).to_lowercase().contains("cold"));
        assert!(!svg(&results).contains("cold"));
    }
}
