//! Whole-process cost over HTTP: ours and the rivals' in turns, as Markdown tables.
//!
//! `e2e [--rounds N] [--plan part of a title] [--outage seconds] [contestant]...`
//!
//! The outage is run once, with all contestants at the same time, and not at all when it is to last
//! 0 seconds.

use spandrel_benches::e2e::child::{Job, work};
use spandrel_benches::e2e::{Plan, run, run_outage};
use spandrel_benches::process::end_with_parent;

fn main() {
    end_with_parent();
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if(|first| first == "child").is_some() {
        let job = Job::from_arguments(arguments).expect("arguments from the parent");
        println!("{}", work(&job).to_line());
        return;
    }
    let (mut rounds, mut part, mut wanted) = (3, String::new(), Vec::new());
    let mut outage = 60;
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().expect("the option takes a value");
        match argument.as_str() {
            "--rounds" => rounds = value().parse().expect("--rounds takes a number"),
            "--plan" => part = value(),
            "--outage" => outage = value().parse().expect("--outage takes seconds"),
            _ => wanted.push(argument),
        }
    }
    for plan in &Plan::DELIVERY {
        if plan.title.contains(&part) {
            print!("{}", run(plan, rounds, &wanted));
        }
    }
    let plan = Plan {
        spans: Plan::OUTAGE.rate * outage,
        ..Plan::OUTAGE
    };
    if outage > 0 && plan.title.contains(&part) {
        print!("{}", run_outage(&plan, &wanted));
    }
}
