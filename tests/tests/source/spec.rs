//! The three tables of `tests/spec/` tell the truth: each id that a comment or the name of a test
//! cites has its row, each row that claims something names tests that exist, and the public
//! documentation says its rules in words, without ids that its readers cannot look up.
//!
//! A comment cites a row as `spec A-005`, `fault S20`, `invariant I34` or `rule R15`; lists and
//! ranges are understood. A test whose name begins with ids (`s20_`, `i9_i11_`, `a_005_`) cites
//! them, too.

mod citations;
mod samples;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use self::citations::{Kind, citations, documentation, documents_named, tests};
use self::table::{Row, rows};
use super::scanner::{Comment, Token, tokens_and_comments};

/// The table of OpenTelemetry's requirements, and where its ids may be cited without a word.
const SPECIFICATION: &str = "tests/spec/opentelemetry.md";
const FAULTS: &str = "tests/spec/faults.md";
/// Invariants and rules.
const INVARIANTS: &str = "tests/spec/invariants.md";
/// The folders whose Rust files are read.
const PACKAGES: [&str; 7] = [
    "core",
    "transport-std",
    "transport-async",
    "tests",
    "examples",
    "benches",
    "fuzz",
];
/// What a published package documents is read by people who do not have this repository.
const PUBLISHED: [&str; 6] = [
    "core/src/",
    "core/macros/src/",
    "core/tower/src/",
    "transport-std/src/",
    "transport-async/src/",
    "tests/testkit/src/",
];
/// Words that lead readers of the documentation nowhere. Names of documents are a check of their
/// own.
const HOUSE_WORDS: [&str; 4] = [
    "checklist",
    "fault catalogue",
    "design rule",
    "design promise",
];

/// A text file; its path is relative to the root of the repository, with `/`.
#[derive(Clone, Debug)]
struct File {
    path: String,
    text: String,
}

/// A Rust file.
#[derive(Clone, Debug)]
struct Source {
    file: File,
    tokens: Vec<Token>,
    comments: Vec<Comment>,
}

impl Source {
    fn new(file: File) -> Self {
        let (tokens, comments) = tokens_and_comments(&file.text);
        Self {
            file,
            tokens,
            comments,
        }
    }
}

/// All that the check looks at.
#[derive(Clone, Debug, Default)]
struct Repository {
    sources: Vec<Source>,
    tables: Vec<File>,
    /// The paths of all `.md` files.
    documents: Vec<String>,
}

/// What is not true, one line each.
fn violations(repository: &Repository) -> Vec<String> {
    let mut found = Vec::new();
    let tests: BTreeSet<String> = repository
        .sources
        .iter()
        .flat_map(|source| tests(&source.tokens))
        .map(|(name, _)| name)
        .collect();
    let mut known: BTreeMap<Kind, BTreeSet<String>> = BTreeMap::new();
    for path in [SPECIFICATION, FAULTS, INVARIANTS] {
        match repository.tables.iter().find(|table| table.path == path) {
            Some(table) => {
                for row in rows(&table.text) {
                    check_row(path, &row, &tests, &mut known, &mut found);
                }
            }
            None => found.push(format!("{path}: there is no such table")),
        }
    }
    for source in &repository.sources {
        let file = &source.file;
        check_citations(source, &known, &mut found);
        if PUBLISHED.iter().any(|folder| file.path.starts_with(folder)) && !is_test(&file.path) {
            check_documentation(source, &known, &mut found);
        }
        for (name, line) in documents_named(&file.text) {
            let suffix = format!("/{name}");
            let is_there = |path: &String| *path == name || path.ends_with(&suffix);
            if !repository.documents.iter().any(is_there) {
                found.push(format!("{}:{line}: there is no `{name}`", file.path));
            }
        }
    }
    found
}

/// A file of unit tests, by its name.
fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// What an id of a table is cited as.
fn kind_of_row(path: &str, id: &str) -> Kind {
    match path {
        SPECIFICATION => Kind::Spec,
        FAULTS => Kind::Fault,
        _ if id.starts_with('R') => Kind::Rule,
        _ => Kind::Invariant,
    }
}

fn check_row(
    path: &str,
    row: &Row,
    tests: &BTreeSet<String>,
    known: &mut BTreeMap<Kind, BTreeSet<String>>,
    found: &mut Vec<String>,
) {
    let place = format!("{path}:{}: `{}`", row.line, row.id);
    let kind = kind_of_row(path, &row.id);
    if !known.entry(kind).or_default().insert(row.id.clone()) {
        found.push(format!("{place} has two rows"));
    }
    let (status, reason) = row.status.split_once(':').unwrap_or((&row.status, ""));
    let has_reason = !reason.trim().is_empty();
    let claims = match status.trim() {
        "met" | "decided" => true,
        "partial" => {
            if !has_reason {
                found.push(format!(
                    "{place} is `partial` and does not say what is missing"
                ));
            }
            true
        }
        "not met" => {
            if !has_reason {
                found.push(format!("{place} is `not met` without a reason"));
            }
            false
        }
        other => {
            found.push(format!("{place} has the unknown status `{other}`"));
            false
        }
    };
    if claims && row.tests.is_empty() {
        found.push(format!("{place} is `{}` without a test", status.trim()));
    }
    for test in &row.tests {
        if !tests.contains(test) {
            found.push(format!("{place} names `{test}`, which is no test"));
        }
    }
}

