//! The collector of the end-to-end runs, a process of its own.
//!
//! Prints its address; then, for every line that comes in on the standard input, what has arrived
//! since the last one, as `requests spans attributes wire_bytes plain_bytes`.

use std::io::BufRead as _;

use spandrel_benches::sink::Sink;

fn main() {
    let sink = Sink::start().expect("a listener");
    println!("{}", sink.endpoint());
    for _ in std::io::stdin().lock().lines() {
        let totals = sink.take_totals();
        println!(
            "{} {} {} {} {}",
            totals.requests, totals.spans, totals.attributes, totals.wire_bytes, totals.plain_bytes
        );
    }
}
