//! Invariants by their numbers, over random lives. The simulation checks I1 to I4, I7, I9, I11,
//! I12, I34, I35 and the honesty of `poll_timeout` after every step of every run; the tests below
//! add what only a whole run shows.

use core::time::Duration;
use std::collections::BTreeSet;

use proptest::prelude::*;
use spandrel_core::breaker::State;
use spandrel_core::buffer::{Overflow, PushError};
use spandrel_core::exporter::{ExporterConfig, FlushOutcome, OnTooLarge};
use spandrel_core::response::{DropReason, TransportError};
use spandrel_core::time::Instant;
use spandrel_testkit::strategies::exporter::{schedules, setups};
use spandrel_tests::sim::schedule::{Action, Schedule};
use spandrel_tests::sim::{Reply, Setup, Sim, script};

const SECOND: Duration = Duration::from_secs(1);

/// The same life with other replies.
fn with_replies(schedule: &Schedule, mut change: impl FnMut(Reply) -> Reply) -> Schedule {
    let mut schedule = schedule.clone();
    for (reply, _) in &mut schedule.replies {
        *reply = change(*reply);
    }
    schedule.then = change(schedule.then);
    schedule
}

fn with_config(schedule: &Schedule, change: impl FnOnce(&mut ExporterConfig)) -> Schedule {
    let mut schedule = schedule.clone();
    change(&mut schedule.setup.config);
    schedule
}

const fn is_accepted(reply: Reply) -> bool {
    matches!(
        reply,
        Reply::Status(200) | Reply::Page | Reply::Partial(_) | Reply::TooLate(200)
    )
}

