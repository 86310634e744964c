//! Every public value can be printed with `defmt`: a device without `core::fmt` still has to say
//! what went wrong, and how it is set.
//!
//! A value is what can be compared, what is an error, and what is named like configuration or
//! counts. Machines and views over bytes are none.

use std::path::Path;

use super::crate_source::{Files, core_file, file_below, load, sample};
use super::scanner::{Holds, Token, group_end, is};

/// What names of values end with, comparable or not.
const VALUES: [&str; 5] = ["Error", "Config", "Counts", "Report", "Stats"];

/// The public values that have no `defmt::Format`, one line each; `holds` says what is looked at.
fn violations(files: Files<'_>, holds: Holds<'_>) -> Vec<String> {
    let modules = load(files, holds);
    let all = || modules.iter().map(|module| &module.tokens[..]);
    let mut found = Vec::new();
    for module in &modules {
        let types = public_types(&module.tokens);
        for item in types.iter().filter(|item| !item.derives("Format")) {
            let name = &item.name;
            let is_value = item.derives("PartialEq")
                || VALUES.iter().any(|end| name.ends_with(end))
                || all().any(|tokens| implements(tokens, &["Error"], name));
            if is_value && !all().any(|tokens| implements(tokens, &["defmt", "::", "Format"], name))
            {
                let (file, line) = (&module.file, item.line);
                found.push(format!("{file}:{line}: `{name}` has no `defmt::Format`"));
            }
        }
    }
    found
}

/// A `pub struct` or `pub enum` with its attributes.
struct Type<'a> {
    name: String,
    line: usize,
    attributes: &'a [Token],
}

impl Type<'_> {
    /// Whether the trait is derived, under a condition or not.
    fn derives(&self, name: &str) -> bool {
        let mut lists = (0..self.attributes.len()).filter(|&at| is(self.attributes, at, "derive"));
        lists.any(|at| {
            let list = &self.attributes[at..group_end(self.attributes, at + 1)];
            list.iter().any(|token| token.text == name)
        })
    }
}

fn public_types(tokens: &[Token]) -> Vec<Type<'_>> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while at < tokens.len() {
        if is(tokens, at, "#") && is(tokens, at + 1, "[") {
            at = group_end(tokens, at + 1);
            continue;
        }
        if is(tokens, at, "pub") && (is(tokens, at + 1, "struct") || is(tokens, at + 1, "enum")) {
            found.push(Type {
                name: name_at(tokens, at + 2),
                line: tokens[at].line,
                attributes: &tokens[start..at],
            });
        }
        at += 1;
        start = at;
    }
    found
}

/// A name, or the `$name` of a macro.
fn name_at(tokens: &[Token], at: usize) -> String {
    let sigil = usize::from(is(tokens, at, "$"));
    let texts = tokens.iter().skip(at).take(1 + sigil);
    texts.map(|token| token.text.as_str()).collect()
}

/// Whether there is an `impl .. path for name`.
fn implements(tokens: &[Token], path: &[&str], name: &str) -> bool {
    (path.len()..tokens.len()).any(|at| {
        let before = tokens[at - path.len()..at].iter();
        is(tokens, at, "for")
            && name_at(tokens, at + 1) == name
            && before.zip(path).all(|(token, word)| token.text == *word)
    })
}

/// What a device compiles: no tests, and nothing that only a host has.
fn device(name: &str) -> Option<bool> {
    let off = ["test", "feature = \"std\"", "feature = \"reqwest\""];
    off.contains(&name).then_some(false)
}

/// A file of the async transport.
fn transport_file(file: &str) -> Option<String> {
    file_below("../transport-async/src", file)
}

#[test]
fn every_public_value_of_the_core_can_be_printed_with_defmt() {
    let found = violations(&core_file, &device);
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn every_public_value_of_the_async_transport_can_be_printed_with_defmt() {
    let found = violations(&transport_file, &device);
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// Only one encoding can be chosen in a program, so libraries leave it to the binary.
#[test]
fn no_package_picks_an_encoding_of_defmt() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for package in ["core", "transport-async", "transport-std"] {
        let manifest = root.join(package).join("Cargo.toml");
        let text = std::fs::read_to_string(manifest).expect("a manifest");
        assert!(!text.contains("encoding-"), "{package}");
    }
}

#[test]
fn the_core_has_many_values() {
    let modules = load(&core_file, &device);
    let types = modules
        .iter()
        .flat_map(|module| public_types(&module.tokens));
    assert!(types.filter(|item| item.derives("Format")).count() > 80);
}

fn violations_with(text: &str) -> Vec<String> {
    violations(&sample(&[("lib.rs", text)]), &device)
}

#[test]
fn what_can_be_printed_or_is_no_public_value_passes() {
    for good in [
        "#[derive(Debug)] #[cfg_attr(feature = \"defmt\", derive(defmt::Format))] pub enum AError { B }",
        "#[derive(PartialEq)] pub struct A; impl defmt::Format for A {}",
        "macro_rules! m { () => { #[derive(PartialEq)] pub struct $name; impl defmt::Format for $name {} } }",
        "#[derive(PartialEq)] pub(crate) struct A;",
        "#[derive(PartialEq)] struct A; pub struct Machine;",
        "#[cfg(feature = \"std\")] #[derive(PartialEq)] pub struct A;",
        "#[cfg(test)] mod tests { #[derive(PartialEq)] pub struct A; }",
    ] {
        assert_eq!(violations_with(good), [""; 0], "{good}");
    }
}

#[test]
fn values_that_cannot_be_printed_are_named_with_their_place() {
    for bad in [
        "\n#[derive(Debug, PartialEq)]pub struct A;",
        "\n#[derive(Debug, PartialEq)]#[non_exhaustive]pub enum A { B }",
        "\npub struct A; impl core::error::Error for A {}",
        "#[cfg_attr(feature = \"defmt\", derive(defmt::Format))] struct B;\n#[derive(PartialEq)] pub struct A;",
        "impl defmt::Format for B {}\n#[derive(PartialEq)] pub struct A;",
    ] {
        let expected = "lib.rs:2: `A` has no `defmt::Format`";
        assert_eq!(violations_with(bad), [expected], "{bad}");
    }
    assert_eq!(violations_with("pub struct LinkConfig;").len(), 1);
}
