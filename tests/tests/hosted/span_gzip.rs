//! gzip for spans: what others decode is what went in, in fewer bytes than a general compressor
//! needs.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the helpers of a test may fail it, and the figures are printed"
)]

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::collection::vec;
use proptest::prelude::*;
use rand_core::Rng;
use spandrel_core::attribute::KeyValue;
use spandrel_core::hosted::config::Config;
use spandrel_core::hosted::span_gzip::SpanGzip;
use spandrel_core::hosted::trace::{Span, Tracer};
use spandrel_core::hosted::unversioned::pipeline::Pipeline;
use spandrel_tests::fuzz;
use spandrel_tests::fuzz::span_gzip::{compressed, decoded};
use spandrel_tests::gunzip::gunzip_by_python;
use spandrel_tests::rng::TestRng;

fn gzip() -> SpanGzip {
    SpanGzip::new()
}

fn member(body: &[u8]) -> Vec<u8> {
    compressed(&mut gzip(), body, usize::MAX)
}

fn flate2_len(input: &[u8], level: u32) -> usize {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(input).unwrap();
    encoder.finish().unwrap().len()
}

fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    TestRng::new(99).fill_bytes(&mut bytes);
    bytes
}

/// A request with `spans` spans that `trace` makes, one trace at each call.
fn request(spans: u32, mut trace: impl FnMut(&Tracer, u64)) -> Vec<u8> {
    let settings = Config {
        endpoint: "localhost:4318".into(),
        read_environment: false,
        set_global: false,
        sample_rate: Some(1.0),
        max_queue_size: Some(2 * spans + 1000),
        max_export_batch_size: Some(spans),
        max_request_bytes: Some(64 << 20),
        buffer_bytes: Some(64 << 20),
        max_span_bytes: Some(200_000),
        ..Config::development("shop")
    };
    let (mut pipeline, provider) = Pipeline::new(&settings.resolve().unwrap()).unwrap();
    let tracer = provider.tracer("tests");
    let mut n = 0;
    let mut transmit = loop {
        for _ in 0..50 {
            trace(&tracer, n);
            n += 1;
        }
        if let Some(transmit) = pipeline.poll_transmit() {
            break transmit;
        }
    };
    let mut body = vec![0; transmit.content_length()];
    assert_eq!(pipeline.read_body(&mut transmit, &mut body), body.len());
    body
}

/// A root and nine children with four attributes each.
fn service(tracer: &Tracer, n: u64) {
    let mut rng = TestRng::new(n);
    let mut set = |span: &mut Span| {
        let drawn = rng.next_u64();
        let routes = ["/orders", "/orders/{id}", "/baskets/{id}", "/search"];
        span.set_attribute("http.route", routes[drawn as usize % 4]);
        span.set_attribute("db.rows", (drawn >> 8) as i64 % 5000);
        span.set_attribute("server.load", (drawn >> 32) as u8 as f64 / 4.0);
        span.set_attribute("cache.hit", drawn >> 63 == 0);
    };
    let mut root = tracer.start("http.request");
    set(&mut root);
    root.in_scope(|_| {
        for _ in 0..9 {
            set(&mut tracer.start("db.query"));
        }
    });
}

/// Spans that have nothing of what the encoder expects: texts of their own, events, errors, links
/// to nobody, many names, now and then a very long value.
fn unruly(tracer: &Tracer, n: u64) {
    let mut rng = TestRng::new(n);
    let mut span = tracer.start(format!("job {n} of {}", rng.next_u32() % 90).as_str());
    let text = format!("{:x}", rng.next_u64()).repeat(1 + n as usize % 30);
    span.set_attribute("text", text.as_str());
    if n.is_multiple_of(3) {
        span.add_event("retry", &[KeyValue::new("attempt", n as i64)]);
    }
    if n.is_multiple_of(97) {
        let long = "a very long value of many words ".repeat(rng.next_u32() as usize % 4000);
        span.set_attribute("long", long.as_str());
    }
    if n.is_multiple_of(4) {
        span.set_status(spandrel_core::span::Status::error("it broke"));
    }
}

