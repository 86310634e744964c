//! Spans captured in tests.

use std::panic::catch_unwind;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use spandrel_core::attribute::KeyValue;
use spandrel_core::hosted::config::Config;
use spandrel_core::hosted::layer::layer;
use spandrel_core::hosted::testing::Capture;
use spandrel_core::hosted::trace::Tracer;
use spandrel_core::sampler::AlwaysOff;
use spandrel_core::span::{Link, SpanKind, Status};
use tracing_subscriber::layer::SubscriberExt as _;

fn place_order(tracer: &Tracer, items: i64) {
    let order = tracer.span("order.place").kind(SpanKind::Server);
    order.in_scope(|order| {
        order.set_attribute("order.items", items);
        order.add_event("reserved", &[KeyValue::str("warehouse", "north")]);
        tracer.start("stock.take").set_status(Status::Ok);
        let charge = tracer.span("payment.charge").kind(SpanKind::Client);
        charge.start().set_error("declined");
    });
}

#[test]
fn a_tree_shows_all_of_the_spans_but_ids_and_times() {
    let capture = Capture::new();
    let tracer = capture.tracer("shop");
    place_order(&tracer, 3);
    let spans = capture.spans();
    let order = spans.one("order.place");
    let to_order = [Link {
        span_context: order.context,
        trace_state: "",
        attributes: &[],
    }];
    tracer.span("mail.send").links(&to_order).start().end();
    let remote = spandrel_core::propagation::parse_traceparent(
        b"00-5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-01",
    )
    .unwrap();
    tracer.span("elsewhere").parent(remote).start().end();
    let expected = r#"
        order.place (server) order.items=3
        ├─ ◆ reserved warehouse="north"
        ├─ stock.take ✓
        └─ payment.charge (client) ✗ declined
        mail.send → order.place
        … elsewhere
    "#;
    let spans = capture.spans();
    spans.assert_tree(expected);
    assert_eq!(spans.children(spans.one("order.place")).count(), 2);
    capture.reset();
    assert!(capture.spans().is_empty());
}

#[test]
fn times_are_numbers_in_their_order() {
    let capture = Capture::new();
    let tracer = capture.tracer("test");
    let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds);
    let mut outer = tracer.span("outer").start_time(at(1)).start();
    outer.add_event_at("event", &[], at(700));
    let inner = tracer
        .span("inner")
        .parent(&outer)
        .start_time(at(30))
        .start();
    inner.end_at(at(60));
    outer.end_at(at(8000));
    let text = capture.spans().tree().with_times().to_string();
    assert_eq!(text, "outer t0..t4\n├─ ◆ event t3\n└─ inner t1..t2\n");
}

fn message(work: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let panic = catch_unwind(work).unwrap_err();
    panic.downcast_ref::<String>().unwrap().clone()
}

#[test]
fn an_assertion_names_what_is_missing() {
    let capture = Capture::new();
    place_order(&capture.tracer("shop"), 3);
    place_order(&capture.tracer("shop"), 4);
    let spans = capture.spans();
    let none = message(|| drop(spans.one("order.plaice").clone()));
    assert!(
        none.starts_with("there is no span \"order.plaice\", only\norder.place"),
        "{none}"
    );
    let two = message(|| drop(spans.one("order.place").clone()));
    assert!(
        two.starts_with("there are 2 spans \"order.place\""),
        "{two}"
    );
    let first = spans.named("order.place").next().unwrap().clone();
    first.assert_attribute("order.items", 3);
    let wrong = message(|| drop(first.assert_attribute("order.items", 7).clone()));
    assert!(wrong.contains("order.items is 3 and not 7"), "{wrong}");
    let missing = message(|| drop(first.assert_attribute("user", "anna").clone()));
    assert!(
        missing.contains("has no attribute user, which should be \"anna\""),
        "{missing}"
    );
    let tree = message(|| spans.assert_tree("order.place (server) order.items=3\n├─ something"));
    assert!(
        tree.contains("> ├─ ◆ reserved") && tree.contains("> ├─ something"),
        "{tree}"
    );
}

#[test]
fn a_thousand_tests_at_once_see_their_own_spans_only() {
    // In waves, as a test runner does it.
    for wave in 0..50 {
        let tests: Vec<_> = (0..20)
            .map(|number| {
                thread::spawn(move || {
                    let capture = Capture::new();
                    let items = wave * 20 + number;
                    let subscriber =
                        tracing_subscriber::registry().with(layer(&capture.tracer("macros")));
                    tracing::subscriber::with_default(subscriber, || {
                        tracing::info_span!("by macro", items).in_scope(|| {
                            place_order(&capture.tracer("shop"), items);
                        });
                    });
                    let spans = capture.spans();
                    assert_eq!(spans.len(), 4);
                    spans
                        .one("order.place")
                        .assert_attribute("order.items", items);
                    let outer = spans.one("by macro").assert_attribute("items", items);
                    assert_eq!(spans.children(outer).count(), 1);
                    assert!(capture.ledger().is_closed());
                })
            })
            .collect();
        for test in tests {
            test.join().unwrap();
        }
    }
}

