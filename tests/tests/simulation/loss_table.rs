//! A table of the cost of outages: several lengths at several rates, with
//! an open interval of 30 s (B) and with one that grows from 1 s (C), both holding the queue.
//!
//! Run with `--nocapture` to see it.

use core::time::Duration;

use spandrel_core::breaker::BreakerConfig;
use spandrel_core::exporter::{ExporterConfig, WhenOpen};
use spandrel_core::hosted::config::Config;
use spandrel_core::response::DropReason;
use spandrel_core::time::Instant;
use spandrel_tests::sim::{Reply, SPAN_BYTES, Setup, Sim, outages};

const QUEUE: u32 = 2048;
const TROUBLESHOOTING: &str = include_str!("../../../TROUBLESHOOTING.md");

/// What an outage cost.
#[derive(Clone, Copy, Debug)]
struct Row {
    lost: u64,
    lost_to_queue: u64,
    /// From the return of the server to the first success, in seconds.
    resumed: f64,
    failures: usize,
}

/// Where spans wait.
#[derive(Clone, Copy, Debug)]
struct Room {
    queue: u32,
    when_open: WhenOpen,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            queue: QUEUE,
            when_open: WhenOpen::Hold,
        }
    }
}

fn outage(rate: u64, secs: u64, breaker: BreakerConfig, when_open: WhenOpen) -> Row {
    let room = Room {
        when_open,
        ..Room::default()
    };
    outage_in(room, rate, secs, breaker)
}

/// `rate` spans a second before, during and after an outage of `secs` seconds.
fn outage_in(room: Room, rate: u64, secs: u64, breaker: BreakerConfig) -> Row {
    let Room { queue, when_open } = room;
    let (start, end) = (Instant::from_secs(10), Instant::from_secs(10 + secs));
    let config = ExporterConfig {
        breaker,
        when_open,
        ..ExporterConfig::DEFAULT
    };
    let mut setup = Setup::new(config);
    setup.max_records = queue;
    setup.buffer_bytes = (queue as usize + 1) * (SPAN_BYTES + 8);
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

/// What the TROUBLESHOOTING.md shows: spans of one thread at 200 a second, with the defaults and with the
/// production preset. The room is that of the buffer and of the thread's shard.
#[test]
fn the_production_preset_resumes_soon_and_loses_nothing_in_outages_of_up_to_20_s() {
    const RATE: u64 = 200;
    /// Spans of 250 bytes in a shard of 256 KiB, which allocates twice that.
    const SHARD: u32 = 2 * (256 << 10) / 250;
    println!("outage | default: resumed, lost | production: resumed, lost");
    let production = Config::production("shop", "");
    let queue = production.max_queue_size.unwrap_or(QUEUE);
    let breaker = production.breaker.unwrap_or(BreakerConfig::DEFAULT);
    for secs in [1, 2, 5, 10, 15, 20] {
        let room = |queue| Room {
            queue: queue + SHARD,
            ..Room::default()
        };
        let default = outage_in(room(QUEUE), RATE, secs, BreakerConfig::DEFAULT);
        let preset = outage_in(room(queue), RATE, secs, breaker);
        println!(
            "{secs:4} s | {:6.1} s {:5} | {:6.1} s {:5}",
            default.resumed, default.lost, preset.resumed, preset.lost
        );
        if matches!(secs, 1 | 5 | 20) {
            let row = format!(
                "| {secs} s | {:.1} s, {} | {:.1} s, {} |",
                default.resumed, default.lost, preset.resumed, preset.lost
            );
            assert!(TROUBLESHOOTING.contains(&row), "{row}");
        }
        assert!(preset.resumed <= 2.0, "{secs} s: {}", preset.resumed);
        assert_eq!(preset.lost, 0, "{secs} s");
        // The first probe after the opening, at 0.8 s, comes 30 s later.
        let silence = 31.0 - secs as f64;
        assert!(
            (default.resumed - silence).abs() < 1.0,
            "{}",
            default.resumed
        );
        assert!((1_500..2_500).contains(&default.lost), "{}", default.lost);
    }
}

/// A long outage fills the buffer, and from then on a probe comes every 8 s.
#[test]
fn while_the_buffer_fills_the_production_preset_probes_every_8_s() {
    let breaker = BreakerConfig::prompt();
    for secs in [200, 400] {
        let long = outage(50, secs, breaker, WhenOpen::Hold);
        assert!(
            long.resumed <= 8.0 * 1.2 + 0.1,
            "{secs} s: {}",
            long.resumed
        );
        let seldom = outage(1, secs, breaker, WhenOpen::Hold);
        let most = (secs as f64 / 16.0).min(30.0) * 1.2 + 0.1;
        assert!(seldom.resumed <= most, "{secs} s: {}", seldom.resumed);
        assert!(seldom.failures < long.failures);
        assert_eq!(seldom.lost_to_queue, 0);
    }
}
