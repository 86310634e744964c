//! Whole lives of an exporter, for the [simulation](crate::sim).

use core::time::Duration;

use proptest::prelude::*;
use spandrel_core::backoff::{BackoffConfig, Jitter};
use spandrel_core::batch::BatchConfig;
use spandrel_core::breaker::{BreakerConfig, OpenInterval};
use spandrel_core::buffer::Overflow;
use spandrel_core::exporter::{ExporterConfig, OnTooLarge, WhenOpen};
use spandrel_core::response::TransportError;

use crate::sim::schedule::{Action, Schedule};
use crate::sim::{Reply, Setup};

/// All kinds of replies.
pub fn replies() -> impl Strategy<Value = Reply> {
    let statuses = [
        200, 302, 307, 400, 401, 403, 404, 413, 422, 429, 500, 501, 502, 503, 504,
    ];
    let errors = [
        TransportError::Connect,
        TransportError::Dns,
        TransportError::Tls,
        TransportError::Certificate,
        TransportError::Timeout { body_sent: false },
        TransportError::Reset { body_sent: true },
        TransportError::Stale,
        TransportError::Protocol,
    ];
    let pauses = [
        "0",
        "1",
        "3",
        "86400",
        "9223372036854775808",
        "-5",
        "1.5",
        "",
        "abc",
    ];
    prop_oneof![
        4 => Just(Reply::OK),
        6 => prop::sample::select(statuses.to_vec()).prop_map(Reply::Status),
        4 => prop::sample::select(errors.to_vec()).prop_map(Reply::Fail),
        2 => (prop::sample::select(vec![429, 502, 503, 504]), prop::sample::select(pauses.to_vec()))
            .prop_map(|(status, after)| Reply::RetryAfter(status, after)),
        1 => prop::sample::select(vec![i64::MIN, -1, 0, 1, 3, i64::MAX]).prop_map(Reply::Partial),
        1 => Just(Reply::Page),
        1 => prop::sample::select(vec![200, 503]).prop_map(Reply::Oversized),
        1 => Just(Reply::Hang),
        1 => Just(Reply::Lost),
        1 => Just(Reply::TooLate(200)),
        1 => Just(Reply::Cancel),
        1 => Just(Reply::CancelInFlight),
    ]
}

fn millis(range: core::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

fn backoffs() -> impl Strategy<Value = BackoffConfig> {
    let jitter = prop_oneof![Just(Jitter::None), Just(Jitter::Equal), Just(Jitter::Full)];
    (0..6_u32, jitter, millis(500..20_000)).prop_map(|(max_retries, jitter, max_elapsed)| {
        BackoffConfig {
            max_retries,
            jitter,
            max_elapsed,
            ..BackoffConfig::DEFAULT
        }
    })
}

fn breakers() -> impl Strategy<Value = BreakerConfig> {
    let open = prop_oneof![
        millis(100..30_000).prop_map(OpenInterval::Fixed),
        millis(100..2_000).prop_map(|initial| OpenInterval::Growing {
            initial,
            cap: initial * 30
        }),
        millis(100..2_000).prop_map(|initial| OpenInterval::Prompt {
            initial,
            cap: initial * 30,
            filling_cap: initial * 4,
        }),
    ];
    (1..6_u32, open).prop_map(|(failure_threshold, open)| BreakerConfig {
        failure_threshold,
        open,
        ..BreakerConfig::DEFAULT
    })
}

fn batches() -> impl Strategy<Value = BatchConfig> {
    let bytes = prop_oneof![3 => Just(usize::MAX), 1 => 60..400_usize];
    (1..9_u32, millis(0..3_000), bytes).prop_map(
        |(max_export_batch_size, scheduled_delay, max_batch_bytes)| BatchConfig {
            max_export_batch_size,
            max_batch_bytes,
            scheduled_delay,
        },
    )
}

fn configs() -> impl Strategy<Value = ExporterConfig> {
    let request = prop_oneof![2 => Just(4 << 20), 1 => 60..800_usize];
    let timeout = prop_oneof![1 => Just(Duration::ZERO), 6 => millis(500..10_000)];
    let export = prop_oneof![1 => Just(Duration::ZERO), 1 => millis(500..10_000)];
    let age = prop_oneof![1 => Just(Duration::ZERO), 2 => millis(2_000..60_000)];
    let when_open = prop_oneof![3 => Just(WhenOpen::Hold), 1 => Just(WhenOpen::Drop)];
    let on_too_large = prop_oneof![Just(OnTooLarge::Drop), Just(OnTooLarge::Split)];
    let machines = (batches(), backoffs(), breakers());
    (
        machines,
        request,
        (timeout, export),
        age,
        when_open,
        on_too_large,
        any::<u64>(),
    )
        .prop_map(
            |(
                machines,
                max_request_bytes,
                (request_timeout, export_timeout),
                max_batch_age,
                when_open,
                on_too_large,
                seed,
            )| {
                let (batch, backoff, breaker) = machines;
                ExporterConfig {
                    batch,
                    backoff,
                    breaker,
                    request_timeout,
                    export_timeout,
                    max_request_bytes,
                    max_batch_age,
                    when_open,
                    on_too_large,
                    ..ExporterConfig::DEFAULT
                }
                .with_seed(seed)
            },
        )
}

/// Exporters with small buffers and all kinds of settings.
pub fn setups() -> impl Strategy<Value = Setup> {
    let overflow = prop_oneof![Just(Overflow::DropNewest), Just(Overflow::DropOldest)];
    let records = prop_oneof![3 => Just(u32::MAX), 1 => 1..20_u32];
    (configs(), 0..3_000_usize, overflow, records, 1..200_usize).prop_map(
        |(config, buffer_bytes, overflow, max_records, chunk)| Setup {
            config,
            buffer_bytes,
            overflow,
            max_records,
            chunk,
        },
    )
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        6 => (1..12_u8, 0..60_u8).prop_map(|(count, padding)| Action::Push(count, padding)),
        6 => (0..5_000_u32).prop_map(Action::Run),
        1 => (0..60_000_u32).prop_map(Action::Run),
        1 => (0..100_000_u32).prop_map(Action::Jump),
        1 => (0..100_000_u32).prop_map(Action::Back),
        1 => (0..10_000_u16).prop_map(Action::Flush),
    ];
    prop::collection::vec(action, 1..25)
}

/// Whole lives.
pub fn schedules() -> impl Strategy<Value = Schedule> {
    let replies = prop::collection::vec((replies(), prop_oneof![Just(0), 0..3_000_u16]), 0..40);
    let then = prop_oneof![
        Just(Reply::OK),
        Just(Reply::REFUSED),
        Just(Reply::Status(503))
    ];
    (setups(), replies, then, actions(), any::<u16>()).prop_map(
        |(setup, replies, then, actions, shutdown)| Schedule {
            setup,
            replies,
            then,
            actions,
            shutdown,
        },
    )
}