#[test]
fn more_spans_than_the_buffers_hold_are_all_captured() {
    let capture = Capture::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let tracer = capture.tracer("busy");
                for number in 0..5000 {
                    tracer.start("work").set_attribute("number", number);
                }
            });
        }
    });
    assert_eq!(capture.spans().len(), 20_000);
    assert_eq!(capture.ledger().dropped_total(), 0);
}

#[test]
fn a_capture_has_the_sampler_of_its_configuration_and_nothing_of_the_process() {
    let capture = Capture::with(&Config {
        sampler: Some(Arc::new(AlwaysOff)),
        endpoint: "https://collector.example".into(),
        set_global: true,
        ..Config::default()
    })
    .unwrap();
    capture.tracer("test").start("unseen").end();
    assert!(capture.spans().is_empty());
    assert_eq!(capture.counts().started.not_sampled, 1);
    assert!(!spandrel_core::hosted::trace::tracer("other").enabled());
    let wrong = Capture::with(&Config {
        max_span_bytes: Some(0),
        ..Config::default()
    });
    assert!(wrong.unwrap_err().to_string().contains("max_span_bytes"));
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_virtual_clock_makes_times_exact_on_all_threads() {
    let capture = Capture::new();
    let clock = capture.virtual_clock();
    assert_eq!(capture.virtual_clock().now(), UNIX_EPOCH);
    let tracer = capture.tracer("shop");
    for _ in 0..100 {
        let started = clock.now();
        let mut order = tracer.start("order.place");
        clock.advance(ms(5));
        let parent = order.to_context();
        thread::scope(|threads| {
            threads.spawn(|| {
                let stock = tracer.span("stock.reserve").parent(&parent).start();
                clock.advance(ms(20));
                stock.end();
            });
        });
        order.add_event("reserved", &[]);
        clock.advance(Duration::from_nanos(1));
        order.end();
        let spans = capture.spans();
        let order = spans.one("order.place");
        assert_eq!(order.start_time, started);
        assert_eq!(order.duration(), ms(25) + Duration::from_nanos(1));
        assert_eq!(order.events[0].time, started + ms(25));
        let expected = "\
            order.place 0ns..25.000001ms\n\
            ├─ ◆ reserved 25ms\n\
            └─ stock.reserve 5ms..25ms\n";
        assert_eq!(spans.tree().with_offsets().to_string(), expected);
        capture.reset();
    }
    assert_eq!(
        clock.now(),
        UNIX_EPOCH + ms(2500) + Duration::from_nanos(100)
    );
}

#[test]
fn a_virtual_clock_is_one_of_the_layer_too_and_of_its_capture_alone() {
    let (capture, other) = (Capture::new(), Capture::new());
    let clock = capture.virtual_clock();
    clock.advance(Duration::from_secs(1));
    let subscriber = tracing_subscriber::registry().with(layer(&capture.tracer("shop")));
    tracing::subscriber::with_default(subscriber, || {
        tracing::info_span!("order.place").in_scope(|| clock.advance(ms(7)));
    });
    other.tracer("shop").start("order.place").end();
    assert_eq!(capture.spans().one("order.place").duration(), ms(7));
    let real = other.spans().one("order.place").start_time;
    assert!(real > UNIX_EPOCH + Duration::from_secs(1_700_000_000));
}

#[test]
fn times_beside_the_life_of_a_virtual_clock_are_real() {
    let capture = Capture::new();
    let tracer = capture.tracer("shop");
    let before = tracer.start("before");
    tracer.start("long.before").end();
    let clock = capture.virtual_clock();
    clock.advance(ms(3));
    let year = UNIX_EPOCH + Duration::from_secs(365 * 86_400);
    let far = std::time::SystemTime::now() + Duration::from_secs(86_400);
    let given = tracer.span("given").start_time(year).start();
    given.end_at(far);
    before.end();
    let spans = capture.spans();
    let given = spans.one("given");
    let differ = |left: std::time::SystemTime, right| {
        let (left, right) = (left.min(right), left.max(right));
        right.duration_since(left).expect("in order")
    };
    assert!(differ(given.start_time, year) < ms(1), "{given:?}");
    assert!(differ(given.end_time, far) < ms(1), "{given:?}");
    let real = std::time::SystemTime::now();
    for name in ["before", "long.before"] {
        assert!(differ(spans.one(name).start_time, real) < Duration::from_secs(60));
    }
    assert_eq!(spans.one("before").end_time, UNIX_EPOCH + ms(3));
    assert_eq!(spans.one("before").duration(), Duration::ZERO);
}
