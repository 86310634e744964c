//! What composite samplers decide, and their parts.

use core::any::Any;
use core::fmt;
use std::string::{String, ToString};
use std::vec::Vec;

#[cfg(feature = "std")]
use super::TraceStateProvider;
use super::{
    ComposableAlwaysOff, ComposableAlwaysOn, ComposableAnnotating, ComposableParentThreshold,
    ComposableProbability, ComposableRuleBased, ComposableSampler, CompositeSampler, Condition,
    IntentParameters, ProbabilitySampler, Randomness, Rule, SamplingIntent, Threshold,
};
use crate::attribute::{KeyValue, Value};
use crate::context::{ParentContext, SpanContext, SpanKind, TraceFlags};
use crate::id::{SpanId, TraceId};
use crate::resource::InstrumentationScope;
use crate::sampler::{
    AlwaysOn, Description, ParentBased, Sampler, SamplingParameters, SamplingResult,
    SamplingScratch,
};

const KEPT: u64 = 0xff_ffff_ffff_ffff;
const LOST: u64 = 0;

fn id(tail: u64) -> TraceId {
    TraceId::from_bytes((0xab_u128 << 120 | u128::from(tail)).to_be_bytes())
}

/// Asks about a span under a parent that is sampled, or is not; `None` is a root.
fn ask(
    sampler: &dyn Sampler,
    tail: u64,
    parent: Option<(bool, &str)>,
) -> (bool, String, Vec<String>) {
    let scratch = SamplingScratch::new();
    let mut parameters = SamplingParameters::new(id(tail), "name", &scratch);
    if let Some((is_sampled, trace_state)) = parent {
        let flags = TraceFlags::NONE.with_sampled(is_sampled);
        parameters.parent = ParentContext {
            span_context: SpanContext::remote(id(tail), SpanId::from_bytes([1; 8]), flags),
            trace_state,
        };
    }
    let result = sampler.should_sample(&parameters);
    let keys = result.attributes.iter().map(|attribute| attribute.key);
    (
        result.decision.is_sampled(),
        result.trace_state.into(),
        keys.map(String::from).collect(),
    )
}

fn decided(sampler: &dyn Sampler, tail: u64, parent: Option<(bool, &str)>) -> (bool, String) {
    let (kept, state, _) = ask(sampler, tail, parent);
    (kept, state)
}

#[test]
fn a_part_alone_decides_by_its_threshold() {
    let state = Some((true, "ot=th:1;rv:ffffffffffffff,a=b"));
    let on = CompositeSampler::new(ComposableAlwaysOn);
    assert_eq!(decided(&on, LOST, None), (true, "ot=th:0".into()));
    let after = "ot=th:0;rv:ffffffffffffff,a=b";
    assert_eq!(decided(&on, LOST, state), (true, after.into()));
    let off = CompositeSampler::new(ComposableAlwaysOff);
    assert_eq!(decided(&off, KEPT, None), (false, String::new()));
    let after = "ot=rv:ffffffffffffff,a=b";
    assert_eq!(decided(&off, KEPT, state), (false, after.into()));
    for ratio in [0.0, 1.1, f64::NAN] {
        assert!(ComposableProbability::new(ratio).is_none());
    }
}

#[test]
fn a_share_in_a_composite_is_a_probability_sampler() {
    let parents = [
        None,
        Some((true, "")),
        Some((false, "ot=th:8")),
        Some((true, "a=b,ot=rv:c0000000000000;th:c;x:1")),
        Some((true, "a=b,ot=rv:bfffffffffffff")),
    ];
    let one = ProbabilitySampler::new(0.25).unwrap();
    let other = CompositeSampler::new(ComposableProbability::new(0.25).unwrap());
    for parent in parents {
        for tail in [LOST, 0xbf_ffff_ffff_ffff, 0xc0_0000_0000_0000, KEPT] {
            assert_eq!(decided(&one, tail, parent), decided(&other, tail, parent));
        }
    }
}

