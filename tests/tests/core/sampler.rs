//! Properties of the samplers that tables cannot show (invariant I55).

use proptest::prelude::*;
use spandrel_core::context::{ParentContext, SpanContext, SpanKind, TraceFlags};
use spandrel_core::id::{SpanId, TraceId};
use spandrel_core::sampler::{
    BuiltinSampler, ParentBased, Sampler, SamplingDecision, SamplingParameters, SamplingScratch,
    TraceIdRatioBased,
};
use spandrel_testkit::strategies::sampler::{fractions, trace_ids_near as near};

fn trace_id(bytes: u128) -> TraceId {
    TraceId::from_bytes(bytes.to_be_bytes())
}

fn decide(
    sampler: &impl Sampler,
    parent: ParentContext<'_>,
    trace_id: TraceId,
    name: &str,
) -> SamplingDecision {
    let scratch = SamplingScratch::new();
    let mut parameters = SamplingParameters::new(trace_id, name, &scratch);
    parameters.parent = parent;
    parameters.kind = SpanKind::Server;
    let result = sampler.should_sample(&parameters);
    assert_eq!(result.trace_state, parent.trace_state, "passed through");
    result.decision
}

proptest! {
    #[test]
    fn a_decision_depends_on_the_low_half_of_the_id_alone(
        ratio in 0.0..=1.0_f64,
        high: u64,
        other: u64,
        low: u64,
        name in ".{0,20}",
        flags: u8,
    ) {
        let sampler = TraceIdRatioBased::new(ratio);
        let first = trace_id(u128::from(high) << 64 | u128::from(low));
        let second = trace_id(u128::from(other) << 64 | u128::from(low));
        let parent = ParentContext {
            span_context: SpanContext::remote(
                second,
                SpanId::from_bytes([1; 8]),
                TraceFlags::from_bits(flags),
            ),
            trace_state: "ot=th:c",
        };
        let expected = decide(&sampler, ParentContext::ROOT, first, "x");
        prop_assert_eq!(decide(&sampler, parent, second, &name), expected);
        prop_assert_eq!(decide(&TraceIdRatioBased::new(ratio), parent, first, &name), expected);
    }

    #[test]
    fn a_higher_ratio_samples_a_superset(
        (p, id) in (0.0..=1.0_f64).prop_flat_map(|p| (Just(p), prop_oneof![
            near(p),
            any::<u128>().prop_map(trace_id),
        ])),
        q in 0.0..=1.0_f64,
    ) {
        for q in [q, p.next_up(), p.next_down()] {
            let (low, high) = (TraceIdRatioBased::new(p.min(q)), TraceIdRatioBased::new(p.max(q)));
            prop_assert!(!low.samples(id) || high.samples(id), "{p} {q}");
        }
    }

    #[test]
    fn the_threshold_is_exact_for_every_fraction(
        // spec D-087
        (fraction, id) in fractions().prop_flat_map(|fraction| {
            (Just(fraction), near(fraction.to_f64()))
        }),
    ) {
        let sampler = TraceIdRatioBased::new(fraction.to_f64());
        prop_assert_eq!(sampler.samples(id), fraction.samples(id));
    }

    #[test]
    fn any_float_gives_a_sampler(bits: u64, id: u128) {
        let ratio = f64::from_bits(bits);
        let sampler = TraceIdRatioBased::new(ratio);
        prop_assert!((0.0..=1.0).contains(&sampler.ratio()));
        if ratio >= 1.0 {
            prop_assert!(sampler.samples(trace_id(id)));
        } else if ratio <= 0.0 || ratio.is_nan() {
            prop_assert!(!sampler.samples(trace_id(id)));
        }
    }

    #[test]
    fn services_of_one_trace_agree_whoever_starts_it(ratio in 0.0..=1.0_f64, id in 1..=u128::MAX) {
        // The caller decides by ratio; the one called follows, whatever its own ratio.
        let caller = BuiltinSampler::ParentBasedTraceIdRatio(TraceIdRatioBased::new(ratio));
        let decision = decide(&caller, ParentContext::ROOT, trace_id(id), "root");
        let flags = TraceFlags::NONE.with_sampled(decision.is_sampled());
        let parent = SpanContext::remote(trace_id(id), SpanId::from_bytes([1; 8]), flags);
        let called = ParentBased::new(TraceIdRatioBased::new(1.0 - ratio));
        prop_assert_eq!(decide(&called, parent.into(), trace_id(id), "child"), decision);
    }
}

#[test]
fn the_share_of_sampled_traces_is_the_ratio() {
    // A full-period generator over 16 bits spread to 64: every ratio k/2^16 is met exactly.
    for k in [0_u64, 1, 655, 6_554, 32_768, 65_535, 65_536] {
        let sampler = TraceIdRatioBased::new(k as f64 / 65_536.0);
        let sampled = (0..1_u64 << 16)
            .filter(|i| sampler.samples(trace_id(u128::from(i << 48))))
            .count();
        assert_eq!(sampled as u64, k);
    }
}
