//! Parents that come from other libraries, late.

use ::tracing::Subscriber;
use ::tracing::span::Id;
use tracing_subscriber::layer::Context as Spans;
use tracing_subscriber::registry::LookupSpan;

use super::span::LayerSpan;
use super::subscriber::TracingLayer;
use crate::hosted::current;
use crate::hosted::trace::Parent;

impl TracingLayer {
    /// Puts a span that has found no parent under what another library has made current meanwhile.
    pub(super) fn adopt<S>(&self, id: &Id, spans: &Spans<'_, S>)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let Some(parent) = current::current_of_others() else {
            return;
        };
        let is_orphan = |live: &mut LayerSpan| live.take_orphan();
        if parent.span_context().is_valid()
            && self.open().table.with(id.into_u64(), is_orphan) == Some(true)
        {
            if let Some(metadata) = spans.metadata(id) {
                // It is not settled, and was never entered.
                let _ = self.open().set_parent(id, metadata, Parent::from(&parent));
            }
        }
    }
}