/// The table of the parent's threshold: who is sampled, and what travels on.
#[test]
fn children_follow_their_parents_threshold() {
    let root = ComposableProbability::new(0.25).unwrap();
    let sampler = CompositeSampler::new(ComposableParentThreshold::new(root));
    for (tail, parent, kept, after) in [
        (KEPT, None, true, "ot=th:c"),
        (LOST, None, false, ""),
        (KEPT, Some((true, "ot=th:8")), true, "ot=th:8"),
        (LOST, Some((false, "ot=th:8")), false, ""),
        // No threshold: nobody knows the probability, and the flag decides.
        (LOST, Some((true, "a=b")), true, "a=b"),
        (KEPT, Some((false, "a=b")), false, "a=b"),
        (LOST, Some((true, "ot=th:XX")), true, ""),
        // One that does not explain the parent's flag is not true, so it goes.
        (LOST, Some((true, "ot=th:8;x:1")), true, "ot=x:1"),
        (KEPT, Some((false, "ot=th:8")), false, ""),
    ] {
        assert_eq!(
            decided(&sampler, tail, parent),
            (kept, after.into()),
            "{parent:?}"
        );
    }
}

#[test]
fn an_invalid_parents_threshold_is_not_followed() {
    let scratch = SamplingScratch::new();
    let mut parameters = SamplingParameters::new(id(LOST), "name", &scratch);
    parameters.parent.trace_state = "ot=th:0";
    let sampler = CompositeSampler::new(ComposableParentThreshold::new(ComposableAlwaysOff));
    assert!(!sampler.should_sample(&parameters).decision.is_sampled());
}

#[test]
fn attributes_of_all_annotating_parts_are_added_to_what_is_kept() {
    let (inner, outer) = ([KeyValue::i64("inner", 1)], [KeyValue::i64("outer", 2)]);
    let share = ComposableProbability::new(0.5).unwrap();
    let part = ComposableAnnotating::new(&inner, share);
    let sampler = CompositeSampler::new(ComposableAnnotating::new(&outer, part));
    assert_eq!(ask(&sampler, KEPT, None).2, ["inner", "outer"]);
    assert!(ask(&sampler, LOST, None).2.is_empty());
    let off = CompositeSampler::new(ComposableAnnotating::new(&outer, ComposableAlwaysOff));
    assert!(ask(&off, KEPT, None).2.is_empty());
}

/// Gives the attributes that a span got, and another tracestate.
#[cfg(feature = "std")]
struct Naming;

#[cfg(feature = "std")]
impl ComposableSampler for Naming {
    fn sampling_intent<'a>(&'a self, parameters: &IntentParameters<'a>) -> SamplingIntent<'a> {
        let name = KeyValue::str("named", parameters.name());
        let attributes = parameters.scratch().keep_attributes([name]);
        SamplingIntent {
            attributes: attributes.unwrap_or_default(),
            trace_state: Some(self),
            ..SamplingIntent::keep(Threshold::from_ratio(0.5).unwrap())
        }
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Naming")
    }
}

#[cfg(feature = "std")]
impl TraceStateProvider for Naming {
    fn trace_state<'a>(
        &'a self,
        parent: &'a str,
        is_sampled: bool,
        scratch: &'a SamplingScratch<'a>,
    ) -> &'a str {
        let state: crate::context::TraceState = parent.parse().unwrap();
        let value = if is_sampled { "kept" } else { "lost" };
        let state = state.insert("own", value).unwrap();
        // Not allowed, and without effect.
        let state = state.insert("ot", "rv:00000000000000").unwrap();
        scratch.keep_trace_state(state).unwrap_or(parent)
    }
}

