//! smoke
use spandrel_examples::{Collector, waterfall::waterfall};
use spandrel_transport_std::{Config, init};
use std::time::Duration;
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let collector = Collector::start()?;
    let telemetry = init(Config {
        enabled: true,
        service_name: "checkout".into(),
        endpoint: collector.endpoint().into(),
        ..Config::default()
    })?;
    let tracer = telemetry.tracer("shop");
    let root = tracer.start("order.place");
    root.in_scope(|| {
        let mut a = tracer.start("payment.charge");
        a.set_attribute("amount", 12.5);
        std::thread::sleep(Duration::from_millis(3));
        a.fail(&std::io::Error::other("card declined"));
    });
    drop(root);
    let t = std::time::Instant::now();
    let report = telemetry.force_flush(Duration::from_secs(2));
    println!("{report:?} {:?}", t.elapsed());
    println!("{}", telemetry.ledger());
    println!("{}", waterfall(&collector.spans(), 100));
    println!("{:?}", telemetry.shutdown(Duration::from_secs(5)));
    println!("{}", telemetry.ledger());
    Ok(())
}
