//! The committed seeds of the fuzz targets, replayed by the ordinary test command, so that a
//! crash that became a seed stays fixed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the helpers of a test may fail it"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use spandrel_tests::fuzz::TARGETS;

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let stem = |entry: fs::DirEntry| entry.path().file_stem().unwrap().to_str().unwrap().into();
    entries.map(|entry| stem(entry.unwrap())).collect()
}

#[test]
fn every_seed_runs_through_its_target() {
    for (name, run) in TARGETS {
        let folder = fuzz_folder().join("seeds").join(name);
        let mut count = 0;
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            run(&fs::read(&path).unwrap());
            count += 1;
        }
        assert!(count > 0, "{name} has no seeds");
    }
}

#[test]
fn every_target_has_a_shim_and_a_folder_of_seeds_and_nothing_else_has() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).into()).collect();
    assert_eq!(names(&fuzz_folder().join("fuzz_targets")), targets);
    assert_eq!(names(&fuzz_folder().join("seeds")), targets);
}

#[test]
fn no_bytes_at_all_are_fine_too() {
    for (_, run) in TARGETS {
        run(&[]);
    }
}
