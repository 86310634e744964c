//! Fault D3: SIGTERM, and SIGKILL five seconds later.

use std::process::{Command, exit};
use std::sync::Arc;
use std::time::Duration;

use spandrel_tests::fault_server::{FaultServer, Reply};

use crate::remote::{Books, Remote, say};
use crate::sender::{SENDERS, Sender};
use crate::service::books;

/// What is left between SIGTERM and SIGKILL, as container runtimes often have it.
const GRACE: Duration = Duration::from_secs(5);
/// What the service asks its shutdown to keep to.
const DEADLINE_MS: u64 = 3_000;

/// In the child: does at SIGTERM what a service does.
pub(crate) fn handle(sender: &Arc<Sender>, timeout: Duration) {
    let sender = Arc::clone(sender);
    ctrlc::set_handler(move || {
        let _ = sender.shutdown(timeout);
        say(&books(&sender));
        exit(0);
    })
    .expect("the first handler of this process");
    say("handles");
}

/// Sends SIGTERM to a service that holds `spans` spans; its books at the end.
#[track_caller]
fn terminate(sender: &str, server: &FaultServer, spans: u64) -> Books {
    let mut service = Remote::start(sender, &[]).expect("a child");
    service.ask(&format!("start {} 10000", server.url()));
    service.ask(&format!("handle {DEADLINE_MS}"));
    service.ask(&format!("record {spans}"));
    let killed = Command::new("kill").args(["-TERM", &service.id()]).status();
    assert!(killed.expect("the command kill").success());
    let status = service.wait(GRACE);
    let status = status.unwrap_or_else(|| panic!("{sender}: SIGKILL would have come first"));
    assert!(status.success(), "{sender}: {status}");
    let books: Vec<_> = service.rest();
    let words: Vec<_> = books.iter().flat_map(|it| it.split_whitespace()).collect();
    let pairs = words.chunks_exact(2);
    pairs
        .map(|it| (it[0].to_owned(), it[1].parse().unwrap()))
        .collect()
}

#[test]
fn d3_sigterm_flushes_what_is_held_before_sigkill_comes() {
    for sender in SENDERS {
        let server = FaultServer::start(Reply::Ok);
        let books = terminate(sender, &server, 100);
        assert_eq!((books["closed"], books["exported"]), (1, 100), "{sender}");
        assert_eq!(server.oracle().stored().len(), 100, "{sender}");
    }
}

#[test]
fn d3_sigterm_is_over_in_time_whatever_the_collector_does() {
    let slow = Reply::SlowLoris {
        byte_interval: Duration::from_millis(100),
    };
    let replies = [
        Some(Reply::Hang),
        Some(slow),
        Some(Reply::status(503)),
        None,
    ];
    std::thread::scope(|scope| {
        for sender in SENDERS {
            for reply in replies.clone() {
                scope.spawn(move || {
                    let named = format!("{sender}, {reply:?}");
                    let server = FaultServer::start(reply.clone().unwrap_or(Reply::Ok));
                    server.available(reply.is_some());
                    let books = terminate(sender, &server, 100);
                    assert_eq!((books["closed"], books["ended"]), (1, 100), "{named}");
                    assert_eq!((books["exported"], books["dropped"]), (0, 100), "{named}");
                });
            }
        }
    });
}