#[test]
fn requests_of_all_sizes_are_given_back() {
    let mut gzip = gzip();
    for spans in [1, 2, 9, 64, 512, 700, 4000] {
        for trace in [service, unruly] {
            let body = request(spans, trace);
            let member = compressed(&mut gzip, &body, usize::MAX);
            assert!(decoded(&member) == body, "{spans} spans");
            assert!(
                compressed(&mut gzip, &body, 1000) == member,
                "the output depends on the pieces"
            );
        }
    }
}

#[test]
fn spans_of_a_service_become_nearly_as_small_as_by_a_search_everywhere() {
    for spans in [64, 512, 2048] {
        let body = request(spans, service);
        let ours = member(&body).len();
        let levels = [1, 6].map(|level| flate2_len(&body, level));
        let each = |len: usize| len as f64 / f64::from(spans);
        println!(
            "{spans} spans, {} bytes: {:.1} bytes each; flate2 level 1 {:.1}, level 6 {:.1}",
            body.len(),
            each(ours),
            each(levels[0]),
            each(levels[1])
        );
        assert!(ours * 100 <= levels[0] * 88, "{ours} of {levels:?}");
        assert!(ours * 100 <= levels[1] * 106, "{ours} of {levels:?}");
    }
}

#[test]
fn spans_of_no_pattern_and_what_is_no_span_are_compressed_too() {
    let unruly = request(512, unruly);
    let words = b"what is no request of spans at all has patterns as well; ".repeat(900);
    for body in [&unruly, &words, &vec![0; 400_000]] {
        let ours = member(body);
        assert!(decoded(&ours) == *body);
        let other = flate2_len(body, 1);
        assert!(
            ours.len() * 100 <= other * 115 + 4000,
            "{} of {other}",
            ours.len()
        );
    }
}

#[test]
fn python_decodes_it_too() {
    for body in [request(3000, service), noise(200_000), b"a".to_vec()] {
        match gunzip_by_python(&member(&body)) {
            Some(plain) => assert!(plain == body),
            None => println!("skipped: there is no python3 here"),
        }
    }
}

#[test]
fn noise_takes_hardly_more_than_it_has() {
    for len in [
        0, 1, 2, 7, 8, 100, 65_535, 65_536, 131_071, 131_072, 131_073, 500_000,
    ] {
        let body = noise(len);
        let member = member(&body);
        assert!(decoded(&member) == body, "{len}");
        assert!(
            member.len() <= len + len / 5000 + 30,
            "{len}: {}",
            member.len()
        );
    }
    assert_eq!(member(b"").len(), 10 + 2 + 8);
}

#[test]
fn a_request_that_is_cut_or_changed_anywhere_is_given_back_as_it_is() {
    let body = request(40, service);
    let mut gzip = gzip();
    let mut rng = TestRng::new(5);
    for _ in 0..1000 {
        let mut changed = body.clone();
        changed.truncate(rng.next_u32() as usize % body.len());
        for _ in 0..rng.next_u32() % 4 {
            let len = changed.len().max(1);
            if let Some(byte) = changed.get_mut(rng.next_u32() as usize % len) {
                *byte = rng.next_u32() as u8;
            }
        }
        let member = compressed(&mut gzip, &changed, usize::MAX);
        assert!(decoded(&member) == changed);
    }
}

#[test]
fn a_source_that_claims_too_much_does_no_harm() {
    let mut calls = 0;
    let mut output = Vec::new();
    let source = |_: &mut [u8]| {
        calls += 1;
        if calls == 1 { usize::MAX } else { 0 }
    };
    gzip().compress(source, &mut output).unwrap();
    assert!(decoded(&output).iter().all(|&byte| byte == 0));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_fuzz_body_accepts_any_bytes(input in vec(any::<u8>(), 0..3000)) {
        fuzz::span_gzip::run(&input);
    }

    #[test]
    fn and_bytes_of_few_kinds(input in vec(0..4_u8, 0..3000)) {
        fuzz::span_gzip::run(&input);
    }
}
