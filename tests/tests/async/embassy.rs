//! The bare-metal transport on the host: the faults that it meets.

use core::cell::RefCell;
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Waker};
use core::time::Duration;

use critical_section::Mutex;
use spandrel_core::backoff::{BackoffConfig, Jitter};
use spandrel_core::exporter::Flush;
use spandrel_core::prelude::*;
use spandrel_core::test_support::TestRng;
use spandrel_tests::fault_server::{FaultServer, Reply, Script};
use spandrel_transport_async::embassy::{
    Collector, CollectorError, Doorbell, EmbassySleep, HttpPost, MIN_MEMORY_BYTES,
};
use spandrel_transport_async::{Driver, Post};

use crate::stack::StdStack;
use crate::support::{PATIENCE, block_on};

pub(crate) type Traces = Mutex<RefCell<Exporter<Vec<u8>, Vec<u8>>>>;

/// A device: its spans, and the bell that its tasks ring.
pub(crate) struct Device {
    pub(crate) traces: Traces,
    pub(crate) bell: Doorbell,
    tracer: RefCell<Tracer<AlwaysOn, RandomIdGenerator<TestRng>>>,
}

impl Device {
    pub(crate) fn new() -> Self {
        let resource = Resource {
            attributes: &[KeyValue::new("service.name", "device")],
            schema_url: "",
        };
        let registry = Registry::new(vec![0; 256], &resource).unwrap();
        let config = ExporterConfig {
            backoff: BackoffConfig {
                initial: Duration::from_millis(10),
                floor: Duration::from_millis(10),
                jitter: Jitter::None,
                ..BackoffConfig::DEFAULT
            },
            request_timeout: Duration::from_secs(1),
            ..ExporterConfig::DEFAULT
        };
        let exporter = Exporter::new(config, Buffer::new(vec![0; 16 << 10]), registry).unwrap();
        let ids = RandomIdGenerator::new(TestRng::new(1));
        Self {
            traces: Mutex::new(RefCell::new(exporter)),
            bell: Doorbell::new(),
            tracer: RefCell::new(Tracer::new(AlwaysOn, ids)),
        }
    }

    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Exporter<Vec<u8>, Vec<u8>>) -> T) -> T {
        critical_section::with(|cs| work(&mut self.traces.borrow_ref_mut(cs)))
    }

    pub(crate) fn record(&self, server: &FaultServer, count: usize) {
        for _ in 0..count {
            let now = EmbassySleep::now();
            let span = self
                .tracer
                .borrow_mut()
                .start::<256>(SpanBuilder::new("work"), now);
            let context = span.context();
            let (trace, span_id) = (context.trace_id().to_bytes(), context.span_id().to_bytes());
            server.oracle().issue(trace, span_id);
            self.with(|exporter| span.end(EmbassySleep::now(), exporter).unwrap());
        }
    }

    pub(crate) fn begin_flush(&self) -> Flush {
        let now = EmbassySleep::now();
        self.with(|exporter| exporter.force_flush(now, now.saturating_add(PATIENCE)))
    }

    fn poll_flush(&self, flush: &Flush) -> Option<FlushReport> {
        self.with(|exporter| exporter.poll_flush(flush, EmbassySleep::now()))
    }

    /// Runs `driver` until everything recorded so far is settled.
    pub(crate) fn flush<P: Post>(
        &self,
        driver: &mut Driver<&Traces, P, EmbassySleep<'_>>,
    ) -> FlushReport {
        let flush = self.begin_flush();
        block_on(async {
            loop {
                while driver.send_next().await {}
                if let Some(report) = self.poll_flush(&flush) {
                    return report;
                }
                driver.wait().await;
            }
        })
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.with(|exporter| exporter.ledger())
    }
}

pub(crate) fn host(server: &FaultServer) -> String {
    server.addr().to_string()
}

/// Exports ten spans to a server that answers so, then one more; the server, the device.
pub(crate) fn export_to(script: impl Into<Script>) -> (FaultServer, Device) {
    let server = FaultServer::start(script);
    let device = Device::new();
    let host = host(&server);
    let mut memory = [0; MIN_MEMORY_BYTES];
    let collector = Collector::new(server.addr(), &host);
    let post = HttpPost::new(&StdStack, collector, &mut memory).unwrap();
    let mut driver = Driver::new(&device.traces, post, EmbassySleep::with_bell(&device.bell));
    for count in [10, 1] {
        device.record(&server, count);
        let _ = device.flush(&mut driver);
        assert!(device.ledger().is_closed(), "{}", device.ledger());
    }
    (server, device)
}

