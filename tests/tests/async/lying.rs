//! Fault X130: a sender or a body of the program that does not keep what it promises.

use core::cell::{Cell, RefCell};
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use spandrel_core::prelude::*;
use spandrel_core::response::DropReason;
use spandrel_core::stats::DeliveryStats;
use spandrel_tests::rng::TestRng;
use spandrel_transport_async::embassy::{Collector, Gzip, HttpPost};
use spandrel_transport_async::{Body, Driver, Post, Sleep};

use crate::scripted::Scripted;

/// The result, unless `future` takes more polls than any honest one.
fn within_polls<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    (0..100_000).find_map(|_| match future.as_mut().poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}

/// A body that gives `real` bytes where it announces `announced`, and with each read claims `more`
/// than it was given room for.
struct Lying {
    announced: usize,
    real: usize,
    more: usize,
    at: usize,
}

impl Body for Lying {
    fn content_length(&self) -> usize {
        self.announced
    }

    fn read(&mut self, target: &mut [u8]) -> usize {
        let len = target.len().min(self.real - self.at);
        // It does not compress.
        for (i, byte) in target[..len].iter_mut().enumerate() {
            *byte = ((self.at + i) as u64)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .to_le_bytes()[7];
        }
        self.at += len;
        if len == 0 { 0 } else { len + self.more }
    }

    fn is_read(&self) -> bool {
        self.at == self.real
    }

    fn rewind(&mut self) {
        self.at = 0;
    }

    fn deadline(&self) -> Instant {
        Instant::MAX
    }
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[test]
fn x130_a_body_that_lies_about_its_length_is_no_request() {
    const ENDLESS: usize = usize::MAX / 2;
    for (announced, real, more) in [
        (1000, 999, 0),
        (1000, 0, 0),
        (1000, 1001, 0),
        (0, 1, 0),
        (1000, ENDLESS, 0),
        (usize::MAX, 1000, 0),
        // Such a claim may fit what was announced.
        (1000, 400, 600),
        (1000, 1000, 1),
        (1000, 1000, ENDLESS),
    ] {
        for is_gzip in [false, true] {
            let stack = Scripted::new(100, [OK]);
            let (mut memory, mut window, mut table) = (vec![0; 600], [0; 1024], [0; 512]);
            let collector = Collector::new("127.0.0.1:4318".parse().unwrap(), "device");
            let mut body = Lying {
                announced,
                real,
                more,
                at: 0,
            };
            let case = format!("{announced} {real} {more} {is_gzip}");
            let sent = if is_gzip {
                let gzip = Gzip::new(&mut window, &mut table).unwrap();
                let post = HttpPost::with_encoding(&stack, collector, &mut memory, gzip);
                let mut post = post.unwrap();
                within_polls(async { format!("{:?}", post.post(&mut body).await) })
            } else {
                let mut post = HttpPost::new(&stack, collector, &mut memory).unwrap();
                within_polls(async { format!("{:?}", post.post(&mut body).await) })
            };
            let sent = sent.unwrap_or_else(|| panic!("{case} has no end"));
            assert!(sent.starts_with("Failed("), "{case}: {sent}");
        }
    }
}

/// Answers without having read all of the body.
struct Early<'a> {
    /// The most bytes that it reads.
    reads: usize,
    status: u16,
    posts: &'a Cell<u64>,
}

impl Post for Early<'_> {
    async fn post<B: Body>(&mut self, body: &mut B) -> Outcome<'_> {
        self.posts.set(self.posts.get() + 1);
        let most = self.reads.min(body.content_length());
        let mut all = vec![0; most];
        let mut at = 0;
        while at < most {
            match body.read(&mut all[at..]) {
                0 => break,
                count => at += count,
            }
        }
        Outcome::Response(Response::new(self.status))
    }
}

struct Clock(RefCell<Instant>);

impl Sleep for &Clock {
    fn now(&self) -> Instant {
        *self.0.borrow()
    }

    /// Time passes at once.
    async fn sleep_until(&self, at: Instant) {
        let mut now = self.0.borrow_mut();
        *now = at.max(*now);
    }
}

