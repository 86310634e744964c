//! Faults N14 and N15: what happens to the name of a host.

use std::time::{Duration, Instant};

use crate::world::{NAMED, Side, in_each};

const SECOND: Duration = Duration::from_secs(1);
/// The greatest age of an answer of the resolver, and of a connection that is idle.
const IDLE: Duration = Duration::from_secs(15);

#[test]
fn n14_a_name_that_cannot_be_resolved_fails_attempts_and_no_start() {
    for answer in ["missing", "silence", ""] {
        let kind = if answer.is_empty() { "empty" } else { answer };
        in_each(&format!("n14-{kind}"), |mut world| {
            world.collector.ask(&format!("names {answer}"));
            world.start(NAMED, SECOND / 2);
            let flush = world.batch(3, 100);
            assert_eq!((flush["complete"], flush["left"]), (0, 3), "{flush:?}");
            let failed = world.wait_for("attempts", 2);
            assert_eq!((failed["exported"], failed["held"]), (0, 3), "{failed:?}");
            world.wait_for("opened", 1);
            let reports = world.service.ask("reports");
            let cause = if answer == "silence" {
                "timeout"
            } else {
                "name"
            };
            assert!(reports.to_lowercase().contains(cause), "{kind}: {reports}");
            assert!(
                world.collector.books("books")["questions"] >= 2,
                "{}",
                world.told()
            );
            world.collector.ask("names 192.0.2.2");
            world.deliver(2, 10_000);
            world.close(5);
        });
    }
}

#[test]
fn n14_a_shutdown_while_the_name_server_is_silent_keeps_its_deadline() {
    in_each("n14-shutdown", |mut world| {
        world.collector.ask("names silence");
        world.start(NAMED, 10 * SECOND);
        world.service.ask("record 3");
        let shutdown = world.service.books("shutdown 500");
        assert!(shutdown["ms"] < 1_000, "{shutdown:?}");
        let books = world.service.books("books");
        assert_eq!((books["closed"], books["dropped"]), (1, 3), "{books:?}");
    });
}

#[test]
fn n15_after_a_failure_the_next_connection_goes_where_the_name_points() {
    in_each("n15-refused", |mut world| {
        world.start(NAMED, SECOND / 2);
        world.deliver(2, 10_000);
        world.collector.ask("available false");
        world.collector.ask("names 192.0.2.3");
        world.deliver(3, 10_000);
        let stored = world.collector.books("books");
        assert_eq!(
            (stored["stored0"], stored["stored1"]),
            (2, 3),
            "{}",
            world.told()
        );
        world.close(5);
    });
    // The old host vanishes, and its connection with it.
    in_each("n15-vanished", |mut world| {
        world.start(NAMED, SECOND / 2);
        world.deliver(2, 10_000);
        world.break_by(Side::Collector, "ip daddr 192.0.2.2 tcp dport 4318 drop");
        world.collector.ask("names 192.0.2.3");
        world.deliver(3, 10_000);
        let stored = world.collector.books("books");
        assert_eq!(
            (stored["stored0"], stored["stored1"]),
            (2, 3),
            "{}",
            world.told()
        );
        world.close(5);
    });
}

#[test]
fn n15_without_a_failure_the_new_address_is_used_within_the_idle_age() {
    // The old host goes on working, so only the age of what was resolved can move the service.
    in_each("n15-age", |mut world| {
        world.start(NAMED, 10 * SECOND);
        world.collector.ask("close-each");
        world.deliver(1, 10_000);
        world.collector.ask("names 192.0.2.3");
        let moved = Instant::now();
        let mut spans = 1;
        while world.collector.books("books")["stored1"] == 0 {
            assert!(moved.elapsed() < IDLE + SECOND, "{}", world.told());
            std::thread::sleep(SECOND / 10);
            world.deliver(1, 10_000);
            spans += 1;
        }
        let books = world.close(spans);
        assert_eq!(books["attempts"], spans, "no attempt had to fail");
    });
}
