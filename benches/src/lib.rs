//! Spandrel and its rivals, measured side by side; see `README.md`.

pub mod counts;
pub mod harness;
pub mod ours;
pub mod process;
pub mod report;
pub mod svg;
pub mod table;
pub mod usage;
pub mod workload;

#[cfg(feature = "rivals")]
pub mod e2e;
#[cfg(feature = "rivals")]
pub mod encodings;
#[cfg(feature = "rivals")]
pub mod footprint;
#[cfg(feature = "rivals")]
pub mod machines;
#[cfg(feature = "rivals")]
pub mod micro;
#[cfg(feature = "rivals")]
pub mod rivals;
#[cfg(feature = "rivals")]
pub mod sink;

/// As in the programs, so that what counts allocations can be tested.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: spandrel_alloc_counter::CountingAllocator =
    spandrel_alloc_counter::CountingAllocator;
