//! The program's scenarios. The host's tests hold the expectations.

mod gzip;
pub mod interrupt;
mod measure;
mod outage;
mod overflow;
mod reset;
mod sections;
mod tree;

use crate::device;
use crate::memory::{self, Memory};

/// Runs a scenario to its end; `None` when there is none of that name, or when it went wrong.
pub fn run(name: &str) -> Option<()> {
    let memory = memory::take()?;
    if name == "reset" {
        return reset::run(memory);
    }
    let Memory { spans, names } = memory;
    if name == "sections" {
        return sections::run(spans);
    }
    let (bytes, scenario): (usize, fn() -> Option<()>) = match name {
        "tree" => (spans.len(), tree::run),
        "overflow" => (1024, overflow::run),
        "interrupt" => (spans.len(), interrupt::run),
        "flood" => (spans.len(), interrupt::flood),
        "outage" => (spans.len(), outage::run),
        "gzip" => (spans.len(), gzip::run),
        "measure" => (spans.len(), measure::run),
        _ => return None,
    };
    device::start(spans.get_mut(..bytes)?, names)?;
    scenario()
}
