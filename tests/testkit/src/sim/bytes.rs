//! Spans as bytes: made small and fast, and found again in a request.

use spandrel_core::span::stored::StoredSpan;
use spandrel_core::wire::{FieldValue, Fields};

/// The fixed start of a stored span, every value zero but the kind.
const TEMPLATE: [u8; 54] = {
    let mut bytes = [0; 54];
    bytes[0] = 0x85;
    bytes[1] = 0x01;
    bytes[6] = 0x12;
    bytes[7] = 8;
    bytes[16] = 0x39;
    bytes[25] = 0x41;
    bytes[34] = 0x30;
    bytes[35] = 1;
    bytes[36] = 0x0a;
    bytes[37] = 16;
    bytes
};

/// The least bytes of [`stored_span`].
pub const SPAN_BYTES: usize = TEMPLATE.len();

/// The body of a span that ended, named by a number, with a name of `padding` bytes (below 128).
#[must_use]
pub fn stored_span(id: u64, padding: u8) -> Vec<u8> {
    let mut body = TEMPLATE.to_vec();
    body[8..16].copy_from_slice(&id.to_be_bytes());
    body[38..46].copy_from_slice(&id.to_be_bytes());
    if padding > 0 {
        body.extend([0x2a, padding & 0x7f]);
        body.resize(body.len() + usize::from(padding & 0x7f), b'x');
    }
    body
}

/// The numbers of the spans in a request, in order of number.
///
/// # Panics
///
/// When the bytes are not a request of whole spans.
#[must_use]
pub fn span_ids(request: &[u8]) -> Vec<u64> {
    let mut ids = Vec::new();
    for resource_spans in messages(request, 1) {
        for scope_spans in messages(resource_spans, 2) {
            for span in messages(scope_spans, 2) {
                let frame = StoredSpan::new(span);
                assert!(frame.is_some(), "a span in a request is a stored span");
                ids.extend(frame.map(|frame| u64::from_be_bytes(frame.span_id().to_bytes())));
            }
        }
    }
    ids.sort_unstable();
    ids
}

fn messages(message: &[u8], wanted: u32) -> impl Iterator<Item = &[u8]> {
    Fields::new(message).filter_map(move |field| match field {
        Ok((number, FieldValue::Bytes(bytes))) if number == wanted => Some(bytes),
        Ok(_) => None,
        Err(error) => unreachable!("the request is broken: {error}"),
    })
}
