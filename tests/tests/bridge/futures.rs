//! Contexts of both kinds across threads and futures.

use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context as TaskContext, Poll, Waker};

use opentelemetry_0_33::Context as Theirs;
use opentelemetry_0_33::context::FutureExt;
use opentelemetry_0_33::trace::{TraceContextExt as _, Tracer as _};
use spandrel_core::hosted::current::{self, ContextFutureExt as _};
use spandrel_core::hosted::opentelemetry_0_33::{BridgeTracer, our_context, their_context_of};
use spandrel_core::hosted::testing::Capture;

/// Starts a span through each tracer at every poll, and is ready at the second.
struct Work {
    capture: Capture,
    polls: u32,
}

impl Future for Work {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<()> {
        let tracer = self.capture.tracer("work");
        tracer.start("ours").end();
        drop(BridgeTracer::from(tracer).start("theirs"));
        self.polls += 1;
        match self.polls {
            1 => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }
}

fn work(capture: &Capture) -> Work {
    Work {
        capture: capture.clone(),
        polls: 0,
    }
}

/// Polls on two threads, and starts a span of its own in between.
fn run(capture: &Capture, future: impl Future<Output = ()> + Send) {
    let mut future = pin!(future);
    let poll = |future: Pin<&mut dyn Future<Output = ()>>| {
        future.poll(&mut TaskContext::from_waker(Waker::noop()))
    };
    assert!(poll(future.as_mut()).is_pending());
    assert_eq!(current::current_span_context(), None);
    assert!(!Theirs::current().has_active_span());
    let other = capture.tracer("other").start("other");
    let _entered = other.enter();
    assert!(poll(future.as_mut()).is_ready());
}

#[test]
fn a_future_in_our_context_is_in_theirs() {
    let capture = Capture::new();
    let span = capture.tracer("test").start("outer");
    run(&capture, work(&capture).in_span(&span));
    span.end();
    capture.spans().assert_tree(
        "
        outer
        ├─ ours
        ├─ theirs
        ├─ ours
        └─ theirs
        other
        ",
    );
}

#[test]
fn a_future_in_their_context_is_in_ours() {
    let capture = Capture::new();
    let tracer = BridgeTracer::from(capture.tracer("test"));
    let context = Theirs::current_with_span(tracer.start("outer"));
    run(
        &capture,
        FutureExt::with_context(work(&capture), context.clone()),
    );
    context.span().end();
    capture.spans().assert_tree(
        "
        outer
        ├─ ours
        ├─ theirs
        ├─ ours
        └─ theirs
        other
        ",
    );
}

#[test]
fn futures_of_both_kinds_nest() {
    let capture = Capture::new();
    let ours = capture.tracer("test");
    let tracer = BridgeTracer::from(ours.clone());
    let outer = Theirs::current_with_span(tracer.start("outer"));
    let inner = ours.span("inner").parent(&our_context(&outer)).start();
    let innermost = tracer.start_with_context("innermost", &their_context_of(&(&inner).into()));
    let innermost = Theirs::new().with_span(innermost);
    let work = FutureExt::with_context(work(&capture), innermost.clone());
    run(
        &capture,
        FutureExt::with_context(work.in_span(&inner), outer.clone()),
    );
    innermost.span().end();
    inner.end();
    outer.span().end();
    capture.spans().assert_tree(
        "
        outer
        └─ inner
           └─ innermost
              ├─ ours
              ├─ theirs
              ├─ ours
              └─ theirs
        other
        ",
    );
}

#[test]
fn a_context_goes_to_another_thread_in_either_form() {
    let capture = Capture::new();
    let ours = capture.tracer("test");
    let tracer = BridgeTracer::from(ours.clone());
    let theirs = Theirs::current_with_span(tracer.start("theirs"));
    let span = ours.span("ours").start();
    let context = span.to_context();
    let capture_there = capture.clone();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let _inside = theirs.clone().attach();
            capture_there.tracer("there").start("in theirs").end();
        });
        threads.spawn(|| {
            let _inside = current::attach(context.clone());
            drop(BridgeTracer::from(capture_there.tracer("there")).start("in ours"));
        });
    });
    span.end();
    theirs.span().end();
    let spans = capture.spans();
    let parent = |name: &str| spans.one(name).parent_span_id;
    assert_eq!(
        parent("in theirs"),
        Some(spans.one("theirs").context.span_id())
    );
    assert_eq!(parent("in ours"), Some(spans.one("ours").context.span_id()));
}
