//! `spandrel-core` alone: own clock, own ids, own transport, own loop, no thread and no heap.
//!
//! ```text
//! cargo run --example own_driver
//! ```
//!
//! The core decides when to send which bytes. Everything else is here: a clock that counts from the
//! start, a generator of ids, and a POST written by hand over a TCP stream. On a device these are a
//! timer, a hardware random number generator and a network stack.
//!
//! Look at the loop in `main`: it is the whole driver, and the same on a device.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use spandrel_core::batch::BatchConfig;
use spandrel_core::prelude::*;
use spandrel_examples::demo::drawn;
use spandrel_examples::{Collector, Failure, print, println};

fn main() -> Result<(), Failure> {
    let collector = Collector::start()?;
    let address = collector.endpoint().trim_start_matches("http://");

    let clock = Clock::start();
    let mut tracer = BareTracer::new(AlwaysOn, OwnIds);
    // All the memory there is: 4 KiB of finished spans, 256 bytes of names, 1 KiB on the way out.
    let resource = Resource {
        attributes: &[KeyValue::new("service.name", "thermostat")],
        schema_url: "",
    };
    let registry = Registry::new([0_u8; 256], &resource)?;
    let mut exporter = Exporter::new(CONFIG, Buffer::new([0_u8; 4096]), registry)?;
    exporter.set_wall_clock(Some(clock.wall()?));
    let mut chunk = [0_u8; 1024];

    for round in 0..3 {
        measure(&mut tracer, &mut exporter, &clock, round)?;
    }
    // The driver: sleep until something is due, send it, give the exporter the answer.
    while let Some(wake) = exporter.poll_timeout() {
        sleep(wake.saturating_since(clock.now()));
        while let Some(mut transmit) = exporter.poll_transmit(clock.now()) {
            let status = post(address, &exporter, &mut transmit, &mut chunk);
            let outcome = match status {
                Ok(status) => Outcome::Response(Response::new(status)),
                Err(_) => Outcome::Failed(TransportError::Connect),
            };
            exporter.handle_response(clock.now(), transmit, &outcome);
        }
        while let Some(event) = exporter.poll_event() {
            println!("{:>4} ms  {event}", clock.now().as_millis());
        }
    }

    print!("\n{}", drawn(&collector.spans()));
    println!("\n{}", exporter.ledger());
    Ok(())
}

/// A batch is due 100 ms after its first span, so that the example does not take five seconds.
const CONFIG: ExporterConfig = ExporterConfig {
    batch: BatchConfig {
        scheduled_delay: Duration::from_millis(100),
        ..BatchConfig::DEFAULT
    },
    ..ExporterConfig::DEFAULT
};

/// Two spans, the second one inside the first. Their memory is on the stack.
fn measure(
    tracer: &mut BareTracer<AlwaysOn, OwnIds>,
    sink: &mut impl RecordSink,
    clock: &Clock,
    round: i64,
) -> Result<(), PushError> {
    let mut control = tracer.start::<256>(SpanBuilder::new("control.round"), clock.now());
    control.set_attribute("round", round);
    let child = SpanBuilder::new("sensor.read").parent(*control.context());
    let mut sensor = tracer.start::<256>(child, clock.now());
    sleep(Duration::from_millis(8));
    sensor.set_attribute("temperature.celsius", 20.5);
    sensor.end(clock.now(), sink)?;
    sleep(Duration::from_millis(3));
    control.end(clock.now(), sink)
}

/// Makes one POST by hand. Returns the status of the answer.
fn post<B, R>(
    address: &str,
    exporter: &Exporter<B, R>,
    transmit: &mut Transmit,
    chunk: &mut [u8],
) -> io::Result<u16>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    R: AsRef<[u8]> + AsMut<[u8]>,
{
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        stream,
        "POST /v1/traces HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-protobuf\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        transmit.content_length()
    )?;
    loop {
        match exporter.read_body(transmit, chunk) {
            0 => break,
            len => stream.write_all(&chunk[..len])?,
        }
    }
    // `HTTP/1.1 200`
    let mut start = [0; 12];
    stream.read_exact(&mut start)?;
    let status = start
        .split(|&byte| byte == b' ')
        .next_back()
        .unwrap_or_default();
    std::str::from_utf8(status)
        .ok()
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Counts from the start of the program, and reads the wall clock once.
struct Clock(std::time::Instant);

impl Clock {
    fn start() -> Self {
        Self(std::time::Instant::now())
    }

    fn now(&self) -> Instant {
        Instant::ZERO.saturating_add(self.0.elapsed())
    }

    fn wall(&self) -> Result<WallClock, Failure> {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let unix = UnixNanos::from_nanos(u64::try_from(unix.as_nanos())?);
        Ok(WallClock::from_pair(self.now(), unix))
    }
}

/// Ids from the standard library's randomly keyed hasher: good enough, and no dependency.
struct OwnIds;

impl OwnIds {
    fn draw() -> [u8; 8] {
        (RandomState::new().hash_one(0) | 1).to_be_bytes()
    }
}

impl IdGenerator for OwnIds {
    /// The lowest bit is always set, so the ids are not *uniformly* random.
    const RANDOM: bool = false;

    fn trace_id(&mut self) -> TraceId {
        let mut id = [0; 16];
        let (high, low) = id.split_at_mut(8);
        high.copy_from_slice(&Self::draw());
        low.copy_from_slice(&Self::draw());
        TraceId::from_bytes(id)
    }

    fn span_id(&mut self) -> SpanId {
        SpanId::from_bytes(Self::draw())
    }
}
