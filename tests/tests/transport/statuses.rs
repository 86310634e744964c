//! Faults S1 to S10: statuses, pauses, and what they do to batches and the circuit.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use spandrel_core::breaker::State;
use spandrel_core::exporter::OnTooLarge;
use spandrel_core::response::DropReason;
use spandrel_tests::fault_server::{Reply, Script};
use spandrel_transport_std::FlushOutcome;

use crate::harness::{OPEN, PATIENCE, Rig, at_once, complete, five, ms, until};

#[test]
fn s1_429_and_503_are_retried() {
    for status in [429, 503] {
        let rig = Rig::new(Script::new().times(3, &Reply::status(status)));
        rig.deliver(2);
        rig.close()
            .is(2, &[])
            .attempts(4)
            .opened(0)
            .possible_duplicates(0);
    }
}

#[test]
fn s1_503_opens_the_circuit_and_429_never_does() {
    let rig = Rig::new(five(&Reply::status(503)));
    let started = Instant::now();
    rig.deliver(2);
    assert!(started.elapsed() >= OPEN);
    rig.close().is(2, &[]).attempts(6).opened(1);

    let rig = Rig::new(Reply::status(429));
    complete(rig.batch(2));
    rig.close()
        .is(0, &[(DropReason::RetryExhausted, 2)])
        .attempts(6)
        .opened(0);
}

/// The destination asked for a long pause: a flush that cannot outlive it says so at once, and the
/// shutdown, after which there is no later, tries all the same.
#[track_caller]
fn pauses(reply: Reply) {
    let name = format!("{reply:?}");
    let rig = Rig::new([reply]);
    rig.record(2);
    let report = at_once(|| rig.telemetry.force_flush(Duration::from_secs(5)));
    let FlushOutcome::Throttled { .. } = report.outcome else {
        unreachable!("{name}: {report:?}")
    };
    assert_eq!(report.left, 2, "{name}");
    let end = at_once(|| rig.close());
    end.is(2, &[]).attempts(2);
}

/// The value is as good as none.
#[track_caller]
fn backs_off(reply: Reply) {
    let name = format!("{reply:?}");
    let rig = Rig::new([reply]);
    let report = at_once(|| rig.batch(2));
    assert!(report.is_success(), "{name}: {report:?}");
    rig.close().is(2, &[]).attempts(2);
}

#[test]
fn s2_retry_after_in_seconds_is_honoured_up_to_a_cap_and_junk_is_not() {
    for status in [429, 503] {
        for value in ["30", "86400", "9223372036854775808"] {
            pauses(Reply::retry_after(status, &[value]));
        }
        for value in ["0", "-5", "1.5", "", "abc", "99999999999999999999999"] {
            backs_off(Reply::retry_after(status, &[value]));
        }
        pauses(Reply::retry_after(status, &["30", "60"]));
    }
}

#[test]
fn s2_a_second_is_waited_for_and_gates_all_batches() {
    let rig = Rig::with([Reply::retry_after(503, &["1"])], |config| {
        config.max_export_batch_size = Some(1);
    });
    let started = Instant::now();
    rig.deliver(3);
    assert!(started.elapsed() >= ms(1000), "{:?}", started.elapsed());
    rig.close().is(3, &[]).attempts(4);
}

