//! Span processors: they see every span at its start and at its end.
//!
//! ```text
//! cargo run --example processors
//! ```
//!
//! One adds the region to every span, and removes passwords before anything leaves the program. One
//! drops the health checks, which the ledger counts as `filtered` and not as lost. And a helper, which
//! is handed no span, records on the one that is active.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use spandrel_core::hosted::active::active_span;
use spandrel_core::hosted::current::Context;
use spandrel_core::hosted::processor::{LiveSpan, SpanFate, SpanProcessor};
use spandrel_core::span::finished::FinishedSpan;
use spandrel_examples::{Demo, Failure, println};
use spandrel_transport_std::{Config, SpanKind, Tracer, tracer};

/// What must not leave the program.
const SECRETS: [&str; 2] = ["password", "card.number"];

struct Privacy;

impl SpanProcessor for Privacy {
    fn on_start(&self, span: &mut LiveSpan<'_>, _parent: &Context) {
        span.set_attribute("cloud.region", "north");
    }

    fn on_ending(&self, span: &mut LiveSpan<'_>) {
        for key in SECRETS {
            if span
                .view()
                .is_some_and(|span| span.attribute(key).is_some())
            {
                span.set_attribute(key, "(removed)");
            }
        }
    }
}

struct WithoutHealthChecks;

impl SpanProcessor for WithoutHealthChecks {
    fn on_end(&self, span: &FinishedSpan<'_>) -> SpanFate {
        match span.name() {
            "GET /health" if !span.is_error() => SpanFate::Drop,
            _ => SpanFate::Keep,
        }
    }
}

fn main() -> Result<(), Failure> {
    let demo = Demo::start_with(Config {
        service_name: "accounts".into(),
        processors: vec![Arc::new(Privacy), Arc::new(WithoutHealthChecks)],
        ..Config::default()
    })?;
    let tracer = tracer("accounts");
    for _ in 0..3 {
        tracer
            .span("GET /health")
            .kind(SpanKind::Server)
            .start()
            .end();
    }
    log_in(&tracer, "ada", "hunter2");
    println!("{}", demo.finish()?);
    Ok(())
}

fn log_in(tracer: &Tracer, user: &str, password: &str) {
    let request = tracer.span("POST /login").kind(SpanKind::Server);
    request.in_scope(|span| {
        span.set_attribute("user", user);
        span.set_attribute("password", password);
        tracer.span("password.check").in_scope(|_| hash(password));
    });
}

/// Deep in the call tree, where no span is at hand.
fn hash(password: &str) -> usize {
    active_span().set_attribute("hash.rounds", 12);
    sleep(Duration::from_millis(5));
    password.len()
}
