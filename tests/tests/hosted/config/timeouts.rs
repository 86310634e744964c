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

/// How long after its first request a batch was given up, and its export was over: if every request
/// `hangs`, or else is refused.
fn given_up_after(settings: &Settings, hangs: bool) -> (Duration, Option<Duration>) {
    let registry = Registry::new([0_u8; 256], &Resource::default()).unwrap();
    let buffer = Buffer::new([0_u8; 4096]);
    let mut exporter = Exporter::new(settings.exporter, buffer, registry).unwrap();
    let mut tracer = BareTracer::new(AlwaysOn, RandomIdGenerator::new(TestRng::new(1)));
    let span = tracer.start::<256>(SpanBuilder::new("x"), Instant::ZERO);
    span.end(Instant::ZERO, &mut exporter).unwrap();
    let (mut now, mut first) = (Instant::ZERO, None);
    let mut over = None;
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
            let since = |first| now.saturating_since(first);
            match event {
                Event::Dropped { .. } => return (since(first.unwrap()), over),
                Event::Circuit(_) => over = over.or(first.map(since)),
                _ => {}
            }
        }
    }
    (Duration::MAX, over)
}

#[test]
fn a_hanging_collector_holds_a_batch_no_longer_than_the_limits_say() {
    let config = Config::development("x");
    let secs = Duration::from_secs;
    for (variable, limit) in [
        ("OTEL_EXPORTER_OTLP_TIMEOUT", 7),
        ("OTEL_BSP_EXPORT_TIMEOUT", 3),
    ] {
        let millis = (limit * 1000).to_string();
        let settings = with(&config, &[(variable, millis.as_str())]);
        for hangs in [true, false] {
            let (took, over) = given_up_after(&settings, hangs);
            // The circuit opens at the end of the export, or sooner, and the batch is held.
            assert!(over.is_some_and(|over| over <= secs(limit)), "{over:?}");
            assert_eq!(hangs, over == Some(secs(limit)));
            assert!(took >= secs(290) && took <= secs(310), "{took:?}");
        }
    }
    // A batch that is not held is dropped at the end of its export.
    let dropping = Config {
        when_open: WhenOpen::Drop,
        ..config
    };
    assert_eq!(given_up_after(&with(&dropping, &[]), true).0, secs(10));
}

// spec A-062, spec B-013, spec C-019
#[test]
fn zero_is_no_limit_of_an_export() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "0"),
    ];
    let settings = with(&Config::development("x"), &variables);
    assert_eq!(settings.request_timeout(), None);
    assert!(settings.exporter.export_timeout.is_zero());
    // Either one alone leaves the other one's limit.
    for (variable, left) in [(variables[0], 30), (variables[1], 10)] {
        let settings = with(&Config::development("x"), &[variable]);
        assert_eq!(settings.exporter.export_timeout, Duration::from_secs(left));
    }
}
