//! Both transports meet every rule of the conformance suite that users have for their own.

use std::time::Duration;

use spandrel_testkit::conformance::{Pipeline, Settings, Transport, check};
use spandrel_transport_std::{Ledger, Telemetry, init};
use tokio::runtime::{Builder, Runtime};

struct Blocking;

impl Transport for Blocking {
    fn start(&mut self, settings: &Settings) -> Box<dyn Pipeline> {
        Box::new(BlockingPipeline(init(settings.config()).unwrap()))
    }
}

struct BlockingPipeline(Telemetry);

impl Pipeline for BlockingPipeline {
    fn record(&mut self, count: usize) {
        let tracer = self.0.tracer("conformance");
        for _ in 0..count {
            tracer.start("conformance").end();
        }
    }

    fn flush(&mut self, timeout: Duration) -> bool {
        self.0.force_flush(timeout).is_success()
    }

    fn shutdown(&mut self, timeout: Duration) {
        let _ = self.0.shutdown(timeout);
    }

    fn ledger(&self) -> Ledger {
        self.0.ledger()
    }
}

struct Tokio;

impl Transport for Tokio {
    fn start(&mut self, settings: &Settings) -> Box<dyn Pipeline> {
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        let config = settings.config();
        let telemetry = runtime.block_on(async { spandrel_transport_async::init(config) });
        Box::new(TokioPipeline {
            telemetry: telemetry.unwrap(),
            runtime,
        })
    }
}

struct TokioPipeline {
    telemetry: spandrel_transport_async::Telemetry,
    runtime: Runtime,
}

impl Pipeline for TokioPipeline {
    fn record(&mut self, count: usize) {
        let tracer = self.telemetry.tracer("conformance");
        for _ in 0..count {
            tracer.start("conformance").end();
        }
    }

    fn flush(&mut self, timeout: Duration) -> bool {
        let flush = self.telemetry.force_flush(timeout);
        self.runtime.block_on(flush).is_success()
    }

    fn shutdown(&mut self, timeout: Duration) {
        let _ = self.runtime.block_on(self.telemetry.shutdown(timeout));
    }

    fn ledger(&self) -> Ledger {
        self.telemetry.ledger()
    }
}

#[test]
fn the_blocking_transport_meets_every_rule() {
    check(&mut Blocking).assert_conformant();
}

#[test]
fn the_transport_on_tokio_meets_every_rule() {
    check(&mut Tokio).assert_conformant();
}