pub(crate) fn assert_all_delivered(server: &FaultServer, device: &Device) {
    assert_eq!(device.ledger().exported, 11, "{}", device.ledger());
    assert!(server.oracle().missing().is_empty() && server.oracle().unknown().is_empty());
    assert_eq!(server.oracle().copies_stored(), 11);
}

#[test]
fn spans_arrive_over_one_connection() {
    let (server, device) = export_to(Script::new());
    assert_all_delivered(&server, &device);
    let requests = server.requests();
    assert_eq!(server.counters().accepted, 1);
    assert_eq!(server.counters().bad_requests, 0);
    assert_eq!(requests[0].target, "/v1/traces");
    assert_eq!(requests[0].header("host"), Some(host(&server).as_str()));
    assert_eq!(
        requests[0].header("content-type"),
        Some("application/x-protobuf")
    );
    let length = requests[0].body.len().to_string();
    assert_eq!(requests[0].header("content-length"), Some(length.as_str()));
    assert!(
        requests[0].body.len() > MIN_MEMORY_BYTES,
        "in several pieces"
    );
}

#[test]
fn n1_n8_s1_s2_what_can_be_tried_again_is() {
    for reply in [
        Reply::status(503),
        Reply::status(429),
        Reply::ResetAfterRequest,
        Reply::CloseBeforeResponse,
    ] {
        let (server, device) = export_to([reply]);
        assert_all_delivered(&server, &device);
    }
    let begin = std::time::Instant::now();
    let (server, device) = export_to([Reply::retry_after(503, &["1"])]);
    assert!(begin.elapsed() >= Duration::from_secs(1));
    assert_all_delivered(&server, &device);
    // On a reused connection: one free repetition.
    let (server, device) = export_to([Reply::Ok, Reply::CloseBeforeResponse]);
    assert_all_delivered(&server, &device);
    assert_eq!(server.counters().accepted, 2);
    let stats = device.with(|exporter| exporter.stats());
    assert_eq!(stats.possible_duplicates, 1, "it had been sent whole");
}

#[test]
fn n1_a_refused_connection_counts_as_a_failure() {
    let server = FaultServer::start(Script::new());
    server.available(false);
    let device = Device::new();
    let mut memory = [0; 1024];
    let collector = Collector::new(server.addr(), "device");
    let post = HttpPost::new(&StdStack, collector, &mut memory).unwrap();
    let mut driver = Driver::new(&device.traces, post, EmbassySleep::new());
    device.record(&server, 11);
    device.begin_flush();
    assert!(block_on(driver.send_next()));
    assert_eq!(device.ledger().buffered, 11);
    server.available(true);
    assert!(device.flush(&mut driver).is_success());
    assert_all_delivered(&server, &device);
}

#[test]
fn n3_a_server_that_never_answers_meets_the_deadline() {
    let (server, device) = export_to([Reply::Hang]);
    assert_all_delivered(&server, &device);
    assert_eq!(
        device.with(|exporter| exporter.stats().possible_duplicates),
        10
    );
}

#[test]
fn s11_a_redirect_is_never_followed() {
    let elsewhere = FaultServer::start(Script::new());
    let (_server, device) = export_to([Reply::Redirect {
        code: 307,
        location: format!("{}/v1/traces", elsewhere.url()),
    }]);
    assert_eq!(device.ledger().dropped(DropReason::Redirect), 10);
    assert_eq!(elsewhere.counters().accepted, 0);
}

#[test]
fn s12_a_partial_success_reaches_the_machine() {
    let (_server, device) = export_to([Reply::PartialSuccess {
        rejected: 3,
        message: "too old".into(),
    }]);
    assert_eq!(device.ledger().dropped(DropReason::PartialRejected), 3);
    assert_eq!(device.ledger().exported, 8);
    device.with(|exporter| assert_eq!(exporter.server_message(), "too old"));
}

#[test]
fn s13_an_answer_larger_than_the_memory_keeps_its_status_and_its_connection() {
    for chunked in [false, true] {
        let (server, device) = export_to([Reply::BigBody { len: 8000, chunked }]);
        assert_all_delivered(&server, &device);
        assert_eq!(
            device.with(|exporter| exporter.stats().responses_invalid),
            1
        );
        assert_eq!(server.counters().accepted, 1, "chunked: {chunked}");
    }
}

#[test]
fn s14_s15_answers_without_end_are_cut() {
    for reply in [
        Reply::EndlessBody,
        Reply::BigBody {
            len: 1 << 30,
            chunked: false,
        },
        Reply::BigBody {
            len: 1 << 30,
            chunked: true,
        },
        Reply::GzipBomb {
            decoded_len: 256 << 20,
        },
    ] {
        let (server, device) = export_to([reply.clone()]);
        let ledger = device.ledger();
        assert_eq!(
            ledger.dropped(DropReason::ResponseTooLarge),
            10,
            "{reply:?}: {ledger}"
        );
        assert_eq!(ledger.exported, 1);
        assert_eq!(server.requests()[1].connection, 2, "not reused");
    }
}

