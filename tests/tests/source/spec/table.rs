//! The rows of a Markdown table that has columns `id`, `status` and `test`.

/// One row.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) status: String,
    /// The names in backticks in the column `test`.
    pub(crate) tests: Vec<String>,
    pub(crate) line: usize,
}

/// Where the three columns stand.
struct Columns {
    id: usize,
    status: usize,
    test: usize,
}

/// The rows of all such tables; tables with other columns are skipped.
pub(crate) fn rows(text: &str) -> Vec<Row> {
    let mut columns: Option<Columns> = None;
    let mut in_a_table = false;
    let mut rows = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        if !text.starts_with('|') {
            in_a_table = false;
            continue;
        }
        let cells = cells(text);
        if !in_a_table {
            in_a_table = true;
            columns = header(&cells);
        } else if let Some(columns) = &columns {
            let cell = |at: usize| cells.get(at).map_or("", |cell| cell);
            let id = cell(columns.id).trim_matches('`');
            if !id.is_empty() && !id.chars().all(|c| "-:".contains(c)) {
                rows.push(Row {
                    id: id.to_owned(),
                    status: cell(columns.status).to_owned(),
                    tests: quoted(cell(columns.test)),
                    line,
                });
            }
        }
    }
    rows
}

fn header(cells: &[String]) -> Option<Columns> {
    let place = |names: &[&str]| cells.iter().position(|cell| names.contains(&cell.as_str()));
    Some(Columns {
        id: place(&["id"])?,
        status: place(&["status"])?,
        test: place(&["test", "tests"])?,
    })
}

/// The cells of a line; `\|` is part of its cell.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut escaped = false;
    for c in line.trim().trim_start_matches('|').chars() {
        if c == '|' && !escaped {
            cells.push(String::new());
        } else if let Some(cell) = cells.last_mut() {
            cell.push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    cells.iter().map(|cell| cell.trim().to_owned()).collect()
}

fn quoted(cell: &str) -> Vec<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn rows_are_read_by_the_names_of_their_columns() {
    let text = "\
# A title

| id | what | status | test |
|---|---|---|---|
| A-001 | a \\| b | met | `one`, `two` |
| A-002 | c | not met: no time | |

| other | table |
|---|---|
| A-003 | d |

| status | tests | id |
|:--|---|--:|
| met | `three` | `S1` |
";
    let row = |id: &str, status: &str, tests: &[&str], line| Row {
        id: id.to_owned(),
        status: status.to_owned(),
        tests: tests.iter().map(|&test| test.to_owned()).collect(),
        line,
    };
    let expected = [
        row("A-001", "met", &["one", "two"], 5),
        row("A-002", "not met: no time", &[], 6),
        row("S1", "met", &["three"], 14),
    ];
    assert_eq!(rows(text), expected);
}
