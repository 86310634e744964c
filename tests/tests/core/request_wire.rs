//! Whole requests on the wire (spec F-005, F-011 to F-029, A-019, A-023): for any spans of
//! any scopes, any sizes of reads, a wall clock that is known, unknown or late, and any answers.
#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use std::cell::Cell;

use arbitrary::Unstructured;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use spandrel_core::attribute::{KeyValue, ValueLimits};
use spandrel_core::buffer::Buffer;
use spandrel_core::exporter::{Exporter, ExporterConfig};
use spandrel_core::id::RandomIdGenerator;
use spandrel_core::limits::SpanLimits;
use spandrel_core::resource::{Registry, Resource};
use spandrel_core::response::{Outcome, Response};
use spandrel_core::sampler::AlwaysOn;
use spandrel_core::test_support::TestRng;
use spandrel_core::time::{Instant, UnixNanos, WallClock};
use spandrel_core::tracer::{SpanBuilder, Tracer};
use spandrel_tests::wire_model::{RequestScript, Sightings, decode, pull};

fn script() -> impl Strategy<Value = RequestScript> {
    vec(any::<u8>(), 0..6000).prop_map(|bytes| Unstructured::new(&bytes).arbitrary().unwrap())
}

#[test]
fn every_request_is_what_the_model_says() {
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 300,
        max_shrink_iters: 1000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let seen = Cell::new(Sightings::default());
    runner
        .run(&script(), |script| {
            let (mut sum, new) = (seen.get(), script.run());
            sum.requests += new.requests;
            sum.of_many_scopes += new.of_many_scopes;
            sum.retries += new.retries;
            sum.dated_late += new.dated_late;
            sum.split += new.split;
            sum.evicted += new.evicted;
            seen.set(sum);
            Ok(())
        })
        .unwrap();
    let seen = seen.get();
    println!("{seen:?}");
    let Sightings {
        requests,
        of_many_scopes,
        retries,
        dated_late,
        split,
        evicted,
    } = seen;
    let sometimes = [
        requests,
        of_many_scopes,
        retries,
        dated_late,
        split,
        evicted,
    ];
    assert!(sometimes.iter().all(|&count| count > 0), "{seen:?}");
}

/// A device that boots without a date (rule R1): what it recorded, sent or not, is dated
/// once, events included, as soon as the date is known, and not again when the clock is set anew.
#[test]
fn spans_recorded_before_the_clock_is_known_come_out_dated_and_only_once() {
    let registry = Registry::new([0; 64], &Resource::default()).unwrap();
    let buffer = Buffer::new([0; 1024]);
    let mut exporter = Exporter::new(ExporterConfig::DEFAULT, buffer, registry).unwrap();
    let mut tracer = Tracer::new(AlwaysOn, RandomIdGenerator::new(TestRng::new(1)));
    let mut span = tracer.start::<256>(SpanBuilder::new("boot"), Instant::from_secs(1));
    span.add_event("link up", &[], Instant::from_secs(2));
    span.set_attribute("between", "events");
    span.add_event("lease", &[], Instant::from_secs(3));
    span.end(Instant::from_secs(4), &mut exporter).unwrap();

    let mut now = Instant::from_secs(10);
    exporter.force_flush(now, Instant::MAX);
    let mut sent = |clock: Option<u64>| {
        let clock =
            clock.map(|origin| WallClock::from_pair(Instant::ZERO, UnixNanos::from_secs(origin)));
        exporter.set_wall_clock(clock);
        now = now.max(exporter.poll_timeout().unwrap());
        let mut transmit = exporter.poll_transmit(now).unwrap();
        let body = pull(&exporter, &mut transmit, || 5);
        exporter.handle_response(now, transmit, &Outcome::Response(Response::new(503)));
        let span = decode(&body).resource_spans[0].scope_spans[0].spans[0].clone();
        let events = span.events.iter().map(|event| event.time_unix_nano);
        let times = [span.start_time_unix_nano].into_iter().chain(events);
        let seconds: Vec<u64> = times
            .chain([span.end_time_unix_nano])
            .map(|t| t / 1_000_000_000)
            .collect();
        (seconds, body)
    };
    let (undated, first) = sent(None);
    assert_eq!(undated, [1, 2, 3, 4]);
    assert_eq!(sent(None).1, first, "a retry has the same bytes");
    let (dated, third) = sent(Some(1_000));
    assert_eq!(dated, [1_001, 1_002, 1_003, 1_004]);
    assert_eq!(sent(Some(1_000)).1, third, "a retry has the same bytes");
    assert_eq!(
        sent(Some(5_000)).1,
        third,
        "a clock that is set anew changes nothing"
    );
    assert_eq!(sent(None).1, third, "nor one that is lost");
}

