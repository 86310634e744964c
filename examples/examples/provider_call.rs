//! Calls of a text model's API: what was asked, what it cost, and why it failed.
//!
//! ```text
//! cargo run --example provider_call
//! ```
//!
//! It shows attributes that are known before the call and others that are known after it, and
//! `set_outcome`, which records an error and sets the status in one line. Look at the second trace:
//! its call failed, so it has no tokens and no cost.

use std::error::Error;
use std::fmt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use spandrel_examples::{Demo, Failure, println};
use spandrel_transport_std::{KeyValue, SpanKind, tracer};

fn main() -> Result<(), Failure> {
    let demo = Demo::start("assistant")?;
    for prompt in ["Name three rivers.", ""] {
        match generate("large-1", prompt) {
            Ok(answer) => println!("{prompt:?}: {} tokens", answer.completion_tokens),
            Err(error) => println!("{prompt:?}: {error}"),
        }
    }
    println!("\n{}", demo.finish()?);
    Ok(())
}

fn generate(model: &str, prompt: &str) -> Result<Answer, ProviderError> {
    let tracer = tracer("provider");
    let known_before = [
        KeyValue::new("provider", "example"),
        KeyValue::new("model", model),
        KeyValue::new("prompt_length", prompt.len() as i64),
    ];
    let span = tracer
        .span("provider.generate")
        .kind(SpanKind::Client)
        .attributes(&known_before);
    span.in_scope(|span| {
        let started = Instant::now();
        let answer = call_provider(prompt);
        if let Ok(answer) = &answer {
            span.set_attribute("prompt_tokens", answer.prompt_tokens);
            span.set_attribute("completion_tokens", answer.completion_tokens);
            span.set_attribute("duration_ms", started.elapsed().as_millis() as i64);
            span.set_attribute("cost", answer.cost);
        }
        span.set_outcome(&answer);
        answer
    })
}

/// Stands for a request over the network.
fn call_provider(prompt: &str) -> Result<Answer, ProviderError> {
    sleep(Duration::from_millis(40 + 5 * prompt.len() as u64));
    if prompt.is_empty() {
        return Err(ProviderError("400: the prompt is empty"));
    }
    Ok(Answer {
        prompt_tokens: 5,
        completion_tokens: 12,
        cost: 0.000_34,
    })
}

struct Answer {
    prompt_tokens: i64,
    completion_tokens: i64,
    /// In dollars.
    cost: f64,
}

#[derive(Debug)]
struct ProviderError(&'static str);

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the provider answered {}", self.0)
    }
}

impl Error for ProviderError {}
