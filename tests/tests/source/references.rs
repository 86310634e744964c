//! Which file of a crate uses which: paths, followed through modules and `use` declarations.
//!
//! A path counts for the file that defines what it names, not for the one that passes it on by
//! `pub use`. Names that a glob import brings in, methods and macros are not followed.

use std::collections::BTreeMap;

use super::crate_source::{Module, walk};
use super::scanner::{Token, group_end, is};

/// How many `use` declarations are followed for one name.
const MAX_HOPS: usize = 16;

/// The name by which tests, examples and macros call the core from outside.
const OWN_NAME: &str = "spandrel_core";

/// A place where one module names another.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    /// The module whose file has the path.
    pub(crate) from: Vec<String>,
    /// The module that the path leads to as written.
    pub(crate) named: Vec<String>,
    /// The module that defines what is named, and so may be another.
    pub(crate) owner: Vec<String>,
    /// What follows the module in the path as written: empty for a module itself.
    pub(crate) item: String,
    pub(crate) file: String,
    pub(crate) line: usize,
}

/// All references between the modules of a crate; unit tests are left out by `modules`.
pub(crate) fn references(modules: &[Module]) -> Vec<Reference> {
    let names = Names::of(modules);
    let mut found = Vec::new();
    for module in modules {
        let from = names.file_module(&module.path);
        for path in paths(module) {
            let Some(absolute) = names.absolute(&path.scope, &path.segments, MAX_HOPS) else {
                continue;
            };
            let (named, item) = names.split(&absolute);
            found.push(Reference {
                from: from.clone(),
                owner: names.file_module(&names.owner(&absolute, MAX_HOPS)),
                named,
                item,
                file: module.file.clone(),
                line: path.line,
            });
        }
    }
    found
}

/// A path as it is written.
#[derive(Debug)]
struct Path {
    scope: Vec<String>,
    segments: Vec<String>,
    /// The name that a `use` declaration gives it; `None` in other code.
    alias: Option<String>,
    line: usize,
}

/// Every path of a file: of its `use` declarations, and with `::` in other code.
fn paths(module: &Module) -> Vec<Path> {
    let tokens = &module.tokens;
    let mut found = Vec::new();
    let mut skip_to = 0;
    walk(&module.path, tokens, |at, scope| {
        if at < skip_to {
            return;
        }
        if is(tokens, at, "use") && !is(tokens, at + 1, "<") {
            skip_to = use_tree(tokens, at + 1, scope, &[], &mut found);
            return;
        }
        let starts = is_name(tokens, at) && is(tokens, at + 1, "::");
        if !starts || (at > 0 && is(tokens, at - 1, "::")) {
            return;
        }
        let mut segments = vec![tokens[at].text.clone()];
        let mut next = at + 1;
        while is(tokens, next, "::") && is_name(tokens, next + 1) {
            segments.push(tokens[next + 1].text.clone());
            next += 2;
        }
        found.push(Path {
            scope: scope.to_vec(),
            segments,
            alias: None,
            line: tokens[at].line,
        });
    });
    found
}

fn is_name(tokens: &[Token], at: usize) -> bool {
    tokens.get(at).is_some_and(|token| {
        let first = token.text.chars().next().unwrap_or(' ');
        first.is_alphabetic() || first == '_'
    })
}

/// Reads the tree of a `use` declaration at `at`; the place after it.
fn use_tree(
    tokens: &[Token],
    mut at: usize,
    scope: &[String],
    before: &[String],
    found: &mut Vec<Path>,
) -> usize {
    // A leading `::` leads out of the crate, and so does a path that begins with it.
    let mut segments = before.to_vec();
    if is(tokens, at, "::") {
        segments.push("::".to_owned());
        at += 1;
    }
    let line = tokens.get(at).map_or(0, |token| token.line);
    loop {
        if is(tokens, at, "{") {
            let end = group_end(tokens, at) - 1;
            let mut next = at + 1;
            while next < end {
                next = use_tree(tokens, next, scope, &segments, found);
                next += usize::from(is(tokens, next, ","));
            }
            return end + 1;
        }
        if is(tokens, at, "*") {
            at += 1;
            break;
        }
        if !is_name(tokens, at) {
            return at + 1;
        }
        segments.push(tokens[at].text.clone());
        at += 1;
        if !is(tokens, at, "::") {
            break;
        }
        at += 1;
    }
    if segments.len() > 1 && segments.last().is_some_and(|last| last == "self") {
        segments.pop();
    }
    let mut alias = segments.last().cloned();
    if is(tokens, at, "as") {
        alias = tokens.get(at + 1).map(|token| token.text.clone());
        at += 2;
    }
    found.push(Path {
        scope: scope.to_vec(),
        segments,
        alias,
        line,
    });
    at
}

/// The modules of a crate, and the names that their `use` declarations bring in.
struct Names {
    /// Every module, inline ones as well, with the module whose file it stands in.
    modules: BTreeMap<Vec<String>, Vec<String>>,
    imports: BTreeMap<Vec<String>, BTreeMap<String, Vec<String>>>,
}

