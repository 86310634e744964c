//! The parts of Spandrel one by one, as Markdown tables. `machines [--rounds N]`

use spandrel_benches::alloc::CountingAllocator;
use spandrel_benches::machines;
use spandrel_benches::table::digits;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let rounds = match (arguments.next().as_deref(), arguments.next()) {
        (Some("--rounds"), Some(rounds)) => rounds.parse().expect("--rounds takes a number"),
        _ => 200,
    };
    println!("| machine | ns, fastest | ns, median | allocs |\n|---|---:|---:|---:|");
    for mut case in machines::cases() {
        for m in case.measure(rounds) {
            let (min, median) = (digits(m.min), digits(m.median));
            println!("| {} | {min} | {median} | {:.2} |", case.name, m.allocs);
        }
    }
    println!(
        "\n| encoding | spans | ns / span, fastest | ns / span, median | B / span |\n\
         |---|---:|---:|---:|---:|"
    );
    for e in machines::encodings(rounds / 10) {
        let (min, median) = (digits(e.measured.min), digits(e.measured.median));
        println!(
            "| {} | {} | {min} | {median} | {:.1} |",
            e.name, e.batch, e.bytes
        );
    }
}
