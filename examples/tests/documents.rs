//! What the documents of the workspace say must stay true.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

const README: &str = include_str!("../../README.md");
const CHANGELOG: &str = include_str!("../../CHANGELOG.md");

/// Checklist D-144.
#[test]
fn the_changelog_names_the_specification_that_a_release_implements() {
    for version in ["OpenTelemetry specification 1.60.0", "OTLP 1.11.0"] {
        assert!(CHANGELOG.contains(version), "{version}");
    }
    let release = format!("## {}", env!("CARGO_PKG_VERSION"));
    assert!(CHANGELOG.contains(&release), "{release}");
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
        assert!(root.join(link).exists(), "{link}");
    }
}
