//! Parents: current, explicit, on other threads and in futures.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll, Waker};
use std::thread;

use opentelemetry_proto::tonic::trace::v1::Span as Received;
use spandrel_core::context::SpanContext;
use spandrel_core::hosted::current;
use spandrel_tests::fault_server::Script;
use spandrel_transport_std::{Context, ContextFutureExt, Telemetry};

use crate::harness::Rig;

/// What arrived, by name.
fn received(rig: &Rig, name: &str) -> Received {
    let requests = rig.server.requests();
    let mut spans = requests.iter().flat_map(|request| request.spans());
    spans
        .find(|span| span.name == name)
        .expect("a span of that name")
        .clone()
}

#[track_caller]
fn is_child(rig: &Rig, child: &str, parent: &str) {
    let (child, parent) = (received(rig, child), received(rig, parent));
    assert_eq!(child.parent_span_id, parent.span_id);
    assert_eq!(child.trace_id, parent.trace_id);
}

#[test]
fn the_current_span_is_the_parent_and_nothing_else_is() {
    let rig = Rig::new(Script::new());
    let mut outer = rig.tracer().start("outer");
    let beside = rig.tracer().start("beside");
    outer.in_scope(|_| {
        let mut inner = rig.tracer().start("inner");
        inner.in_scope(|_| rig.end(rig.tracer().start("innermost")));
        rig.end(rig.tracer().span("root").root().start());
        rig.end(inner);
    });
    rig.end(beside);
    rig.end(outer);
    assert!(rig.flush().is_success());
    is_child(&rig, "inner", "outer");
    is_child(&rig, "innermost", "inner");
    for name in ["outer", "beside", "root"] {
        assert!(received(&rig, name).parent_span_id.is_empty(), "{name}");
    }
    rig.close().is(5, &[]);
}

#[test]
fn a_context_goes_to_another_thread_and_so_does_a_span() {
    let rig = Rig::new(Script::new());
    let outer = rig.tracer().start("outer");
    let (context, tracer) = (outer.to_context(), rig.tracer().clone());
    let moved = rig.tracer().start("moved");
    let server = &rig.server;
    thread::scope(|scope| {
        scope.spawn(move || {
            assert!(current::current().is_none(), "nothing is inherited unasked");
            let _attached = current::attach(context);
            crate::harness::end_issued(server, tracer.start("there"));
            // Ended where it was not started.
            crate::harness::end_issued(server, moved);
        });
    });
    rig.end(outer);
    assert!(rig.flush().is_success());
    is_child(&rig, "there", "outer");
    rig.close().is(3, &[]);
}

#[test]
fn a_future_takes_its_context_along_and_leaves_none_behind() {
    let rig = Rig::new(Script::new());
    let mut outer = rig.tracer().start("outer");
    let mut polls = 0;
    let future = std::future::poll_fn(|_| {
        polls += 1;
        rig.end(rig.tracer().start(&format!("poll {polls}")));
        if polls < 2 {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    });
    let mut future = pin!(outer.in_scope(|_| future.with_current_context()));
    let mut task = Task::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut task).is_pending());
    assert!(current::current().is_none());
    assert!(future.as_mut().poll(&mut task).is_ready());
    rig.end(outer);
    assert!(rig.flush().is_success());
    is_child(&rig, "poll 1", "outer");
    is_child(&rig, "poll 2", "outer");
    rig.close().is(3, &[]);
}

#[test]
fn a_future_runs_in_the_span_that_it_is_given_whatever_is_current() {
    let rig = Rig::new(Script::new());
    let (outer, mut beside) = (rig.tracer().start("outer"), rig.tracer().start("beside"));
    let future = async { rig.end(rig.tracer().start("within")) }.in_span(&outer);
    beside.in_scope(|_| {
        let mut task = Task::from_waker(Waker::noop());
        assert!(pin!(future).poll(&mut task).is_ready());
    });
    rig.end(rig.tracer().span("explicit").parent(&outer).start());
    let context = outer.to_context();
    rig.end(rig.tracer().span("later").parent(&context).start());
    rig.end(beside);
    rig.end(outer);
    assert!(rig.flush().is_success());
    for child in ["within", "explicit", "later"] {
        is_child(&rig, child, "outer");
    }
    rig.close().is(5, &[]);
}

#[test]
fn disabled_tracing_passes_the_parent_on() {
    let telemetry = Telemetry::disabled();
    let tracer = telemetry.tracer("nothing");
    assert_eq!(*tracer.start("root").context(), SpanContext::INVALID);
    let parent = SpanContext::new(
        "5b8efff798038103d269b633813fc60c".parse().unwrap(),
        "eee19b7ec3c1b174".parse().unwrap(),
        spandrel_core::context::TraceFlags::SAMPLED,
    );
    let explicit = tracer.span("child").parent(parent).start();
    assert_eq!(*explicit.context(), parent);
    let _attached = current::attach(Context::from(parent));
    let implicit = tracer.start("child");
    assert_eq!(*implicit.context(), parent);
    assert!(!implicit.is_recording());
}

#[test]
fn l4_spans_made_under_suppression_are_not_recorded() {
    let rig = Rig::new(Script::new());
    {
        let _quiet = current::suppress();
        let span = rig.tracer().start("of the exporter itself");
        assert!(!span.is_recording());
    }
    rig.record(1);
    rig.close().is(1, &[]);
}

#[test]
fn a_span_in_the_hands_of_several_threads_ends_once() {
    let rig = Rig::new(Script::new());
    let shared = Arc::new(std::sync::Mutex::new(Some(rig.tracer().start("shared"))));
    thread::scope(|scope| {
        for _ in 0..4 {
            let (shared, server) = (Arc::clone(&shared), &rig.server);
            scope.spawn(move || {
                if let Some(span) = shared.lock().unwrap().take() {
                    crate::harness::end_issued(server, span);
                }
            });
        }
    });
    rig.close().is(1, &[]);
}
