//! Commands with their outcome: one that works, one that does not exist.
//!
//! ```text
//! cargo run --example command_execution
//! ```
//!
//! It shows the process-wide tracer, attributes, and how an error is recorded. Look at the second
//! trace: a failed command has the status error with the error's text, and an event `exception`.

use std::io;
use std::process::{Command, Output};

use spandrel_examples::{Demo, Failure, print, println};
use spandrel_transport_std::{Status, tracer};

fn main() -> Result<(), Failure> {
    let demo = Demo::start("runner")?;
    for command in ["rustc --version", "no-such-program --help"] {
        match execute(command, "ada") {
            Ok(output) => print!("{command}: {}", String::from_utf8_lossy(&output.stdout)),
            Err(error) => println!("{command}: {error}"),
        }
    }
    println!("\n{}", demo.finish()?);
    Ok(())
}

fn execute(command: &str, user: &str) -> io::Result<Output> {
    let mut span = tracer("commands").start("command.execute");
    span.set_attribute("command", command);
    span.set_attribute("user", user);

    let mut words = command.split(' ');
    let output = Command::new(words.next().unwrap_or_default())
        .args(words)
        .output();
    match &output {
        Ok(_) => span.set_status(Status::Ok),
        Err(error) => {
            span.record_error(error);
            span.set_status(Status::error(&error.to_string()));
        }
    }
    output
}
