//! Fault M9: millions of batches of any size.
//!
//! `cargo test` sends a few thousand; `SPANDREL_SOAK_BATCHES` asks for more.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use spandrel_tests::models::Draws;

use crate::remote::{PATIENCE, Remote, say};
use crate::sender::{SENDERS, Sender};

/// Batches that a child sends without a word.
const BATCHES: u64 = 2_000;
/// Parts of a soak; after the first one everything has the size that it keeps.
const PARTS: u64 = 4;
/// By how much the memory of a process may differ between parts: some pages of an allocator.
const NOISE_KIB: u64 = 512;
/// The most spans of a batch, and bytes of a span's text, that are drawn.
const MOST_SPANS: u64 = 200;
const MOST_BYTES: u64 = 1_000;

/// In the child: sends batches of random sizes, and says how much memory the process has then.
pub(crate) fn soak(sender: &Sender, batches: u64) {
    let tracer = sender.tracer();
    let mut draws = Draws::new(batches);
    let text = "x".repeat(MOST_BYTES as usize);
    for number in 0..batches {
        // Some of the largest, so that each part meets them, and many small ones.
        let most = if number % 100 == 0 { MOST_SPANS } else { 8 };
        for _ in 0..=draws.below(most) {
            let mut span = tracer.start("work");
            let bytes = draws.below(MOST_BYTES + 1) as usize;
            span.set_attribute("text", text.get(..bytes).unwrap_or_default());
            span.end();
        }
        let report = sender.flush(PATIENCE);
        assert!(report.is_success(), "{report:?}");
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    say(&format!("rss {}", kib.expect("the size of this process")));
}

/// A collector that keeps nothing, for as long as the process lives.
fn swallow() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || answer(stream));
        }
    });
    url
}

/// Answers each request with an empty success.
fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut requests = BufReader::new(stream.try_clone()?);
    loop {
        let (mut line, mut len) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            if requests.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let lower = line.to_ascii_lowercase();
            if let Some(number) = lower.strip_prefix("content-length:") {
                len = number.trim().parse().unwrap();
            }
        }
        std::io::copy(&mut (&mut requests).take(len), &mut std::io::sink())?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
    }
}

#[test]
fn m9_batches_of_any_size_leave_the_memory_of_the_process_flat() {
    let asked = std::env::var("SPANDREL_SOAK_BATCHES").ok();
    let asked = asked.map_or(0, |it| it.parse::<u64>().expect("a number of batches"));
    let turns = asked.div_ceil(PARTS * BATCHES).max(1);
    thread::scope(|scope| {
        for sender in SENDERS {
            scope.spawn(move || {
                let mut service = Remote::start(sender, &[]).expect("a child");
                service.ask(&format!("start {} 10000", swallow()));
                let mut part = || {
                    let sizes =
                        (0..turns).map(|_| service.books(&format!("soak {BATCHES}"))["rss"]);
                    sizes.last().unwrap_or_default()
                };
                let sizes: Vec<_> = (0..PARTS).map(|_| part()).collect();
                let (first, last) = (sizes[0], sizes[PARTS as usize - 1]);
                println!("{sender}: {sizes:?} KiB");
                assert!(last <= first + NOISE_KIB, "{sender}: {sizes:?} KiB");
                service.books("shutdown 10000");
                let books = service.books("books");
                assert_eq!((books["closed"], books["dropped"]), (1, 0), "{sender}");
                assert!(
                    books["exported"] >= PARTS * turns * BATCHES,
                    "{sender}: {books:?}"
                );
            });
        }
    });
}
