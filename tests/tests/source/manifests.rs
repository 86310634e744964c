//! What `cargo doc --open` shows: the crates that users have, and no helper of ours before them.

use std::fs;
use std::path::Path;

use super::crate_source::core_folder;

/// The manifests of the workspace's packages, by their folders.
fn manifests() -> Vec<(String, String)> {
    let root = core_folder();
    let root = root
        .ancestors()
        .find(|folder| folder.join("benches").is_dir());
    let root = root.expect("the repository");
    let read =
        |folder: &str| fs::read_to_string(root.join(folder).join("Cargo.toml")).expect(folder);
    let workspace = read("");
    let (_, members) = workspace.split_once("members = [").expect("members");
    let (members, _) = members.split_once(']').expect("an end");
    let folders = members.split(',').map(|name| name.trim().trim_matches('"'));
    folders
        .map(|folder| (folder.to_owned(), read(folder)))
        .collect()
}

/// Returns true if the library of a package has a page of its own.
fn has_page(manifest: &str) -> bool {
    let (_, library) = manifest.split_once("[lib]").unwrap_or_default();
    let section = library.split("\n[").next().unwrap_or_default();
    !section.lines().any(|line| line.trim() == "doc = false")
}

#[test]
fn x104_only_the_crates_that_users_have_are_documented() {
    let manifests = manifests();
    assert!(manifests.len() >= 6, "{manifests:?}");
    for (folder, manifest) in &manifests {
        let is_internal = manifest.lines().any(|line| line == "publish = false");
        assert_eq!(has_page(manifest), !is_internal, "{folder}");
    }
    assert!(
        manifests
            .iter()
            .any(|(folder, _)| Path::new(folder) == Path::new("core"))
    );
}

#[test]
fn a_page_is_turned_off_in_the_section_of_the_library_only() {
    assert!(has_page("[package]\ndoc = false\n"));
    assert!(has_page("[lib]\nname = \"a\"\n\n[[bin]]\ndoc = false\n"));
    assert!(!has_page("[lib]\n# Why.\ndoc = false\n\n[dependencies]\n"));
}
