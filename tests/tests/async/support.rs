//! A pipeline with short waits, and the spans that it is fed.

use core::future::{Future, IntoFuture};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;
use std::task::Wake;
use std::thread::{self, Thread};
use std::time::Duration;

use spandrel_core::backoff::{BackoffConfig, Jitter};
use spandrel_core::hosted::config::Config;
use spandrel_core::hosted::trace::Tracer;
use spandrel_tests::fault_server::FaultServer;
use spandrel_transport_async::Telemetry;

/// Long enough for a loaded machine; only broken tests wait for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Nothing of the environment, and no place in the process: tests run side by side. Sends at once.
pub(crate) fn config(endpoint: &str) -> Config {
    Config {
        enabled: true,
        service_name: "async".into(),
        endpoint: endpoint.into(),
        scheduled_delay: Some(Duration::from_secs(3600)),
        backoff: Some(BackoffConfig {
            initial: Duration::from_millis(10),
            floor: Duration::from_millis(10),
            jitter: Jitter::None,
            ..BackoffConfig::DEFAULT
        }),
        shard_bytes: Some(64 << 10),
        read_environment: false,
        set_global: false,
        ..Config::default()
    }
}

/// Ends `count` spans that the oracle of `server` knows.
pub(crate) fn record(tracer: &Tracer, server: &FaultServer, count: usize) {
    for number in 0..count {
        let mut span = tracer.start("work");
        span.set_attribute("number", number as i64);
        let context = *span.context();
        server
            .oracle()
            .issue(context.trace_id().to_bytes(), context.span_id().to_bytes());
        span.end();
    }
}

/// Every span arrived, each once, and the ledger says so.
pub(crate) fn assert_delivered(telemetry: &Telemetry, server: &FaultServer, spans: u64) {
    let ledger = telemetry.ledger();
    assert!(ledger.is_closed(), "{ledger}");
    assert_eq!((ledger.ended, ledger.exported), (spans, spans), "{ledger}");
    let oracle = server.oracle();
    assert!(oracle.missing().is_empty() && oracle.unknown().is_empty());
    assert_eq!(oracle.copies_stored(), spans);
}

/// An executor that knows nothing of tokio.
pub(crate) fn block_on<F: IntoFuture>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future.into_future());
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