fn check_citations(
    source: &Source,
    known: &BTreeMap<Kind, BTreeSet<String>>,
    found: &mut Vec<String>,
) {
    let has_row = |kind: Kind, id: &str| known.get(&kind).is_some_and(|ids| ids.contains(id));
    let path = &source.file.path;
    for citation in citations(&source.comments) {
        if !has_row(citation.kind, &citation.id) {
            found.push(format!(
                "{}:{}: {} has no row",
                path, citation.line, citation
            ));
        }
    }
    // A letter that begins no id at all is part of an ordinary name.
    let is_letter = |kind: Kind, id: &str| {
        known
            .get(&kind)
            .is_some_and(|ids| ids.iter().any(|known| known.starts_with(&id[..1])))
    };
    for (name, line) in tests(&source.tokens) {
        for id in citations::ids_of_name(&name) {
            let kinds: &[Kind] = if id.contains('-') {
                &[Kind::Spec]
            } else {
                &[Kind::Fault, Kind::Invariant]
            };
            let is_id = kinds.iter().any(|&kind| is_letter(kind, &id));
            if is_id && !kinds.iter().any(|&kind| has_row(kind, &id)) {
                found.push(format!(
                    "{}:{line}: the test `{name}` begins with `{id}`, which has no row",
                    path
                ));
            }
        }
    }
}

fn check_documentation(
    source: &Source,
    known: &BTreeMap<Kind, BTreeSet<String>>,
    found: &mut Vec<String>,
) {
    let path = &source.file.path;
    for text in documentation(&source.tokens, &source.comments) {
        for citation in text.citations() {
            found.push(format!(
                "{}:{}: public documentation cites {citation}: say it in words",
                path, citation.line
            ));
        }
        for (id, line) in text.ids_in_brackets() {
            if known.values().any(|ids| ids.contains(id)) {
                found.push(format!(
                    "{}:{line}: public documentation has `({id}`: say it in words",
                    path
                ));
            }
        }
        for words in HOUSE_WORDS {
            for line in text.lines_with(words) {
                found.push(format!(
                    "{}:{line}: public documentation says \"{words}\"",
                    path
                ));
            }
        }
    }
}

/// Reads the repository that this package is part of.
fn this_repository() -> Repository {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut repository = Repository::default();
    visit(&root, "", &mut |path| {
        let read = || File {
            path: path.to_owned(),
            text: fs::read_to_string(root.join(path)).expect("a readable file"),
        };
        let in_a_package = PACKAGES
            .iter()
            .any(|package| path.split('/').next() == Some(package));
        if in_a_package && path.ends_with(".rs") {
            repository.sources.push(Source::new(read()));
        }
        if path.ends_with(".md") {
            repository.documents.push(path.to_owned());
            if path.starts_with("tests/spec/") {
                repository.tables.push(read());
            }
        }
    });
    repository
}

/// Calls `each` with the path of every file below `root/folder` that somebody wrote.
fn visit(root: &Path, folder: &str, each: &mut impl FnMut(&str)) {
    for entry in fs::read_dir(root.join(folder)).expect("a folder") {
        let entry = entry.expect("an entry of a folder");
        let name = entry.file_name().into_string().expect("a readable name");
        let path = if folder.is_empty() {
            name.clone()
        } else {
            format!("{folder}/{name}")
        };
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() && name != "target" && name != ".git" {
            visit(root, &path, each);
        } else if kind.is_file() {
            each(&path);
        }
    }
}

static THIS_REPOSITORY: LazyLock<Repository> = LazyLock::new(this_repository);

#[test]
fn every_citation_has_a_row_and_every_row_its_tests() {
    let found = violations(&THIS_REPOSITORY);
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn the_whole_repository_is_read() {
    let sources = &THIS_REPOSITORY.sources;
    for package in PACKAGES {
        let folder = format!("{package}/");
        let count = sources
            .iter()
            .filter(|source| source.file.path.starts_with(&folder))
            .count();
        assert!(count > 3, "{package}: {count} files");
    }
    let tests: usize = sources
        .iter()
        .map(|source| tests(&source.tokens).len())
        .sum();
    assert!(tests > 1_000, "only {tests} tests seen");
    let cited: usize = sources
        .iter()
        .map(|source| citations(&source.comments).len())
        .sum();
    assert!(cited > 50, "only {cited} citations seen");
    let readme = "README.md".to_owned();
    assert!(THIS_REPOSITORY.documents.contains(&readme));
}
