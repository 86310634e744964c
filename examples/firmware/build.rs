//! Links with the memory map of the chosen board and the script of the runtime crate.

#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "a build script stops the build so"
)]

use std::path::PathBuf;
use std::{env, fs};

const BOARDS: [&str; 4] = ["lm3s6965evb", "mps2-an386", "microbit", "virt"];

fn main() {
    let chosen = |board: &&str| {
        let feature = board.to_uppercase().replace('-', "_");
        env::var_os(format!("CARGO_FEATURE_{feature}")).is_some()
    };
    let boards: Vec<_> = BOARDS.into_iter().filter(|board| chosen(board)).collect();
    let [board] = boards[..] else {
        panic!("choose one board with --features, of {BOARDS:?}; chosen: {boards:?}");
    };
    let map = format!("boards/{board}.x");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::copy(&map, out.join("memory.x")).expect("every board has a memory map");
    println!("cargo::rerun-if-changed={map}");
    println!("cargo::rustc-link-search={}", out.display());
    if board == "virt" {
        println!("cargo::rustc-link-arg-bins=-Tmemory.x");
    }
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
}
