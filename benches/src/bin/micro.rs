//! The cost of one operation: ours and the rivals' in turns, as a Markdown table.
//!
//! `micro [--rounds N] [part of a name]...`

use spandrel_alloc_counter::CountingAllocator;
use spandrel_benches::harness::attempt;
use spandrel_benches::process::end_with_parent;
use spandrel_benches::{micro, table};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() {
    end_with_parent();
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
    for (name, make) in micro::CASES {
        if wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str())) {
            eprintln!("{name} ...");
            // A case that cannot be set up is told, and the others go on.
            match attempt(|| make().measure(rounds)) {
                Ok(measured) => print!("{}", table::rows(name, &measured)),
                Err(error) => println!("| {name} | failed: {} |", table::one_line(&error)),
            }
        }
    }
}
