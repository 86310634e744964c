//! Everything that lives as long as a program can be a `static`: on a device there is no heap to
//! put it on, and no time before `main` to build it in.

use core::cell::RefCell;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use critical_section::Mutex;
use spandrel_core::backoff::{Backoff, BackoffConfig};
use spandrel_core::batch::{BatchConfig, BatchTrigger};
use spandrel_core::breaker::{BreakerConfig, CircuitBreaker};
use spandrel_core::context::TraceState;
use spandrel_core::env::{Diagnostics, Headers};
use spandrel_core::link::{Anchor, CommandReader, Decoder, LinkConfig, LinkExporter};
use spandrel_core::prelude::*;
use spandrel_core::propagation::{CompositePropagator, TextMapPropagator, TraceContextPropagator};
use spandrel_core::request::BodyCursor;
use spandrel_core::shared_buffer::SharedBuffer;
use spandrel_core::stats::Ledger;
use spandrel_core::time::{UnixNanos, WallClock};
use spandrel_tests::rng::TestRng;
use spandrel_transport_async::Sleep;
use spandrel_transport_async::embassy::{Collector, Doorbell, EmbassySleep};

/// A `static` that tasks and interrupts may change.
type Shared<T> = Mutex<RefCell<T>>;

const fn shared<T>(value: T) -> Shared<T> {
    Mutex::new(RefCell::new(value))
}

/// Out of range on purpose: statics take the nearest settings that are valid.
const CONFIG: ExporterConfig = ExporterConfig {
    max_request_bytes: usize::MAX,
    ..ExporterConfig::DEFAULT.with_seed(7)
};
const ATTRIBUTES: &[KeyValue<'_>] = &[KeyValue {
    key: "service.name",
    value: Value::String("thermostat"),
}];
const RESOURCE: Resource<'_> = Resource {
    attributes: ATTRIBUTES,
    schema_url: "",
};
const SCOPE: InstrumentationScope<'_> = InstrumentationScope::new("sensors").with_version("1");
const HEAT: SpanBuilder<'_> = SpanBuilder::new("heat").kind(SpanKind::Internal);

static EXPORTER: Shared<Exporter<[u8; 1024], [u8; 128]>> = shared(Exporter::clamped(
    CONFIG,
    Buffer::new([0; 1024])
        .with_max_records(16)
        .with_overflow(Overflow::DropOldest),
    Registry::empty([0; 128]),
));
static LINK: Shared<LinkExporter<[u8; 1024], [u8; 128]>> = shared(LinkExporter::new(
    LinkConfig::DEFAULT.with_acknowledgements(Duration::from_millis(100)),
    1,
    Buffer::new([0; 1024]),
    Registry::empty([0; 128]),
));
static TRACER: Shared<BareTracer<ParentBased<TraceIdRatioBased>, RandomIdGenerator<TestRng>>> =
    shared(
        BareTracer::new(
            ParentBased::new(TraceIdRatioBased::new(1.0)),
            RandomIdGenerator::new(TestRng::new(1)),
        )
        .with_limits(SpanLimits::DEFAULT),
    );
static FROM_INTERRUPTS: SharedBuffer<[u8; 512]> = SharedBuffer::new(Buffer::new([0; 512]));

static BACKOFF: Shared<Backoff> = shared(Backoff::clamped(BackoffConfig::DEFAULT));
static BREAKER: Shared<CircuitBreaker> = shared(CircuitBreaker::clamped(BreakerConfig::adaptive()));
static TRIGGER: Shared<BatchTrigger> = shared(BatchTrigger::new(BatchConfig::DEFAULT));
static DECODER: Shared<Decoder<[u8; 64], [u8; 64]>> = shared(Decoder::new([0; 64], [0; 64]));
static COMMANDS: Shared<CommandReader> = shared(CommandReader::new());
static ANCHOR: Anchor = Anchor::new();
static CLOCK: WallClock = WallClock::from_pair(Instant::ZERO, UnixNanos::from_secs(1));
static NO_STATE: TraceState = TraceState::new();
static NO_DIAGNOSTICS: Diagnostics<'_> = Diagnostics::new();
static HEADERS: Headers<'_> = Headers::new("x-device=42");
static PROPAGATOR: CompositePropagator<'_> = CompositePropagator::new(&[&TraceContextPropagator]);
static START: BodyCursor = BodyCursor::START;

