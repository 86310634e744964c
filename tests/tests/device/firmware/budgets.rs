//! Flash, RAM, stack and instructions against the committed figures.
//!
//! `examples/firmware/budgets.txt` holds one line for each: `board figure value`. A figure may grow
//! by a fiftieth, which is what two compiler versions differ by; more is a failure, until it is
//! written into the file with `SPANDREL_FIRMWARE_BLESS=1` and so shows in the review. Smaller is
//! never a failure, because a newer compiler may do better; a note asks for new figures.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

use spandrel_examples::emulator::sizes;

use super::board::{Image, images};

const FILE: &str = "../examples/firmware/budgets.txt";
/// Images beside the program that show what a part of the core costs.
const PARTS: [&str; 6] = [
    "empty",
    "record",
    "export",
    "linked",
    "networked",
    "compressed",
];

type Figures = BTreeMap<String, u64>;

#[test]
fn the_figures_are_those_of_the_committed_file() {
    // Sizes are a matter of the compiler, so only the images that CI made are held to them.
    let Some(folder) = env::var_os("SPANDREL_FIRMWARE_IMAGES") else {
        eprintln!("skipped: budgets are compared by .ci/firmware.sh");
        return;
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let mut measured = Figures::new();
    for image in images() {
        let board = image.board.name;
        measure(image, &mut measured);
        for part in PARTS {
            let part_path = Path::new(&folder).join(format!("{board}-{part}"));
            if let Ok(elf) = fs::read(part_path) {
                let (flash, ram) = sizes(&elf).unwrap();
                measured.insert(format!("{board} {part}.flash"), flash);
                measured.insert(format!("{board} {part}.ram"), ram);
            }
        }
    }
    let text: String = measured
        .iter()
        .fold(String::new(), |mut text, (name, value)| {
            writeln!(text, "{name} {value}").unwrap();
            text
        });
    if env::var_os("SPANDREL_FIRMWARE_BLESS").is_some() {
        fs::write(path, text).unwrap();
        return;
    }
    let committed = parse(&fs::read_to_string(path).unwrap());
    for name in shrunk(&committed, &measured) {
        eprintln!("smaller by more than a twentieth, so the budget can be renewed: {name}");
    }
    let over = over(&committed, &measured);
    assert!(over.is_empty(), "{over:#?}\nnow:\n{text}");
}

/// Figures beyond their budget, and those that only one side has.
fn over(committed: &Figures, measured: &Figures) -> Vec<String> {
    let mut names: Vec<_> = committed.keys().chain(measured.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter(|name| {
            let pair = committed.get(*name).zip(measured.get(*name));
            // Instructions are counted in steps of five.
            pair.is_none_or(|(&old, &new)| new > old + (old / 50).max(5))
        })
        .map(|name| {
            format!(
                "{name}: {:?}, now {:?}",
                committed.get(name),
                measured.get(name)
            )
        })
        .collect()
}

/// Figures that have become smaller by more than a twentieth.
fn shrunk(committed: &Figures, measured: &Figures) -> Vec<String> {
    let pairs = committed
        .iter()
        .filter_map(|(name, &old)| Some((name, old, *measured.get(name)?)));
    pairs
        .filter(|(_, old, new)| old.saturating_sub(*new) > old / 20)
        .map(|(name, old, new)| format!("{name}: {old}, now {new}"))
        .collect()
}

#[test]
fn a_budget_is_a_ceiling() {
    let committed = parse("a 1000\nb 60\nc 1000\nd 1");
    let measured = parse("a 1020\nb 65\nc 900\nd 1");
    assert_eq!(over(&committed, &measured), [""; 0]);
    assert_eq!(shrunk(&committed, &measured), ["c: 1000, now 900"]);
    let measured = parse("a 1021\nb 66\nc 1000\ne 1");
    assert_eq!(
        over(&committed, &measured),
        [
            "a: Some(1000), now Some(1021)",
            "b: Some(60), now Some(66)",
            "d: Some(1), now None",
            "e: None, now Some(1)",
        ]
    );
}

fn parse(text: &str) -> Figures {
    text.lines()
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

fn measure(image: &Image, figures: &mut Figures) {
    let board = image.board.name;
    let (flash, ram) = sizes(&fs::read(&image.path).unwrap()).unwrap();
    figures.insert(format!("{board} program.flash"), flash);
    figures.insert(format!("{board} program.ram"), ram);
    for (name, value) in image.run_counted("measure").numbers() {
        let name = match name.as_str() {
            "stack.bytes" => format!("{board} program.stack"),
            size if size.starts_with("ram.") => format!("{board} {size}"),
            step => format!("{board} instructions.{step}"),
        };
        figures.insert(name, *value);
    }
    for (name, value) in image.run_counted("sections").numbers() {
        if let Some(call) = name.strip_prefix("sections.") {
            figures.insert(format!("{board} instructions.shared.{call}"), *value);
        }
    }
    let gzip = image.run_counted("gzip");
    for name in ["gzip.raw", "gzip.packed", "gzip.per_100_bytes"] {
        figures.insert(format!("{board} {name}"), gzip.number(name));
    }
}
