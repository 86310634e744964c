//! Fault M5: memory that cannot be had.

use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, setrlimit};
use spandrel_core::env::{Compression, Protocol};
use spandrel_core::hosted::config::Config;
use spandrel_tests::fault_server::{FaultServer, Script};

use crate::remote::{Remote, say};
use crate::sender::SENDERS;

const MIB: usize = 1 << 20;

/// How requests are written whose bodies are as large as their spans.
const CODINGS: [&str; 3] = ["plain", "stored", "json"];

/// In the child: spans of up to 128 KiB, a buffer of so many MiB for them, and one of the codings.
pub(crate) fn large(config: Config, mib: Option<&str>, coding: Option<&str>) -> Config {
    let config = match coding {
        Some("stored") => Config {
            compression: Some(Compression::Gzip),
            gzip_level: Some(0),
            ..config
        },
        Some("json") => Config {
            protocol: Some(Protocol::HttpJson),
            ..config
        },
        _ => config,
    };
    Config {
        buffer_bytes: mib.and_then(|mib| Some(mib.parse::<usize>().ok()? * MIB)),
        shard_bytes: Some(16 * MIB),
        max_request_bytes: Some(16 * MIB),
        max_span_bytes: Some(128 << 10),
        ..config
    }
}

/// In the child: from now on there are so many MiB more than what is in use.
pub(crate) fn limit(mib: u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    let bytes = kib.unwrap().parse::<u64>().unwrap() * 1024 + mib * MIB as u64;
    setrlimit(Resource::RLIMIT_AS, bytes, bytes).unwrap();
    say("limited");
}

#[test]
fn m5_a_request_that_cannot_be_made_costs_its_batch_and_not_the_process() {
    for (sender, coding) in SENDERS
        .into_iter()
        .flat_map(|sender| CODINGS.map(|coding| (sender, coding)))
    {
        let server = FaultServer::start(Script::new());
        // Arenas of threads reserve address space that the limit would not touch.
        let one_arena = ["env", "MALLOC_ARENA_MAX=1"];
        let mut service = Remote::start(sender, &one_arena).expect("a child");
        service.ask(&format!("large {} 5000 16 {coding}", server.url()));
        // The first record makes the shard, which has room for all; then requests of megabytes.
        service.ask("record 1");
        service.ask("limit-memory 1");
        service.tell("record 79 100000");
        let recorded = service.hear();
        assert!(recorded.is_ok(), "{sender}: {recorded:?}");
        service.tell("flush 5000");
        let answer = service.hear();
        assert!(answer.is_ok(), "{sender}: {answer:?}");
        let books = service.books("books");
        assert_eq!((books["closed"], books["ended"]), (1, 80), "{sender}");
        assert!(books["dropped"] > 0, "{sender}, {coding}: {books:?}");
        // A report may come just after the flush that it belongs to.
        let until = Instant::now() + Duration::from_secs(10);
        let mut reports = service.ask("reports");
        while !reports.contains("out_of_memory") && Instant::now() < until {
            reports = service.ask("reports");
        }
        for words in ["dropped as out_of_memory", "lower `max_export_batch_size`"] {
            let times = reports.matches(words).count();
            assert_eq!(times, 1, "{sender}, {coding}: {reports}");
        }
    }
}

#[test]
fn m5_a_buffer_that_cannot_be_had_is_an_error_of_the_start() {
    for sender in SENDERS {
        let mut service = Remote::start(sender, &[]).expect("a child");
        // Enough for a runtime and its threads.
        service.ask("limit-memory 1024");
        service.tell("large http://127.0.0.1:1 1000 65536");
        let answer = service.hear();
        let refused = answer.as_ref().is_ok_and(|it| it.starts_with("refused: "));
        assert!(refused, "{sender}: {answer:?}");
    }
}
