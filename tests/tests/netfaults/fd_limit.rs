//! Fault N20: a process without a free file descriptor.

use std::fs::File;
use std::sync::Mutex;
use std::time::Duration;

use spandrel_tests::fault_server::{FaultServer, Reply, Script};

use crate::remote::{PATIENCE, Remote, say};
use crate::sender::SENDERS;

/// Files that a child holds open.
static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// In the child: opens files until the system refuses.
pub(crate) fn exhaust() {
    let mut held = HELD.lock().unwrap();
    let refused = loop {
        match File::open("/dev/null") {
            Ok(file) => held.push(file),
            Err(error) => break error,
        }
    };
    // Too many open files, of this process.
    assert_eq!(refused.raw_os_error(), Some(24), "{refused}");
    say(&format!("held {}", held.len()));
}

/// In the child: closes them.
pub(crate) fn release() {
    HELD.lock().unwrap().clear();
    say("released");
}

#[test]
fn n20_without_file_descriptors_attempts_fail_and_resume_when_there_are_some() {
    for sender in SENDERS {
        let server = FaultServer::start(Script::new().otherwise(Reply::ConnectionClose));
        let limited = ["sh", "-c", "ulimit -n 64 && exec \"$@\"", "sh"];
        let mut service = Remote::start(sender, &limited).expect("a shell");
        let timeout = Duration::from_secs(5).as_millis();
        service.ask(&format!("start {} {timeout}", server.url()));
        service.ask("record 2");
        assert_eq!(service.books("flush 10000")["success"], 1, "{sender}");

        let held = service.books("exhaust")["held"];
        assert!(held > 0, "{sender}");
        service.ask("record 3");
        let flush = service.books("flush 100");
        assert_eq!((flush["complete"], flush["left"]), (0, 3), "{sender}");
        let until = std::time::Instant::now() + PATIENCE;
        while service.books("books")["opened"] == 0 {
            assert!(std::time::Instant::now() < until, "{sender}");
            std::thread::sleep(Duration::from_millis(5));
        }
        let books = service.books("books");
        assert_eq!((books["exported"], books["held"]), (2, 3), "{sender}");
        assert!(books["attempts"] > 1, "{sender}: {books:?}");
        let reports = service.ask("reports");
        assert!(reports.contains("open files"), "{sender}: {reports}");

        service.ask("release");
        assert_eq!(service.books("flush 10000")["success"], 1, "{sender}");
        service.books("shutdown 10000");
        let books = service.books("books");
        assert_eq!((books["closed"], books["exported"]), (1, 5), "{sender}");
        assert_eq!(server.oracle().stored().len(), 5, "{sender}");
    }
}
