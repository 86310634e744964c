//! Tells the hosted runtime which compiler built it (`process.runtime.version`).

use std::env;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Only the hosted runtime asks; a firmware build runs nothing.
    if env::var_os("CARGO_FEATURE_STD").is_none() {
        return;
    }
    if let Some(version) = compiler_version() {
        println!("cargo:rustc-env=SPANDREL_RUSTC_VERSION={version}");
    }
}

/// `1.95.0` out of `rustc 1.95.0 (59807616e 2026-04-14)`. No answer is an answer: the attribute
/// is then left out.
fn compiler_version() -> Option<String> {
    let output = Command::new(env::var_os("RUSTC")?)
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split_whitespace().nth(1)?;
    let is_version = version.starts_with(|c: char| c.is_ascii_digit())
        && version
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".-+".contains(&b));
    is_version.then(|| version.to_owned())
}
