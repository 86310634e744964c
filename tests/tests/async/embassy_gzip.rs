//! Compressed requests of the bare-metal transport.

use core::cell::{Cell, RefCell};
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Waker};
use std::io::Read;

use flate2::read::GzDecoder;
use spandrel_core::gzip::GzipError;
use spandrel_core::prelude::*;
use spandrel_core::test_support::TestRng;
use spandrel_tests::fault_server::{FaultServer, Reply, Script};
use spandrel_transport_async::embassy::{
    Collector, EmbassySleep, Encoding, Gzip, HttpPost, Identity, MIN_MEMORY_BYTES,
};
use spandrel_transport_async::{Body, Driver, Post, Sleep};

use crate::embassy::{Device, assert_all_delivered, host};
use crate::scripted::Scripted;
use crate::stack::StdStack;
use crate::support::block_on;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
/// Too little for a compressed body of the tests, and enough for every one.
const MEMORIES: [usize; 2] = [MIN_MEMORY_BYTES, 8192];

/// A body that lies in memory, or the start of one.
pub(crate) struct Bytes {
    bytes: Vec<u8>,
    announced: usize,
    at: usize,
}

impl Bytes {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let announced = bytes.len();
        Self {
            bytes,
            announced,
            at: 0,
        }
    }
}

impl Body for Bytes {
    fn content_length(&self) -> usize {
        self.announced
    }

    fn read(&mut self, target: &mut [u8]) -> usize {
        let len = target.len().min(self.bytes.len() - self.at);
        target[..len].copy_from_slice(&self.bytes[self.at..][..len]);
        self.at += len;
        len
    }

    fn is_read(&self) -> bool {
        self.at == self.announced
    }

    fn rewind(&mut self) {
        self.at = 0;
    }

    fn deadline(&self) -> Instant {
        Instant::MAX
    }
}

/// A head and a body, as they were sent.
struct Sent {
    head: String,
    body: Vec<u8>,
}

impl Sent {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.expect("a head") + 4;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let body = bytes[end..].to_vec();
        let length = format!("\r\nContent-Length: {}\r\n", body.len());
        assert!(head.contains(&length), "{head}");
        Self { head, body }
    }

    fn is_packed(&self) -> bool {
        self.head.contains("\r\nContent-Encoding: gzip\r\n")
    }

    fn unpacked(&self) -> Vec<u8> {
        if !self.is_packed() {
            return self.body.clone();
        }
        let mut bytes = Vec::new();
        let mut decoder = GzDecoder::new(&self.body[..]);
        decoder.read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }
}

/// Posts one body.
fn send(body: &mut Bytes, memory: usize, step: usize, encoding: impl Encoding) -> Sent {
    let stack = Scripted::new(step, [OK]);
    let mut memory = vec![0; memory];
    let collector = Collector::new("127.0.0.1:4318".parse().unwrap(), "device");
    let mut post = HttpPost::with_encoding(&stack, collector, &mut memory, encoding).unwrap();
    assert_eq!(
        block_on(post.post(body)),
        Outcome::Response(Response::new(200))
    );
    assert!(post.body_sent(false));
    Sent::parse(&stack.taken()[0])
}

/// `count` bytes, of which one in `every` is random and the rest repeat.
fn bytes(count: usize, every: usize) -> Vec<u8> {
    let mut state = 1_u32;
    (0..count)
        .map(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if i % every == 0 {
                (state >> 24) as u8
            } else {
                b'a' + (i % 16) as u8
            }
        })
        .collect()
}

#[test]
fn spans_arrive_compressed_over_one_connection() {
    for size in MEMORIES {
        let server = FaultServer::start(Script::new());
        let device = Device::new();
        let host = host(&server);
        let (mut memory, mut window, mut table) = (vec![0; size], [0; 1024], [0; 512]);
        let gzip = Gzip::new(&mut window, &mut table).unwrap();
        let collector = Collector::new(server.addr(), &host);
        let post = HttpPost::with_encoding(&StdStack, collector, &mut memory, gzip).unwrap();
        let mut driver = Driver::new(&device.traces, post, EmbassySleep::with_bell(&device.bell));
        for count in [10, 1] {
            device.record(&server, count);
            assert!(device.flush(&mut driver).is_success());
        }
        assert_all_delivered(&server, &device);
        assert_eq!(server.counters().accepted, 1);
        assert_eq!(server.counters().bad_requests, 0);
        let request = &server.requests()[0];
        assert_eq!(request.header("content-encoding"), Some("gzip"));
        assert_eq!(request.header("transfer-encoding"), None);
        let length = request.body.len().to_string();
        assert_eq!(request.header("content-length"), Some(length.as_str()));
        let plain = request.decoded().unwrap();
        assert!(request.body.len() < plain.len() * 3 / 4);
    }
}

