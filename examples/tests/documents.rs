//! What the documents of the workspace say must stay true.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use spandrel_examples::emulator::BOARDS;

const README: &str = include_str!("../../README.md");
const CHANGELOG: &str = include_str!("../../CHANGELOG.md");

/// spec D-144.
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

#[test]
fn the_links_of_the_readme_lead_to_files() {
    let links = README.split("](").skip(1).filter_map(|rest| {
        let link = rest.split(')').next()?;
        (!link.starts_with("http") && !link.starts_with('#')).then_some(link)
    });
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for link in links {
        let (file, section) = link.split_once('#').unwrap_or((link, ""));
        assert!(root.join(file).exists(), "{link}");
        if !section.is_empty() {
            let text = std::fs::read_to_string(root.join(file)).unwrap();
            let found = text
                .lines()
                .any(|line| anchor(line) == Some(section.into()));
            assert!(found, "{link}");
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
