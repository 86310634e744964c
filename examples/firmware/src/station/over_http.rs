//! A network: DHCP, TCP and OTLP/HTTP on the device.

use core::cell::RefCell;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::str::Split;

use embassy_futures::select::{Either3, select3};
use embassy_net::tcp::client::{TcpClient, TcpClientState};
use embassy_net::{Config, StackResources};
use embassy_time::Timer;
use spandrel_core::prelude::*;
use spandrel_transport_async::Driver;
use spandrel_transport_async::embassy::{Collector, EmbassySleep, Gzip, HttpPost};
use static_cell::{ConstStaticCell, StaticCell};

use super::{Line, SCOPE, Station, now, registry};
use crate::board::semihosting;
use crate::net;
use crate::pipeline::{self, Spans};

/// One executor has all tasks; the handler of the rain gauge has a buffer of its own.
type Traces = RefCell<Spans>;

/// Delivery has its own task.
impl Line for Spans {
    fn idle(&mut self) {}
}

/// `PORT SEED`: a cycle of the station, posted to that port of the host.
pub async fn run(words: &mut Split<'_, char>) -> Option<()> {
    static SPANS: ConstStaticCell<[u8; 4096]> = ConstStaticCell::new([0; 4096]);
    static NAMES: ConstStaticCell<[u8; 192]> = ConstStaticCell::new([0; 192]);
    static TRACES: StaticCell<Traces> = StaticCell::new();
    static SOCKETS: StaticCell<StackResources<3>> = StaticCell::new();
    static CONNECTION: StaticCell<TcpClientState<1, 1024, 1024>> = StaticCell::new();
    static MEMORY: ConstStaticCell<[u8; 1024]> = ConstStaticCell::new([0; 1024]);
    static WINDOW: ConstStaticCell<[u8; 1024]> = ConstStaticCell::new([0; 1024]);
    static TABLE: ConstStaticCell<[u16; 512]> = ConstStaticCell::new([0; 512]);

    let port = words.next()?.parse().ok()?;
    let seed = words.next()?.parse().ok()?;
    // The emulated network shows the host under this address.
    let host = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2)), port);

    let registry = registry(NAMES.take() as &mut [u8])?;
    let buffer = Buffer::new(SPANS.take() as &mut [u8]);
    let mut config = ExporterConfig::DEFAULT;
    config.hold_until_dated = true;
    let mut spans = Exporter::new(config, buffer, registry).ok()?;
    let scope = spans.scope(&SCOPE).ok()?;

    // There is no network yet, and the date is unknown: spans wait.
    Station::new(seed, scope).cycle(seed, &mut spans);
    // A product asks a time server.
    let date = UnixNanos::from_secs(semihosting::epoch_seconds().into());
    spans.set_wall_clock(Some(WallClock::from_pair(now(), date)));
    let _ = spans.force_flush(now(), Instant::MAX);
    let traces: &Traces = TRACES.init(RefCell::new(spans));

    let (stack, mut runner) = embassy_net::new(
        net::Interface::start()?,
        Config::dhcpv4(Default::default()),
        SOCKETS.init(StackResources::new()),
        seed.into(),
    );
    let client = TcpClient::new(stack, CONNECTION.init(TcpClientState::new()));
    let collector = Collector::new(host, "collector");
    let gzip = Gzip::new(WINDOW.take(), TABLE.take()).ok()?;
    let post = HttpPost::with_encoding(&client, collector, MEMORY.take(), gzip).ok()?;
    let mut driver = Driver::new(traces, post, EmbassySleep::new());

    let deliver = async {
        stack.wait_config_up().await;
        driver.run().await;
    };
    let watch = async {
        while held(traces)? > 0 {
            Timer::after_millis(2).await;
        }
        let spans = traces.try_borrow().ok()?;
        pipeline::report(&spans.ledger(), &spans.stats());
        Some(())
    };
    match select3(runner.run(), deliver, watch).await {
        Either3::First(never) => never,
        Either3::Second(()) => None,
        Either3::Third(result) => result,
    }
}

/// Spans that are not settled yet.
fn held(traces: &Traces) -> Option<u64> {
    let ledger = traces.try_borrow().ok()?.ledger();
    Some(ledger.buffered + ledger.in_flight)
}
