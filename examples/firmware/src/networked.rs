//! The common part of the programs that post their spans over TCP/IP: embassy's executor, timers
//! and network, DHCP, and the `embassy` feature of the async transport. They differ in how requests
//! are coded.
//!
//! The command line of the emulator is the port of a collector on the host, which the emulated
//! network shows as 10.0.2.2; `tests/tests/device/firmware` starts one and compares what arrives.

use core::cell::RefCell;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::panic::PanicInfo;
use core::time::Duration;

use embassy_futures::select::{Either3, select3};
use embassy_net::tcp::client::{TcpClient, TcpClientState};
use embassy_net::{Config, StackResources};
use embassy_time::Timer;
use spandrel_core::breaker::OpenInterval;
use spandrel_core::prelude::*;
use spandrel_transport_async::Driver;
use spandrel_transport_async::embassy::{Collector, Doorbell, EmbassySleep, Encoding, HttpPost};
use static_cell::{ConstStaticCell, StaticCell};

use crate::board::semihosting::{command_line, exit};
use crate::pipeline::{Counter, Spans};
use crate::{board, net, output, pipeline};

/// Each burst is one request.
const BURSTS: u32 = 3;
/// Spans of a burst below its root.
const MEASURES: u32 = 16;

/// One executor has all tasks, and no interrupt records.
type Traces = RefCell<Spans>;

static BELL: Doorbell = Doorbell::new();

/// The whole program.
pub async fn run(encoding: impl Encoding) -> ! {
    board::uart_start();
    board::clock_start();
    let done = post_all(encoding).await;
    output::number("stack.bytes", board::stack_high_water() as u64);
    exit(done.is_some())
}

async fn post_all(encoding: impl Encoding) -> Option<()> {
    static SOCKETS: StaticCell<StackResources<3>> = StaticCell::new();
    static CONNECTION: StaticCell<TcpClientState<1, 1024, 1024>> = StaticCell::new();
    static MEMORY: ConstStaticCell<[u8; 1024]> = ConstStaticCell::new([0; 1024]);

    let mut line = [0; 64];
    let port = command_line(&mut line).parse().ok()?;
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2)), port);

    let mut config = ExporterConfig::DEFAULT;
    config.batch.scheduled_delay = Duration::from_millis(20);
    // An outage of the test must not take half a minute.
    config.breaker.open = OpenInterval::Fixed(Duration::from_secs(1));
    let (traces, scope) = traces(config)?;

    let (stack, mut runner) = embassy_net::new(
        net::Interface::start()?,
        Config::dhcpv4(Default::default()),
        SOCKETS.init(StackResources::new()),
        0x5350_414e,
    );
    let client = TcpClient::new(stack, CONNECTION.init(TcpClientState::new()));
    let collector = Collector::new(address, "collector");
    let post = HttpPost::with_encoding(&client, collector, MEMORY.take(), encoding).ok()?;
    let mut driver = Driver::new(traces, post, EmbassySleep::with_bell(&BELL));

    let work = async {
        stack.wait_config_up().await;
        work(traces, scope).await
    };
    match select3(runner.run(), driver.run(), work).await {
        Either3::First(never) => never,
        Either3::Second(()) => None,
        Either3::Third(result) => result,
    }
}

/// The exporter, in its place. Not `async`: its copy would be part of the future.
fn traces(config: ExporterConfig) -> Option<(&'static Traces, ScopeId)> {
    static SPANS: ConstStaticCell<[u8; 4096]> = ConstStaticCell::new([0; 4096]);
    static NAMES: ConstStaticCell<[u8; 192]> = ConstStaticCell::new([0; 192]);
    static TRACES: StaticCell<Traces> = StaticCell::new();

    let buffer = Buffer::new(SPANS.take() as &mut [u8]);
    let names = Registry::empty(NAMES.take() as &mut [u8]);
    let traces = TRACES.init(RefCell::new(Exporter::clamped(config, buffer, names)));
    let scope = pipeline::introduce(traces.get_mut())?;
    Some((traces, scope))
}

/// Records a burst, waits for its delivery, records the next one.
async fn work(traces: &Traces, scope: ScopeId) -> Option<()> {
    let mut tracer = BareTracer::new(ParentBased::new(AlwaysOn), Counter::new());
    let clock = WallClock::from_pair(Instant::ZERO, UnixNanos::from_secs(1_700_000_000));
    with(traces, |spans| spans.set_wall_clock(Some(clock)))?;
    for burst in 0..BURSTS {
        // The times are made up, so that the host knows them.
        let at = |millis: u32| Instant::from_millis((burst * 100 + millis).into());
        let mut cycle = tracer.start::<192>(SpanBuilder::new("cycle").scope(scope), at(0));
        cycle.set_attribute("number", burst);
        for number in 1..=MEASURES {
            let builder = SpanBuilder::new("measure").scope(scope);
            let builder = builder.parent(*cycle.context());
            let mut measure = tracer.start::<192>(builder, at(number));
            measure.set_attribute("sensor.kind", "temperature");
            with(traces, |spans| measure.end(at(number + 1), spans))?.ok()?;
        }
        with(traces, |spans| cycle.end(at(50), spans))?.ok()?;
        BELL.ring();
        let recorded = u64::from((burst + 1) * (MEASURES + 1));
        while with(traces, |spans| spans.ledger().exported)? < recorded {
            Timer::after_millis(2).await;
        }
    }
    let (ledger, stats) = with(traces, |spans| (spans.ledger(), spans.stats()))?;
    pipeline::report(&ledger, &stats);
    Some(())
}

fn with<R>(traces: &Traces, work: impl FnOnce(&mut Spans) -> R) -> Option<R> {
    let mut spans = traces.try_borrow_mut().ok()?;
    Some(work(&mut spans))
}

/// The timer's interrupt.
pub fn on_tick() {
    net::time::on_tick();
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    exit(false)
}
