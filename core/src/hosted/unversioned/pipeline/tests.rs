use super::*;
use crate::hosted::config::Config;
use crate::response::Response;

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
