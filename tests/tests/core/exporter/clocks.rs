//! Faults C1 to C8: clocks that stand still, go back, jump and fire late.

use core::time::Duration;

use spandrel_core::batch::BatchConfig;
use spandrel_core::breaker::State;
use spandrel_core::exporter::ExporterConfig;
use spandrel_core::time::Instant;
use spandrel_tests::sim::{Reply, Setup, Sim, script};

const CONFIG: ExporterConfig = ExporterConfig {
    batch: BatchConfig {
        max_export_batch_size: 1,
        scheduled_delay: Duration::ZERO,
        ..BatchConfig::DEFAULT
    },
    ..ExporterConfig::DEFAULT
};

fn at(secs: u64) -> Instant {
    Instant::from_secs(secs)
}

#[test]
fn c1_a_clock_that_stands_still_never_spins() {
    let mut sim = Sim::new(Setup::new(CONFIG), script([], Reply::REFUSED));
    for _ in 0..1_000 {
        sim.push_many(1);
        sim.poll();
    }
    assert_eq!(sim.attempts.len(), 1);
}

#[test]
fn c2_a_clock_that_goes_back_neither_reopens_nor_prolongs() {
    for back_to in [Instant::ZERO, at(1), at(90)] {
        let mut sim = Sim::new(Setup::new(CONFIG), script([Reply::REFUSED; 5], Reply::OK));
        sim.set_clock(at(100));
        sim.push_many(1);
        sim.run_until(at(102));
        assert_eq!(sim.exporter.circuit(), State::Open);
        sim.set_clock(back_to);
        sim.poll();
        let retry_at = sim.exporter.poll_timeout().expect("a probe is planned");
        assert!(retry_at <= at(132), "{retry_at:?}");
        sim.run_until(retry_at);
        assert_eq!(sim.ledger().exported, 1);
    }
}

#[test]
fn c3_c7_a_jump_of_the_clock_fires_each_deadline_once() {
    for jump in [3_600, 8 * 3_600, 365 * 86_400, u64::MAX / 2_000_000_000] {
        let mut sim = Sim::new(Setup::new(CONFIG), script([], Reply::REFUSED));
        sim.push_many(10);
        sim.run_until(at(2));
        let before = sim.attempts.len();
        sim.set_clock(at(jump));
        sim.poll();
        assert!(sim.attempts.len() <= before + 1, "one probe after {jump} s");
        assert!(sim.seen().probe_failed <= 1);
    }
}

/// Every deadline lies in the past for ever; nothing may spin even then.
#[test]
fn c3_the_end_of_time_is_not_the_end_of_the_program() {
    for reply in [
        Reply::REFUSED,
        Reply::Status(429),
        Reply::Status(503),
        Reply::Lost,
    ] {
        let mut sim = Sim::new(Setup::new(CONFIG), script([], reply));
        sim.push_many(1);
        sim.run_until(at(1));
        sim.set_clock(Instant::MAX);
        sim.poll();
        sim.push_many(1);
        sim.poll();
        let _ = sim.shutdown(Duration::from_secs(5));
        assert!(sim.ledger().is_closed(), "{reply:?}");
    }
}

#[test]
fn c8_early_wakes_do_nothing_and_late_ones_do_it_once() {
    let run = |late: u32, early: bool| {
        let mut sim = Sim::new(Setup::new(CONFIG), script([Reply::REFUSED; 6], Reply::OK));
        sim.push_many(3);
        sim.poll();
        while let Some(next) = sim.next_event() {
            if early {
                let half = next.saturating_since(sim.now) / 2;
                sim.set_clock(sim.now.saturating_add(half));
                sim.poll();
            }
            let wait = next.saturating_since(sim.now);
            sim.set_clock(sim.now.saturating_add(wait * late));
            sim.poll();
        }
        (sim.ledger().exported, sim.attempts.len())
    };
    let exact = run(1, false);
    assert_eq!(exact, (3, 9));
    assert_eq!(run(1, true), exact);
    assert_eq!(run(4, false).0, 3);
}
