use super::*;
use crate::context::TraceFlags;
use crate::id::{SpanId, TraceId};
use core::pin::pin;
use core::task::Waker;

fn span(n: u8) -> SpanContext {
    let trace = TraceId::from_bytes([n; 16]);
    SpanContext::new(trace, SpanId::from_bytes([n; 8]), TraceFlags::SAMPLED)
}

fn attached(n: u8) -> Guard {
    attach(span(n).into())
}

fn current_number() -> Option<u8> {
    current_span_context().map(|s| s.span_id().to_bytes()[0])
}

#[test]
fn guards_restore_what_was_current() {
    assert_eq!(current_number(), None);
    let a = attached(1);
    {
        let _b = attached(2);
        assert_eq!(current_number(), Some(2));
    }
    assert_eq!(current_number(), Some(1));
    drop(a);
    assert_eq!(current_number(), None);
}

#[test]
fn guards_may_be_dropped_in_any_order() {
    // Every order of dropping four guards: what stays current is the newest one left.
    for order in 0..24 {
        let mut left: Vec<(u8, Guard)> = (1..=4).map(|n| (n, attached(n))).collect();
        let mut choice = order;
        while !left.is_empty() {
            let index = choice % left.len();
            choice /= left.len();
            drop(left.remove(index));
            assert_eq!(current_number(), left.last().map(|(n, _)| *n));
        }
    }
    STACK.with_borrow(|stack| assert_eq!(stack.len, 0));
}

#[test]
fn a_slot_is_not_given_away_under_a_live_guard() {
    let a = attached(1);
    let b = attached(2);
    drop(a);
    let c = attached(3);
    drop(b);
    assert_eq!(current_number(), Some(3));
    drop(c);
    assert_eq!(current_number(), None);
}

#[test]
fn the_tracestate_travels_along() {
    let parent = ParentContext {
        span_context: span(1),
        trace_state: "vendor=value",
    };
    let _guard = attach(parent.into());
    assert_eq!(current().unwrap().as_parent(), parent);
    let none = Context::from(ParentContext::from(span(1)));
    assert!(none.beside.is_none());
    assert_eq!(none.as_parent().trace_state, "");
}

#[test]
fn nesting_is_bounded() {
    let guards: Vec<_> = (0..MAX_DEPTH + 10).map(|_| attached(1)).collect();
    STACK.with_borrow(|stack| assert_eq!(stack.len, MAX_DEPTH));
    let _beyond = attached(2);
    assert_eq!(current_number(), Some(1));
    drop(guards);
    assert_eq!(current_number(), None);
}

/// Is ready at the second poll, with what was current at each.
struct Witness(Vec<(Option<u8>, bool)>);

impl Future for Witness {
    type Output = Vec<(Option<u8>, bool)>;

    fn poll(mut self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.0.push((current_number(), is_suppressed()));
        match self.0.len() {
            1 => Poll::Pending,
            _ => Poll::Ready(core::mem::take(&mut self.0)),
        }
    }
}

#[test]
fn a_future_runs_under_its_own_context_and_leaves_no_trace() {
    let mut task = TaskContext::from_waker(Waker::noop());
    let mut future = pin!(Witness(Vec::new()).with_context(span(7).into()));
    assert!(future.as_mut().poll(&mut task).is_pending());
    assert_eq!(current_number(), None);
    let _other = attached(9);
    let seen = future.as_mut().poll(&mut task);
    assert_eq!(
        seen,
        Poll::Ready(std::vec![(Some(7), false), (Some(7), false)])
    );
    assert_eq!(current_number(), Some(9));
}

#[test]
fn a_future_runs_in_a_span_that_has_ended_as_well() {
    let mut task = TaskContext::from_waker(Waker::noop());
    let ended = crate::hosted::trace::Span::non_recording(span(5));
    let mut future = pin!(Witness(Vec::new()).in_span(&ended));
    ended.end();
    assert!(future.as_mut().poll(&mut task).is_pending());
    let seen = future.as_mut().poll(&mut task);
    assert_eq!(
        seen,
        Poll::Ready(std::vec![(Some(5), false), (Some(5), false)])
    );
    assert_eq!(current_number(), None);
}

#[test]
fn a_future_without_context_sees_the_context_of_its_thread() {
    let mut task = TaskContext::from_waker(Waker::noop());
    let mut future = pin!(Witness(Vec::new()).with_current_context().suppressed());
    assert!(future.as_mut().poll(&mut task).is_pending());
    let _other = attached(9);
    let seen = future.as_mut().poll(&mut task);
    assert_eq!(seen, Poll::Ready(std::vec![(None, true), (Some(9), true)]));
    assert!(!is_suppressed());
}

#[test]
fn suppression_nests_and_stays_on_its_thread() {
    let a = suppress();
    let b = suppress();
    drop(a);
    assert!(is_suppressed());
    assert!(!std::thread::spawn(is_suppressed).join().unwrap());
    drop(b);
    assert!(!is_suppressed());
}

