//! A module uses only modules of its own layer and of those below it, and no files form a circle.
//!
//! A folder that has layers says so itself: in `core/src/lib.rs` and `core/src/hosted/mod.rs` a
//! line `// L2` starts layer 2 of the modules declared after it. A file and the folder of its parts
//! count as one thing; two files beside each other, or in two folders, may not use each other, not
//! even by way of others. The crate root stands outside.

use std::collections::{BTreeMap, BTreeSet};

use super::crate_source::{Files, core_file, file_below, load, sample};
use super::references::{Reference, references};

/// The files whose modules have layers, with the module that each is.
const LAYERED: [(&str, &[&str]); 2] = [("lib.rs", &[]), ("hosted/mod.rs", &["hosted"])];

/// What is wrong with the order of the modules, one line each; unit tests may use everything.
fn violations(files: Files<'_>) -> Vec<String> {
    let modules = load(files, &|name| (name == "test").then_some(false));
    let references = references(&modules);
    let mut found = Vec::new();
    for reference in references.iter().filter(|found| found.named.is_empty()) {
        let Reference {
            file, line, item, ..
        } = reference;
        found.push(format!(
            "{file}:{line}: `crate::{item}` is no module: use the path of the module that defines it"
        ));
    }
    for (file, folder) in LAYERED {
        let layers = layers(files, file);
        for module in modules.iter().filter(|module| {
            module.path.len() == folder.len() + 1 && module.path.starts_with(&owned(folder))
        }) {
            let name = &module.path[folder.len()];
            if !layers.contains_key(name) {
                found.push(format!(
                    "{file}: `{name}` stands before any line `// L0`: give it a layer"
                ));
            }
        }
        found.extend(upward(&references, &layers, folder));
    }
    found.extend(circles(&references));
    found
}

fn owned(path: &[&str]) -> Vec<String> {
    path.iter().map(|&name| name.to_owned()).collect()
}

/// The layer of each module that `file` declares.
fn layers(files: Files<'_>, file: &str) -> BTreeMap<String, u32> {
    let text = files(file).unwrap_or_default();
    let marks: Vec<(usize, u32)> = text
        .lines()
        .enumerate()
        .filter_map(|(at, line)| Some((at + 1, line.trim().strip_prefix("// L")?.parse().ok()?)))
        .collect();
    let tokens = super::scanner::tokens(&text);
    let declared = tokens.windows(2).filter(|pair| pair[0].text == "mod");
    declared
        .filter_map(|pair| {
            let (_, layer) = marks.iter().rfind(|(line, _)| *line < pair[0].line)?;
            Some((pair[1].text.clone(), *layer))
        })
        .collect()
}

/// Uses of a later layer among the modules of `folder`.
fn upward(
    references: &[Reference],
    layers: &BTreeMap<String, u32>,
    folder: &[&str],
) -> Vec<String> {
    let folder = owned(folder);
    let part = |path: &[String]| {
        let inside = path.starts_with(&folder);
        path.get(folder.len()).filter(|_| inside).cloned()
    };
    let mut found = Vec::new();
    for reference in references {
        let pair = part(&reference.from).zip(part(&reference.named));
        let Some((from, to)) = pair.filter(|(from, to)| from != to) else {
            continue;
        };
        if let (Some(own), Some(other)) = (layers.get(&from), layers.get(&to))
            && other > own
        {
            let Reference { file, line, .. } = reference;
            found.push(format!(
                "{file}:{line}: `{from}` (L{own}) uses `{to}` (L{other}): \
                 move what both need to L{own} or below"
            ));
        }
    }
    found
}

/// Circles among files, each told once, with the places that close it.
fn circles(references: &[Reference]) -> Vec<String> {
    let mut uses = BTreeMap::<String, BTreeMap<String, &Reference>>::new();
    for reference in references {
        let (from, to) = (&reference.from, &reference.owner);
        if !from.starts_with(to) && !to.starts_with(from) {
            let targets = uses.entry(from.join("::")).or_default();
            targets.entry(to.join("::")).or_insert(reference);
        }
    }
    let mut found = Vec::new();
    let mut done = BTreeSet::new();
    for start in uses.keys() {
        follow(start, &uses, &mut Vec::new(), &mut done, &mut found);
    }
    found
}

fn follow<'a>(
    name: &'a str,
    uses: &'a BTreeMap<String, BTreeMap<String, &'a Reference>>,
    trail: &mut Vec<(&'a str, &'a str, &'a Reference)>,
    done: &mut BTreeSet<&'a str>,
    found: &mut Vec<String>,
) {
    if let Some(start) = trail.iter().position(|(from, ..)| *from == name) {
        let steps: Vec<_> = trail[start..]
            .iter()
            .map(|(from, to, at)| format!("`{from}` uses `{to}` ({}:{})", at.file, at.line))
            .collect();
        found.push(format!("a circle: {}", steps.join(", ")));
        return;
    }
    if done.contains(name) {
        return;
    }
    for (to, reference) in uses.get(name).into_iter().flatten() {
        trail.push((name, to, reference));
        follow(to, uses, trail, done, found);
        trail.pop();
    }
    done.insert(name);
}

