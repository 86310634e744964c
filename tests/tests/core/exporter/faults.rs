//! Faults that need nothing but a virtual clock.

use core::time::Duration;

use spandrel_core::backoff::BackoffConfig;
use spandrel_core::batch::BatchConfig;
use spandrel_core::breaker::{BreakerConfig, State};
use spandrel_core::buffer::Overflow;
use spandrel_core::exporter::{ExporterConfig, OnTooLarge};
use spandrel_core::response::{DropReason, TransportError};
use spandrel_core::time::Instant;
use spandrel_tests::sim::{Answer, Reply, Request, Setup, Sim, outages, script};

const SECOND: Duration = Duration::from_secs(1);

const SINGLE: BatchConfig = BatchConfig {
    max_export_batch_size: 1,
    scheduled_delay: Duration::ZERO,
    ..BatchConfig::DEFAULT
};

const CONFIG: ExporterConfig = ExporterConfig {
    batch: SINGLE,
    ..ExporterConfig::DEFAULT
};

fn at(secs: u64) -> Instant {
    Instant::from_secs(secs)
}

#[test]
fn s1_a_429_is_alive_and_a_503_counts() {
    for (status, state) in [(429, State::Closed), (503, State::Open)] {
        let mut sim = Sim::new(Setup::new(CONFIG), script([], Reply::Status(status)));
        sim.push_many(1);
        sim.run_until(at(10));
        assert_eq!(sim.exporter.circuit(), state, "{status}");
    }
}

#[test]
fn s2_junk_in_retry_after_is_as_good_as_none() {
    for junk in ["-5", "1.5", "", "abc", "99999999999999999999"] {
        let mut sim = Sim::new(
            Setup::new(CONFIG),
            script([Reply::RetryAfter(503, junk)], Reply::OK),
        );
        sim.push_many(1);
        sim.run_until(at(1));
        assert_eq!(
            (sim.ledger().exported, sim.seen().paused),
            (1, 0),
            "{junk:?}"
        );
    }
}

#[test]
fn s4_a_bad_gateway_is_retried() {
    for status in [502, 504] {
        let mut sim = Sim::new(
            Setup::new(CONFIG),
            script([Reply::Status(status)], Reply::OK),
        );
        sim.push_many(1);
        assert!(sim.settle());
        assert_eq!((sim.ledger().exported, sim.attempts.len()), (1, 2));
    }
}

#[test]
fn s5_a_500_costs_its_batch_and_five_in_a_row_open_the_circuit() {
    let mut sim = Sim::new(Setup::new(CONFIG), script([], Reply::Status(500)));
    sim.push_many(20);
    sim.poll();
    assert_eq!(sim.exporter.circuit(), State::Open);
    assert_eq!(sim.ledger().dropped(DropReason::Rejected5xx), 5);
    assert_eq!(sim.ledger().buffered, 15);
}

#[test]
fn s6_one_poisonous_batch_is_dropped_once_and_the_next_flows_at_once() {
    let mut sim = Sim::new(Setup::new(CONFIG), script([Reply::Status(400)], Reply::OK));
    sim.push_many(3);
    sim.poll();
    assert_eq!(
        (sim.attempt_millis(), sim.ledger().exported),
        (vec![0, 0, 0], 2)
    );
    assert_eq!(sim.ledger().dropped(DropReason::Rejected4xx), 1);
}

#[test]
fn s7_refusing_everything_drops_everything_with_a_reason_and_opens_nothing() {
    let mut sim = Sim::new(Setup::new(CONFIG), script([], Reply::Status(400)));
    sim.push_many(30);
    sim.poll();
    assert_eq!(sim.ledger().dropped(DropReason::Rejected4xx), 30);
    assert_eq!(sim.seen().opened, 0);
}

#[test]
fn s8_wrong_credentials_cost_five_batches_and_one_for_each_open_period() {
    for (status, reason) in [
        (401, DropReason::Auth),
        (403, DropReason::Auth),
        (404, DropReason::Endpoint),
    ] {
        let mut sim = Sim::new(Setup::new(CONFIG), script([], Reply::Status(status)));
        sim.push_many(100);
        sim.run_until(at(100));
        assert_eq!(sim.ledger().dropped(reason), 5 + 3, "{status}");
        assert_eq!(sim.ledger().buffered, 92);
    }
}

