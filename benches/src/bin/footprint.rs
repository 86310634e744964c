//! Crates, build times and bytes that each contestant adds, as a Markdown table.
//!
//! `footprint [--crates]`; with `--crates` nothing is built.

use spandrel_benches::process::end_with_parent;

fn main() {
    end_with_parent();
    let builds = !std::env::args().any(|argument| argument == "--crates");
    print!("{}", spandrel_benches::footprint::table(builds));
}
