//! Fault D10: a future that is dropped at any await returns its batch and its permit.

use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::panic::{AssertUnwindSafe, catch_unwind};

use spandrel_core::breaker::State;
use spandrel_core::prelude::*;
use spandrel_tests::rng::TestRng;
use spandrel_transport_async::{Body, Driver, Post, Sleep};

type Outbox = RefCell<Exporter<[u8; 4096], [u8; 256]>>;

/// A sender with a known number of awaits: some before the body is pulled, some between its
/// pieces, some before the answer.
struct Script<'a> {
    log: &'a Log,
    status: u16,
}

#[derive(Default)]
struct Log {
    /// Bodies that were pulled to their end and answered.
    delivered: RefCell<Vec<Vec<u8>>>,
    /// Whether a body was pulled to its end.
    is_read: Cell<bool>,
}

async fn pause() {
    let mut first = true;
    poll_fn(|context| {
        if core::mem::take(&mut first) {
            context.waker().wake_by_ref();
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
}

impl Post for Script<'_> {
    async fn post<B: Body>(&mut self, body: &mut B) -> Outcome<'_> {
        pause().await;
        let mut all = Vec::new();
        let mut piece = [0; 16];
        loop {
            match body.read(&mut piece) {
                0 => break,
                len => all.extend_from_slice(&piece[..len]),
            }
            self.log.is_read.set(body.is_read());
            pause().await;
        }
        pause().await;
        assert_eq!(all.len(), body.content_length());
        self.log.delivered.borrow_mut().push(all);
        Outcome::Response(Response::new(self.status))
    }
}

/// Virtual time: a sleep is over when the clock was moved.
struct Clock<'a>(&'a Cell<Instant>);

