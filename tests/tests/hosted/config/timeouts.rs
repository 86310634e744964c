//! How long a batch takes with all its retries, on a virtual clock.

use super::*;
use spandrel_core::buffer::Buffer;
use spandrel_core::exporter::{Event, Exporter};
use spandrel_core::id::RandomIdGenerator;
use spandrel_core::resource::{Registry, Resource};
use spandrel_core::response::{Outcome, Response, TransportError};
use spandrel_core::sampler::AlwaysOn;
use spandrel_core::time::Instant;
use spandrel_core::tracer::BareTracer;
use spandrel_core::tracer::SpanBuilder;
use spandrel_tests::rng::TestRng;

/// How long after its first request a batch was given up, if every request ends like `ending`.
fn given_up_after(settings: &Settings, hangs: bool) -> Duration {
    let registry = Registry::new([0_u8; 256], &Resource::default()).unwrap();
    let buffer = Buffer::new([0_u8; 4096]);
    let mut exporter = Exporter::new(settings.exporter, buffer, registry).unwrap();
    let mut tracer = BareTracer::new(AlwaysOn, RandomIdGenerator::new(TestRng::new(1)));
    let span = tracer.start::<256>(SpanBuilder::new("x"), Instant::ZERO);
    span.end(Instant::ZERO, &mut exporter).unwrap();
    let (mut now, mut first) = (Instant::ZERO, None);
    while let Some(wake) = exporter.poll_timeout() {
        now = now.max(wake);
        while let Some(transmit) = exporter.poll_transmit(now) {
            first.get_or_insert(now);
            let body_sent = true;
            let outcome = match hangs {
                true => Outcome::Failed(TransportError::Timeout { body_sent }),
                false => Outcome::Response(Response::new(503)),
            };
            if hangs {
                now = transmit.deadline();
            }
            exporter.handle_response(now, transmit, &outcome);
        }
        while let Some(event) = exporter.poll_event() {
            if let Event::Dropped { .. } = event {
                return now.saturating_since(first.unwrap());
            }
        }
    }
    Duration::MAX
}

#[test]
fn a_hanging_collector_holds_a_batch_no_longer_than_the_limits_say() {
    let config = Config::development("x");
    let settings = with(&config, &[("OTEL_EXPORTER_OTLP_TIMEOUT", "10000")]);
    let took = given_up_after(&settings, true);
    assert!(took >= Duration::from_secs(20), "{took:?}");
    assert!(took <= Duration::from_secs(30), "{took:?}");
    // The circuit opens, and the batch is held.
    let took = given_up_after(&settings, false);
    assert!(took <= Duration::from_secs(310), "{took:?}");
    assert!(took >= Duration::from_secs(290), "{took:?}");
    // The whole export within its time limit, as later versions of the specification have it.
    let whole = Config {
        max_batch_age: Some(Duration::from_secs(10)),
        ..config
    };
    for hangs in [true, false] {
        let took = given_up_after(&with(&whole, &[]), hangs);
        assert!(took <= Duration::from_secs(10), "{took:?}");
    }
}
