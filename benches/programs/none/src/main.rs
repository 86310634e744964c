//! The application without tracing, with which the others are compared.

use std::hint::black_box;

fn main() {
    let endpoint = std::env::args().nth(1).unwrap_or_default();
    let total = black_box([3_i64, 14, 15]).iter().sum::<i64>();
    println!("{total} for {endpoint}");
}
