//! Sampling by the decision about the parent.

use core::fmt;

use super::{AlwaysOff, AlwaysOn, Description, Sampler, SamplingParameters, SamplingResult};

/// Follows the parent's decision, see the table of the [module](crate::sampler). The
/// specification's
/// [`ParentBased`](https://opentelemetry.io/docs/specs/otel/trace/sdk/#parentbased).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ParentBased<R, RS = AlwaysOn, RN = AlwaysOff, LS = AlwaysOn, LN = AlwaysOff> {
    root: R,
    remote_parent_sampled: RS,
    remote_parent_not_sampled: RN,
    local_parent_sampled: LS,
    local_parent_not_sampled: LN,
}

impl<R> ParentBased<R> {
    /// Asks `root` about spans without a parent and follows the parent's flag for all others.
    #[must_use]
    pub const fn new(root: R) -> Self {
        Self {
            root,
            remote_parent_sampled: AlwaysOn,
            remote_parent_not_sampled: AlwaysOff,
            local_parent_sampled: AlwaysOn,
            local_parent_not_sampled: AlwaysOff,
        }
    }
}

impl<R, RS, RN, LS, LN> ParentBased<R, RS, RN, LS, LN> {
    /// Asks `sampler` about children of a remote parent that is sampled.
    #[must_use]
    pub fn with_remote_parent_sampled<T>(self, sampler: T) -> ParentBased<R, T, RN, LS, LN> {
        ParentBased {
            root: self.root,
            remote_parent_sampled: sampler,
            remote_parent_not_sampled: self.remote_parent_not_sampled,
            local_parent_sampled: self.local_parent_sampled,
            local_parent_not_sampled: self.local_parent_not_sampled,
        }
    }

    /// Asks `sampler` about children of a remote parent that is not sampled.
    #[must_use]
    pub fn with_remote_parent_not_sampled<T>(self, sampler: T) -> ParentBased<R, RS, T, LS, LN> {
        ParentBased {
            root: self.root,
            remote_parent_sampled: self.remote_parent_sampled,
            remote_parent_not_sampled: sampler,
            local_parent_sampled: self.local_parent_sampled,
            local_parent_not_sampled: self.local_parent_not_sampled,
        }
    }

    /// Asks `sampler` about children of a local parent that is sampled.
    #[must_use]
    pub fn with_local_parent_sampled<T>(self, sampler: T) -> ParentBased<R, RS, RN, T, LN> {
        ParentBased {
            root: self.root,
            remote_parent_sampled: self.remote_parent_sampled,
            remote_parent_not_sampled: self.remote_parent_not_sampled,
            local_parent_sampled: sampler,
            local_parent_not_sampled: self.local_parent_not_sampled,
        }
    }

    /// Asks `sampler` about children of a local parent that is not sampled.
    #[must_use]
    pub fn with_local_parent_not_sampled<T>(self, sampler: T) -> ParentBased<R, RS, RN, LS, T> {
        ParentBased {
            root: self.root,
            remote_parent_sampled: self.remote_parent_sampled,
            remote_parent_not_sampled: self.remote_parent_not_sampled,
            local_parent_sampled: self.local_parent_sampled,
            local_parent_not_sampled: sampler,
        }
    }
}

impl<R, RS, RN, LS, LN> Sampler for ParentBased<R, RS, RN, LS, LN>
where
    R: Sampler,
    RS: Sampler,
    RN: Sampler,
    LS: Sampler,
    LN: Sampler,
{
    #[inline]
    fn should_sample<'a>(&'a self, parameters: &SamplingParameters<'a>) -> SamplingResult<'a> {
        let parent = parameters.parent.span_context;
        if !parent.is_valid() {
            return self.root.should_sample(parameters);
        }
        match (parent.is_remote(), parent.is_sampled()) {
            (true, true) => self.remote_parent_sampled.should_sample(parameters),
            (true, false) => self.remote_parent_not_sampled.should_sample(parameters),
            (false, true) => self.local_parent_sampled.should_sample(parameters),
            (false, false) => self.local_parent_not_sampled.should_sample(parameters),
        }
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ParentBased{{root:{},remoteParentSampled:{},remoteParentNotSampled:{},\
             localParentSampled:{},localParentNotSampled:{}}}",
            Description(&self.root),
            Description(&self.remote_parent_sampled),
            Description(&self.remote_parent_not_sampled),
            Description(&self.local_parent_sampled),
            Description(&self.local_parent_not_sampled),
        )
    }

    fn shutdown(&self) {
        self.root.shutdown();
        self.remote_parent_sampled.shutdown();
        self.remote_parent_not_sampled.shutdown();
        self.local_parent_sampled.shutdown();
        self.local_parent_not_sampled.shutdown();
    }
}

#[cfg(test)]
mod tests {
    use super::super::SamplingDecision::{Drop, RecordOnly};
    use super::super::tests::{Fixed, child, decide, root, trace_id};
    use super::*;
    use crate::context::{SpanContext, TraceFlags};
    use crate::id::SpanId;

    #[test]
    fn parent_based_dispatches_by_the_five_row_table() {
        let drop = || Fixed::new(Drop);
        let others = || ParentBased {
            root: drop(),
            remote_parent_sampled: drop(),
            remote_parent_not_sampled: drop(),
            local_parent_sampled: drop(),
            local_parent_not_sampled: drop(),
        };
        let only = Fixed::new(RecordOnly);
        let rows: [(&dyn Sampler, _); 5] = [
            (
                &ParentBased {
                    root: &only,
                    remote_parent_sampled: drop(),
                    remote_parent_not_sampled: drop(),
                    local_parent_sampled: drop(),
                    local_parent_not_sampled: drop(),
                },
                root(trace_id(0)),
            ),
            (
                &others().with_remote_parent_sampled(&only),
                child(true, true),
            ),
            (
                &others().with_remote_parent_not_sampled(&only),
                child(true, false),
            ),
            (
                &others().with_local_parent_sampled(&only),
                child(false, true),
            ),
            (
                &others().with_local_parent_not_sampled(&only),
                child(false, false),
            ),
        ];
        for (i, (sampler, _)) in rows.iter().enumerate() {
            for (j, (_, parameters)) in rows.iter().enumerate() {
                let expected = if i == j { RecordOnly } else { Drop };
                assert_eq!(decide(sampler, parameters), expected, "{i} {j}");
            }
        }
    }

    #[test]
    fn an_invalid_parent_counts_as_none_whatever_its_flags() {
        let sampler = ParentBased::new(AlwaysOff);
        let mut parameters = root(trace_id(1));
        parameters.parent.span_context =
            SpanContext::remote(trace_id(1), SpanId::INVALID, TraceFlags::SAMPLED);
        assert_eq!(decide(&sampler, &parameters), Drop);
    }
}
