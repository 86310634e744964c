//! The stack of this crate and the API's behave as one: against a naive model, in every nesting of
//! four contexts and in every order in which their guards are dropped.

use opentelemetry_0_33::baggage::BaggageExt as _;
use opentelemetry_0_33::trace::{SpanContext, TraceContextExt as _, Tracer as _};
use opentelemetry_0_33::{Context as Theirs, ContextGuard, KeyValue};
use spandrel_core::hosted::baggage::Baggage;
use spandrel_core::hosted::current::{
    self, Context, Guard, SuppressGuard, is_suppressed, suppress,
};
use spandrel_core::hosted::opentelemetry_0_33::BridgeTracer;
use spandrel_core::hosted::testing::Capture;
use spandrel_core::hosted::trace::Tracer;

/// What can be made current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    OurSpan,
    TheirSpan,
    OurBaggage,
    TheirBaggage,
    OurEmpty,
    TheirEmpty,
}

const KINDS: [Kind; 6] = [
    Kind::OurSpan,
    Kind::TheirSpan,
    Kind::OurBaggage,
    Kind::TheirBaggage,
    Kind::OurEmpty,
    Kind::TheirEmpty,
];

/// The naive model: one list, whose last element is current.
#[derive(Default)]
struct Model(Vec<(usize, Current)>);

/// Every span that is made current is a root, so its trace is its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Current {
    trace: [u8; 16],
    baggage: String,
}

impl Model {
    fn current(&self) -> Current {
        self.0.last().map(|(_, it)| it.clone()).unwrap_or_default()
    }

    fn attach(&mut self, number: usize, kind: Kind, trace: [u8; 16]) {
        let around = self.current();
        let current = match kind {
            Kind::OurSpan | Kind::TheirSpan => Current { trace, ..around },
            Kind::OurBaggage | Kind::TheirBaggage => Current {
                baggage: number.to_string(),
                ..around
            },
            Kind::OurEmpty | Kind::TheirEmpty => Current::default(),
        };
        self.0.push((number, current));
    }

    fn detach(&mut self, number: usize) {
        self.0.retain(|(other, _)| *other != number);
    }
}

