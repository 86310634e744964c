//! Times that the application gives.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::trace::v1::Span as Received;
use spandrel_core::hosted::clock::SpanTime;
use spandrel_core::time::UnixNanos;
use spandrel_tests::fault_server::Script;

use crate::harness::{Rig, ms, until};

/// What a measured distance between two clocks may be off by, and some more for a busy machine.
const SLACK: u64 = 1_000_000;

/// What arrives of a span with these times, and an event at `start`.
fn arrived(start: impl Into<SpanTime>, end: impl Into<SpanTime>) -> Received {
    let rig = Rig::new(Script::new());
    let start = start.into();
    let mut span = rig.tracer().span("timed").start_time(start).start();
    span.add_event_at("begun", &[], start);
    rig.server.oracle().issue(
        span.context().trace_id().to_bytes(),
        span.context().span_id().to_bytes(),
    );
    span.end_at(end);
    assert!(rig.flush().is_success());
    let received = rig.server.requests()[0].spans().next().unwrap().clone();
    rig.close().is(1, &[]);
    received
}

fn nanos(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

#[track_caller]
fn is_about(time: u64, expected: u64) {
    assert!(time.abs_diff(expected) < SLACK, "{time}, not {expected}");
}

const MINUTE: Duration = Duration::from_secs(60);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

#[test]
fn x86_times_of_any_clock_arrive_as_they_were_given() {
    let (now, long) = (SystemTime::now(), MINUTE / 2);
    for start in [now - MINUTE, now - 60 * MINUTE, now - 20 * YEAR, now + YEAR] {
        let span = arrived(start, start + long);
        is_about(span.start_time_unix_nano, nanos(start));
        let length = span.end_time_unix_nano - span.start_time_unix_nano;
        is_about(length, long.as_nanos() as u64);
        assert_eq!(span.events[0].time_unix_nano, span.start_time_unix_nano);

        let unix = UnixNanos::from_nanos(nanos(start));
        let span = arrived(unix, UnixNanos::from_nanos(nanos(start + long)));
        is_about(span.start_time_unix_nano, nanos(start));
    }
    let (reading, at) = (Instant::now(), nanos(SystemTime::now()));
    let minute = MINUTE.as_nanos() as u64;
    let ago = reading
        .checked_sub(MINUTE)
        .map(|reading| (reading, at - minute));
    let others = [(reading, at), (reading + MINUTE, at + minute)];
    for (reading, expected) in others.into_iter().chain(ago) {
        let span = arrived(reading, reading + long);
        assert!(span.start_time_unix_nano.abs_diff(expected) < 100 * SLACK);
        let length = span.end_time_unix_nano - span.start_time_unix_nano;
        is_about(length, long.as_nanos() as u64);
    }
}

#[test]
fn x87_times_that_cannot_be_are_clamped_and_no_duration_is_negative() {
    let early = UNIX_EPOCH - MINUTE;
    let span = arrived(early, UNIX_EPOCH + MINUTE);
    assert_eq!(span.start_time_unix_nano, 0);
    is_about(span.end_time_unix_nano, MINUTE.as_nanos() as u64);
    let span = arrived(early, early - MINUTE);
    assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (0, 0));

    let now = SystemTime::now();
    let span = arrived(now, now - MINUTE);
    is_about(span.start_time_unix_nano, nanos(now));
    assert_eq!(span.end_time_unix_nano, span.start_time_unix_nano);
}

#[test]
fn x87_an_end_in_the_future_does_not_delay_its_batch() {
    let rig = Rig::with(Script::new(), |config| {
        config.scheduled_delay = Some(ms(50))
    });
    let span = rig.tracer().start("tomorrow");
    let context = *span.context();
    let server = &rig.server;
    server
        .oracle()
        .issue(context.trace_id().to_bytes(), context.span_id().to_bytes());
    span.end_at(SystemTime::now() + 1440 * MINUTE);
    until("arrived", || rig.telemetry.ledger().exported == 1);
    rig.close().is(1, &[]);
}
