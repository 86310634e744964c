//! A workflow of phases and steps, the last of which fails.
//!
//! ```text
//! cargo run --example nested_workflow
//! ```
//!
//! It shows spans inside spans without passing anything on: the span of `in_scope` is the current
//! one. Look at the last step: its error ends the step's span and the workflow's span, and both are
//! marked as failed.

use std::error::Error;
use std::fmt;
use std::thread::sleep;
use std::time::Duration;

use spandrel_examples::{Demo, Failure, println};
use spandrel_transport_std::{KeyValue, Tracer, tracer};

fn main() -> Result<(), Failure> {
    let demo = Demo::start("autopilot")?;
    match run("add a login page") {
        Ok(()) => println!("the workflow succeeded"),
        Err(error) => println!("the workflow failed: {error}"),
    }
    println!("\n{}", demo.finish()?);
    Ok(())
}

fn run(goal: &str) -> Result<(), StepFailed> {
    let tracer = tracer("auto");
    let attributes = [KeyValue::new("goal", goal)];
    let workflow = tracer.span("auto.workflow").attributes(&attributes);
    workflow.in_scope(|span| {
        let outcome = phases(&tracer);
        span.set_outcome(&outcome);
        outcome
    })
}

fn phases(tracer: &Tracer) -> Result<(), StepFailed> {
    tracer.span("auto.spec_generation").in_scope(|_| work(35));
    let steps = tracer.span("auto.plan_generation").in_scope(|span| {
        work(20);
        let steps = ["create", "modify", "verify"];
        span.set_attribute("feature_count", 1);
        span.set_attribute("task_count", steps.len() as i64);
        steps
    });
    for (index, kind) in steps.into_iter().enumerate() {
        let mut step = tracer.start("auto.step_execution");
        step.set_attribute("step_index", index as i64);
        step.set_attribute("step_type", kind);
        let outcome = execute(kind);
        step.set_outcome(&outcome);
        // The span ends here even if the error leaves the loop.
        outcome?;
    }
    Ok(())
}

fn execute(kind: &'static str) -> Result<(), StepFailed> {
    work(15);
    match kind {
        "verify" => Err(StepFailed(kind)),
        _ => Ok(()),
    }
}

/// Stands for real work.
fn work(millis: u64) {
    sleep(Duration::from_millis(millis));
}

#[derive(Debug)]
struct StepFailed(&'static str);

impl fmt::Display for StepFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {:?} failed: two tests are red", self.0)
    }
}

impl Error for StepFailed {}