#[test]
fn s16_s17_answers_that_are_no_http_are_failures_and_never_hang() {
    for reply in [
        Reply::GarbageStatusLine,
        Reply::Http2Only,
        Reply::BadChunks,
        Reply::BothLengthAndChunked,
        Reply::HugeHeader { len: 1 << 20 },
        Reply::ManyHeaders { count: 1000 },
        Reply::ResetInResponse { after: 10 },
        Reply::HalfClose,
        Reply::ConnectionClose,
        Reply::Informational {
            code: 103,
            count: 3,
        },
        Reply::Informational {
            code: 100,
            count: 1000,
        },
    ] {
        let (_server, device) = export_to([reply.clone()]);
        assert_eq!(
            device.ledger().exported,
            11,
            "{reply:?}: {}",
            device.ledger()
        );
    }
}

#[test]
fn dropped_after_any_number_of_polls_everything_still_arrives() {
    for polls in 0..12 {
        let server = FaultServer::start(Script::new());
        let device = Device::new();
        let mut memory = [0; MIN_MEMORY_BYTES];
        let collector = Collector::new(server.addr(), "device");
        let post = HttpPost::new(&StdStack, collector, &mut memory).unwrap();
        let mut driver = Driver::new(&device.traces, post, EmbassySleep::new());
        device.record(&server, 11);
        device.begin_flush();
        {
            let mut send = pin!(driver.send_next());
            let mut context = Context::from_waker(Waker::noop());
            for _ in 0..polls {
                if send.as_mut().poll(&mut context).is_ready() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        assert_eq!(device.ledger().in_flight, 0);
        assert!(device.flush(&mut driver).is_success());
        assert!(device.ledger().is_closed());
        assert_eq!(device.ledger().exported, 11, "{polls} polls");
        assert!(server.oracle().missing().is_empty());
    }
}

#[test]
fn the_bell_wakes_a_sleeping_driver() {
    let server = FaultServer::start(Script::new());
    let device = Device::new();
    let mut memory = [0; 1024];
    let collector = Collector::new(server.addr(), "device");
    let post = HttpPost::new(&StdStack, collector, &mut memory).unwrap();
    let mut driver = Driver::new(&device.traces, post, EmbassySleep::with_bell(&device.bell));
    // The exporter of a device may move between threads here; its driver's future stays.
    std::thread::scope(|scope| {
        let (bell, traces) = (&device.bell, &device.traces);
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            let now = EmbassySleep::now();
            let until = now.saturating_add(PATIENCE);
            critical_section::with(|cs| traces.borrow_ref_mut(cs).shutdown(now, until));
            bell.ring();
        });
        let begin = std::time::Instant::now();
        block_on(driver.run());
        assert!(
            begin.elapsed() < Duration::from_secs(4),
            "not by the batch's delay"
        );
    });
}

#[test]
fn what_could_break_a_request_is_refused_at_the_start() {
    let address = "127.0.0.1:4318".parse().unwrap();
    let good = Collector::new(address, "device:4318");
    let new = |collector: Collector<'_>, bytes: usize| {
        HttpPost::new(&StdStack, collector, &mut vec![0; bytes]).err()
    };
    assert_eq!(new(good, MIN_MEMORY_BYTES), None);
    assert_eq!(
        new(good, MIN_MEMORY_BYTES - 1),
        Some(CollectorError::Memory)
    );
    for host in ["", "a b", "a\r\nX: 1"] {
        let collector = Collector { host, ..good };
        assert_eq!(new(collector, 1024), Some(CollectorError::Host));
    }
    for path in ["", "v1", "/a b", "/a\n"] {
        let collector = Collector { path, ..good };
        assert_eq!(new(collector, 1024), Some(CollectorError::Path));
    }
    for header in [
        ("", "1"),
        ("a b", "1"),
        ("x", "1\r\nY: 2"),
        ("Content-Length", "5"),
        ("transfer-encoding", "chunked"),
    ] {
        let headers = [("fine", "yes"), header];
        let collector = Collector {
            headers: &headers,
            ..good
        };
        let error = Some(CollectorError::Header { at: 1 });
        assert_eq!(new(collector, 1024), error, "{header:?}");
    }
    let long = "x".repeat(600);
    let headers = [("x", long.as_str())];
    let collector = Collector {
        headers: &headers,
        ..good
    };
    assert_eq!(
        new(collector, MIN_MEMORY_BYTES),
        Some(CollectorError::Memory)
    );
}