/// What becomes of one span with a sender of the program.
fn delivered(post: impl Post) -> (Ledger, DeliveryStats) {
    let registry = Registry::new([0; 256], &Resource::default()).unwrap();
    let exporter = Exporter::new(ExporterConfig::DEFAULT, Buffer::new([0; 4096]), registry);
    let outbox = RefCell::new(exporter.unwrap());
    let mut tracer = BareTracer::new(AlwaysOn, RandomIdGenerator::new(TestRng::new(1)));
    let span = tracer.start::<256>(SpanBuilder::new("work"), Instant::ZERO);
    span.end(Instant::ZERO, &mut *outbox.borrow_mut()).unwrap();
    outbox
        .borrow_mut()
        .shutdown(Instant::ZERO, Instant::from_secs(20));
    let clock = Clock(RefCell::new(Instant::ZERO));
    let mut driver = Driver::new(&outbox, post, &clock);
    within_polls(driver.run()).expect("an end");
    let outbox = outbox.borrow();
    (outbox.ledger(), outbox.stats())
}

#[test]
fn x130_a_success_for_a_body_that_was_not_read_is_none() {
    for (reads, status, arrives) in [
        (usize::MAX, 200, true),
        (0, 200, false),
        (10, 200, false),
        (10, 202, false),
        // A refusal may come before the end.
        (0, 400, false),
    ] {
        let posts = &Cell::new(0);
        let (ledger, stats) = delivered(Early {
            reads,
            status,
            posts,
        });
        assert!(ledger.is_closed(), "{ledger}");
        assert_eq!(ledger.exported, u64::from(arrives), "{reads} {status}");
        let refused = ledger.dropped(DropReason::Rejected4xx);
        assert_eq!(refused, u64::from(status == 400));
        assert_eq!(stats.attempts, posts.get());
    }
}

/// Gives the same outcome to each request.
struct Always<'a>(fn() -> Outcome<'static>, &'a Cell<u64>);

impl Post for Always<'_> {
    async fn post<B: Body>(&mut self, body: &mut B) -> Outcome<'_> {
        self.1.set(self.1.get() + 1);
        assert!(self.1.get() < 10_000, "it spins");
        while body.read(&mut [0; 64]) > 0 {}
        (self.0)()
    }
}

#[test]
fn x130_outcomes_that_make_no_sense_end_in_the_books() {
    const HUGE: &[u8] = &[0xff; 1 << 16];
    let outcomes: [fn() -> Outcome<'static>; 10] = [
        || Outcome::Failed(TransportError::Stale),
        || Outcome::Failed(TransportError::Compressed),
        || Outcome::Failed(TransportError::Cancelled),
        || Outcome::Failed(TransportError::OutOfMemory),
        || Outcome::ResponseTooLarge { status: 0 },
        || Outcome::Response(Response::new(0)),
        || Outcome::Response(Response::new(100)),
        || Outcome::Response(Response::new(u16::MAX)),
        || {
            Outcome::Response(Response {
                retry_after: Some("99999999999999999999999999"),
                date: Some("never"),
                content_type: Some("\u{0}"),
                body: Some(HUGE),
                ..Response::new(503)
            })
        },
        // A partial success that rejects more spans than were sent, and a negative number.
        || {
            Outcome::Response(Response {
                content_type: Some("application/x-protobuf"),
                body: Some(&[10, 6, 8, 0xff, 0xff, 0xff, 0xff, 0x7f]),
                ..Response::new(200)
            })
        },
    ];
    for (case, outcome) in outcomes.into_iter().enumerate() {
        let posts = &Cell::new(0);
        let (ledger, stats) = delivered(Always(outcome, posts));
        assert!(
            ledger.is_closed() && ledger.exported == 0,
            "{case}: {ledger}"
        );
        assert_eq!(ledger.dropped_total(), 1, "{case}: {ledger}");
        assert_eq!(stats.attempts, posts.get());
        assert!(posts.get() < 30, "{case}: {posts:?} attempts in 20 s");
    }
}
