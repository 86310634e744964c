//! A batch whose items are processed at the same time, each on its own thread.
//!
//! ```text
//! cargo run --example concurrent_batch
//! ```
//!
//! It shows how a parent's context is handed to other threads, and how their errors are collected.
//! Look at the bars of the five items, which overlap, and at the status of their parent, which sums
//! up the errors.

use std::error::Error;
use std::fmt;
use std::thread::{self, sleep};
use std::time::Duration;

use spandrel_examples::{Demo, Failure, println};
use spandrel_transport_std::spandrel_core::context::SpanContext;
use spandrel_transport_std::{Status, Tracer, tracer};

fn main() -> Result<(), Failure> {
    let demo = Demo::start("importer")?;
    let errors = process(&["a-17", "b-04", "?", "c-31", ""]);
    for error in &errors {
        println!("{error}");
    }
    println!("\n{}", demo.finish()?);
    Ok(())
}

/// Processes all items. Returns the errors in the order of the items.
fn process(items: &[&str]) -> Vec<ItemError> {
    let tracer = tracer("batch");
    let mut batch = tracer.start("batch.process");
    batch.set_attribute("batch_size", items.len() as i64);

    let (tracer, parent) = (&tracer, *batch.context());
    let errors: Vec<ItemError> = thread::scope(|threads| {
        let started: Vec<_> = items
            .iter()
            .enumerate()
            .map(|(index, id)| threads.spawn(move || process_item(tracer, parent, index, id)))
            .collect();
        started
            .into_iter()
            .filter_map(|thread| thread.join().unwrap_or(Err(ItemError::Panicked)).err())
            .collect()
    });

    if errors.is_empty() {
        batch.set_status(Status::Ok);
    } else {
        batch.set_error(&format!("{} items failed", errors.len()));
    }
    errors
}

fn process_item(
    tracer: &Tracer,
    parent: SpanContext,
    index: usize,
    id: &str,
) -> Result<(), ItemError> {
    let span = tracer.span("batch.process_item").parent(parent);
    span.in_scope(|span| {
        span.set_attribute("item_index", index as i64);
        span.set_attribute("item_id", id);
        sleep(Duration::from_millis(20 + 10 * index as u64));
        let outcome = match id {
            "" => Err(ItemError::NoId { index }),
            id if id.contains('?') => Err(ItemError::UnknownId { index }),
            _ => Ok(()),
        };
        span.set_outcome(&outcome);
        outcome
    })
}

#[derive(Debug)]
enum ItemError {
    NoId { index: usize },
    UnknownId { index: usize },
    Panicked,
}

impl fmt::Display for ItemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoId { index } => write!(f, "item {index} has no id"),
            Self::UnknownId { index } => write!(f, "item {index} has an unknown id"),
            Self::Panicked => f.write_str("the worker panicked"),
        }
    }
}

impl Error for ItemError {}
