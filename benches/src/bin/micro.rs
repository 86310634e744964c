//! The cost of one operation: ours and the rivals' in turns, as a Markdown table.
//!
//! `micro [--rounds N] [part of a name]...`

use spandrel_benches::alloc::CountingAllocator;
use spandrel_benches::{micro, table};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() {
    let mut rounds = 300;
    let mut wanted = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rounds" => {
                let given = arguments.next().and_then(|n| n.parse().ok());
                rounds = given.expect("--rounds takes a number");
            }
            _ => wanted.push(argument),
        }
    }
    print!("{}", table::HEAD);
    for make in micro::cases() {
        let mut case = make();
        if wanted.is_empty() || wanted.iter().any(|part| case.name.contains(part.as_str())) {
            print!("{}", table::rows(case.name, &case.measure(rounds)));
        }
    }
}
