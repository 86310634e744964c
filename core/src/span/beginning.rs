//! Everything that is known of a span when it starts.

use crate::context::{SpanContext, SpanKind};
use crate::limits::SpanLimits;
use crate::resource::ScopeId;
use crate::time::Instant;

pub(crate) struct Beginning<'a> {
    pub(crate) limits: &'a SpanLimits,
    pub(crate) context: &'a SpanContext,
    pub(crate) parent: Option<&'a SpanContext>,
    pub(crate) trace_state: &'a str,
    /// The one given with the parent, for a span whose own is not valid and that has a parent.
    pub(crate) inherited_state: &'a str,
    pub(crate) name: &'a str,
    pub(crate) kind: SpanKind,
    pub(crate) scope: ScopeId,
    pub(crate) start: Instant,
    pub(crate) is_recording: bool,
}
