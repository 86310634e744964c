//! The spans of an encoded request.

use super::{FinishedResource, FinishedScope, FinishedSpan, next_message};
use crate::buffer::RecordFlags;
use crate::resource::{Entry, ScopeId};
use crate::span::stored::StoredSpan;

/// The spans of an encoded `ExportTraceServiceRequest`, in its order, with scope and resource: the
/// body that [`Exporter::read_body`](crate::exporter::Exporter::read_body) gives, read whole.
///
/// Spans that no encoder of this crate wrote are passed over.
///
/// ```
/// use spandrel_core::span::finished::RequestSpans;
///
/// assert_eq!(RequestSpans::new(b"not a request").count(), 0);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RequestSpans<'a> {
    request: &'a [u8],
    /// The `ResourceSpans` and the `ScopeSpans` at hand, and what is left of each.
    resource: &'a [u8],
    resource_rest: &'a [u8],
    scope: &'a [u8],
    scope_rest: &'a [u8],
}

impl<'a> RequestSpans<'a> {
    /// The spans of `request`.
    #[must_use]
    pub const fn new(request: &'a [u8]) -> Self {
        Self {
            request,
            resource: &[],
            resource_rest: &[],
            scope: &[],
            scope_rest: &[],
        }
    }
}

impl<'a> Iterator for RequestSpans<'a> {
    type Item = FinishedSpan<'a>;

    fn next(&mut self) -> Option<FinishedSpan<'a>> {
        loop {
            if let Some(span) = next_message(&mut self.scope_rest, 2) {
                let Some(frame) = StoredSpan::new(span) else {
                    continue;
                };
                let entry = |message| Entry {
                    head: message,
                    tail: message,
                };
                return Some(FinishedSpan {
                    frame,
                    flags: RecordFlags::DATED,
                    scope_id: ScopeId::default(),
                    origin: Some((
                        FinishedScope(entry(self.scope)),
                        FinishedResource(entry(self.resource)),
                    )),
                    clock: None,
                });
            }
            if let Some(scope) = next_message(&mut self.resource_rest, 2) {
                (self.scope, self.scope_rest) = (scope, scope);
                continue;
            }
            self.resource = next_message(&mut self.request, 1)?;
            self.resource_rest = self.resource;
        }
    }
}
