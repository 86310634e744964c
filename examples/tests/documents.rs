//! The documents of the workspace must stay true.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use spandrel_examples::emulator::BOARDS;

const README: &str = include_str!("../../README.md");
const CHANGELOG: &str = include_str!("../../CHANGELOG.md");

// spec D-144
#[test]
fn the_changelog_names_the_specification_that_a_release_implements() {
    for version in ["OpenTelemetry specification 1.60.0", "OTLP 1.11.0"] {
        assert!(CHANGELOG.contains(version), "{version}");
    }
    let release = format!("## {}", env!("CARGO_PKG_VERSION"));
    assert!(CHANGELOG.contains(&release), "{release}");
}

// spec D-031
#[test]
fn the_readme_says_to_give_what_samplers_decide_by_at_the_start() {
    let said = README.lines().any(|line| {
        ["attributes", "sampl", "at the start", ".attributes("]
            .iter()
            .all(|part| line.contains(part))
    });
    assert!(said, "no line of the README advises it");
}

#[test]
fn the_readme_lists_every_example() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_stem().unwrap().to_str().unwrap();
        assert!(README.contains(&format!("| `{name}` |")), "{name}");
        let source = std::fs::read_to_string(&file).unwrap();
        let how = format!("//! cargo run --example {name}\n");
        assert!(source.contains(&how), "{name} does not say how to run it");
    }
}

/// Every document of the repository, by its path from the root.
fn documents() -> Vec<std::path::PathBuf> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folders = [
        "",
        "core",
        "core/macros",
        "core/tower",
        "transport-std",
        "transport-async",
        "benches",
        "fuzz",
    ];
    let more = [
        "examples/firmware",
        "tests/spec",
        "tests/fixtures",
        "tests/testkit",
    ];
    let mut found = Vec::new();
    for folder in folders.iter().chain(&more) {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn the_links_of_all_documents_lead_to_files_and_headings() {
    let documents = documents();
    assert!(documents.len() > 10, "{documents:?}");
    for document in &documents {
        let text = std::fs::read_to_string(document).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| {
            let link = rest.split(')').next()?;
            (!link.starts_with("http")).then_some(link)
        });
        for link in links {
            let (file, section) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => document.clone(),
                file => document.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{}: {link}", document.display());
            if !section.is_empty() {
                let text = std::fs::read_to_string(target).unwrap();
                let found = text
                    .lines()
                    .any(|line| anchor(line) == Some(section.into()));
                assert!(found, "{}: {link}", document.display());
            }
        }
    }
}

/// How a heading is linked to: in lower case, spaces as hyphens, no punctuation.
fn anchor(line: &str) -> Option<String> {
    let heading = line.strip_prefix('#')?.trim_start_matches('#').trim();
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || " -".contains(*c));
    Some(kept.collect::<String>().to_lowercase().replace(' ', "-"))
}

/// The script that builds the firmware and the table of its boards name the same compilers.
#[test]
fn the_boards_of_the_build_script_are_those_of_the_emulator() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../.ci/firmware-image.sh");
    let script = std::fs::read_to_string(path).unwrap();
    for board in &BOARDS {
        let line = format!("  {}) echo {} ;;", board.name, board.target);
        assert!(script.contains(&line), "{line:?} is not in {path}");
    }
    let names = BOARDS.map(|board| board.name).join(" ");
    assert!(script.contains(&format!("firmware_boards=({names})")));
}

/// All Rust files below `folder`, with strings that go on in the next line as one.
fn sources(folder: &str) -> String {
    let mut text = String::new();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut whole = String::new();
    for part in text.split_inclusive("\\\n") {
        whole.push_str(part.trim_start().trim_end_matches("\\\n"));
    }
    whole.replace("\\\"", "\"")
}

/// What a table quotes as the words of the program, without what differs from case to case.
fn quoted(document: &str) -> Vec<String> {
    let mut found = Vec::new();
    for row in document.lines().filter(|line| line.starts_with("| ")) {
        // A quotation with code in it has two ticks at each end.
        let (double, single): (Vec<_>, Vec<_>) = row
            .split("``")
            .enumerate()
            .partition(|(number, _)| number % 2 == 1);
        let single = single
            .into_iter()
            .flat_map(|(_, text)| text.split('`').skip(1).step_by(2));
        for quotation in double.into_iter().map(|(_, text)| text).chain(single) {
            let mut part = String::new();
            for word in quotation.split(' ').chain([".."]) {
                let differs = word == "N"
                    || word.contains("..")
                    || word.contains(['`', '(', '_'])
                    || word.contains(|c: char| c.is_ascii_digit()) && word.len() < 3;
                if !differs {
                    part.push_str(if part.is_empty() { "" } else { " " });
                    part.push_str(word);
                } else if part.contains(' ') {
                    found.push(std::mem::take(&mut part));
                } else {
                    part.clear();
                }
            }
        }
    }
    found
}

/// What the documents say that a user will see is what the program prints, and a test looks for it.
#[test]
fn the_words_that_the_documents_quote_are_printed_and_tested() {
    let product = ["core/src", "transport-std/src", "transport-async/src"].map(sources);
    let tests = ["tests", "examples/tests"].map(sources);
    let quoted = quoted(include_str!("../../TROUBLESHOOTING.md"));
    assert!(quoted.len() > 20, "{quoted:?}");
    for words in &quoted {
        let words = words.trim_end_matches([',', ':']);
        assert!(
            product.iter().any(|it| it.contains(words)),
            "not printed: {words:?}"
        );
        // Tests of a module stand beside it.
        let is_tested = tests.iter().any(|it| it.contains(words))
            || product.iter().any(|it| it.matches(words).count() > 1);
        assert!(is_tested, "not tested: {words:?}");
    }
}