#[cfg(feature = "std")]
#[test]
fn a_part_may_compute_attributes_and_a_tracestate_but_not_ot() {
    let sampler = CompositeSampler::new(Naming);
    let (kept, state, keys) = ask(&sampler, KEPT, Some((true, "a=b")));
    assert!(kept);
    assert_eq!(
        (&*state, &*keys),
        ("ot=th:8,own=kept,a=b", &["named".to_string()][..])
    );
    let parent = Some((true, "ot=rv:00000000000001,a=b"));
    let (kept, state, keys) = ask(&sampler, KEPT, parent);
    assert!(!kept && keys.is_empty());
    assert_eq!(state, "ot=rv:00000000000001,own=lost,a=b");
}

/// Wishes a share that is no probability.
struct Unreliable;

impl ComposableSampler for Unreliable {
    fn sampling_intent<'a>(&'a self, _: &IntentParameters<'a>) -> SamplingIntent<'a> {
        SamplingIntent {
            adjusted_count_reliable: false,
            ..SamplingIntent::keep(Threshold::from_ratio(0.25).unwrap())
        }
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unreliable")
    }
}

#[test]
fn a_share_that_is_not_reliable_takes_other_randomness_and_is_not_told() {
    let sampler = CompositeSampler::new(Unreliable);
    // All these traces have the same randomness.
    let kept = (0..10_000_u128).filter(|high| {
        let scratch = SamplingScratch::new();
        let id = TraceId::from_bytes((high << 64 | u128::from(KEPT)).to_be_bytes());
        let result = sampler.should_sample(&SamplingParameters::new(id, "name", &scratch));
        assert_eq!(result.trace_state, "");
        result.decision.is_sampled()
    });
    let kept = kept.count();
    assert!((2300..2700).contains(&kept), "{kept}");
    let states = [KEPT, LOST].map(|tail| decided(&sampler, tail, Some((true, "ot=th:8"))).1);
    assert_eq!(states, [String::new(), String::new()]);
}

struct Surroundings;

impl crate::sampler::SamplingContext for Surroundings {
    fn scope(&self) -> Option<InstrumentationScope<'_>> {
        Some(InstrumentationScope::new("shop"))
    }

    fn context(&self) -> Option<&dyn Any> {
        Some(&7_u32)
    }
}

#[test]
fn each_condition_matches_what_it_says() {
    let scratch = SamplingScratch::new();
    let attributes = [KeyValue::str("http.route", "/x"), KeyValue::i64("n", 1)];
    let mut span = SamplingParameters::new(id(KEPT), "GET /x", &scratch);
    span.kind = SpanKind::Server;
    span.attributes = &attributes;
    let root = IntentParameters::new(&span, Randomness::from_bits(0));
    span.surroundings = Some(&Surroundings);
    let make = [SpanContext::remote, SpanContext::new];
    let [remote, local] = make.map(|make| {
        let mut span = span;
        span.parent = make(id(KEPT), SpanId::from_bytes([1; 8]), TraceFlags::NONE).into();
        IntentParameters::new(&span, Randomness::from_bits(0))
    });
    let is_seven = |span: &IntentParameters<'_>| span.context::<u32>() == Some(&7);
    let rows = [
        (Condition::Any, [true; 3]),
        (Condition::Name("GET /x"), [true; 3]),
        (Condition::Name("GET /"), [false; 3]),
        (Condition::NamePrefix("GET /"), [true; 3]),
        (Condition::NamePrefix("/x"), [false; 3]),
        (Condition::Kind(SpanKind::Server), [true; 3]),
        (Condition::Kind(SpanKind::Client), [false; 3]),
        (
            Condition::Attribute("http.route", Value::String("/x")),
            [true; 3],
        ),
        (
            Condition::Attribute("http.route", Value::String("/y")),
            [false; 3],
        ),
        (Condition::Attribute("n", Value::Bool(true)), [false; 3]),
        (Condition::HasAttribute("n"), [true; 3]),
        (Condition::HasAttribute("m"), [false; 3]),
        (Condition::Scope("shop"), [false, true, true]),
        (Condition::Scope("other"), [false; 3]),
        (Condition::Root, [true, false, false]),
        (Condition::RemoteParent, [false, true, false]),
        (Condition::LocalParent, [false, false, true]),
        (
            Condition::All(&[Condition::Any, Condition::Root]),
            [true, false, false],
        ),
        (
            Condition::AnyOf(&[Condition::LocalParent, Condition::Root]),
            [true, false, true],
        ),
        (Condition::All(&[]), [true; 3]),
        (Condition::AnyOf(&[]), [false; 3]),
        (Condition::Not(&Condition::Root), [false, true, true]),
        (Condition::Matching(&is_seven), [false, true, true]),
    ];
    for (condition, expected) in rows {
        let matches = [root, remote, local].map(|span| condition.matches(&span));
        assert_eq!(matches, expected, "{condition:?}");
    }
}

