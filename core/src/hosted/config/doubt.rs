//! Warnings about samplers that decide about children where that is unreliable.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::ToString;
use std::sync::Arc;

use crate::hosted::diagnostics::{Kind, Severity, report_cause};
use crate::sampler::{Description, OtelTraceState, Sampler, SamplingParameters, SamplingResult};

type Shared = Arc<dyn Sampler + Send + Sync>;

/// What is doubtful about a sampler's decision on a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// [`TraceIdRatioBased`](crate::sampler::TraceIdRatioBased) as a whole: it does not look at the
    /// parent.
    AnyChild,
    /// [`ProbabilitySampler`](crate::sampler::ProbabilitySampler): the trace id may not be random.
    NoRandomness,
}

/// A sampler that warns once.
struct Doubted {
    sampler: Shared,
    doubt: Doubt,
    is_told: AtomicBool,
}

/// `sampler`, which warns once if it decides about a child where that is unreliable.
///
/// <https://opentelemetry.io/docs/specs/otel/trace/sdk/#traceidratiobased>
/// <https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/>
pub(super) fn doubted(sampler: Shared) -> Shared {
    // It is the program's code.
    let description = catch_unwind(AssertUnwindSafe(|| Description(&*sampler).to_string()));
    let description = description.unwrap_or_default();
    // As the root of another one a sampler decides about no child, and its name comes later.
    let doubt = if description.starts_with("TraceIdRatioBased{") {
        Doubt::AnyChild
    } else if description.starts_with("ProbabilitySampler{") {
        Doubt::NoRandomness
    } else {
        return sampler;
    };
    Arc::new(Doubted {
        sampler,
        doubt,
        is_told: AtomicBool::new(false),
    })
}

impl Sampler for Doubted {
    fn should_sample<'a>(&'a self, parameters: &SamplingParameters<'a>) -> SamplingResult<'a> {
        let result = self.sampler.should_sample(parameters);
        let parent = &parameters.parent;
        if parent.span_context.is_valid() && !self.is_told.load(Ordering::Relaxed) {
            let is_doubtful = match self.doubt {
                Doubt::AnyChild => true,
                Doubt::NoRandomness => {
                    result.decision.is_sampled()
                        && !parent.span_context.trace_flags().is_random()
                        && OtelTraceState::of(parent.trace_state)
                            .randomness()
                            .is_none()
                }
            };
            if is_doubtful {
                self.tell();
            }
        }
        result
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sampler.description(f)
    }

    fn shutdown(&self) {
        self.sampler.shutdown();
    }
}

impl Doubted {
    #[cold]
    fn tell(&self) {
        if self.is_told.swap(true, Ordering::Relaxed) {
            return;
        }
        let name = Description(&*self.sampler).to_string();
        let (cause, why) = match self.doubt {
            Doubt::AnyChild => (
                "child",
                "decides about a child without looking at its parent, so traces may have gaps; use it \
                 as the root of ParentBased, or ProbabilitySampler",
            ),
            Doubt::NoRandomness => (
                "random",
                "has sampled a child by a trace id that is not marked as random, so shares may be \
                 wrong; have the service that starts the trace set the random flag or `rv`",
            ),
        };
        report_cause(
            Kind::Misuse,
            Severity::Warn,
            cause,
            format_args!("the sampler {name:.60} {why}"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{ParentContext, SpanContext, TraceFlags};
    use crate::id::{SpanId, TraceId};
    use crate::sampler::{
        AlwaysOn, ParentBased, ProbabilitySampler, SamplingScratch, TraceIdRatioBased,
    };

    /// Asks `sampler` about a child of a parent with these flags and tracestate.
    fn ask(sampler: &dyn Sampler, flags: TraceFlags, trace_state: &'static str) {
        let trace_id = TraceId::from_bytes([0xff; 16]);
        let span_id = SpanId::from_bytes([1; 8]);
        let scratch = SamplingScratch::new();
        let mut parameters = SamplingParameters::new(trace_id, "child", &scratch);
        parameters.parent = ParentContext {
            span_context: SpanContext::new(trace_id, span_id, flags),
            trace_state,
        };
        let _ = sampler.should_sample(&parameters);
    }

    fn doubtful(sampler: impl Sampler + Send + Sync + 'static, doubt: Doubt) -> Doubted {
        let description = Description(&sampler).to_string();
        let sampler: Shared = Arc::new(sampler);
        let same = Description(&*doubted(Arc::clone(&sampler))).to_string();
        assert_eq!(same, description);
        Doubted {
            sampler,
            doubt,
            is_told: AtomicBool::new(false),
        }
    }

    #[test]
    fn d_088_a_ratio_that_decides_about_a_child_is_told_once() {
        let ratio = doubtful(TraceIdRatioBased::new(0.5), Doubt::AnyChild);
        let scratch = SamplingScratch::new();
        let root = SamplingParameters::new(TraceId::from_bytes([1; 16]), "root", &scratch);
        let _ = ratio.should_sample(&root);
        assert!(!ratio.is_told.load(Ordering::Relaxed));
        ask(&ratio, TraceFlags::SAMPLED, "");
        assert!(ratio.is_told.load(Ordering::Relaxed));
    }

    #[test]
    fn d_102_a_child_that_is_sampled_without_randomness_is_told() {
        let random = TraceFlags::SAMPLED.with_random(true);
        for (flags, trace_state, told) in [
            (random, "", false),
            (TraceFlags::SAMPLED, "ot=rv:ffffffffffffff", false),
            (TraceFlags::SAMPLED, "", true),
        ] {
            let share = ProbabilitySampler::new(0.5).unwrap();
            let sampler = doubtful(share, Doubt::NoRandomness);
            ask(&sampler, flags, trace_state);
            assert_eq!(
                sampler.is_told.load(Ordering::Relaxed),
                told,
                "{trace_state}"
            );
        }
    }

    #[test]
    fn samplers_that_follow_the_parent_or_take_no_share_are_left_alone() {
        let share = ProbabilitySampler::new(0.5).unwrap();
        let samplers: [Shared; 3] = [
            Arc::new(AlwaysOn),
            Arc::new(ParentBased::new(TraceIdRatioBased::new(0.5))),
            Arc::new(ParentBased::new(share)),
        ];
        for sampler in samplers {
            assert!(Arc::ptr_eq(&sampler, &doubted(Arc::clone(&sampler))));
        }
    }
}