#[test]
fn a_retry_sends_the_same_bytes() {
    for size in MEMORIES {
        let script = Script::new()
            .then(Reply::status(503))
            .then(Reply::CloseBeforeResponse);
        let server = FaultServer::start(script);
        let device = Device::new();
        let (mut memory, mut window, mut table) = (vec![0; size], [0; 1024], [0; 256]);
        let gzip = Gzip::new(&mut window, &mut table).unwrap();
        let collector = Collector::new(server.addr(), "device");
        let post = HttpPost::with_encoding(&StdStack, collector, &mut memory, gzip).unwrap();
        let mut driver = Driver::new(&device.traces, post, EmbassySleep::new());
        device.record(&server, 11);
        assert!(device.flush(&mut driver).is_success());
        assert_all_delivered(&server, &device);
        let requests = server.requests();
        assert_eq!(requests.len(), 3);
        for request in &requests[1..] {
            assert_eq!(request.body, requests[0].body);
            assert_eq!(request.header("content-encoding"), Some("gzip"));
        }
    }
}

#[test]
fn the_bytes_do_not_depend_on_the_memory_or_the_pieces() {
    let body = bytes(3000, 5);
    let mut all = Vec::new();
    for memory in [512, 777, 1024, 2000, 8192] {
        for step in [1, 100, 5000] {
            let (mut window, mut table) = ([0; 1024], [0; 512]);
            let gzip = Gzip::new(&mut window, &mut table).unwrap();
            let sent = send(&mut Bytes::new(body.clone()), memory, step, gzip);
            assert!(sent.is_packed());
            assert_eq!(sent.unpacked(), body, "memory {memory}, step {step}");
            all.push(sent.body);
        }
    }
    assert!(all.iter().all(|body| *body == all[0]));
}

#[test]
fn a_request_is_never_larger_than_the_plain_one() {
    for every in [1, 2, 3, 8, 1000] {
        for count in [1, 2, 40, 80, 300, 511, 512, 513, 2000, 6000] {
            let body = bytes(count, every);
            let plain = send(&mut Bytes::new(body.clone()), 512, 5000, Identity);
            assert!(!plain.is_packed() && plain.body == body);
            for memory in MEMORIES {
                let (mut window, mut table) = ([0; 1024], [0; 256]);
                let gzip = Gzip::new(&mut window, &mut table).unwrap();
                let sent = send(&mut Bytes::new(body.clone()), memory, 5000, gzip);
                assert_eq!(sent.unpacked(), body, "{count} bytes, {every}");
                assert!(sent.len() <= plain.len(), "{count} bytes, {every}");
                assert_eq!(sent.is_packed(), sent.len() < plain.len());
                assert!(every > 2 || !sent.is_packed(), "random bytes");
                assert!(every < 1000 || count < 300 || sent.is_packed());
            }
        }
    }
}

#[test]
fn a_request_that_is_withdrawn_half_way_is_not_sent_as_a_whole_one() {
    for (memory, pack) in [(512, false), (512, true), (8192, true)] {
        let stack = Scripted::new(100, [OK, OK]);
        let mut memory = vec![0; memory];
        let collector = Collector::new("127.0.0.1:4318".parse().unwrap(), "device");
        // The length says 3,000 bytes, 2,000 come.
        let mut body = Bytes {
            announced: 3000,
            ..Bytes::new(bytes(2000, 7))
        };
        let outcome = if pack {
            let (mut window, mut table) = ([0; 1024], [0; 256]);
            let gzip = Gzip::new(&mut window, &mut table).unwrap();
            let post = HttpPost::with_encoding(&stack, collector, &mut memory, gzip);
            block_on(post.unwrap().post(&mut body)) == Outcome::Failed(TransportError::Cancelled)
        } else {
            let post = HttpPost::new(&stack, collector, &mut memory);
            block_on(post.unwrap().post(&mut body)) == Outcome::Failed(TransportError::Cancelled)
        };
        assert!(outcome, "packed: {pack}");
        let taken = stack.taken();
        assert!(
            pack == taken[0].is_empty(),
            "nothing of a compressed one leaves"
        );
    }
}

