//! What came with a request goes on, whatever tracing does: every state, with spans of both kinds,
//! under every kind of parent, compared with a model of what must go out.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use spandrel_core::context::{ParentContext, SpanContext, TraceFlags};
use spandrel_core::hosted::current;
use spandrel_core::hosted::trace::global;
use spandrel_core::propagation::TraceContextPropagator;
use spandrel_core::sampler::AlwaysOff;
use spandrel_tests::fault_server::{FaultServer, Script};
use spandrel_transport_std::layer::{SpanExt as _, layer};
use spandrel_transport_std::{Config, Context, Telemetry, Tracer, init};
use tracing::{Dispatch, info, info_span};
use tracing_subscriber::layer::SubscriberExt as _;

use super::rig::{PATIENCE, Rig};

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// A tracer that never records.
    Disabled,
    /// `init` with `enabled: false`.
    SwitchedOff,
    BeforeInit,
    Suppressed,
    ShutDown,
    /// The program's sampler drops everything.
    Dropped,
    Recorded,
}

const STATES: [State; 7] = [
    State::Disabled,
    State::SwitchedOff,
    State::BeforeInit,
    State::Suppressed,
    State::ShutDown,
    State::Dropped,
    State::Recorded,
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    /// The context is attached when the span starts.
    Current,
    /// The span is started with it.
    Explicit,
    /// `set_parent`, before the span is entered.
    Set,
    /// `set_parent`, within the span.
    SetWithin,
}

/// The states from which a span starts that has a context of its own.
fn starts_spans(state: State) -> bool {
    matches!(state, State::Dropped | State::Recorded)
}

/// There is one process-wide provider: tests that use it go one after the other.
static GLOBAL: Mutex<()> = Mutex::new(());

/// What a program sees and sends.
#[derive(Debug, PartialEq)]
struct Seen {
    /// The span's own context.
    own: Option<Context>,
    /// What is current in the span, here and on another thread.
    within: [Option<Context>; 2],
    /// The headers that a request within the span takes along.
    headers: Vec<(String, String)>,
}

fn headers() -> Vec<(String, String)> {
    let mut headers = Vec::new();
    let mut carrier = |name: &str, value: &str| headers.push((name.into(), value.into()));
    if let Some(current) = current::current() {
        TraceContextPropagator.inject(current.as_parent(), &mut carrier);
    }
    headers
}

fn native(tracer: &Tracer, how: How, parent: &Context) -> Option<Seen> {
    let mut span = match how {
        How::Current => {
            let _attached = current::attach(parent.clone());
            tracer.start("request")
        }
        How::Explicit => tracer.span("request").parent(parent).start(),
        How::Set | How::SetWithin => return None,
    };
    let own = span.to_context();
    let elsewhere = thread::scope(|scope| {
        let there = scope.spawn(|| span.in_scope(|_| current::current()));
        there.join().unwrap()
    });
    let _inside = span.enter();
    Some(Seen {
        own: Some(own),
        within: [current::current(), elsewhere],
        headers: headers(),
    })
}

fn through_the_layer(dispatch: &Dispatch, how: How, parent: &Context) -> Seen {
    tracing::dispatcher::with_default(dispatch, || {
        let span = match how {
            How::Current => {
                let _attached = current::attach(parent.clone());
                info_span!("request", key = 1)
            }
            How::Explicit => {
                let outer = info_span!("outer");
                outer.set_parent(parent).unwrap();
                info_span!(parent: &outer, "request")
            }
            How::Set | How::SetWithin => info_span!("request", key = 1),
        };
        if how == How::Set {
            span.set_parent(parent).unwrap();
        }
        let _inside = span.enter();
        if how == How::SetWithin {
            span.set_parent(parent).unwrap();
        }
        info!("event");
        let (within, headers) = (current::current(), headers());
        let elsewhere = thread::scope(|scope| {
            let there = scope.spawn(|| {
                tracing::dispatcher::with_default(dispatch, || span.in_scope(current::current))
            });
            there.join().unwrap()
        });
        Seen {
            own: span.context(),
            within: [within, elsewhere],
            headers,
        }
    })
}

/// What must be seen, given what is: ids that are drawn are taken from there.
fn model(state: State, parent: &Context, seen: &Seen) -> Seen {
    let remote = parent.span_context();
    let expected = if starts_spans(state) {
        let own = seen.own.clone().unwrap();
        let sampled = state == State::Recorded && (!remote.is_valid() || remote.is_sampled());
        let flags = own.span_context().trace_flags();
        assert_eq!(flags.is_sampled(), sampled);
        assert_ne!(own.span_context().span_id(), remote.span_id());
        if remote.is_valid() {
            assert_eq!(own.span_context().trace_id(), remote.trace_id());
        }
        let trace_state = if remote.is_valid() {
            parent.trace_state()
        } else {
            ""
        };
        let ids = own.span_context();
        Some(parent.with_span_context(with_state(ids, trace_state)))
    } else {
        Some(parent.clone()).filter(|_| remote.is_valid())
    };
    let mut headers = Vec::new();
    if let Some(context) = &expected {
        let ids = context.span_context();
        let (trace, span) = (ids.trace_id(), ids.span_id());
        let flags = ids.trace_flags().bits();
        headers.push((
            "traceparent".into(),
            format!("00-{trace}-{span}-{flags:02x}"),
        ));
        if !context.trace_state().is_empty() {
            headers.push(("tracestate".into(), context.trace_state().into()));
        }
    }
    Seen {
        own: expected.clone(),
        within: [expected.clone(), expected],
        headers,
    }
}

