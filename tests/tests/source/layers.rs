//! A module of the core uses only modules of its own layer and of those above it.
//!
//! The table of layers is `core/src/lib.rs` itself: a line `// L2` starts layer 2. Within a layer
//! modules may use each other as long as they form no circle. The crate root stands outside.

use std::collections::BTreeMap;

use super::crate_source::{Files, Module, core_file, load, sample, walk};
use super::scanner::{Token, group_end, is};

/// A use of one top-level module by another.
#[derive(Debug)]
struct Reference {
    from: String,
    to: String,
    place: String,
}

/// What is wrong with the order of the modules, one line each; unit tests may use everything.
fn violations(files: Files<'_>) -> Vec<String> {
    let layers = layers(files);
    let modules = load(files, &|name| (name == "test").then_some(false));
    let mut found = Vec::new();
    for module in modules.iter().filter(|module| module.path.len() == 1) {
        let name = &module.path[0];
        if !layers.contains_key(name) {
            found.push(format!(
                "lib.rs: `{name}` stands before any line `// L0`: give it a layer"
            ));
        }
    }
    let references: Vec<_> = modules.iter().flat_map(references).collect();
    let mut level = BTreeMap::<&str, Vec<&Reference>>::new();
    for reference in &references {
        let Reference { from, to, place } = reference;
        match (layers.get(from), layers.get(to)) {
            (Some(_), None) => found.push(format!(
                "{place}: `crate::{to}` is no module: use the path of the module that defines it"
            )),
            (Some(own), Some(other)) if other > own => found.push(format!(
                "{place}: `{from}` (L{own}) uses `{to}` (L{other}): move what both need to L{own} or above"
            )),
            (Some(own), Some(other)) if other == own => {
                level.entry(from).or_default().push(reference);
            }
            _ => {}
        }
    }
    found.extend(circles(&level));
    found
}

/// The layer of each top-level module.
fn layers(files: Files<'_>) -> BTreeMap<String, u32> {
    let text = files("lib.rs").unwrap_or_default();
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

/// The other top-level modules that a file names, by `crate::` or by enough `super::`.
fn references(module: &Module) -> Vec<Reference> {
    let Some(from) = module.path.first() else {
        return Vec::new();
    };
    let tokens = &module.tokens;
    let mut found = Vec::new();
    walk(&module.path, tokens, |at, scope| {
        let inside_a_path = at > 0 && is(tokens, at - 1, "::");
        let steps_up = match tokens[at].text.as_str() {
            _ if inside_a_path || !is(tokens, at + 1, "::") => return,
            "crate" | "spandrel_core" => scope.len(),
            "super" => 1,
            "self" => 0,
            _ => return,
        };
        let (mut at, mut steps_up) = (at, steps_up);
        while is(tokens, at + 1, "::") && is(tokens, at + 2, "super") {
            at += 2;
            steps_up += 1;
        }
        if steps_up < scope.len() || !is(tokens, at + 1, "::") {
            return;
        }
        for name in first_names(tokens, at + 2) {
            if name.text != *from {
                found.push(Reference {
                    from: from.clone(),
                    to: name.text.clone(),
                    place: format!("core/src/{}:{}", module.file, name.line),
                });
            }
        }
    });
    found
}

/// The first segment of the path at `at`, or of each path of the group at `at`.
fn first_names(tokens: &[Token], at: usize) -> Vec<&Token> {
    if !is(tokens, at, "{") {
        return tokens.get(at).into_iter().collect();
    }
    let end = group_end(tokens, at) - 1;
    let mut names = Vec::new();
    let mut next = at + 1;
    while next < end {
        names.push(&tokens[next]);
        while next < end && !is(tokens, next, ",") {
            next = if is(tokens, next, "{") {
                group_end(tokens, next)
            } else {
                next + 1
            };
        }
        next += 1;
    }
    names
}

/// Circles among modules of one layer, each told once, with the places that close it.
fn circles(level: &BTreeMap<&str, Vec<&Reference>>) -> Vec<String> {
    fn follow<'a>(
        name: &'a str,
        level: &BTreeMap<&'a str, Vec<&'a Reference>>,
        trail: &mut Vec<&'a Reference>,
        done: &mut Vec<&'a str>,
        found: &mut Vec<String>,
    ) {
        if let Some(start) = trail.iter().position(|step| step.from == name) {
            let steps = trail[start..].iter();
            let steps: Vec<_> = steps
                .map(|step| format!("`{}` uses `{}` ({})", step.from, step.to, step.place))
                .collect();
            found.push(format!("a circle: {}", steps.join(", ")));
            return;
        }
        if done.contains(&name) {
            return;
        }
        let mut seen: Vec<&str> = Vec::new();
        for step in level.get(name).into_iter().flatten() {
            if !seen.contains(&step.to.as_str()) {
                seen.push(&step.to);
                trail.push(step);
                follow(&step.to, level, trail, done, found);
                trail.pop();
            }
        }
        done.push(name);
    }

    let mut found = Vec::new();
    let mut done = Vec::new();
    for &name in level.keys() {
        follow(name, level, &mut Vec::new(), &mut done, &mut found);
    }
    found
}

#[test]
fn the_core_keeps_its_layers() {
    let found = violations(&core_file);
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn every_layer_of_the_core_is_read() {
    let layers = layers(&core_file);
    for (module, layer) in [
        ("time", 0),
        ("buffer", 1),
        ("span", 2),
        ("tracer", 3),
        ("exporter", 4),
    ] {
        assert_eq!(layers.get(module), Some(&layer), "{module}");
    }
    let references: usize = load(&core_file, &|_| None)
        .iter()
        .map(|m| references(m).len())
        .sum();
    assert!(references > 100, "only {references} uses seen");
}

/// Two layers, `low` above `high`, and beside `low` an `also_low`.
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
        "\nuse crate::{also_low, high::{Machine, Other}};",
        "\nuse super::high::Machine;",
        "\nuse self::super::high;",
        "\nuse spandrel_core::high;",
        "\nfn f() { crate::high::run() }",
        "\nmacro_rules! m { () => { $crate::high::run() } }",
        "\nmod inner { use super::super::high; }",
        "\n#[cfg(not(test))] use crate::high;",
    ] {
        let found = violations_with(bad, "", "");
        let [line] = &found[..] else {
            panic!("{bad:?} gives {found:?}");
        };
        assert!(
            line.starts_with("core/src/low.rs:2: `low` (L0) uses `high` (L1)"),
            "{line}"
        );
    }
}

#[test]
fn a_circle_within_a_layer_is_found() {
    let found = violations_with("use crate::also_low::A;", "\nuse crate::low::B;", "");
    assert_eq!(
        found,
        ["a circle: `also_low` uses `low` (core/src/also_low.rs:2), \
          `low` uses `also_low` (core/src/low.rs:1)"]
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
