use super::*;
use std::time::Instant as Time;

use spandrel_core::backoff::{BackoffConfig, Jitter};
use spandrel_core::hosted::config::{Config, Settings};
use spandrel_core::hosted::trace::TracerProvider;
use spandrel_core::hosted::unversioned::events::LastError;

/// A pipeline without a pause between attempts, whose every request panics.
fn panicking() -> (Arc<WorkerState>, TracerProvider) {
    started(|_| Output::Panics(LastError::default()))
}

fn started(output: impl FnOnce(&Settings) -> Output) -> (Arc<WorkerState>, TracerProvider) {
    let config = Config {
        enabled: true,
        service_name: "shop".into(),
        endpoint: "127.0.0.1:1".into(),
        scheduled_delay: Some(Duration::ZERO),
        backoff: Some(BackoffConfig {
            initial: Duration::from_millis(1),
            cap: Duration::from_millis(1),
            floor: Duration::from_millis(1),
            jitter: Jitter::None,
            ..BackoffConfig::DEFAULT
        }),
        read_environment: false,
        ..Config::default()
    };
    let settings = config.resolve().unwrap();
    let (pipeline, provider) = Pipeline::new(&settings).unwrap();
    let output = output(&settings);
    (
        Worker::start(pipeline, vec![output], "here".into()).unwrap(),
        provider,
    )
}

// fault X40, fault D4
#[test]
fn a_sender_that_always_panics_makes_few_attempts_and_loses_no_count() {
    let (state, provider) = panicking();
    let tracer = provider.tracer("shop");
    let started = Time::now();
    let mut ended = 0;
    while started.elapsed() < Duration::from_millis(1200) {
        // Each of them wakes the sender.
        tracer.start("order.place").end();
        ended += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    let (stats, ledger) = {
        let pipeline = &state.lock().pipeline;
        (pipeline.stats(), pipeline.ledger())
    };
    // At 0, 100, 300 and 700 ms.
    assert!((2..=5).contains(&stats.attempts), "{stats:?}");
    assert_eq!(stats.possible_duplicates, 0);
    assert!(ledger.is_balanced() && ledger.ended == ended, "{ledger}");

    let report = state.shutdown(Duration::from_millis(300));
    assert_eq!(report.left, 0, "{report:?}");
    let pipeline = &state.lock().pipeline;
    let ledger = pipeline.ledger();
    assert!(
        ledger.is_closed() && ledger.dropped_total() == ended,
        "{ledger}"
    );
    assert!(pipeline.stats().attempts > stats.attempts, "no last chance");
}

#[test]
fn a_shutdown_does_not_wait_for_the_end_of_a_pause() {
    let (state, provider) = panicking();
    provider.tracer("shop").start("order.place").end();
    std::thread::sleep(Duration::from_millis(1000));
    let started = Time::now();
    let _ = state.shutdown(Duration::from_millis(50));
    assert!(started.elapsed() < Duration::from_millis(400));
    assert!(state.lock().running == 0, "the thread is left behind");
}

// fault X4
#[test]
fn a_shutdown_at_any_moment_leaves_no_event_unsaid() {
    for round in 0..400 {
        let (state, provider) = started(|settings| Output::new(settings).unwrap());
        provider.tracer("shop").start("order.place").end();
        // It wakes the worker, which is at another point of its step each time.
        let _ = state.force_flush(Duration::from_micros(round % 200));
        let _ = state.shutdown(Duration::ZERO);
        state.wait_ended(Duration::from_secs(20));
        let locked = &mut *state.lock();
        assert_eq!(locked.running, 0, "round {round}");
        assert_eq!(locked.pipeline.poll_event(), None, "round {round}");
    }
}