#[test]
fn the_first_rule_that_matches_decides_and_no_rule_drops() {
    let parts: [&dyn ComposableSampler; 2] = [&ComposableAlwaysOff, &ComposableAlwaysOn];
    let of = |conditions: [Condition<'static>; 2]| {
        let rules = [0, 1].map(|i| Rule::new(conditions[i], parts[i]));
        decided(
            &CompositeSampler::new(ComposableRuleBased::new(rules)),
            KEPT,
            None,
        )
        .0
    };
    assert!(!of([Condition::Any, Condition::Any]));
    assert!(of([Condition::Name("other"), Condition::Any]));
    assert!(!of([Condition::Name("other"), Condition::RemoteParent]));
    let none: &[Rule<'_, ComposableAlwaysOn>] = &[];
    assert!(
        !decided(
            &CompositeSampler::new(ComposableRuleBased::new(none)),
            KEPT,
            None
        )
        .0
    );
}

#[test]
fn parts_describe_themselves() {
    let tenth = ComposableProbability::new(0.1).unwrap();
    let rules: [Rule<'_, &dyn ComposableSampler>; 2] = [
        Rule::new(Condition::Name("GET /health"), &ComposableAlwaysOff),
        Rule::new(Condition::Any, &tenth),
    ];
    let rules = ComposableRuleBased::new(rules);
    let annotating = ComposableAnnotating::new(&[], ComposableParentThreshold::new(rules));
    assert_eq!(
        Description(&CompositeSampler::new(annotating)).to_string(),
        "CompositeSampler{ComposableAnnotating{ComposableParentThreshold{root:\
         ComposableRuleBased{(name=\"GET /health\":ComposableAlwaysOff),\
         (any:ComposableProbability{0.1})}}}}"
    );
}

/// Counts how often it was shut down.
#[derive(Default)]
struct Counting(core::cell::Cell<u32>);

impl Sampler for Counting {
    fn should_sample<'a>(&'a self, parameters: &SamplingParameters<'a>) -> SamplingResult<'a> {
        AlwaysOn.should_sample(parameters)
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counting")
    }

    fn shutdown(&self) {
        self.0.set(self.0.get() + 1);
    }
}

impl ComposableSampler for Counting {
    fn sampling_intent<'a>(&'a self, _: &IntentParameters<'a>) -> SamplingIntent<'a> {
        SamplingIntent::DROP
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counting")
    }

    fn shutdown(&self) {
        Sampler::shutdown(self);
    }
}

#[test]
fn a_shutdown_reaches_every_part() {
    let counting = Counting::default();
    let rules = [Rule::new(Condition::Any, &counting)];
    let part = ComposableAnnotating::new(&[], ComposableRuleBased::new(rules));
    CompositeSampler::new(ComposableParentThreshold::new(part)).shutdown();
    assert_eq!(counting.0.get(), 1);
    let five = ParentBased::new(&counting)
        .with_local_parent_not_sampled(&counting)
        .with_local_parent_sampled(&counting)
        .with_remote_parent_not_sampled(&counting)
        .with_remote_parent_sampled(&counting);
    Sampler::shutdown(&crate::sampler::AlwaysRecord::new(five));
    assert_eq!(counting.0.get(), 6);
}
