//! What samplers and ids of the program cost, and the decision about finished traces.

use std::sync::{Arc, Mutex};

use spandrel_core::hosted::config::{Config, Keep};
use spandrel_core::hosted::sampling::RateLimiter;
use spandrel_core::id::{IdGenerator, SpanId, TraceId};
use spandrel_core::sampler::{
    AlwaysOn, ComposableAlwaysOff, ComposableParentThreshold, ComposableProbability,
    ComposableRuleBased, ComposableSampler, CompositeSampler, Condition, ParentBased,
    ProbabilitySampler, Rule, Sampler,
};

use super::draining::drain_with;
use super::{OPS, Prepared, long_queue, plain, spans_with};

fn sampled_by(sampler: impl Sampler + Send + Sync + 'static) -> Prepared {
    let config = Config {
        sampler: Some(Arc::new(sampler)),
        ..long_queue(8 * OPS)
    };
    spans_with(config, plain)
}

/// A root with its threshold in the tracestate.
pub(super) fn probability() -> Prepared {
    sampled_by(ProbabilitySampler::new(1.0).expect("a probability"))
}

/// The second of two rules, for spans without a parent.
pub(super) fn rules() -> Prepared {
    type Part = Box<dyn ComposableSampler + Send + Sync>;
    let all = ComposableProbability::new(1.0).expect("a probability");
    let rules: Vec<Rule<'static, Part>> = vec![
        Rule::new(
            Condition::Name("GET /health"),
            Box::new(ComposableAlwaysOff),
        ),
        Rule::new(Condition::Any, Box::new(all)),
    ];
    let rules = ComposableRuleBased::new(rules);
    sampled_by(CompositeSampler::new(ComposableParentThreshold::new(rules)))
}

/// A limit that is never reached.
pub(super) fn rate_limit() -> Prepared {
    sampled_by(ParentBased::new(RateLimiter::new(AlwaysOn, u32::MAX)))
}

struct Counting(u64);

impl IdGenerator for Counting {
    const RANDOM: bool = false;

    fn trace_id(&mut self) -> TraceId {
        self.0 += 1;
        TraceId::from_bytes(u128::from(self.0).to_be_bytes())
    }

    fn span_id(&mut self) -> SpanId {
        self.0 += 1;
        SpanId::from_bytes(self.0.to_be_bytes())
    }
}

pub(super) fn own_ids() -> Prepared {
    let config = Config {
        id_generator: Some(Arc::new(Mutex::new(Counting(0)))),
        ..long_queue(8 * OPS)
    };
    spans_with(config, plain)
}

/// All traces are kept, so that each span is held, decided and sent.
pub(super) fn keep() -> Prepared {
    drain_with(|config| {
        config.keep = Some(Keep {
            share: 1.0,
            ..Keep::default()
        });
    })
}