#[test]
fn memory_that_gzip_cannot_use_is_refused_at_the_start() {
    let new =
        |window: usize, table: usize| Gzip::new(&mut vec![0; window], &mut vec![0; table]).err();
    assert_eq!(new(1024, 256), None);
    assert_eq!(new(1023, 256), Some(GzipError::WindowSize));
    for table in [0, 255, 300, 8192] {
        assert_eq!(new(1024, table), Some(GzipError::TableSize));
    }
}

/// Time that stands still.
struct Clock<'a>(&'a Cell<Instant>);

impl Sleep for Clock<'_> {
    fn now(&self) -> Instant {
        self.0.get()
    }

    async fn sleep_until(&self, _: Instant) {
        core::future::pending().await
    }
}

pub(crate) type Outbox = RefCell<Exporter<Vec<u8>, Vec<u8>>>;

fn outbox(spans: u64) -> Outbox {
    let resource = Resource {
        attributes: &[KeyValue::new("service.name", "cancelled")],
        schema_url: "",
    };
    let registry = Registry::new(vec![0; 256], &resource).unwrap();
    let buffer = Buffer::new(vec![0; 8192]);
    let mut exporter = Exporter::new(ExporterConfig::DEFAULT, buffer, registry).unwrap();
    let mut tracer = Tracer::new(AlwaysOn, RandomIdGenerator::new(TestRng::new(1)));
    for millis in 0..spans {
        let span = tracer.start::<256>(SpanBuilder::new("work"), Instant::from_millis(millis));
        span.end(Instant::from_millis(millis + 3), &mut exporter)
            .unwrap();
    }
    exporter.force_flush(Instant::from_secs(1), Instant::MAX);
    RefCell::new(exporter)
}

fn poll_times(future: impl Future, limit: usize) -> Option<usize> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    (1..=limit).find(|_| future.as_mut().poll(&mut context).is_ready())
}

const SPANS: u64 = 40;

/// Exports over `post`, one call for each of `limits`, which is dropped after so many polls. How
/// many the last one took.
pub(crate) fn export(post: impl Post, outbox: &Outbox, limits: &[usize]) -> Option<usize> {
    let now = Cell::new(Instant::from_secs(10));
    let mut driver = Driver::new(outbox, post, Clock(&now));
    let mut polls = None;
    for &limit in limits {
        polls = poll_times(driver.send_next(), limit);
        let ledger = outbox.borrow().ledger();
        let exported = if polls.is_some() { SPANS } else { 0 };
        assert!(ledger.is_balanced(), "poll {limit}: {ledger}");
        let found = (ledger.exported, ledger.in_flight);
        assert_eq!(found, (exported, 0), "poll {limit}");
    }
    polls
}

/// Fault D10: an export that is dropped after any number of polls is repeated by the next
/// call, on a connection of its own, with the same bytes. How many polls an undisturbed one takes.
pub(crate) fn dropped_at_every_poll(
    mut export: impl FnMut(&Scripted, &Outbox, &[usize]) -> Option<usize>,
) -> usize {
    const PLENTY: usize = 10_000;
    let mut run = |limits: &[usize]| {
        let stack = Scripted::new(200, [OK, OK]);
        let polls = export(&stack, &outbox(SPANS), limits);
        (polls, stack.taken().pop())
    };
    let undisturbed = run(&[PLENTY]);
    let total = undisturbed.0.unwrap();
    for limit in 0..total {
        assert_eq!(run(&[limit, PLENTY]), undisturbed, "poll {limit}");
    }
    total
}

#[test]
fn dropped_at_any_poll_the_next_call_sends_the_same_bytes() {
    fn with<E: Encoding>(memory: usize, mut encoding: impl FnMut() -> E) -> usize {
        dropped_at_every_poll(|stack, outbox, limits| {
            let mut memory = vec![0; memory];
            let collector = Collector::new("127.0.0.1:4318".parse().unwrap(), "device");
            let post = HttpPost::with_encoding(stack, collector, &mut memory, encoding());
            export(post.unwrap(), outbox, limits)
        })
    }
    let gzip = || {
        let (window, table) = (vec![0; 1024].leak(), vec![0; 256].leak());
        Gzip::new(window, table).unwrap()
    };
    let plain = with(MIN_MEMORY_BYTES, || Identity);
    let [twice, once] = MEMORIES.map(|memory| with(memory, gzip));
    println!("polls: plain {plain}, gzip in one pass {once}, in two {twice}");
    assert!(once > 10 && twice > once, "too few to mean anything");
}
