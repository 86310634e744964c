use core::task::{Context, Waker};
use std::string::ToString;
use std::time::Instant as Time;

use spandrel_core::backoff::{BackoffConfig, Jitter};
use spandrel_core::hosted::config::Config;
use spandrel_core::hosted::unversioned::pipeline::Pipeline;
use tokio::runtime::Builder;

use super::*;
use crate::reqwest::output::Plan;

// fault X40, fault D4
#[test]
fn a_sender_that_always_panics_makes_few_attempts_and_leaves_the_runtime_to_others() {
    let settings = Config {
        enabled: true,
        service_name: "shop".into(),
        endpoint: "localhost:4318".into(),
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
    let settings = settings.resolve().unwrap();
    let (pipeline, provider) = Pipeline::new(&settings).unwrap();
    let mut plan = Plan::new(&settings).unwrap();
    plan.panics = true;
    let state = DriverState::new(pipeline, plan, "here".to_string());
    let tracer = provider.tracer("shop");
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::spawn(background(Arc::clone(&state)));
        let started = Time::now();
        let mut ended = 0;
        while started.elapsed() < Duration::from_millis(1200) {
            tracer.start("order.place").end();
            state.bell.ring();
            ended += 1;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (stats, ledger) = {
            let pipeline = &state.lock().pipeline;
            (pipeline.stats(), pipeline.ledger())
        };
        // At 0, 100, 300 and 700 ms.
        assert!((2..=5).contains(&stats.attempts), "{stats:?}");
        assert!(ledger.is_balanced() && ledger.ended == ended, "{ledger}");
        assert!(ended > 100, "the program had {ended} turns");
    });
}

// fault X120
#[test]
fn an_owner_that_hears_the_ring_within_a_poll_is_alive() {
    let settings = Config {
        enabled: true,
        service_name: "shop".into(),
        endpoint: "localhost:4318".into(),
        read_environment: false,
        ..Config::default()
    };
    let settings = settings.resolve().unwrap();
    let (pipeline, _provider) = Pipeline::new(&settings).unwrap();
    let plan = Plan::new(&settings).unwrap();
    let state = DriverState::new(pipeline, plan, "here".to_string());
    let _owner = state.claim().unwrap();
    // Another thread looks and rings while the owner's poll is on its way.
    let mut seen = state.polls();
    {
        let mut work = pin!(poll_fn(|_| {
            seen = state.polls();
            state.bell.ring();
            Poll::<()>::Pending
        }));
        let polled = pin!(counted(&state, work.as_mut()));
        let mut context = Context::from_waker(Waker::noop());
        assert!(polled.poll(&mut context).is_pending());
    }
    assert!(state.take_over(seen).is_none(), "it was alive");
    assert!(state.take_over(state.polls()).is_some(), "it stands still");
}