enum Held {
    Ours(#[allow(dead_code, reason = "it is dropped")] Guard),
    Theirs(#[allow(dead_code, reason = "it is dropped")] ContextGuard),
}

struct Both {
    ours: Tracer,
    theirs: BridgeTracer,
}

impl Both {
    fn new(capture: &Capture) -> Self {
        let ours = capture.tracer("model");
        Self {
            theirs: ours.clone().into(),
            ours,
        }
    }

    fn attach(&self, number: usize, kind: Kind) -> (Held, [u8; 16]) {
        let mut trace = [0; 16];
        let held = match kind {
            Kind::OurSpan => {
                let span = self.ours.span("root").root().start();
                trace = span.context().trace_id().to_bytes();
                Held::Ours(span.enter())
            }
            Kind::TheirSpan => {
                let span = self.theirs.start_with_context("root", &Theirs::new());
                let context = Theirs::current_with_span(span);
                trace = context.span().span_context().trace_id().to_bytes();
                Held::Theirs(context.attach())
            }
            Kind::OurBaggage => {
                let baggage = Baggage::new().with("number", number);
                Held::Ours(baggage.attach())
            }
            Kind::TheirBaggage => {
                let entry = KeyValue::new("number", number.to_string());
                Held::Theirs(Theirs::current_with_baggage(vec![entry]).attach())
            }
            Kind::OurEmpty => Held::Ours(current::attach(Context::new())),
            Kind::TheirEmpty => Held::Theirs(Theirs::new().attach()),
        };
        (held, trace)
    }

    /// What both sides think is current.
    fn check(&self, model: &Model, what: &dyn Fn() -> String) {
        let expected = model.current();
        let ours = current::current().unwrap_or_default();
        let theirs = Theirs::current();
        let read = |trace: [u8; 16], baggage: Option<String>| Current {
            trace,
            baggage: baggage.unwrap_or_default(),
        };
        let number = ours.baggage().get("number").map(str::to_owned);
        let seen = read(ours.span_context().trace_id().to_bytes(), number);
        assert_eq!(seen, expected, "ours: {}", what());
        let number = theirs.baggage().get("number").map(ToString::to_string);
        let seen = read(theirs.span().span_context().trace_id().to_bytes(), number);
        assert_eq!(seen, expected, "theirs: {}", what());
    }

    /// What a span that starts now begins with.
    fn check_starts(&self, model: &Model, what: &dyn Fn() -> String) {
        self.check(model, what);
        let expected = model.current();
        if expected.trace != [0; 16] {
            let child = self.ours.start("child");
            assert_eq!(
                child.context().trace_id().to_bytes(),
                expected.trace,
                "{}",
                what()
            );
            let mut child = self.theirs.start("child");
            let trace = opentelemetry_0_33::trace::Span::span_context(&child).trace_id();
            assert_eq!(trace.to_bytes(), expected.trace, "{}", what());
            opentelemetry_0_33::trace::Span::end(&mut child);
        }
    }
}

/// All sequences of `depth` of the first `count` kinds.
fn sequences(count: usize, depth: u32) -> impl Iterator<Item = Vec<Kind>> {
    (0..count.pow(depth)).map(move |number| {
        let digit = |at: u32| number / count.pow(at) % count;
        (0..depth).map(|at| KINDS[digit(at)]).collect()
    })
}

#[test]
fn two_stacks_behave_as_one_in_every_nesting_and_every_order_of_guards() {
    let capture = Capture::new();
    let both = Both::new(&capture);
    let mut checked = 0;
    // Empty contexts hide what is below them, so three in a row show all about them.
    for kinds in sequences(4, 4).chain(sequences(6, 3)) {
        for order in 0..(1..=kinds.len()).product() {
            let mut model = Model::default();
            let mut held = Vec::new();
            for (number, kind) in kinds.iter().enumerate() {
                let (guard, trace) = both.attach(number, *kind);
                model.attach(number, *kind, trace);
                held.push((number, guard));
                if order == 0 {
                    both.check_starts(&model, &|| format!("{:?}", &kinds[..=number]));
                }
            }
            let mut choice = order;
            while !held.is_empty() {
                let at = choice % held.len();
                choice /= held.len();
                let (number, guard) = held.remove(at);
                drop(guard);
                model.detach(number);
                both.check(&model, &|| {
                    format!("{kinds:?} in order {order}, without {number}")
                });
                checked += 1;
            }
        }
        capture.reset();
    }
    assert_eq!(checked, 256 * 24 * 4 + 216 * 6 * 3);
    assert_eq!(capture.counts().live, 0);
}

#[test]
fn what_is_attached_while_others_are_dropped_is_current() {
    let capture = Capture::new();
    let both = Both::new(&capture);
    // A walk of attaching and dropping that never comes to rest, from a fixed seed.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let (mut model, mut held) = (Model::default(), Vec::new());
    for number in 0..20_000 {
        if held.len() < 4 && (held.is_empty() || next(2) == 0) {
            let kind = KINDS[next(KINDS.len())];
            let (guard, trace) = both.attach(number, kind);
            model.attach(number, kind, trace);
            held.push((number, guard));
        } else {
            let (number, guard) = held.remove(next(held.len()));
            drop(guard);
            model.detach(number);
        }
        both.check_starts(&model, &|| format!("step {number}"));
        if number % 1000 == 0 {
            capture.reset();
        }
    }
}

#[test]
fn suppression_holds_both_ways() {
    enum Quiet {
        Ours(#[allow(dead_code, reason = "it is dropped")] SuppressGuard),
        Theirs(#[allow(dead_code, reason = "it is dropped")] ContextGuard),
    }
    let capture = Capture::new();
    let both = Both::new(&capture);
    for kinds in 0..8 {
        for order in 0..6 {
            let mut quiet: Vec<Quiet> = (0..3)
                .map(|at| match kinds >> at & 1 {
                    0 => Quiet::Ours(suppress()),
                    _ => Quiet::Theirs(Theirs::enter_telemetry_suppressed_scope()),
                })
                .collect();
            let mut choice = order;
            loop {
                let expected = !quiet.is_empty();
                assert_eq!(is_suppressed(), expected);
                assert_eq!(Theirs::is_current_telemetry_suppressed(), expected);
                assert_eq!(both.ours.start("ours").is_recording(), !expected);
                let theirs = both.theirs.start("theirs");
                let recording = opentelemetry_0_33::trace::Span::is_recording(&theirs);
                assert_eq!(recording, !expected);
                // What is entered meanwhile is suppressed as well.
                let inner = both.ours.span("inner").root().start();
                let entered = inner.enter();
                assert_eq!(Theirs::is_current_telemetry_suppressed(), expected);
                drop(entered);
                if quiet.is_empty() {
                    break;
                }
                let at = choice % quiet.len();
                choice /= quiet.len();
                drop(quiet.remove(at));
            }
        }
    }
}

#[test]
fn a_suppressed_parent_suppresses_its_children_and_goes_on() {
    let capture = Capture::new();
    let both = Both::new(&capture);
    let parent = both.theirs.start("parent");
    let parent = Theirs::new().with_span(parent).with_telemetry_suppressed();
    let child = both.theirs.start_with_context("child", &parent);
    assert!(!opentelemetry_0_33::trace::Span::is_recording(&child));
    let context = opentelemetry_0_33::trace::Span::span_context(&child);
    assert_eq!(context.span_id(), parent.span().span_context().span_id());
}

#[test]
fn values_of_ours_are_there_within_theirs() {
    static TENANT: current::ContextKey<&str> = current::ContextKey::new("tenant");
    let capture = Capture::new();
    let both = Both::new(&capture);
    let _tenant = current::attach(Context::new().with_value(&TENANT, "acme"));
    let span = both.theirs.start("theirs");
    let theirs = Theirs::current_with_span(span);
    let _inside = theirs.clone().attach();
    let tenant = || current::current().and_then(|it| it.value(&TENANT).copied());
    assert_eq!(tenant(), Some("acme"));
    both.ours
        .start("ours")
        .in_scope(|_| assert_eq!(tenant(), Some("acme")));
    // On another thread, in the context that was carried there.
    std::thread::spawn(move || {
        let _inside = theirs.attach();
        assert_eq!(
            current::current().and_then(|it| it.value(&TENANT).copied()),
            Some("acme")
        );
    })
    .join()
    .unwrap();
}

#[test]
fn entries_of_theirs_are_there_within_ours() {
    #[derive(Debug, PartialEq)]
    struct Tenant(&'static str);
    let capture = Capture::new();
    let both = Both::new(&capture);
    let _tenant = Theirs::current_with_value(Tenant("acme")).attach();
    both.ours.start("ours").in_scope(|_| {
        assert_eq!(Theirs::current().get(), Some(&Tenant("acme")));
    });
}

#[test]
fn a_span_that_is_entered_in_a_read_of_their_context_is_current_here() {
    let capture = Capture::new();
    let both = Both::new(&capture);
    let span = both.ours.start("ours");
    Theirs::map_current(|_| {
        let _entered = span.enter();
        assert_eq!(current::current_span_context(), Some(*span.context()));
    });
    assert_eq!(current::current_span_context(), None);
    assert_eq!(Theirs::current().span().span_context(), &SpanContext::NONE);
}

#[test]
fn a_thread_may_end_with_everything_attached() {
    /// Theirs cannot be dropped so late themselves: their guards panic there.
    struct AtExit(Option<(Guard, SuppressGuard)>);
    impl Drop for AtExit {
        fn drop(&mut self) {
            let _ = (current::current(), is_suppressed());
            let _late = (current::attach(Context::new()), suppress());
            drop(BridgeTracer::from(Tracer::disabled()));
            self.0.take();
        }
    }
    std::thread_local! {
        static FIRST: std::cell::RefCell<AtExit> = const { std::cell::RefCell::new(AtExit(None)) };
        static LAST: std::cell::RefCell<AtExit> = const { std::cell::RefCell::new(AtExit(None)) };
    }
    let capture = Capture::new();
    let both = Both::new(&capture);
    std::thread::spawn(move || {
        FIRST.with_borrow_mut(|late| late.0 = None);
        let attached = |both: &Both| (both.ours.start("ours").enter(), suppress());
        FIRST.with_borrow_mut(|late| late.0 = Some(attached(&both)));
        core::mem::forget(Theirs::current_with_span(both.theirs.start("theirs")).attach());
        LAST.with_borrow_mut(|late| late.0 = Some(attached(&both)));
    })
    .join()
    .unwrap();
}
