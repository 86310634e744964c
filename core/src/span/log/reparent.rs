//! Facts that the `tracing` layer learns late about a span: its kind and its trace.

use super::{
    HAS_TRACE_STATE, Log, PARENT, PARENT_LEN, TRACE_STATE, is_valid_trace_state, remote_flags,
};
use crate::context::{ParentContext, SpanContext, SpanKind};
use crate::span::stored::{self, FIXED_LEN};
use crate::wire::{BYTES, Writer, field_len, tag};

impl Log {
    pub(in crate::span) fn set_kind(&mut self, bytes: &mut [u8], kind: SpanKind) {
        if let Some(byte) = bytes.get_mut(stored::KIND) {
            *byte = kind as u8;
        }
    }

    /// Changes trace, parent and tracestate. Returns false, and changes nothing, if there is no
    /// room. A tracestate that does not fit or is not valid is left out.
    pub(in crate::span) fn reparent(
        &mut self,
        bytes: &mut [u8],
        context: &SpanContext,
        parent: &ParentContext<'_>,
    ) -> bool {
        // Both stand before the name, in this order.
        let (at, old_len) = self.find(bytes, PARENT, b"").unwrap_or((FIXED_LEN, 0));
        let new_len = match parent.span_context.is_valid() {
            true => PARENT_LEN,
            false => 0,
        };
        let Some(field) = self.splice(bytes, at, old_len, new_len, self.reserve()) else {
            return false;
        };
        if let Some(field) = field.first_chunk_mut::<PARENT_LEN>() {
            field[0] = tag(PARENT, BYTES);
            field[1] = 8;
            field[2..].copy_from_slice(parent.span_context.span_id().as_bytes());
        }
        let (at, old_len) = self
            .find(bytes, TRACE_STATE, b"")
            .unwrap_or((FIXED_LEN + new_len, 0));
        self.splice(bytes, at, old_len, 0, 0);
        self.facts &= !HAS_TRACE_STATE;
        let state = parent.trace_state.as_bytes();
        if is_valid_trace_state(parent.trace_state) {
            let len = field_len(state.len());
            if let Some(field) = self.splice(bytes, at, 0, len, self.reserve()) {
                Writer::new(field).put_bytes_field(TRACE_STATE, state);
                self.facts |= HAS_TRACE_STATE;
            }
        }
        if let Some(fixed) = bytes.first_chunk_mut::<FIXED_LEN>() {
            let flags = u32::from(context.trace_flags().known().bits())
                | remote_flags(parent.span_context.is_remote());
            fixed[stored::TRACE_ID..stored::TRACE_ID + 16]
                .copy_from_slice(context.trace_id().as_bytes());
            fixed[stored::SPAN_ID..stored::SPAN_ID + 8]
                .copy_from_slice(context.span_id().as_bytes());
            fixed[stored::FLAGS..stored::FLAGS + 4].copy_from_slice(&flags.to_le_bytes());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::Value;
    use crate::context::TraceFlags;
    use crate::id::{SpanId, TraceId};
    use crate::limits::SpanLimits;
    use crate::resource::ScopeId;
    use crate::span::Beginning;
    use crate::time::Instant;

    fn context(n: u8) -> SpanContext {
        let trace = TraceId::from_bytes([n; 16]);
        SpanContext::remote(trace, SpanId::from_bytes([n; 8]), TraceFlags::SAMPLED)
    }

    fn parent(n: u8, trace_state: &str) -> ParentContext<'_> {
        ParentContext {
            span_context: if n == 0 {
                SpanContext::INVALID
            } else {
                context(n)
            },
            trace_state,
        }
    }

    /// A span in the trace 9 under `parent`, with an attribute.
    fn begun(bytes: &mut [u8], parent: &ParentContext<'_>) -> Log {
        let mut log = Log::new(&SpanLimits::DEFAULT);
        let begun = log.begin(
            bytes,
            &Beginning {
                limits: &SpanLimits::DEFAULT,
                context: &context(9),
                parent: (parent.span_context.is_valid()).then_some(&parent.span_context),
                trace_state: parent.trace_state,
                inherited_state: "",
                name: "name",
                kind: SpanKind::Server,
                scope: ScopeId(0),
                start: Instant::from_millis(1),
                is_recording: true,
            },
        );
        assert!(begun);
        log.set_attribute(bytes, "key", &Value::I64(1));
        log
    }

    #[test]
    fn a_changed_parent_leaves_the_bytes_of_a_span_that_was_begun_under_it() {
        let parents = [
            parent(0, ""),
            parent(1, ""),
            parent(2, "a=b"),
            parent(3, "c=d,e=f"),
        ];
        for from in &parents {
            for to in &parents {
                let (mut bytes, mut expected) = ([0; 256], [0; 256]);
                let mut log = begun(&mut bytes, from);
                assert!(log.reparent(&mut bytes, &context(9), to));
                let wanted = begun(&mut expected, to);
                assert_eq!(bytes[..log.len], expected[..wanted.len], "{from:?} {to:?}");
            }
        }
    }

    #[test]
    fn without_room_nothing_changes() {
        let mut bytes = [0; 128];
        let mut log = begun(&mut bytes, &parent(0, ""));
        let left = log.room(&bytes);
        let filler = "x".repeat(left - 9 - 8);
        log.set_attribute(&mut bytes, "filler", &Value::String(&filler));
        assert!(log.room(&bytes) < PARENT_LEN, "{}", log.room(&bytes));
        let (before, len) = (bytes, log.len);
        assert!(!log.reparent(&mut bytes, &context(1), &parent(1, "a=b")));
        assert_eq!((bytes, log.len), (before, len));
    }

    #[test]
    fn a_tracestate_without_room_is_left_out() {
        let mut bytes = [0; 128];
        let mut log = begun(&mut bytes, &parent(0, ""));
        let state = std::format!("a={}", "x".repeat(98));
        assert!(log.reparent(&mut bytes, &context(9), &parent(1, &state)));
        assert_eq!(log.trace_state(&bytes), "");
        assert_eq!(log.find(&bytes, PARENT, b""), Some((FIXED_LEN, PARENT_LEN)));
    }
}