fn parents() -> Vec<Context> {
    let remote = |sampled| {
        SpanContext::remote(
            "5b8efff798038103d269b633813fc60c".parse().unwrap(),
            "eee19b7ec3c1b174".parse().unwrap(),
            TraceFlags::NONE.with_sampled(sampled),
        )
    };
    let with = |span_context, trace_state: Option<&str>| {
        Context::from(with_state(span_context, trace_state.unwrap_or_default()))
    };
    let long = format!("a={},b={}", "x".repeat(200), "y".repeat(200));
    vec![
        Context::default(),
        with(remote(true), None),
        with(remote(true), Some("vendor=1,other=2")),
        with(remote(false), Some("vendor=1")),
        with(remote(true), Some(&long)),
    ]
}

/// Fault X60: traceparent and tracestate pass through, in every state.
#[test]
fn x60_what_came_with_a_request_goes_on_in_every_state() {
    let _alone = GLOBAL.lock().unwrap_or_else(PoisonError::into_inner);
    for state in STATES {
        let rig = Rig::with(
            |config| {
                if state == State::Dropped {
                    config.sampler = Some(Arc::new(AlwaysOff));
                }
            },
            |layer| layer,
        );
        let switched_off: Telemetry = init(Config {
            read_environment: false,
            ..Config::default()
        })
        .unwrap();
        let tracer = match state {
            State::Disabled => Tracer::disabled(),
            State::SwitchedOff => switched_off.tracer("off"),
            State::BeforeInit => global().tracer("early"),
            _ => rig.tracer.clone(),
        };
        if state == State::ShutDown {
            assert!(rig.telemetry.shutdown(PATIENCE).is_success());
        }
        let subscriber = tracing_subscriber::registry().with(layer(&tracer));
        let dispatch = Dispatch::new(subscriber);
        let _quiet = (state == State::Suppressed).then(current::suppress);
        assert_eq!(tracer.enabled(), starts_spans(state), "{state:?}");
        for parent in parents() {
            for how in [How::Current, How::Explicit, How::Set, How::SetWithin] {
                let case = format!("{state:?}, {how:?}, {parent:?}");
                if let Some(mut seen) = native(&tracer, how, &parent) {
                    // A span always has a context, if only the invalid one.
                    seen.own = seen.own.filter(|own| own.span_context().is_valid());
                    seen.within = seen.within.map(|within| within.filter(is_valid));
                    assert_eq!(seen, model(state, &parent, &seen), "native: {case}");
                }
                let seen = through_the_layer(&dispatch, how, &parent);
                assert_eq!(seen, model(state, &parent, &seen), "layer: {case}");
                assert_eq!(current::current(), None, "{case}");
            }
        }
        rig.assert_none_live();
    }
}

fn with_state(span_context: SpanContext, trace_state: &str) -> ParentContext<'_> {
    ParentContext {
        span_context,
        trace_state,
    }
}

fn is_valid(context: &Context) -> bool {
    context.span_context().is_valid()
}

/// A span that stands for no parent hides nothing.
#[test]
fn a_span_that_stands_for_nothing_leaves_what_is_current() {
    let dispatch: Dispatch = tracing_subscriber::registry()
        .with(layer(&Tracer::disabled()))
        .into();
    tracing::dispatcher::with_default(&dispatch, || {
        let span = info_span!("request");
        let remote = parents().remove(2);
        let _attached = current::attach(remote.clone());
        span.in_scope(|| assert_eq!(current::current(), Some(remote)));
        assert_eq!(span.set_parent(ParentContext::ROOT), Ok(()));
    });
}

/// Fault X62: tracers, and layers with them, that were made before `init` live after it.
#[test]
fn x62_tracers_and_layers_from_before_init_live_after_it() {
    let _alone = GLOBAL.lock().unwrap_or_else(PoisonError::into_inner);
    let provider = global();
    let scope = spandrel_core::resource::InstrumentationScope::new("early").with_version("1.2");
    let tracers = [provider.tracer_with(&scope), global().tracer("early layer")];
    let subscriber = tracing_subscriber::registry().with(layer(&tracers[1]));
    tracing::subscriber::with_default(subscriber, || {
        let early = info_span!("opened before");
        let _inside = early.enter();
        assert!(!tracers[0].enabled() && !provider.is_enabled());
        assert!(!tracers[0].start("before").is_recording());
        let server = FaultServer::start(Script::new());
        let telemetry = init(Config {
            enabled: true,
            service_name: "late".into(),
            endpoint: server.url(),
            read_environment: false,
            ..Config::default()
        })
        .unwrap();
        assert!(tracers[0].enabled() && provider.is_enabled());
        let mut on_its_own = tracers[0].span("after").root().start();
        on_its_own.in_scope(|_| {
            tracers[0].start("child").end();
            info_span!("layer").in_scope(|| info!("event"));
        });
        on_its_own.end();
        assert!(telemetry.shutdown(PATIENCE).is_success());
        assert!(!tracers[0].enabled() && !provider.is_enabled());
        assert!(!tracers[0].start("after the shutdown").is_recording());

        let mut arrived = Vec::new();
        for request in server.requests() {
            for resource in &request.export.as_ref().unwrap().resource_spans {
                for scope in &resource.scope_spans {
                    let name = scope.scope.clone().unwrap_or_default();
                    for span in &scope.spans {
                        let events = span.events.len();
                        arrived.push((
                            span.name.clone(),
                            name.name.clone(),
                            name.version.clone(),
                            events,
                        ));
                    }
                }
            }
        }
        arrived.sort();
        let row = |span: &str, scope: &str, version: &str, events| {
            (
                span.to_owned(),
                scope.to_owned(),
                version.to_owned(),
                events,
            )
        };
        let expected = [
            row("after", "early", "1.2", 0),
            row("child", "early", "1.2", 0),
            row("layer", "early layer", "", 1),
        ];
        assert_eq!(arrived, expected);
    });
}