impl Names {
    fn of(modules: &[Module]) -> Self {
        let mut names = Self {
            modules: BTreeMap::new(),
            imports: BTreeMap::new(),
        };
        for module in modules {
            walk(&module.path, &module.tokens, |_, scope| {
                if !names.modules.contains_key(scope) {
                    names.modules.insert(scope.to_vec(), module.path.clone());
                }
            });
            names
                .modules
                .insert(module.path.clone(), module.path.clone());
            for path in paths(module) {
                let Some(alias) = path.alias else { continue };
                let imports = names.imports.entry(path.scope).or_default();
                imports.insert(alias, path.segments);
            }
        }
        names
    }

    /// The path from the crate root; `None` if it leads out of the crate.
    fn absolute(&self, scope: &[String], segments: &[String], hops: usize) -> Option<Vec<String>> {
        let (first, mut rest) = segments.split_first()?;
        let mut base = match first.as_str() {
            "crate" | OWN_NAME => Vec::new(),
            "self" => scope.to_vec(),
            "super" => scope[..scope.len().checked_sub(1)?].to_vec(),
            name => {
                let child = [scope, &[name.to_owned()]].concat();
                if !self.modules.contains_key(&child) {
                    let import = self.imports.get(scope)?.get(name)?;
                    // `use a::a;` inside of `a` must not be followed for ever.
                    let hops = hops.checked_sub(1)?;
                    let start = self.absolute(scope, import, hops)?;
                    return Some([&start[..], rest].concat());
                }
                child
            }
        };
        while let Some(("super", after)) = rest.split_first().map(|(a, b)| (a.as_str(), b)) {
            base.pop()?;
            rest = after;
        }
        base.extend_from_slice(rest);
        Some(base)
    }

    /// The module that a path from the crate root leads to, and the name behind it.
    fn split(&self, absolute: &[String]) -> (Vec<String>, String) {
        let mut len = absolute.len();
        while !self.modules.contains_key(&absolute[..len]) && len > 0 {
            len -= 1;
        }
        let item = absolute.get(len).cloned().unwrap_or_default();
        (absolute[..len].to_vec(), item)
    }

    /// The module that defines what a path from the crate root names.
    fn owner(&self, absolute: &[String], hops: usize) -> Vec<String> {
        let (module, item) = self.split(absolute);
        let import = self.imports.get(&module).and_then(|map| map.get(&item));
        let Some((import, hops)) = import.zip(hops.checked_sub(1)) else {
            return module;
        };
        match self.absolute(&module, import, hops) {
            Some(target) if target != absolute => self.owner(&target, hops),
            _ => module,
        }
    }

    /// The module whose file a module stands in.
    fn file_module(&self, module: &[String]) -> Vec<String> {
        self.modules.get(module).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::crate_source::{load, sample};
    use super::*;

    /// `from -> owner` for each reference of a small crate.
    fn edges(a: &str, b_mod: &str, b_c: &str) -> Vec<String> {
        let files = [
            ("lib.rs", "mod a; pub mod b;"),
            ("a.rs", a),
            ("b/mod.rs", b_mod),
            ("b/c.rs", b_c),
        ];
        let modules = load(&sample(&files), &|name| (name == "test").then_some(false));
        references(&modules)
            .iter()
            .map(|found| format!("{} -> {}", found.from.join("::"), found.owner.join("::")))
            .collect()
    }

    #[test]
    fn a_name_that_is_passed_on_belongs_to_the_file_that_defines_it() {
        let found = edges("use crate::b::C;", "mod c; pub use c::C;", "pub struct C;");
        assert_eq!(found, ["a -> b::c", "b -> b::c"]);
        let found = edges("use crate::b::D;", "mod c; pub use c::C as D;", "");
        assert_eq!(found[0], "a -> b::c");
    }

    #[test]
    fn paths_in_code_are_followed_like_declarations() {
        for code in [
            "fn f() { crate::b::c::run() }",
            "use crate::b; fn f() { b::c::run() }",
            "use crate::b::{self, c as d}; fn f() -> d::T {}",
            "mod inner { use super::super::b::c::T; }",
        ] {
            let found = edges(code, "pub mod c;", "");
            assert!(found.contains(&"a -> b::c".to_owned()), "{code}: {found:?}");
        }
    }

    #[test]
    fn other_crates_globs_and_names_in_circles_are_left_alone() {
        let found = edges(
            "use std::fmt; use ::b::c; use x::x; fn f() { x::y::z(); fmt::T::new() }",
            "mod c; use self::e as e; use e::f as e;",
            "use super::*; use super::e;",
        );
        assert!(!found.iter().any(|edge| edge.contains("a ->")), "{found:?}");
    }

    #[test]
    fn an_inline_module_belongs_to_its_file() {
        let found = edges("use crate::b::deep::T;", "mod c; pub mod deep {}", "");
        assert_eq!(found, ["a -> b"]);
    }
}
