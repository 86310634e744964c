//! No two public types of one name that a user could import side by side: within the core, within
//! a transport, and between a transport and the core, which it passes on whole.
//!
//! A program has one of the two transports, so these may use the same names. The compiler's lint
//! `unreachable_pub` sees to it that what says `pub` can be imported.

use std::collections::BTreeMap;

use super::crate_source::{Files, Module, core_file, file_below, load, sample};
use super::scanner::is;

/// The public types of some modules: name and place.
fn public_types(package: &str, modules: &[Module]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for module in modules {
        let tokens = &module.tokens;
        for at in 0..tokens.len() {
            let Some(mut kind) = is(tokens, at, "pub").then_some(at + 1) else {
                continue;
            };
            while is(tokens, kind, "unsafe") {
                kind += 1;
            }
            let is_type = ["struct", "enum", "trait", "union", "type"]
                .iter()
                .any(|word| is(tokens, kind, word));
            if let Some(name) = tokens.get(kind + 1).filter(|_| is_type) {
                let place = format!("{package}/src/{}:{}", module.file, name.line);
                found.push((name.text.clone(), place));
            }
        }
    }
    found
}

/// Names that stand for more than one type, with all places.
fn doubles(types: impl IntoIterator<Item = (String, String)>) -> Vec<String> {
    let mut places = BTreeMap::<String, Vec<String>>::new();
    for (name, place) in types {
        places.entry(name).or_default().push(place);
    }
    places
        .iter()
        .filter(|(_, places)| places.len() > 1)
        .map(|(name, places)| format!("`{name}`: {}", places.join(", ")))
        .collect()
}

fn types_of(package: &str, files: Files<'_>) -> Vec<(String, String)> {
    let off = |name: &str| (name == "test").then_some(false);
    public_types(package, &load(files, &off))
}

#[test]
fn no_public_types_share_a_name() {
    let core = types_of("core", &core_file);
    assert!(core.len() > 100, "only {} types seen", core.len());
    for package in ["transport-std", "transport-async"] {
        let files = |name: &str| file_below(&format!("../{package}/src"), name);
        let own = types_of(package, &files);
        assert!(own.len() > 5, "{package}: {own:?}");
        let found = doubles(core.iter().cloned().chain(own));
        assert!(found.is_empty(), "\n{}\n", found.join("\n"));
    }
}

#[test]
fn a_name_that_is_used_twice_is_told_with_its_places() {
    let files = [
        ("lib.rs", "pub mod a; pub mod b;"),
        ("a.rs", "pub struct State<T>(T);\npub(crate) struct Inner;"),
        (
            "b.rs",
            "struct Inner; pub use a::State as Other;\npub enum State {}",
        ),
    ];
    let found = doubles(types_of("p", &sample(&files)));
    assert_eq!(found, ["`State`: p/src/a.rs:1, p/src/b.rs:2"]);
}