/// A collector that takes requests up to a size.
fn limited(bytes: usize) -> impl FnMut(&Request<'_>) -> Reply {
    move |request| {
        if request.bytes > bytes {
            Reply::Status(413)
        } else {
            Reply::OK
        }
    }
}

fn splitting(on_too_large: OnTooLarge) -> ExporterConfig {
    ExporterConfig {
        batch: BatchConfig {
            max_export_batch_size: 64,
            ..SINGLE
        },
        on_too_large,
        ..ExporterConfig::DEFAULT
    }
}

#[test]
fn s9_a_413_halves_the_batch_until_it_fits_and_the_size_is_remembered() {
    let mut sim = Sim::new(Setup::new(splitting(OnTooLarge::Split)), limited(1_000));
    sim.push_many(64);
    sim.run_for(SECOND);
    assert_eq!(sim.ledger().exported, 64);
    let refused = |sim: &Sim| {
        sim.attempts
            .iter()
            .filter(|a| a.reply == Reply::Status(413))
            .count()
    };
    assert_eq!(refused(&sim), 2, "64 and 32 spans do not fit, 16 do");
    sim.push_many(64);
    sim.poll();
    assert_eq!((sim.ledger().exported, refused(&sim)), (128, 2));
}

#[test]
fn s9_a_413_for_everything_ends_with_every_span_dropped_alone() {
    let mut sim = Sim::new(Setup::new(splitting(OnTooLarge::Split)), limited(0));
    sim.push_many(64);
    assert!(sim.settle());
    assert_eq!(sim.ledger().dropped(DropReason::TooLarge), 64);
    assert!(sim.attempts.len() < 64 + 64, "{}", sim.attempts.len());
    let mut sim = Sim::new(Setup::new(splitting(OnTooLarge::Drop)), limited(0));
    sim.push_many(64);
    assert!(sim.settle());
    assert_eq!(
        (
            sim.attempts.len(),
            sim.ledger().dropped(DropReason::TooLarge)
        ),
        (1, 64)
    );
}

#[test]
fn s12_s13_a_success_is_a_success_whatever_its_body_says() {
    for (reply, exported, invalid) in [
        (Reply::Partial(0), 8, 0),
        (Reply::Partial(3), 5, 0),
        (Reply::Partial(8), 0, 0),
        (Reply::Partial(9), 0, 1),
        (Reply::Partial(-1), 8, 1),
        (Reply::Page, 8, 1),
        (Reply::OK, 8, 0),
    ] {
        let mut sim = Sim::new(Setup::new(splitting(OnTooLarge::Drop)), script([], reply));
        sim.push_many(8);
        assert!(sim.settle());
        let stats = sim.exporter.stats();
        assert_eq!(
            (sim.ledger().exported, stats.responses_invalid),
            (exported, invalid),
            "{reply:?}"
        );
        assert_eq!(sim.attempts.len(), 1);
    }
}

#[test]
fn s18_a_request_stored_unanswered_is_a_counted_duplicate() {
    let hung_up = Reply::Fail(TransportError::Reset { body_sent: true });
    let mut sim = Sim::new(Setup::new(CONFIG), script([hung_up, hung_up], Reply::OK));
    sim.push_many(1);
    assert!(sim.settle());
    assert_eq!(
        sim.exporter.stats().possible_duplicates,
        1,
        "each span once"
    );
}

/// One batch always gets 503, all others pass.
#[test]
fn s19_one_poisonous_batch_cannot_silence_the_others() {
    let collector = |request: &Request<'_>| {
        if request.ids.contains(&0) {
            Reply::Status(503)
        } else {
            Reply::OK
        }
    };
    let mut sim = Sim::new(Setup::new(CONFIG), collector);
    for _ in 0..40 {
        sim.push_many(1);
        sim.run_for(SECOND);
    }
    assert!(sim.settle());
    assert_eq!(
        (
            sim.ledger().exported,
            sim.ledger().dropped(DropReason::Poison)
        ),
        (39, 1)
    );
    assert_eq!(
        sim.exporter.stats().circuit_opened,
        1,
        "it opens the circuit once"
    );
    assert!(
        sim.attempts.iter().all(|a| a.first == 0 || a.at <= at(42)),
        "one open period at most"
    );
}