#[test]
fn the_core_keeps_its_layers() {
    let found = violations(&core_file);
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn no_files_of_the_transports_form_a_circle() {
    for folder in ["../transport-std/src", "../transport-async/src"] {
        let files = |name: &str| file_below(folder, name);
        let modules = load(&files, &|name| (name == "test").then_some(false));
        let references = references(&modules);
        assert!(references.len() > 20, "{folder}: {}", references.len());
        let found = circles(&references);
        assert!(found.is_empty(), "{folder}\n{}\n", found.join("\n"));
    }
}

#[test]
fn every_layer_of_the_core_is_read() {
    let layers = layers(&core_file, "lib.rs");
    for (module, layer) in [
        ("time", 0),
        ("buffer", 1),
        ("span", 2),
        ("tracer", 3),
        ("exporter", 4),
    ] {
        assert_eq!(layers.get(module), Some(&layer), "{module}");
    }
    let references = references(&load(&core_file, &|_| None));
    assert!(
        references.len() > 500,
        "only {} uses seen",
        references.len()
    );
}

/// Two layers, `low` and `high`, and beside `low` an `also_low`.
fn violations_with(low: &str, also_low: &str, inner: &str) -> Vec<String> {
    violations(&sample(&[
        (
            "lib.rs",
            "// L0\nmod low;\nmod also_low;\n// L1\npub mod high;\n",
        ),
        ("low.rs", low),
        ("also_low.rs", also_low),
        ("high/mod.rs", "mod inner;\nuse crate::low::Word;"),
        ("high/inner.rs", inner),
    ]))
}

#[test]
fn an_orderly_crate_passes() {
    let found = violations_with(
        "//! See crate::high.\n#[cfg(test)] mod tests { use crate::high::Machine; }",
        "use crate::low; /* crate::high */ const TEXT: &str = \"crate::high\";",
        "use super::Machine; use super::super::{low, also_low::{self, Word}};",
    );
    assert_eq!(found, [""; 0]);
}

#[test]
fn a_use_of_a_later_layer_is_named_with_its_place() {
    for bad in [
        "\nuse crate::high::Machine;",
        "\nuse crate::{also_low, high::{Machine}};",
        "\nuse super::high::Machine;",
        "\nuse self::super::high;",
        "\nuse spandrel_core::high;",
        "\nfn f() { crate::high::run() }",
        "\nmacro_rules! m { () => { $crate::high::run() } }",
        "\nmod inner { use super::super::high; }",
        "\n#[cfg(not(test))] use crate::high;",
    ] {
        let found = violations_with(bad, "", "");
        assert!(
            found[0].starts_with("low.rs:2: `low` (L0) uses `high` (L1)"),
            "{bad:?} gives {found:?}"
        );
    }
}

#[test]
fn a_folder_with_layers_of_its_own_keeps_them() {
    let with = |early: &str| {
        violations(&sample(&[
            ("lib.rs", "// L0\npub mod hosted;\n"),
            ("hosted/mod.rs", "// L0\nmod early;\n// L1\npub mod late;\n"),
            ("hosted/early.rs", early),
            ("hosted/late/mod.rs", "use super::early::A; mod part;"),
            ("hosted/late/part.rs", "use super::super::early::A;"),
        ]))
    };
    assert_eq!(with(""), [""; 0]);
    let found = with("use crate::hosted::late::B;");
    assert!(
        found[0].starts_with("hosted/early.rs:1: `early` (L0) uses `late` (L1)"),
        "{found:?}"
    );
}

#[test]
fn a_circle_of_files_is_found() {
    let found = violations_with("use crate::also_low::A;", "\nuse crate::low::B;", "");
    assert_eq!(
        found,
        ["a circle: `also_low` uses `low` (also_low.rs:2), \
          `low` uses `also_low` (low.rs:1)"]
    );
}

#[test]
fn a_circle_inside_a_folder_is_found_through_what_its_mod_file_passes_on() {
    let found = violations(&sample(&[
        ("lib.rs", "// L0\npub mod a;\n"),
        ("a/mod.rs", "mod b; mod c; pub use b::B; pub use c::C;"),
        ("a/b.rs", "use super::C;"),
        ("a/c.rs", "use super::b::B;"),
    ]));
    assert_eq!(
        found,
        ["a circle: `a::b` uses `a::c` (a/b.rs:1), `a::c` uses `a::b` (a/c.rs:1)"]
    );
}

#[test]
fn names_from_the_crate_root_and_modules_without_a_layer_are_refused() {
    let found = violations_with("use crate::Word;", "use crate::*;", "");
    assert_eq!(
        found
            .iter()
            .filter(|line| line.contains("is no module"))
            .count(),
        2,
        "{found:?}"
    );
    let found = violations(&sample(&[
        ("lib.rs", "mod early;\n// L0\n"),
        ("early.rs", ""),
    ]));
    assert!(found[0].contains("give it a layer"), "{found:?}");
}
