//! Flash, RAM, stack and instructions against the committed figures.
//!
//! `examples/firmware/budgets.txt` holds one line for each: `board figure value`. A figure may
//! move by a twentieth; what moves further, in either direction, is written into the file with
//! `SPANDREL_FIRMWARE_BLESS=1` and so shows in the review.

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
    let names: Vec<_> = committed.keys().chain(measured.keys()).collect();
    let moved: Vec<_> = names
        .into_iter()
        .filter(|name| {
            let (old, new) = (committed.get(*name), measured.get(*name));
            let (Some(&old), Some(&new)) = (old, new) else {
                return true;
            };
            old.abs_diff(new) > old / 20
        })
        .map(|name| {
            format!(
                "{name}: {:?}, now {:?}",
                committed.get(name),
                measured.get(name)
            )
        })
        .collect();
    assert!(moved.is_empty(), "{moved:#?}\nnow:\n{text}");
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