/// spec A-023: a flush of nothing sends nothing.
#[test]
fn no_request_is_made_without_spans() {
    let registry = Registry::new([0; 64], &Resource::default()).unwrap();
    let buffer = Buffer::new([0; 256]);
    let mut exporter = Exporter::new(ExporterConfig::DEFAULT, buffer, registry).unwrap();
    exporter.force_flush(Instant::ZERO, Instant::MAX);
    for second in 0..100 {
        assert!(exporter.poll_transmit(Instant::from_secs(second)).is_none());
    }
}

// spec D-065
#[test]
fn no_limit_of_spans_applies_to_a_resource() {
    let keys: Vec<_> = (0..200).map(|number| format!("key.{number}")).collect();
    let attributes: Vec<_> = keys.iter().map(|key| KeyValue::new(key, "text")).collect();
    let resource = Resource {
        attributes: &attributes,
        ..Resource::default()
    };
    let registry = Registry::new(vec![0; 8192], &resource).unwrap();
    let buffer = Buffer::new([0; 256]);
    let mut exporter = Exporter::new(ExporterConfig::DEFAULT, buffer, registry).unwrap();
    let limits = SpanLimits {
        attribute_count: 1,
        value: ValueLimits {
            length: 1,
            ..ValueLimits::DEFAULT
        },
        ..SpanLimits::DEFAULT
    };
    let ids = RandomIdGenerator::new(TestRng::new(1));
    let mut tracer = Tracer::new(AlwaysOn, ids).with_limits(limits);
    let span = tracer.start::<128>(SpanBuilder::new("n"), Instant::ZERO);
    span.end(Instant::ZERO, &mut exporter).unwrap();
    exporter.force_flush(Instant::ZERO, Instant::MAX);
    let mut transmit = exporter.poll_transmit(Instant::ZERO).unwrap();
    let request = decode(&pull(&exporter, &mut transmit, || 64));
    let resource = request.resource_spans[0].resource.as_ref().unwrap();
    assert_eq!(resource.attributes.len(), 200);
    assert_eq!(resource.dropped_attributes_count, 0);
    for attribute in &resource.attributes {
        let value = attribute.value.clone().unwrap().value;
        assert_eq!(value, Some(Any::StringValue("text".into())));
    }
}

/// A push may close a gap that a settled batch left, and so move a batch that is being read.
#[test]
fn a_push_that_moves_the_records_of_a_batch_does_not_show_in_its_body() {
    let answered = |status| Outcome::Response(Response::new(status));
    let body_of = |first_read: usize| {
        let mut config = ExporterConfig::DEFAULT;
        config.batch.max_export_batch_size = 1;
        config.breaker.failure_threshold = 1;
        let registry = Registry::new([0; 64], &Resource::default()).unwrap();
        let mut exporter = Exporter::new(config, Buffer::new([0; 330]), registry).unwrap();
        let mut tracer = Tracer::new(AlwaysOn, RandomIdGenerator::new(TestRng::new(1)));
        let mut end = |exporter: &mut Exporter<[u8; 330], [u8; 64]>, name: &str| {
            let mut span = tracer.start::<256>(SpanBuilder::new(name), Instant::ZERO);
            span.set_attribute("key", "some twenty bytes long");
            span.end(Instant::ZERO, exporter).is_ok()
        };
        for name in ["a", "b", "c"] {
            assert!(end(&mut exporter, name));
        }
        assert!(!end(&mut exporter, "d"), "no room");

        // "a" fails and is set aside, "b" leaves a gap, "a" fails again, "c" is being read.
        let mut now = Instant::ZERO;
        let mut next = |exporter: &mut Exporter<[u8; 330], [u8; 64]>| {
            now = now.max(exporter.poll_timeout().unwrap());
            (now, exporter.poll_transmit(now).unwrap())
        };
        for status in [503, 200, 503] {
            let (now, transmit) = next(&mut exporter);
            exporter.handle_response(now, transmit, &answered(status));
        }
        let (_, mut transmit) = next(&mut exporter);
        let mut body = vec![0; first_read];
        assert_eq!(exporter.read_body(&mut transmit, &mut body), first_read);
        assert!(end(&mut exporter, "d"), "the gap is closed");
        if !transmit.is_read() {
            let mut rest = vec![0; transmit.content_length() - first_read];
            exporter.read_body(&mut transmit, &mut rest);
            body.extend(rest);
        }
        body
    };
    let whole = body_of(0);
    assert_eq!(
        decode(&whole).resource_spans[0].scope_spans[0].spans[0].name,
        "c"
    );
    for first_read in 0..=whole.len() {
        assert_eq!(body_of(first_read), whole, "moved after {first_read} bytes");
    }
}