/// Once another batch got through, what a suspect does says nothing of the destination.
#[test]
fn s19_a_batch_proven_guilty_does_not_open_the_circuit_again() {
    let collector = |request: &Request<'_>| {
        if request.ids.contains(&0) {
            Reply::Status(503)
        } else {
            Reply::OK
        }
    };
    let mut sim = Sim::new(Setup::new(CONFIG), collector);
    sim.push_many(2);
    assert!(sim.settle());
    assert_eq!(
        (
            sim.ledger().exported,
            sim.ledger().dropped(DropReason::Poison)
        ),
        (1, 1)
    );
    assert_eq!(sim.exporter.stats().circuit_opened, 1);
    let guilty = sim
        .attempts
        .iter()
        .filter(|attempt| attempt.first == 0)
        .count();
    assert_eq!(guilty, 5 + 6, "its retries once more");
}

#[test]
fn s21_every_second_request_failing_opens_nothing_and_loses_nothing() {
    let mut count = 0;
    let collector = move |_: &Request<'_>| {
        count += 1;
        if count % 2 == 1 {
            Reply::REFUSED
        } else {
            Reply::OK
        }
    };
    let mut sim = Sim::new(Setup::new(CONFIG), collector);
    for _ in 0..100 {
        sim.push_many(1);
        sim.run_for(SECOND);
    }
    assert_eq!((sim.ledger().exported, sim.seen().opened), (100, 0));
}

#[test]
fn s22_a_slow_server_gets_one_request_at_a_time_and_the_queue_policy_decides() {
    let slow = |_: &Request<'_>| Answer {
        reply: Reply::OK,
        after: Duration::from_millis(9_900),
    };
    let mut setup = Setup::new(ExporterConfig {
        batch: BatchConfig {
            max_export_batch_size: 8,
            ..BatchConfig::DEFAULT
        },
        ..ExporterConfig::DEFAULT
    });
    setup.max_records = 20;
    let mut sim = Sim::new(setup, slow);
    for _ in 0..300 {
        sim.push_many(1);
        sim.run_for(SECOND);
    }
    assert!(sim.settle());
    let ledger = sim.ledger();
    assert_eq!(ledger.exported + ledger.dropped(DropReason::QueueFull), 300);
    assert_eq!(sim.exporter.stats().attempts, sim.exporter.stats().accepted);
}

#[test]
fn m1_a_producer_that_is_too_fast_loses_an_exact_number() {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
        let mut setup = Setup::new(ExporterConfig::DEFAULT);
        setup.overflow = overflow;
        setup.max_records = 100;
        let mut sim = Sim::new(setup, script([], Reply::OK));
        sim.push_many(10_000);
        assert!(sim.settle());
        let ledger = sim.ledger();
        assert_eq!(
            (ledger.exported, ledger.dropped(DropReason::QueueFull)),
            (100, 9_900)
        );
        let first = if overflow == Overflow::DropNewest {
            0
        } else {
            9_900
        };
        assert_eq!(sim.books.exported_ids().first(), Some(&first));
    }
}

#[test]
fn m2_buffers_of_one_two_and_three_spans_work_with_batches_of_that_size() {
    for spans in 1..=3_u32 {
        for bytes in [62, 63, 65, 64, 66].map(|n| n * spans as usize) {
            let mut setup = Setup::new(CONFIG);
            setup.config.batch.max_export_batch_size = spans;
            setup.buffer_bytes = bytes;
            let replies = [
                Reply::REFUSED,
                Reply::OK,
                Reply::Status(400),
                Reply::REFUSED,
            ];
            let mut sim = Sim::new(setup, script(replies, Reply::OK));
            for _ in 0..10 {
                sim.push_many(2);
                sim.run_for(SECOND);
            }
            assert!(sim.settle() && sim.ledger().is_closed());
        }
    }
}

