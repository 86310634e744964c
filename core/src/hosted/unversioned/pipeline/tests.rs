use super::*;
use crate::exporter::Event;
use crate::hosted::config::Config;
use crate::hosted::config::WhenFull;
use crate::response::{DropReason, Response};
use std::string::ToString;
use std::vec;

/// A pipeline, and a provider that has ended `spans` spans.
fn pipeline(spans: u64) -> (Pipeline, TracerProvider) {
    let config = Config {
        enabled: true,
        service_name: "shop".into(),
        endpoint: "localhost:4318".into(),
        ..Config::default()
    };
    let (pipeline, provider) = Pipeline::new(&config.resolve().unwrap()).unwrap();
    for _ in 0..spans {
        provider.tracer("tests").start("order.place").end();
    }
    (pipeline, provider)
}

fn deliver(pipeline: &mut Pipeline) {
    while let Some(transmit) = pipeline.poll_transmit() {
        pipeline.handle_response(transmit, &Outcome::Response(Response::new(200)));
    }
}

#[test]
fn a_flush_of_nothing_ends_at_once() {
    let (mut pipeline, _provider) = pipeline(0);
    let flush = pipeline.force_flush(Instant::MAX);
    assert!(pipeline.has_flush_reports());
    assert_eq!(pipeline.flush_report(flush), Some(FlushReport::NOTHING));
}

#[test]
fn a_report_is_kept_as_it_was_at_the_end_until_it_is_fetched() {
    let (mut pipeline, provider) = pipeline(3);
    let flush = pipeline.force_flush(Instant::MAX);
    assert_eq!(pipeline.flush_report(flush), None);
    deliver(&mut pipeline);
    provider.tracer("tests").start("later").end();
    let later = pipeline.force_flush(Instant::MAX);
    deliver(&mut pipeline);
    let report = pipeline.flush_report(flush).unwrap();
    assert_eq!((report.is_success(), report.exported), (true, 3));
    assert_eq!(pipeline.flush_report(later).unwrap().exported, 1);
    assert_eq!(pipeline.flush_report(flush), None);
    assert_eq!(pipeline.end_flush(flush), None);
    assert!(!pipeline.has_flush_reports());
}

#[test]
fn a_flush_that_is_ended_reports_what_it_has_reached() {
    let (mut pipeline, _provider) = pipeline(2);
    let flush = pipeline.force_flush(Instant::MAX);
    let report = pipeline.end_flush(flush).unwrap();
    assert_eq!((report.outcome, report.left), (FlushOutcome::TimedOut, 2));
    assert_eq!(pipeline.end_flush(flush), None);
}

#[test]
fn a_flush_ends_at_its_deadline() {
    let (mut pipeline, _provider) = pipeline(2);
    let flush = pipeline.force_flush(Instant::ZERO);
    let report = pipeline.flush_report(flush).unwrap();
    assert_eq!((report.outcome, report.left), (FlushOutcome::TimedOut, 2));
}

#[test]
fn nothing_is_kept_of_a_forgotten_flush() {
    for is_early in [true, false] {
        let (mut pipeline, _provider) = pipeline(2);
        let flush = pipeline.force_flush(Instant::MAX);
        if is_early {
            pipeline.forget_flush(flush);
        }
        // It goes on all the same.
        deliver(&mut pipeline);
        assert_eq!(pipeline.ledger().exported, 2);
        pipeline.forget_flush(flush);
        assert_eq!(pipeline.flush_report(flush), None);
        assert!(pipeline.flushes.is_empty());
    }
}

#[test]
fn a_shutdown_ends_the_flushes_that_wait() {
    let (mut pipeline, _provider) = pipeline(2);
    let flush = pipeline.force_flush(Instant::MAX);
    pipeline.shutdown(Instant::ZERO);
    assert_eq!(pipeline.poll_shutdown().unwrap().dropped, 2);
    assert_eq!(pipeline.flush_report(flush).unwrap().dropped, 2);
}

/// A pipeline with room for few spans, which has ended more than fit.
fn overflowing(edit: impl FnOnce(&mut Config)) -> (Pipeline, TracerProvider) {
    let mut config = Config {
        enabled: true,
        service_name: "shop".into(),
        endpoint: "localhost:4318".into(),
        max_queue_size: Some(8),
        max_export_batch_size: Some(8),
        max_span_bytes: Some(1024),
        shard_bytes: Some(2048),
        ..Config::default()
    };
    edit(&mut config);
    let (pipeline, provider) = Pipeline::new(&config.resolve().unwrap()).unwrap();
    let tracer = provider.tracer("tests");
    for _ in 0..500 {
        tracer.start("order.place").end();
    }
    (pipeline, provider)
}

fn events(pipeline: &mut Pipeline) -> Vec<PipelineEvent> {
    core::iter::from_fn(|| pipeline.poll_event()).collect()
}

fn losses(pipeline: &mut Pipeline) -> usize {
    let started = PipelineEvent::Exporter(Event::LossStarted);
    let is_it = |event: &&PipelineEvent| **event == started;
    events(pipeline).iter().filter(is_it).count()
}