static BELL: Doorbell = Doorbell::new();
static SLEEP: EmbassySleep<'_> = EmbassySleep::with_bell(&BELL);
static COLLECTOR: Collector<'_> = Collector::new(
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 168, 1, 5)), 4318),
    "gateway:4318",
);

fn with<T, R>(shared: &'static Shared<T>, act: impl FnOnce(&mut T) -> R) -> R {
    critical_section::with(|cs| act(&mut shared.borrow_ref_mut(cs)))
}

fn record(sink: &mut impl RecordSink) {
    let span = with(&TRACER, |tracer| {
        tracer.start::<128>(HEAT, Instant::from_millis(1))
    });
    assert_eq!(span.end(Instant::from_millis(2), sink), Ok(()));
}

#[test]
fn a_static_exporter_gets_its_resource_at_run_time_and_delivers() {
    record(&mut &FROM_INTERRUPTS);
    with(&EXPORTER, |exporter| {
        assert_eq!(
            exporter.config().max_request_bytes,
            ExporterConfig::REQUEST_CEILING
        );
        exporter.set_seed(99);
        assert_eq!(exporter.config().seed, 99);
        exporter.set_resource(&RESOURCE).expect("it fits");
        exporter.scope(&SCOPE).expect("it fits");

        FROM_INTERRUPTS.drain(&mut [0; 128], exporter);
        record(exporter);
        exporter.force_flush(Instant::from_millis(2), Instant::from_millis(1000));
        let mut request = exporter
            .poll_transmit(Instant::from_millis(2))
            .expect("it is due");
        let mut body = [0; 512];
        let len = exporter.read_body(&mut request, &mut body);
        let has = |text: &[u8]| body[..len].windows(text.len()).any(|part| part == text);
        assert!(has(b"thermostat") && has(b"sensors"));

        let accepted = Outcome::Response(Response::new(200));
        exporter.handle_response(Instant::from_millis(3), request, &accepted);
        assert_eq!(exporter.ledger().exported, 2);
        assert!(exporter.ledger().is_closed());
    });
}

#[test]
fn a_static_link_sends() {
    with(&LINK, |link| {
        link.set_boot(5);
        link.set_resource(&RESOURCE).expect("it fits");
        record(link);
        assert!(
            link.next_frame(Instant::from_millis(3), &mut [0; 256])
                .is_some()
        );
    });
}

#[test]
fn the_other_statics_are_what_their_constructors_say() {
    assert!(with(&BACKOFF, |backoff| backoff.next_attempt(Instant::ZERO, 0)).is_ok());
    assert!(with(&BREAKER, |breaker| breaker.try_acquire(Instant::ZERO, 0)).is_ok());
    with(&TRIGGER, |trigger| trigger.observe(Instant::ZERO, 0));
    with(&DECODER, |decoder| {
        assert_eq!(decoder.stats(), Default::default())
    });
    with(&COMMANDS, |_| ());
    assert!(ANCHOR.clock(CLOCK).is_none());
    assert_eq!(NO_STATE.as_str(), "");
    assert_eq!(NO_DIAGNOSTICS.iter().count(), 0);
    assert_eq!(HEADERS.iter().count(), 1);
    let mut fields = 0;
    PROPAGATOR.fields(&mut |_| fields += 1);
    assert_eq!(fields, 2);
    assert_eq!(START, BodyCursor::START);
    assert_eq!(
        (COLLECTOR.host, SLEEP.now() > Instant::MAX),
        ("gateway:4318", false)
    );
}

/// Settings that are valid stay as they are, others become valid.
#[test]
fn clamped_settings_are_valid_and_valid_ones_are_kept() {
    assert_eq!(ExporterConfig::DEFAULT.clamp(), ExporterConfig::DEFAULT);
    let mut config = CONFIG;
    config.batch.max_export_batch_size = 0;
    config.backoff.initial = Duration::ZERO;
    config.backoff.multiplier_permille = 0;
    config.breaker.failure_threshold = 0;
    assert!(config.validate().is_err());
    assert_eq!(config.clamp().validate(), Ok(config.clamp()));
    let exporter = Exporter::clamped(config, Buffer::new([0; 64]), Registry::empty([0; 64]));
    assert_eq!(exporter.ledger(), Ledger::default());
}