/// Which requests may have been taken by a server although they failed.
const fn may_have_arrived(reply: Reply) -> bool {
    matches!(
        reply,
        Reply::Hang
            | Reply::Lost
            | Reply::TooLate(_)
            | Reply::Cancel
            | Reply::CancelInFlight
            | Reply::Fail(TransportError::Protocol | TransportError::Reset { body_sent: true })
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn i1_the_ledger_is_balanced_after_every_step_and_closed_at_the_end(schedule in schedules()) {
        let (sim, report) = schedule.run();
        prop_assert_eq!(report.left, 0);
        prop_assert!(sim.ledger().is_closed());
    }

    #[test]
    fn i2_no_span_is_exported_twice_or_exported_and_still_queued(schedule in schedules()) {
        let sim = schedule.live();
        let exported: BTreeSet<u64> = sim.books.exported_ids().iter().copied().collect();
        prop_assert_eq!(exported.len(), sim.books.exported_ids().len());
        prop_assert!(sim.books.queue().iter().all(|id| !exported.contains(id)));
    }

    #[test]
    fn i3_nothing_is_exported_without_a_2xx(schedule in schedules()) {
        let fail = |reply| if is_accepted(reply) { Reply::Status(503) } else { reply };
        let (sim, _) = with_replies(&schedule, fail).run();
        prop_assert_eq!(sim.ledger().exported, 0);
    }

    #[test]
    fn i4_every_lost_span_has_exactly_one_reason(schedule in schedules()) {
        let (sim, _) = schedule.run();
        let ledger = sim.ledger();
        let by_reason: u64 = ledger.dropped_reasons().map(|(_, spans)| spans).sum();
        prop_assert_eq!(by_reason, ledger.ended - ledger.exported);
    }

    #[test]
    fn i5_duplicates_are_possible_only_after_a_request_that_went_out_whole(
        schedule in schedules(),
    ) {
        let safe = |reply| if may_have_arrived(reply) { Reply::REFUSED } else { reply };
        let (sim, _) = with_replies(&schedule, safe).run();
        // A request that is answered after its time limit counts as well.
        let slow = schedule.replies.iter().any(|(_, millis)| *millis > 1_500);
        prop_assert!(slow || sim.exporter.stats().possible_duplicates == 0);
    }

    #[test]
    fn i6_the_buffer_stays_within_its_memory_and_its_limit(schedule in schedules()) {
        let mut sim = schedule.start();
        for &action in &schedule.actions {
            sim.act(action);
            let buffer = sim.exporter.buffer();
            prop_assert!(buffer.queued_bytes() <= schedule.setup.buffer_bytes);
            prop_assert!(buffer.len() <= schedule.setup.max_records as usize);
        }
    }

    #[test]
    fn i7_without_suspects_spans_are_exported_in_the_order_of_their_end(schedule in schedules()) {
        let schedule = with_config(&schedule, |config| {
            config.breaker.failure_threshold = u32::MAX;
            config.export_timeout = Duration::ZERO;
        });
        let (sim, _) = schedule.run();
        prop_assert!(sim.books.exported_ids().is_sorted());
    }

    #[test]
    fn i8_drop_oldest_never_refuses_a_span_that_fits_beside_the_leases(schedule in schedules()) {
        let mut schedule = schedule;
        schedule.setup.overflow = Overflow::DropOldest;
        let mut sim = schedule.live();
        let leased = sim.exporter.buffer().leased();
        let result = sim.push();
        prop_assert!(leased > 0 || result != Err(PushError::Full));
    }

    #[test]
    fn i9_i11_a_batch_given_back_again_and_again_is_sent_whole_and_in_order(
        setup in setups(),
        count in 1..20_u64,
        times in 1..10_usize,
    ) {
        let replies = (0..times).map(|n| if n % 2 == 0 { Reply::Cancel } else { Reply::CancelInFlight });
        let mut sim = Sim::new(setup, script(replies, Reply::OK));
        sim.push_many(count);
        prop_assert!(sim.settle());
        let ledger = sim.ledger();
        prop_assert_eq!(ledger.exported + ledger.dropped(DropReason::QueueFull) + ledger.dropped(DropReason::TooLarge), count);
        prop_assert!(sim.books.exported_ids().is_sorted());
        prop_assert_eq!(sim.exporter.circuit(), State::Closed);
    }

    #[test]
    fn i12_every_request_is_within_its_limits_and_none_is_empty(schedule in schedules()) {
        let (sim, _) = schedule.run();
        let most = schedule.setup.config.batch.max_export_batch_size as usize;
        prop_assert!(sim.attempts.iter().all(|attempt| (1..=most).contains(&attempt.spans)));
    }

    #[test]
    fn i13_a_batch_goes_when_it_is_full_or_old_and_not_before(
        count in 1..60_u64,
        most in 1..20_u32,
        delay in 1..10_000_u64,
    ) {
        let mut config = ExporterConfig::DEFAULT;
        config.batch.max_export_batch_size = most;
        config.batch.scheduled_delay = Duration::from_millis(delay);
        let mut sim = Sim::new(Setup::new(config), script([], Reply::OK));
        sim.push_many(count);
        prop_assert!(sim.settle());
        let full = count / u64::from(most);
        let mut expected = vec![0; usize::try_from(full).expect("few")];
        if count % u64::from(most) > 0 {
            expected.push(delay);
        }
        prop_assert_eq!(sim.attempt_millis(), expected);
    }

    #[test]
    fn i21_a_retry_after_is_obeyed_and_not_by_much_more(
        status in prop::sample::select(vec![429_u16, 502, 503, 504]),
        (text, asked) in prop::sample::select(vec![
            ("0", 0_u64), ("1", 1), ("7", 7), ("30", 30), ("299", 299), ("301", 300), ("86400", 300),
        ]),
        seed in any::<u64>(),
    ) {
        let mut config = ExporterConfig::DEFAULT.with_seed(seed);
        config.batch.max_export_batch_size = 1;
        config.max_batch_age = Duration::ZERO;
        let mut sim = Sim::new(Setup::new(config), script([Reply::RetryAfter(status, text)], Reply::OK));
        sim.push_many(2);
        prop_assert!(sim.settle());
        let waited = sim.attempts[1].at.saturating_since(sim.attempts[0].at);
        let least = Duration::from_secs(asked).max(Duration::from_millis(100));
        prop_assert!(least <= waited && waited <= least + least / 10, "{waited:?}");
        // It gates the destination: the second batch waits too, and then nothing is lost.
        prop_assert_eq!((sim.attempts.len(), sim.ledger().exported), (3, 2));
    }

    #[test]
    fn i22_the_rate_of_attempts_is_bounded_while_nothing_gets_through(
        setup in setups(),
        reply in prop::sample::select(vec![Reply::REFUSED, Reply::Status(503), Reply::Status(500), Reply::Status(401)]),
        pushes in 1..80_u8,
    ) {
        let mut sim = Sim::new(setup, script([], reply));
        for _ in 0..pushes {
            sim.push_many(3);
            sim.run_for(SECOND);
        }
        let breaker = setup.config.breaker;
        let interval = match breaker.open {
            spandrel_core::breaker::OpenInterval::Fixed(interval) => interval,
            spandrel_core::breaker::OpenInterval::Growing { initial, .. }
            | spandrel_core::breaker::OpenInterval::Prompt { initial, .. } => initial,
        };
        for window in [SECOND, SECOND * 10, SECOND * 60] {
            let most = u128::from(breaker.failure_threshold)
                + window.as_nanos().div_ceil(interval.as_nanos());
            for (n, first) in sim.attempts.iter().enumerate() {
                let end = first.at.saturating_add(window);
                let count = sim.attempts[n..].iter().take_while(|attempt| attempt.at < end).count();
                prop_assert!(count as u128 <= most, "{count} attempts in {window:?}, {most} allowed");
            }
        }
    }

    #[test]
    fn i30_answers_that_come_too_late_change_nothing(schedule in schedules()) {
        let schedule = with_config(&schedule, |config| {
            config.request_timeout = config.request_timeout.max(SECOND);
        });
        let (sim, _) = with_replies(&schedule, |_| Reply::TooLate(200)).run();
        prop_assert_eq!(sim.ledger().exported, 0);
        prop_assert_eq!(sim.exporter.stats().accepted, 0);
    }

    #[test]
    fn i34_i35_one_request_at_a_time_and_none_through_a_gate(schedule in schedules()) {
        // The books look at both whenever a request goes out.
        let (sim, _) = schedule.run();
        prop_assert_eq!(sim.attempts.len() as u64, sim.exporter.stats().attempts);
    }

    #[test]
    fn i36_i38_what_cannot_be_retried_is_gone_after_one_attempt(
        setup in setups(),
        status in prop::sample::select(vec![302_u16, 307, 400, 401, 403, 404, 413, 422, 500, 501]),
        count in 1..30_u64,
    ) {
        let mut setup = setup;
        setup.config.on_too_large = OnTooLarge::Drop;
        let mut sim = Sim::new(setup, script([], Reply::Status(status)));
        sim.push_many(count);
        prop_assert!(sim.settle());
        let firsts: BTreeSet<u64> = sim.attempts.iter().map(|attempt| attempt.first).collect();
        prop_assert_eq!(firsts.len(), sim.attempts.len());
        prop_assert!(sim.ledger().is_closed() && sim.ledger().exported == 0);
    }

    #[test]
    fn i37_a_partial_success_is_never_retried(
        setup in setups(),
        rejected in prop::sample::select(vec![i64::MIN, -1, 0, 1, 2, 5, 100, i64::MAX]),
        count in 1..30_u64,
    ) {
        let mut sim = Sim::new(setup, script([], Reply::Partial(rejected)));
        sim.push_many(count);
        prop_assert!(sim.settle());
        let sent: usize = sim.attempts.iter().map(|attempt| attempt.spans).sum();
        let ledger = sim.ledger();
        prop_assert_eq!(ledger.exported + ledger.dropped(DropReason::PartialRejected), sent as u64);
        prop_assert!(ledger.is_closed());
    }

    #[test]
    fn i40_a_stale_connection_is_worth_one_repetition_that_counts_nowhere(setup in setups()) {
        let stale = Reply::Fail(TransportError::Stale);
        let mut setup = setup;
        setup.buffer_bytes = 200;
        setup.config.max_request_bytes = 4096;
        let mut sim = Sim::new(setup, script([stale], Reply::OK));
        sim.push_many(1);
        prop_assert!(sim.settle());
        let numbers: Vec<u32> = sim.attempts.iter().map(|attempt| attempt.number).collect();
        prop_assert_eq!(numbers, [1, 1]);
        prop_assert_eq!(sim.attempts[0].at, sim.attempts[1].at);
    }

    #[test]
    fn i41_a_server_that_recovers_gets_or_refuses_everything(schedule in schedules()) {
        let schedule = with_config(&schedule, |config| {
            // Without a limit, a request that is lost is lost for good.
            config.request_timeout = config.request_timeout.max(SECOND);
        });
        let mut sim = Schedule { then: Reply::OK, ..schedule }.live();
        prop_assert!(sim.settle());
        prop_assert!(sim.ledger().is_closed(), "{}", sim.ledger());
    }

    #[test]
    fn i42_no_batch_outlives_its_age_even_when_nothing_gets_through(
        setup in setups(),
        age in 1..100_u64,
        count in 1..30_u64,
    ) {
        let mut setup = setup;
        setup.config.max_batch_age = Duration::from_secs(age);
        let mut sim = Sim::new(setup, script([], Reply::REFUSED));
        sim.push_many(count);
        prop_assert!(sim.settle());
        prop_assert!(sim.ledger().is_closed(), "{}", sim.ledger());
        let life = sim.attempts.iter().fold((u64::MAX, Instant::ZERO, Duration::ZERO), |(id, first, most), attempt| {
            if attempt.first == id {
                (id, first, most.max(attempt.at.saturating_since(first)))
            } else {
                (attempt.first, attempt.at, most)
            }
        }).2;
        prop_assert!(life <= Duration::from_secs(age));
    }

    #[test]
    fn i43_a_flush_covers_everything_that_ended_before_it(schedule in schedules(), later in 0..5_u64) {
        let mut sim = schedule.live();
        let flush = sim.force_flush(Duration::from_secs(3_600));
        let held = sim.ledger().buffered + sim.ledger().in_flight;
        sim.push_many(later);
        let mut steps = 0;
        let report = loop {
            sim.poll();
            if let Some(report) = sim.exporter.poll_flush(&flush, sim.now) {
                break report;
            }
            steps += 1;
            prop_assert!(steps < 100_000, "a flush that is never over");
            let deadline = sim.now.saturating_add(SECOND * 60);
            sim.now = sim.now.max(sim.next_event().unwrap_or(deadline).min(deadline));
        };
        match report.outcome {
            FlushOutcome::Complete => prop_assert_eq!(report.left, 0),
            _ => prop_assert!(report.left > 0),
        }
        prop_assert!(report.left <= held);
        prop_assert!(report.exported + report.dropped + report.left >= held);
    }

    #[test]
    fn i44_a_shutdown_is_over_at_its_deadline_in_every_state(
        schedule in schedules(),
        millis in 0..5_000_u64,
    ) {
        let within = Duration::from_millis(millis);
        let mut sim = schedule.live();
        let deadline = sim.now.saturating_add(within);
        let _ = sim.shutdown(within);
        prop_assert!(sim.now <= deadline, "{:?} after {deadline:?}", sim.now);
        prop_assert!(sim.ledger().is_closed());
    }

    #[test]
    fn i45_after_a_shutdown_nothing_is_sent_or_armed_and_spans_are_counted(schedule in schedules()) {
        let (mut sim, _) = schedule.run();
        let attempts = sim.attempts.len();
        let lost = sim.ledger().dropped(DropReason::Shutdown);
        prop_assert_eq!(sim.push(), Err(PushError::Shutdown));
        sim.act(Action::Run(100_000));
        sim.act(Action::Flush(1_000));
        prop_assert_eq!(sim.exporter.poll_timeout(), None);
        prop_assert_eq!(sim.attempts.len(), attempts);
        prop_assert_eq!(sim.ledger().dropped(DropReason::Shutdown), lost + 1);
        prop_assert!(sim.exporter.is_stopped() && sim.ledger().is_closed());
    }

    #[test]
    fn i46_a_second_shutdown_only_brings_the_deadline_nearer(schedule in schedules()) {
        let mut sim = schedule.live();
        sim.shut_down(Duration::from_secs(100));
        sim.shut_down(Duration::from_secs(1_000));
        let first = sim.shutdown(Duration::from_secs(2));
        let second = sim.shutdown(Duration::from_secs(2));
        prop_assert_eq!(first, second);
        prop_assert!(sim.books.seen.forced <= 1);
    }
}