#[test]
fn m4_a_batch_over_the_request_limit_is_split_before_it_is_sent() {
    let mut setup = Setup::new(ExporterConfig::DEFAULT);
    setup.config.max_request_bytes = 500;
    let mut sim = Sim::new(setup, limited(500));
    for padding in 0..100 {
        let _ = sim.push_sized(padding);
    }
    assert!(sim.settle());
    assert_eq!(
        (sim.ledger().exported, sim.ledger().dropped_total()),
        (100, 0)
    );
    assert!(sim.attempts.iter().all(|a| a.reply == Reply::OK));
}

#[test]
fn n12_a_partition_of_ten_minutes_is_held_and_heals() {
    let config = ExporterConfig {
        breaker: BreakerConfig::adaptive(),
        max_batch_age: Duration::ZERO,
        ..ExporterConfig::DEFAULT
    };
    let mut sim = Sim::new(Setup::new(config), outages(vec![at(10)..at(610)]));
    for _ in 0..640 {
        sim.push_many(1);
        sim.run_for(SECOND);
    }
    sim.run_until(at(650));
    assert_eq!(
        (sim.ledger().exported, sim.ledger().dropped_total()),
        (640, 0)
    );
}

#[test]
fn n13_a_flapping_link_gets_a_bounded_number_of_attempts() {
    let downs = (0..300).map(|n| at(2 * n)..at(2 * n + 1)).collect();
    let config = ExporterConfig {
        breaker: BreakerConfig::adaptive(),
        ..CONFIG
    };
    let mut sim = Sim::new(Setup::new(config), outages(downs));
    for _ in 0..600 {
        sim.push_many(1);
        sim.run_for(SECOND);
    }
    let failed = sim.attempts.iter().filter(|a| a.reply != Reply::OK).count();
    assert!(failed <= 600 * 5, "{failed} failed attempts in ten minutes");
    assert!(sim.settle());
    assert_eq!(sim.ledger().dropped_total(), 0);
}

#[test]
fn d8_a_shutdown_ends_by_its_deadline_in_every_state() {
    // Idle, sending, waiting, open, half-open.
    let hang = Reply::Hang;
    let states: [(&[Reply], u64, Option<State>); 5] = [
        (&[], 10, Some(State::Closed)),
        (&[hang], 6, Some(State::Closed)),
        (&[Reply::Status(503)], 5, Some(State::Closed)),
        (&[Reply::REFUSED; 5], 10, Some(State::Open)),
        (
            &[
                Reply::REFUSED,
                Reply::REFUSED,
                Reply::REFUSED,
                Reply::REFUSED,
                Reply::REFUSED,
                hang,
            ],
            37,
            Some(State::HalfOpen),
        ),
    ];
    for (replies, secs, state) in states {
        let config = ExporterConfig {
            backoff: BackoffConfig::DEFAULT,
            ..ExporterConfig::DEFAULT
        };
        let mut sim = Sim::new(Setup::new(config), script(replies.to_vec(), hang));
        sim.push_many(3);
        sim.run_until(at(secs));
        assert_eq!(Some(sim.exporter.circuit()), state, "{replies:?}");
        let report = sim.shutdown(SECOND * 2);
        assert!(sim.now <= at(secs + 2), "{replies:?}: {:?}", sim.now);
        assert_eq!(report.left, 0);
        assert!(sim.ledger().is_closed());
    }
}

#[test]
fn d10_a_cancelled_probe_frees_the_circuit_for_the_next_one() {
    for cancel in [Reply::Cancel, Reply::CancelInFlight] {
        let replies = [Reply::REFUSED; 5].into_iter().chain([cancel; 3]);
        let mut sim = Sim::new(Setup::new(CONFIG), script(replies, Reply::OK));
        sim.push_many(1);
        sim.run_until(at(40));
        assert_eq!(
            (sim.exporter.circuit(), sim.ledger().exported),
            (State::Closed, 1)
        );
    }
}
