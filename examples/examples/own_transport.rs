//! Your own transport in under fifty lines: an executor, a clock and a sender that know nothing of
//! tokio or embassy.
//!
//! ```text
//! cargo run --example own_transport
//! ```
//!
//! It implements the two traits that `spandrel-transport-async` asks for, `Sleep` and `Post`, and
//! delivers one span with them. Look at the lines between the two marks: they are all that a
//! transport needs.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use spandrel_core::hosted::{clock::Clock, rng::ThreadRng};
use spandrel_core::prelude::*;
use spandrel_examples::{Collector, Failure, println};
use spandrel_transport_async::{Body, Driver, Post, Sleep};

// ---- the transport: from here ----

struct StdTime(Clock);

impl Sleep for StdTime {
    fn now(&self) -> Instant {
        self.0.now()
    }

    async fn sleep_until(&self, at: Instant) {
        let left = at.saturating_since(self.now());
        std::thread::sleep(left.min(Duration::from_secs(1)));
    }
}

struct TcpPost {
    host: String,
}

impl TcpPost {
    fn exchange(&self, body: &mut impl Body) -> std::io::Result<u16> {
        let mut stream = TcpStream::connect(&self.host)?;
        let (host, length) = (&self.host, body.content_length());
        write!(
            stream,
            "POST /v1/traces HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-protobuf\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n"
        )?;
        let mut bytes = vec![0; length];
        body.read(&mut bytes);
        stream.write_all(&bytes)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.get(9..12).and_then(|digits| digits.parse().ok());
        status.ok_or_else(|| std::io::Error::other("the answer is not HTTP"))
    }
}

impl Post for TcpPost {
    async fn post<B: Body>(&mut self, body: &mut B) -> Outcome<'_> {
        match self.exchange(body) {
            Ok(status) => Outcome::Response(Response::new(status)),
            Err(_) => Outcome::Failed(TransportError::Other),
        }
    }
}

// ---- to here ----

/// The smallest executor: everything here is ready when it returns.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

fn main() -> Result<(), Failure> {
    let collector = Collector::start()?;
    let resource = Resource {
        attributes: &[KeyValue::new("service.name", "own-transport")],
        schema_url: "",
    };
    let registry = Registry::new([0_u8; 256], &resource)?;
    let exporter = Exporter::new(ExporterConfig::DEFAULT, Buffer::new([0_u8; 4096]), registry)?;
    let traces = RefCell::new(exporter);
    let mut tracer = BareTracer::new(AlwaysOn, RandomIdGenerator::new(ThreadRng));

    let mut clock = Clock::new();
    let mut span = tracer.start::<256>(SpanBuilder::new("boot"), clock.now());
    span.set_attribute("attempt", 1);
    span.end(clock.now(), &mut *traces.borrow_mut())?;

    let now = clock.now();
    traces.borrow_mut().set_wall_clock(Some(clock.re_anchor()));
    traces
        .borrow_mut()
        .shutdown(now, now.saturating_add(Duration::from_secs(5)));
    let host = collector.endpoint().trim_start_matches("http://").into();
    block_on(Driver::new(&traces, TcpPost { host }, StdTime(clock)).run());

    println!("{}", traces.borrow().ledger());
    assert_eq!(collector.spans().len(), 1);
    Ok(())
}
