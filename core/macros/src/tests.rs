//! Mistakes are said where they are, and in words that help.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use quote::quote;

use crate::expand::instrument;

/// What the compiler would say.
fn said(options: &str, function: &str) -> String {
    let (options, function) = (options.parse().unwrap(), function.parse().unwrap());
    let text = instrument(options, function).to_string();
    let (_, rest) = text.split_once("compile_error").unwrap_or_default();
    let mut parts = rest.split('"');
    parts.nth(1).unwrap_or_default().to_owned()
}

#[test]
fn mistakes_are_said_with_what_to_do() {
    for (options, function, words) in [
        (
            "colour = 3",
            "fn f() {}",
            "there is no option `colour`; there are `name`",
        ),
        ("\"f\"", "fn f() {}", "an option begins with its name"),
        ("name", "fn f() {}", "`name` needs a value: `name = ..`"),
        (
            "kind = Sever",
            "fn f() {}",
            "a kind is `Internal`, `Server`",
        ),
        ("skip = x", "fn f(x: u8) {}", "`skip` needs a list"),
        (
            "skip(y)",
            "fn f(x: u8) {}",
            "the function has no argument `y`",
        ),
        ("skip_all, skip(x)", "fn f(x: u8) {}", "leave out `skip`"),
        ("fields(a.b)", "fn f() {}", "the field `a.b` needs a value"),
        ("err(Verbose)", "fn f() {}", "`err(Debug)`"),
        (
            "root, parent = x",
            "fn f() {}",
            "a span with a parent is no root",
        ),
        ("err, err", "fn f() {}", "`err` stands here twice"),
        ("place = &P, tracer = &T", "fn f() {}", "leave out `tracer`"),
        (
            "place = &P, skip_all",
            "fn f() {}",
            "no argument is recorded by itself",
        ),
        (
            "place = &P, fields(%x)",
            "fn f() {}",
            "nothing is formatted",
        ),
        ("", "struct S;", "`instrument` stands on a function"),
        ("", "fn f();", "put the attribute on its implementations"),
        (
            "",
            "const fn f() {}",
            "a constant function cannot be traced",
        ),
    ] {
        let found = said(options, function);
        assert!(found.contains(words), "{options} on {function}: {found:?}");
    }
}

/// What is wrong with the attribute must not hide the function from the rest of the program.
#[test]
fn the_function_stays_after_a_mistake() {
    let text = instrument(
        quote!(nonsense),
        quote!(
            fn f() -> u8 {
                7
            }
        ),
    )
    .to_string();
    assert!(text.ends_with("fn f () -> u8 { 7 }"), "{text}");
}
