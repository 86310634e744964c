//! The parts of Spandrel one by one, as Markdown tables. `machines [--rounds N]`

use spandrel_alloc_counter::CountingAllocator;
use spandrel_benches::encodings::{Encoded, encodings};
use spandrel_benches::harness::attempt;
use spandrel_benches::machines;
use spandrel_benches::process::end_with_parent;
use spandrel_benches::table::{digits, one_line, round};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() {
    end_with_parent();
    let mut arguments = std::env::args().skip(1);
    let rounds = match (arguments.next().as_deref(), arguments.next()) {
        (Some("--rounds"), Some(rounds)) => rounds.parse().expect("--rounds takes a number"),
        _ => 200,
    };
    println!(
        "| machine | ns, fastest | ns, median | ns / B, median | allocs |\n|---|---:|---:|---:|---:|"
    );
    for machine in machines::machines() {
        match attempt(|| machine.case().measure(rounds).remove(0).figures).flatten() {
            Ok(f) => println!(
                "| {} | {} | {} | {} | {} |",
                machine.name,
                digits(f.min),
                digits(f.median),
                machine.bytes.map_or("-".into(), |bytes| format!(
                    "{:.3}",
                    f.median / bytes as f64
                )),
                round(f.allocs)
            ),
            Err(error) => println!("| {} | failed: {} |", machine.name, one_line(&error)),
        }
    }
    println!(
        "\n| encoding | spans | ns / span, fastest | ns / span, median | B / span |\n\
         |---|---:|---:|---:|---:|"
    );
    match attempt(|| encodings(rounds.div_ceil(10))) {
        Ok(all) => all.iter().for_each(print),
        Err(error) => println!("| failed: {} |", one_line(&error)),
    }
}

fn print(encoded: &Encoded) {
    let Encoded { name, spans, .. } = encoded;
    let per_span = |value: f64| value / f64::from(*spans);
    match &encoded.measured.figures {
        Ok(f) => println!(
            "| {name} | {spans} | {} | {} | {:.1} |",
            digits(per_span(f.min)),
            digits(per_span(f.median)),
            per_span(encoded.bytes as f64)
        ),
        Err(error) => println!("| {name} | {spans} | failed: {} |", one_line(error)),
    }
}