/// Fault X1.
#[test]
fn x1_spans_that_are_lost_in_a_shard_are_reported_once() {
    for when_full in [WhenFull::DropNewest, WhenFull::DropOldest] {
        let (mut pipeline, provider) = overflowing(|config| config.when_full = when_full);
        deliver(&mut pipeline);
        assert_eq!(losses(&mut pipeline), 1, "{when_full:?}");
        let lost = pipeline.ledger().dropped(DropReason::QueueFull);
        assert!(lost > 300, "{lost}");
        assert_eq!(pipeline.losing(), lost);
        for _ in 0..500 {
            provider.tracer("tests").start("order.place").end();
            deliver(&mut pipeline);
        }
        assert_eq!(losses(&mut pipeline), 0);
        // There is a time at which to look if it is over.
        let look_at = pipeline.losses.look_at();
        assert!(pipeline.poll_timeout().is_some_and(|at| at <= look_at));
    }
}

/// Fault X2.
#[test]
fn x2_a_loss_fails_the_next_flush_and_the_shutdown_and_no_other_flush() {
    let (mut pipeline, provider) = overflowing(|_| ());
    deliver(&mut pipeline);
    let lost = pipeline.ledger().dropped_total();
    for (is_first, dropped_before) in [(true, lost), (false, 0)] {
        provider.tracer("tests").start("later").end();
        let flush = pipeline.force_flush(Instant::MAX);
        deliver(&mut pipeline);
        let report = pipeline.flush_report(flush).unwrap();
        assert_eq!(
            (report.outcome, report.dropped),
            (FlushOutcome::Complete, 0)
        );
        assert_eq!((report.dropped_before, report.lost), (dropped_before, lost));
        assert_eq!(report.is_success(), !is_first, "{report}");
        let reason = is_first.then_some(DropReason::QueueFull);
        assert_eq!(report.reason, reason);
    }
    pipeline.shutdown(Instant::MAX);
    let report = pipeline.poll_shutdown().unwrap();
    assert!(!report.is_success(), "{report}");
    assert_eq!(
        report.to_string(),
        std::format!(
            "0 exported, 0 dropped in this flush, {lost} dropped before: queue_full, 0 left"
        )
    );
}

#[test]
fn a_report_that_nobody_fetched_leaves_its_losses_to_the_next_one() {
    let (mut pipeline, _provider) = overflowing(|_| ());
    deliver(&mut pipeline);
    let lost = pipeline.ledger().dropped_total();
    let first = pipeline.force_flush(Instant::MAX);
    pipeline.forget_flush(first);
    let second = pipeline.force_flush(Instant::MAX);
    assert_eq!(pipeline.end_flush(second).unwrap().dropped_before, lost);
}

#[test]
fn the_totals_are_given_once_when_the_shutdown_is_over() {
    let (mut pipeline, _provider) = pipeline(2);
    pipeline.shutdown(Instant::MAX);
    assert!(events(&mut pipeline).is_empty());
    deliver(&mut pipeline);
    let is_end = |event: &&PipelineEvent| matches!(event, PipelineEvent::Ended(_));
    let all = events(&mut pipeline);
    assert_eq!(all.iter().filter(is_end).count(), 1);
    assert_eq!(all.last(), Some(&PipelineEvent::Ended(pipeline.ledger())));
    assert!(events(&mut pipeline).is_empty());
}

#[test]
fn a_span_that_is_too_large_is_reported_with_its_limits() {
    let (mut pipeline, _provider) = pipeline(1);
    pipeline.exporter = Exporter::new(
        crate::exporter::ExporterConfig {
            max_request_bytes: 64,
            ..*pipeline.exporter.config()
        },
        Buffer::new(vec![0; 4096].into_boxed_slice()),
        pipeline.hub.copy_registry(),
    )
    .unwrap();
    pipeline.collected = Instant::ZERO;
    pipeline.poll_transmit();
    pipeline.shutdown(Instant::MAX);
    let oversized = PipelineEvent::Oversized {
        spans: 1,
        shard_bytes: pipeline.shard_bytes,
        max_request_bytes: 64,
    };
    assert!(events(&mut pipeline).contains(&oversized));
    assert_eq!(pipeline.ledger().dropped(DropReason::TooLarge), 1);
}

#[test]
fn the_room_shrinks_with_each_span_that_waits() {
    let (mut pipeline, provider) = pipeline(1);
    let unknown = pipeline.room();
    assert!(unknown > 2048, "{unknown}: the buffer's and one shard's");
    let mut rooms = [600, 400].map(|spans| {
        for _ in 0..spans {
            provider.tracer("tests").start("order.place").end();
        }
        // Into the buffer.
        pipeline.force_flush(Instant::MAX);
        pipeline.room()
    });
    assert_eq!(rooms[0] - rooms[1], 400);
    rooms.sort_unstable();
    assert!(rooms[0] > 1047, "{rooms:?}");
    let (mut full, _provider) = overflowing(|_| ());
    full.force_flush(Instant::MAX);
    assert!(full.room() < 20, "{}", full.room());
}
