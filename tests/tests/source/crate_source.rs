//! The modules of a crate, found as the compiler finds them: from `lib.rs` along `mod`.

use std::fs;
use std::path::{Path, PathBuf};

use super::scanner::{Holds, Token, active, is, tokens};

/// One source file.
#[derive(Debug)]
pub(crate) struct Module {
    /// Below the crate root, which is empty.
    pub(crate) path: Vec<String>,
    /// Relative to the source folder, with `/`.
    pub(crate) file: String,
    pub(crate) tokens: Vec<Token>,
}

/// Where files come from: the text of one, if it is there.
pub(crate) type Files<'a> = &'a dyn Fn(&str) -> Option<String>;

/// All modules that are configured in.
pub(crate) fn load(files: Files<'_>, holds: Holds<'_>) -> Vec<Module> {
    let mut modules = Vec::new();
    visit(Vec::new(), "lib.rs".to_owned(), files, holds, &mut modules);
    modules
}

fn visit(
    path: Vec<String>,
    file: String,
    files: Files<'_>,
    holds: Holds<'_>,
    modules: &mut Vec<Module>,
) {
    let text = files(&file).unwrap_or_else(|| panic!("{file} is missing"));
    let tokens = active(&tokens(&text), holds);
    let mut children = Vec::new();
    walk(&path, &tokens, |at, scope| {
        if is(&tokens, at, "mod") && is(&tokens, at + 2, ";") {
            children.push([scope, &[tokens[at + 1].text.clone()]].concat());
        }
        let path_attribute = is(&tokens, at, "#") && is(&tokens, at + 2, "path");
        assert!(!path_attribute, "{file}: #[path] is not understood");
    });
    modules.push(Module { path, file, tokens });
    for child in children {
        let base = child.join("/");
        let file = [format!("{base}.rs"), format!("{base}/mod.rs")]
            .into_iter()
            .find(|file| files(file).is_some())
            .unwrap_or_else(|| panic!("module {base} has no file"));
        visit(child, file, files, holds, modules);
    }
}

/// Calls `each` for every token with the path of the module it stands in, inline modules included.
pub(crate) fn walk(path: &[String], tokens: &[Token], mut each: impl FnMut(usize, &[String])) {
    let mut scope = path.to_vec();
    let mut braces = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        each(at, &scope);
        match token.text.as_str() {
            "{" => {
                let is_module = at >= 2 && is(tokens, at - 2, "mod");
                if is_module {
                    scope.push(tokens[at - 1].text.clone());
                }
                braces.push(is_module);
            }
            "}" if braces.pop() == Some(true) => {
                scope.pop();
            }
            _ => {}
        }
    }
}

/// The source folder of the core.
pub(crate) fn core_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src")
}

/// Reads files of the core.
pub(crate) fn core_file(file: &str) -> Option<String> {
    file_below("../core/src", file)
}

/// Reads a file below a folder that is given as seen from this package.
pub(crate) fn file_below(folder: &str, file: &str) -> Option<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    fs::read_to_string(folder.join(file)).ok()
}

/// A crate in memory, for the tests of the checks.
pub(crate) fn sample<'a>(files: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
    |wanted| {
        let found = files.iter().find(|(name, _)| *name == wanted)?;
        Some(found.1.to_owned())
    }
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry of a folder").path();
        if path.is_dir() {
            files_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_file_of_the_core_is_compiled_by_someone() {
    let modules = load(&core_file, &|_| None);
    let mut found = Vec::new();
    files_below(&core_folder(), &mut found);
    for path in found {
        let file = path.strip_prefix(core_folder()).expect("below the folder");
        let declared = modules.iter().any(|module| Path::new(&module.file) == file);
        assert!(declared, "no `mod` leads to core/src/{}", file.display());
    }
}

#[test]
fn inline_modules_are_part_of_the_path() {
    let files = [
        ("lib.rs", "mod a;"),
        ("a/mod.rs", "mod b { mod c; } mod d;"),
        ("a/b/c.rs", ""),
        ("a/d.rs", ""),
    ];
    let modules = load(&sample(&files), &|_| None);
    let paths: Vec<_> = modules
        .iter()
        .map(|module| module.path.join("::"))
        .collect();
    assert_eq!(paths, ["", "a", "a::b::c", "a::d"]);
}
