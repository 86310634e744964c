//! Outside `hosted/` and tests the core has no `std`, no heap, no clock and no global state.
//!
//! A build for the host would not notice: `std` is there, and `extern crate alloc` always works.

use super::crate_source::{Files, core_file, load, sample};
use super::scanner::{Token, is};

/// What makes the core unfit for a machine without an operating system, one line each.
fn violations(files: Files<'_>) -> Vec<String> {
    let bare = |name: &str| matches!(name, "test" | "feature = \"std\"").then_some(false);
    let modules = load(files, &bare);
    let mut found = Vec::new();
    for attribute in ["no_std", "forbid(unsafe_code)"] {
        let wanted = format!("#![{attribute}]");
        let root: String = modules[0]
            .tokens
            .iter()
            .map(|token| token.text.as_str())
            .collect();
        if !root.contains(&wanted) {
            found.push(format!("core/src/lib.rs: there is no `{wanted}`"));
        }
    }
    for module in &modules {
        for at in 0..module.tokens.len() {
            if let Some(problem) = problem(&module.tokens, at) {
                let line = module.tokens[at].line;
                found.push(format!("core/src/{}:{line}: {problem}", module.file));
            }
        }
    }
    found
}

/// What is wrong with the token at `at`.
fn problem(tokens: &[Token], at: usize) -> Option<&'static str> {
    let after = |text| at > 0 && is(tokens, at - 1, text);
    let before = |text| is(tokens, at + 1, text);
    match tokens[at].text.as_str() {
        "std" | "alloc" if before("::") => Some("std or heap outside `hosted`"),
        "std" | "alloc" if after("crate") || after("use") => Some("std or heap outside `hosted`"),
        "now" if after("::") => Some("a clock is read: the caller passes the time in"),
        "static" if before("mut") => Some("global state"),
        word if word.starts_with("Atomic") => Some("an atomic: shared state belongs to the caller"),
        _ => None,
    }
}

#[test]
fn the_core_needs_no_std_no_heap_no_clock_and_no_global() {
    let found = violations(&core_file);
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

fn violations_with(line: &str) -> Vec<String> {
    violations(&sample(&[
        (
            "lib.rs",
            "#![no_std]\n#![forbid(unsafe_code)]\n#[cfg(feature = \"std\")]\nmod hosted;\nmod a;",
        ),
        (
            "hosted.rs",
            "use std::time::Instant; fn now() { Instant::now() }",
        ),
        ("a.rs", line),
    ]))
}

#[test]
fn what_is_hosted_tested_or_only_said_is_fine() {
    for good in [
        "/// Like std::vec::Vec, from alloc::vec.",
        "#[cfg(test)] mod tests { use std::vec::Vec; }",
        "#[cfg(any(test, feature = \"std\"))] extern crate std;",
        "fn f(now: u64) { g(now, \"std::time\", &'static 1) }",
        "use core::time::Duration; static TABLE: [u8; 2] = [1, 2];",
    ] {
        assert_eq!(violations_with(good), [""; 0], "{good}");
    }
}

#[test]
fn std_heap_clock_and_globals_are_found() {
    for bad in [
        "use std::vec::Vec;",
        "use ::alloc::vec::Vec;",
        "extern crate alloc;",
        "fn f() { std::process::abort() }",
        "#[cfg(not(test))] use std::time;",
        "fn f(c: C) { C::now() }",
        "static mut N: u8 = 0;",
        "static N: AtomicU8 = zero();",
    ] {
        assert_eq!(violations_with(bad).len(), 1, "{bad}");
    }
}

#[test]
fn the_attributes_of_the_crate_are_wanted() {
    let conditional = "#![cfg_attr(not(test), no_std)]\n#![deny(unsafe_code)]";
    assert_eq!(violations(&sample(&[("lib.rs", conditional)])).len(), 2);
}