#[test]
fn a_thread_may_end_with_everything_attached() {
    struct AtExit(Option<(Guard, SuppressGuard)>);
    impl Drop for AtExit {
        fn drop(&mut self) {
            let _late = attached(2);
            let _ = (current(), is_suppressed());
            self.0.take();
        }
    }
    std::thread_local! {
        static LATE: RefCell<AtExit> = const { RefCell::new(AtExit(None)) };
    }
    std::thread::spawn(|| {
        // Made first, so dropped in either order against the stack.
        LATE.with_borrow_mut(|late| late.0 = Some((attached(1), suppress())));
        core::mem::forget(attached(3));
    })
    .join()
    .unwrap();
}

static TENANT: ContextKey<&str> = ContextKey::new("tenant");

fn current_tenant() -> Option<&'static str> {
    current().and_then(|context| context.value(&TENANT).copied())
}

fn with_tenant(tenant: &'static str) -> Guard {
    attach(current().unwrap_or_default().with_value(&TENANT, tenant))
}

#[test]
fn a_span_that_is_entered_takes_its_place_beside_the_values() {
    let _plain = attached(1);
    assert_eq!(current_tenant(), None);
    let values = with_tenant("acme");
    assert_eq!(
        (current_number(), current_tenant()),
        (Some(1), Some("acme"))
    );
    for state in ["", "vendor=1", "vendor=1", "vendor=2"] {
        let child = ParentContext {
            span_context: span(2),
            trace_state: state,
        };
        let context = context_of(child);
        assert_eq!(context.as_parent(), child);
        assert_eq!(context.value(&TENANT), Some(&"acme"));
        let entered = match state {
            "" => attach_span(&span(2)),
            _ => attach(context),
        };
        let inner = attach_span(&span(3));
        let now = current().unwrap();
        assert_eq!((now.trace_state(), now.value(&TENANT)), ("", Some(&"acme")));
        drop(inner);
        assert_eq!(current().unwrap().trace_state(), state);
        assert_eq!(
            (current_number(), current_tenant()),
            (Some(2), Some("acme"))
        );
        drop(entered);
    }
    let other = with_tenant("globex");
    // In the wrong order.
    drop(values);
    assert_eq!(current_tenant(), Some("globex"));
    drop(other);
    assert_eq!((current_number(), current_tenant()), (Some(1), None));
    STACK.with_borrow(|stack| assert_eq!(stack.carrying, 0));
}

#[test]
fn an_attached_context_is_what_it_is() {
    let _values = with_tenant("acme");
    let _plain = attached(1);
    assert_eq!(
        current_tenant(),
        None,
        "a context that is attached inherits nothing"
    );
}

#[test]
fn the_short_form_is_for_a_span_alone() {
    assert_eq!(current_in_short(), Ok(None));
    let _plain = attached(1);
    assert_eq!(current_in_short(), Ok(Some(span(1))));
    let _values = with_tenant("acme");
    assert_eq!(current_in_short(), Err(current().unwrap()));
}

#[test]
fn values_may_use_the_stack_when_they_are_dropped() {
    struct Late;
    impl Drop for Late {
        fn drop(&mut self) {
            assert_eq!(current_number(), Some(1));
            drop(attached(2));
        }
    }
    static LATE: ContextKey<Late> = ContextKey::new("late");
    let _plain = attached(1);
    drop(attach(Context::new().with_value(&LATE, Late)));
    assert_eq!(current_number(), Some(1));
}

#[test]
fn values_travel_with_a_future() {
    struct Tenants(Vec<Option<&'static str>>);
    impl Future for Tenants {
        type Output = Vec<Option<&'static str>>;
        fn poll(mut self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<Self::Output> {
            let mut span = crate::hosted::trace::Span::non_recording(span(3));
            self.0.push(span.in_scope(|_| current_tenant()));
            match self.0.len() {
                1 => Poll::Pending,
                _ => Poll::Ready(core::mem::take(&mut self.0)),
            }
        }
    }
    let values = with_tenant("acme");
    let mut futures = std::vec![
        std::boxed::Box::pin(Tenants(Vec::new()).with_current_context()),
        std::boxed::Box::pin(
            Tenants(Vec::new()).in_span(&crate::hosted::trace::Span::non_recording(span(2)))
        ),
    ];
    drop(values);
    let _others = with_tenant("globex");
    let mut task = TaskContext::from_waker(Waker::noop());
    for future in &mut futures {
        assert!(future.as_mut().poll(&mut task).is_pending());
        let seen = future.as_mut().poll(&mut task);
        assert_eq!(seen, Poll::Ready(std::vec![Some("acme"); 2]));
    }
    assert_eq!(current_tenant(), Some("globex"));
}