impl Sleep for Clock<'_> {
    fn now(&self) -> Instant {
        self.0.get()
    }

    async fn sleep_until(&self, at: Instant) {
        poll_fn(|_| {
            if self.now() >= at {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

fn outbox(spans: u64) -> Outbox {
    let resource = Resource {
        attributes: &[KeyValue::new("service.name", "cancelled")],
        schema_url: "",
    };
    let registry = Registry::new([0_u8; 256], &resource).unwrap();
    let buffer = Buffer::new([0_u8; 4096]);
    let mut exporter = Exporter::new(ExporterConfig::DEFAULT, buffer, registry).unwrap();
    let mut tracer = BareTracer::new(AlwaysOn, RandomIdGenerator::new(TestRng::new(1)));
    for _ in 0..spans {
        let span = tracer.start::<256>(SpanBuilder::new("work"), Instant::ZERO);
        span.end(Instant::from_millis(3), &mut exporter).unwrap();
    }
    exporter.force_flush(Instant::from_millis(3), Instant::MAX);
    RefCell::new(exporter)
}

/// Polls up to `limit` times: whether the future ended.
fn poll_times(future: impl Future, limit: usize) -> Option<usize> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    (1..=limit).find(|_| future.as_mut().poll(&mut context).is_ready())
}

/// How many polls one undisturbed export takes.
fn polls_of_one_export(outbox: &Outbox, status: u16, now: &Cell<Instant>) -> usize {
    let log = Log::default();
    let mut driver = Driver::new(outbox, Script { log: &log, status }, Clock(now));
    poll_times(driver.send_next(), 1000).expect("the export ends")
}

#[test]
fn dropped_at_any_poll_the_batch_is_delivered_by_the_next_call() {
    let now = Cell::new(Instant::from_secs(10));
    let total = polls_of_one_export(&outbox(3), 200, &now);
    assert!(total > 15, "{total} polls are too few to mean anything");
    let mut may_be_twice = false;
    for at in 0..total {
        let outbox = outbox(3);
        let log = Log::default();
        let mut driver = Driver::new(
            &outbox,
            Script {
                log: &log,
                status: 200,
            },
            Clock(&now),
        );
        assert_eq!(
            poll_times(driver.send_next(), at),
            None,
            "dropped at poll {at}"
        );
        {
            let exporter = outbox.borrow();
            let ledger = exporter.ledger();
            assert!(ledger.is_balanced(), "poll {at}: {ledger}");
            assert_eq!((ledger.buffered, ledger.in_flight), (3, 0), "poll {at}");
            // What may have left may arrive twice.
            let copies = if log.is_read.get() { 3 } else { 0 };
            may_be_twice |= copies > 0;
            assert_eq!(exporter.stats().possible_duplicates, copies, "poll {at}");
        }
        assert_eq!(poll_times(driver.send_next(), 1000), Some(total));
        assert_eq!(
            poll_times(driver.send_next(), 1000),
            Some(1),
            "nothing is left"
        );
        let ledger = outbox.borrow().ledger();
        assert!(ledger.is_closed(), "poll {at}: {ledger}");
        assert_eq!(ledger.exported, 3);
        assert_eq!(log.delivered.borrow().len(), 1, "once, poll {at}");
    }
    assert!(may_be_twice, "no request was dropped after its body");
}

#[test]
fn dropped_at_any_poll_the_probe_frees_its_permit() {
    let now = Cell::new(Instant::from_secs(10));
    // One failing batch opens the circuit by its fifth attempt.
    let open = || {
        now.set(Instant::from_secs(10));
        let outbox = outbox(3);
        while outbox.borrow().circuit() == State::Closed {
            let log = Log::default();
            let mut driver = Driver::new(
                &outbox,
                Script {
                    log: &log,
                    status: 503,
                },
                Clock(&now),
            );
            poll_times(driver.send_next(), 1000).unwrap();
            let wake = outbox.borrow().poll_timeout().unwrap();
            now.set(now.get().max(wake));
        }
        let wake = outbox.borrow().poll_timeout().unwrap();
        now.set(now.get().max(wake));
        outbox
    };
    let total = polls_of_one_export(&open(), 200, &now);
    for at in 1..total {
        let outbox = open();
        let log = Log::default();
        let mut driver = Driver::new(
            &outbox,
            Script {
                log: &log,
                status: 200,
            },
            Clock(&now),
        );
        assert_eq!(poll_times(driver.send_next(), at), None);
        assert_eq!(outbox.borrow().circuit(), State::HalfOpen, "poll {at}");
        // A permit that was not freed would refuse the next probe.
        assert_eq!(
            poll_times(driver.send_next(), 1000),
            Some(total),
            "poll {at}"
        );
        assert_eq!(outbox.borrow().circuit(), State::Closed);
        assert!(outbox.borrow().ledger().is_closed());
        assert_eq!(log.delivered.borrow().len(), 1);
    }
}

#[test]
fn dropped_at_any_poll_the_whole_run_can_begin_again() {
    let now = Cell::new(Instant::from_secs(10));
    let run = |limit: usize| {
        let outbox = outbox(3);
        let log = Log::default();
        let mut driver = Driver::new(
            &outbox,
            Script {
                log: &log,
                status: 200,
            },
            Clock(&now),
        );
        outbox
            .borrow_mut()
            .shutdown(now.get(), Instant::from_secs(60));
        let first = poll_times(driver.run(), limit);
        if first.is_none() {
            poll_times(driver.run(), 1000).expect("the second run ends");
        }
        assert_eq!(log.delivered.borrow().len(), 1);
        assert!(outbox.borrow().is_stopped() && outbox.borrow().ledger().is_closed());
        first
    };
    let total = run(1000).unwrap();
    for at in 0..total {
        assert_eq!(run(at), None);
    }
}

#[test]
fn a_request_is_dropped_at_its_deadline_and_counts_as_timed_out() {
    struct Never;
    impl Post for Never {
        async fn post<B: Body>(&mut self, body: &mut B) -> Outcome<'_> {
            while body.read(&mut [0; 64]) > 0 {}
            core::future::pending().await
        }
    }
    let now = Cell::new(Instant::from_secs(10));
    let outbox = outbox(3);
    let mut driver = Driver::new(&outbox, Never, Clock(&now));
    {
        let mut send = pin!(driver.send_next());
        let mut context = Context::from_waker(Waker::noop());
        assert!(send.as_mut().poll(&mut context).is_pending());
        now.set(
            now.get()
                .saturating_add(ExporterConfig::DEFAULT.request_timeout),
        );
        assert!(send.as_mut().poll(&mut context).is_ready());
    }
    let exporter = outbox.borrow();
    assert_eq!(
        exporter.stats().possible_duplicates,
        3,
        "the body had been read"
    );
    let ledger = exporter.ledger();
    assert_eq!((ledger.buffered, ledger.in_flight), (3, 0), "{ledger}");
    assert!(ledger.is_balanced());
}

#[test]
fn a_shutdown_for_good_ends_the_request_under_way() {
    struct Never;
    impl Post for Never {
        async fn post<B: Body>(&mut self, _: &mut B) -> Outcome<'_> {
            core::future::pending().await
        }
    }
    /// Returns at every poll, as a sleep that is woken does.
    struct Restless<'a>(&'a Cell<Instant>);
    impl Sleep for Restless<'_> {
        fn now(&self) -> Instant {
            self.0.get()
        }
        async fn sleep_until(&self, _: Instant) {
            pause().await;
        }
    }
    let now = Cell::new(Instant::from_secs(10));
    let outbox = outbox(3);
    let mut driver = Driver::new(&outbox, Never, Restless(&now));
    let mut run = pin!(driver.run());
    let mut context = Context::from_waker(Waker::noop());
    assert!(run.as_mut().poll(&mut context).is_pending());
    outbox.borrow_mut().shutdown(now.get(), now.get());
    let ended = (0..10).any(|_| run.as_mut().poll(&mut context).is_ready());
    assert!(ended && outbox.borrow().is_stopped());
    assert_eq!(outbox.borrow().ledger().dropped(DropReason::Shutdown), 3);
}

/// A sender whose every request panics, before or after it has read the body.
struct Panics {
    reads: bool,
}

impl Post for Panics {
    async fn post<B: Body>(&mut self, body: &mut B) -> Outcome<'_> {
        pause().await;
        if self.reads {
            let mut chunk = [0; 64];
            while body.read(&mut chunk) > 0 {}
        }
        panic!("a fault in the sender");
    }
}

// fault X40
#[test]
fn a_sender_that_panics_has_failed_and_the_next_attempt_waits() {
    for reads in [false, true] {
        let now = Cell::new(Instant::from_secs(10));
        let outbox = outbox(3);
        let mut driver = Driver::new(&outbox, Panics { reads }, Clock(&now));
        for attempt in 1..=5 {
            let panics = AssertUnwindSafe(|| poll_times(driver.send_next(), 1000));
            let _ = catch_unwind(panics).unwrap_err();
            assert_eq!(outbox.borrow().stats().attempts, attempt);
            let none = poll_times(async { assert!(!driver.send_next().await) }, 1);
            assert_eq!(none, Some(1), "sent again without a pause");
            let wake = outbox.borrow().poll_timeout().unwrap();
            now.set(now.get().max(wake));
        }
        let exporter = outbox.borrow();
        assert_eq!(exporter.circuit(), State::Open);
        assert_eq!(exporter.stats().possible_duplicates, 3 * u64::from(reads));
        assert!(exporter.ledger().is_balanced() && exporter.ledger().buffered == 3);
    }
}
