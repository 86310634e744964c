//! A table of the cost of outages: several lengths at several rates, with
//! an open interval of 30 s (B) and with one that grows from 1 s (C), both holding the queue.
//!
//! Run with `--nocapture` to see it.

use core::time::Duration;

use spandrel_core::breaker::BreakerConfig;
use spandrel_core::exporter::{ExporterConfig, WhenOpen};
use spandrel_core::response::DropReason;
use spandrel_core::time::Instant;
use spandrel_tests::sim::{Reply, SPAN_BYTES, Setup, Sim, outages};

const QUEUE: u32 = 2048;

/// What an outage cost.
#[derive(Clone, Copy, Debug)]
struct Row {
    lost: u64,
    lost_to_queue: u64,
    /// From the return of the server to the first success, in seconds.
    resumed: f64,
    failures: usize,
}

/// `rate` spans a second before, during and after an outage of `secs` seconds.
fn outage(rate: u64, secs: u64, breaker: BreakerConfig, when_open: WhenOpen) -> Row {
    let (start, end) = (Instant::from_secs(10), Instant::from_secs(10 + secs));
    let config = ExporterConfig {
        breaker,
        when_open,
        ..ExporterConfig::DEFAULT
    };
    let mut setup = Setup::new(config);
    setup.max_records = QUEUE;
    setup.buffer_bytes = (QUEUE as usize + 1) * (SPAN_BYTES + 8);
    setup.chunk = 1 << 15;
    let mut sim = Sim::new(setup, outages(vec![start..end]));
    let slice = Duration::from_millis(250);
    let slices = (10 + secs + 50) * 4;
    let mut due = 0;
    for n in 1..=slices {
        while due < rate * n / 4 {
            let _ = sim.push();
            due += 1;
        }
        sim.run_for(slice);
    }
    assert!(sim.settle(), "everything is settled in the end");
    let ledger = sim.ledger();
    let back = sim
        .attempts
        .iter()
        .find(|a| a.at >= end && a.reply == Reply::OK);
    Row {
        lost: ledger.dropped_total(),
        lost_to_queue: ledger.dropped(DropReason::QueueFull),
        resumed: back.map_or(f64::MAX, |a| a.at.saturating_since(end).as_secs_f64()),
        failures: sim.attempts.iter().filter(|a| a.reply != Reply::OK).count(),
    }
}

#[test]
fn holding_the_queue_with_a_growing_interval_loses_nothing_in_short_outages() {
    println!("rate, outage  | B: fixed 30 s           | C: 1 s x2 up to 30 s");
    println!("              | lost / resume / failed  | lost / resume / failed");
    for (rate, secs) in [(20, 1), (20, 60), (100, 1), (100, 5), (100, 60), (400, 5)] {
        let fixed = outage(rate, secs, BreakerConfig::DEFAULT, WhenOpen::Hold);
        let growing = outage(rate, secs, BreakerConfig::adaptive(), WhenOpen::Hold);
        let cell = |row: Row| {
            format!(
                "{:5} / {:5.1} s / {:2}",
                row.lost, row.resumed, row.failures
            )
        };
        println!(
            "{rate:3}/s, {secs:2} s   | {}    | {}",
            cell(fixed),
            cell(growing)
        );
        for row in [fixed, growing] {
            assert_eq!(
                row.lost, row.lost_to_queue,
                "loss by the size of the queue alone"
            );
        }
        if rate * (secs + 10) < u64::from(QUEUE) {
            assert_eq!(growing.lost, 0, "{rate}/s, {secs} s");
        }
        if secs <= 5 {
            assert!(growing.lost <= fixed.lost && growing.resumed <= fixed.resumed);
            assert!(
                growing.resumed <= 2.0 * secs as f64 + 3.0,
                "{}",
                growing.resumed
            );
        }
        // The length of the outage and the queue decide, not the tuning.
        let blind = fixed.resumed.max(growing.resumed).ceil() as u64 + secs + 6;
        let most = (rate * blind).saturating_sub(u64::from(QUEUE)) + 512;
        assert!(
            fixed.lost.max(growing.lost) <= most,
            "{} > {most}",
            fixed.lost
        );
    }
}