fn http_date(from_now: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seconds = now.as_secs().cast_signed() + from_now;
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since 1 March of year 0, as the calendar's leap day comes last there.
    let days_of_era = days + 719_468;
    let era = days_of_era.div_euclid(146_097);
    let day_of_era = days_of_era.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let months = [
        "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb",
    ];
    let year = year_of_era + era * 400 + i64::from(shifted_month >= 10);
    let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    format!(
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} GMT",
        weekdays[usize::try_from(days.rem_euclid(7)).unwrap()],
        months[usize::try_from(shifted_month).unwrap()],
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[test]
fn s3_retry_after_as_a_date_counts_from_the_servers_own_clock() {
    pauses(Reply::retry_after(503, &[&http_date(3600)]));
    backs_off(Reply::retry_after(503, &[&http_date(-3600)]));
    let dated = |date: &str, until: &str| Reply::Status {
        code: 503,
        headers: vec![
            ("date".into(), date.into()),
            ("retry-after".into(), until.into()),
        ],
        body: Vec::new(),
    };
    // A server that lives in another decade.
    let then = "Sun, 01 Jan 2040 00:00:00 GMT";
    pauses(dated(then, "Sun, 01 Jan 2040 01:00:00 GMT"));
    backs_off(dated(then, then));
    pauses(dated(
        "Fri, 01 Jan 2010 00:00:00 GMT",
        "Fri, 01 Jan 2010 01:00:00 GMT",
    ));
}

#[test]
fn s4_502_and_504_are_retried() {
    for status in [502, 504] {
        let rig = Rig::new([Reply::status(status)]);
        rig.deliver(2);
        rig.close().is(2, &[]).attempts(2);
    }
}

#[test]
fn s5_other_5xx_are_not_retried() {
    for status in [500, 501, 505, 599] {
        let rig = Rig::new([Reply::status(status)]);
        complete(rig.batch(2));
        rig.deliver(3);
        rig.close()
            .is(3, &[(DropReason::Rejected5xx, 2)])
            .attempts(2);
    }
}

#[test]
fn s5_five_500_in_a_row_open_the_circuit_and_the_rest_is_kept() {
    opens_after_five_batches(500, DropReason::Rejected5xx);
}

#[test]
fn s6_a_poisoned_batch_is_dropped_once_and_the_next_one_flows() {
    let rig = Rig::new([Reply::status(400)]);
    complete(rig.batch(2));
    at_once(|| rig.deliver(3));
    rig.close()
        .is(3, &[(DropReason::Rejected4xx, 2)])
        .attempts(2)
        .opened(0);
}

#[test]
fn s7_400_for_every_batch_drops_each_and_leaves_the_circuit_alone() {
    let rig = Rig::new(Reply::status(400));
    for _ in 0..12 {
        complete(rig.batch(1));
    }
    rig.close()
        .is(0, &[(DropReason::Rejected4xx, 12)])
        .attempts(12)
        .opened(0);
}

#[test]
fn s8_wrong_credentials_or_paths_cost_five_batches_and_no_more() {
    opens_after_five_batches(401, DropReason::Auth);
    opens_after_five_batches(403, DropReason::Auth);
    opens_after_five_batches(404, DropReason::Endpoint);
}

/// What is not retried counts all the same: the circuit opens and saves what comes after.
#[track_caller]
fn opens_after_five_batches(status: u16, reason: DropReason) {
    let rig = Rig::new(five(&Reply::status(status)));
    for _ in 0..5 {
        assert_eq!(rig.telemetry.circuit(), State::Closed);
        complete(rig.batch(1));
    }
    assert_eq!(rig.telemetry.circuit(), State::Open);
    rig.deliver(4);
    rig.close().is(4, &[(reason, 5)]).attempts(6).opened(1);
}

#[test]
fn s9_413_drops_the_batch() {
    let rig = Rig::new([Reply::status(413)]);
    complete(rig.batch(4));
    rig.deliver(1);
    rig.close()
        .is(1, &[(DropReason::TooLarge, 4)])
        .attempts(2)
        .opened(0);
}

#[test]
fn s9_413_halves_the_batch_where_that_is_asked_for() {
    let rig = Rig::with([Reply::status(413)], |config| {
        config.on_too_large = OnTooLarge::Split;
    });
    rig.deliver(4);
    let end = rig.close();
    end.is(4, &[]).attempts(3);
    let sizes: Vec<_> = end
        .server
        .requests()
        .iter()
        .map(|r| r.spans().count())
        .collect();
    assert_eq!(sizes, [4, 2, 2]);
}

#[test]
fn s9_413_for_ever_ends_with_single_spans_dropped() {
    let rig = Rig::with(Reply::status(413), |config| {
        config.on_too_large = OnTooLarge::Split;
    });
    complete(rig.batch(4));
    let end = rig.close();
    end.is(0, &[(DropReason::TooLarge, 4)]).opened(0);
    assert!(end.stats.attempts <= 10, "{:?}", end.stats);
}

#[test]
fn s10_other_4xx_are_not_retried() {
    // A 415 may be about the compression, so one more request goes out without.
    for (status, requests) in [402, 405, 406, 408, 411, 421, 422, 431]
        .map(|status| (status, 1))
        .into_iter()
        .chain([(415, 2)])
    {
        let rig = Rig::new(Script::new().times(requests, &Reply::status(status)));
        complete(rig.batch(1));
        rig.deliver(1);
        rig.close()
            .is(1, &[(DropReason::Rejected4xx, 1)])
            .attempts(requests as u64 + 1)
            .possible_duplicates(0)
            .opened(0);
    }
}

/// The first batch gets 503 whatever happens, all others get through.
#[test]
fn s19_one_batch_that_always_fails_does_not_hold_up_the_others() {
    let poison = Reply::status(503);
    // The first batch opens the circuit, the second one closes it, then they take turns.
    let script = Script::new()
        .times(5, &poison)
        .then(Reply::Ok)
        .then(poison.clone())
        .then(Reply::Ok)
        .times(5, &poison);
    let rig = Rig::with(script, |config| {
        config.max_export_batch_size = Some(2);
        config.timeout = Some(PATIENCE);
        let backoff = config.backoff.as_mut().unwrap();
        (backoff.initial, backoff.cap) = (ms(50), ms(50));
    });
    rig.record(6);
    let report = rig.flush();
    assert_eq!((report.exported, report.dropped), (4, 2), "{report:?}");
    rig.close()
        .is(4, &[(DropReason::Poison, 2)])
        .attempts(13)
        .opened(1);
}

#[test]
fn a_circuit_that_is_open_refuses_without_counting() {
    let rig = Rig::with(Reply::status(503), |config| {
        config.breaker.as_mut().unwrap().open =
            spandrel_core::breaker::OpenInterval::Fixed(Duration::from_secs(3600));
    });
    rig.record(1);
    let _ = rig.telemetry.force_flush(ms(10));
    until("open", || rig.telemetry.circuit() == State::Open);
    for _ in 0..3 {
        rig.record(1);
        let report = at_once(|| rig.telemetry.force_flush(Duration::from_secs(60)));
        let FlushOutcome::CircuitOpen { .. } = report.outcome else {
            unreachable!("{report:?}")
        };
    }
    assert_eq!(rig.attempts(), 5);
    // The shutdown makes one attempt more, because there is no later.
    rig.close().is(0, &[(DropReason::Shutdown, 4)]).attempts(6);
}
