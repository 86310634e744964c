//! A real directory, and processes that share it.

use std::fs;
use std::path::PathBuf;

use super::*;

/// A directory that is gone at the end.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Self {
        let path = std::format!("spandrel-spool-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(path);
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn open(&self, instance: u8) -> Spool<DirectoryFiles> {
        let instance = [instance; 16];
        let files = DirectoryFiles::open(&self.0, instance).unwrap();
        Spool::open(files, instance, options(SyncPolicy::Always), at(0))
    }

    fn names(&self) -> Vec<std::string::String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_directory_keeps_batches_between_processes_and_is_clean_at_the_end() {
    let directory = Temporary::new("clean");
    let mut first = directory.open(1);
    for number in 1..=30 {
        store(&mut first, number, at(number)).unwrap();
    }
    drop(first);
    assert!(directory.names().len() > 2);
    let mut second = directory.open(2);
    assert_eq!(second.counts().recovered, (1..=30).sum::<u64>());
    assert!(drain(&mut second, at(40)).into_iter().eq(1..=30));
    drop(second);
    assert_eq!(directory.names(), [""; 0]);
}

#[test]
fn a_living_process_keeps_what_is_its_own() {
    let directory = Temporary::new("living");
    let mut first = directory.open(1);
    store(&mut first, 1, at(1)).unwrap();
    let mut second = directory.open(2);
    assert_eq!(second.counts().recovered, 0);
    store(&mut second, 2, at(2)).unwrap();
    assert_eq!(drain(&mut second, at(3)), [2]);
    assert_eq!(drain(&mut first, at(3)), [1]);
}

#[test]
fn an_instance_is_one_process() {
    let directory = Temporary::new("instance");
    let _first = directory.open(1);
    let error = DirectoryFiles::open(&directory.0, [1; 16]).unwrap_err();
    let text = std::format!("{error}");
    assert!(
        text.contains("cannot be used") && text.contains("living") || text.contains("exists"),
        "{text}"
    );
}

#[test]
fn strange_files_are_left_alone() {
    let directory = Temporary::new("strange");
    fs::create_dir_all(&directory.0).unwrap();
    let segment = std::format!("{}-{:016x}.spool", "ab".repeat(16), 1);
    let strangers = [
        "note.txt",
        "x.spool",
        "0-1.spool",
        "AB.lock",
        "\u{e9}.spool",
    ];
    for name in strangers {
        fs::write(directory.0.join(name), "not ours").unwrap();
    }
    // A directory in the place of a segment, and a file with the right name and the wrong content.
    fs::create_dir(directory.0.join(&segment)).unwrap();
    let other = std::format!("{}-{:016x}.spool", "cd".repeat(16), 7);
    fs::write(directory.0.join(&other), "not a segment at all").unwrap();
    let mut spool = directory.open(1);
    assert_eq!(spool.counts().recovered, 0);
    store(&mut spool, 1, at(1)).unwrap();
    assert_eq!(drain(&mut spool, at(2)), [1]);
    drop(spool);
    let names = directory.names();
    for name in strangers {
        assert!(names.iter().any(|found| found == name), "{name} {names:?}");
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let directory = Temporary::new("blocked");
    fs::write(&directory.0, "a file").unwrap();
    let error = DirectoryFiles::open(&directory.0, [1; 16]).unwrap_err();
    let text = std::format!("{error}");
    assert!(
        text.contains("spandrel-spool-blocked") && text.contains("cannot be used"),
        "{text}"
    );
    let _ = fs::remove_file(&directory.0);
}

#[cfg(unix)]
#[test]
fn only_the_user_reads_what_is_stored() {
    use std::os::unix::fs::PermissionsExt;
    let directory = Temporary::new("private");
    let mut spool = directory.open(1);
    store(&mut spool, 1, at(1)).unwrap();
    let mode = |path: &PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory.0), 0o700);
    for name in directory.names() {
        assert_eq!(mode(&directory.0.join(name)), 0o600);
    }
}
