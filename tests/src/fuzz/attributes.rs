//! One span with any calls, limits and scratch: what is stored is what the model says.

use arbitrary::Unstructured;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use spandrel_core::buffer::Buffer;
use spandrel_core::resource::ScopeId;

use crate::wire_model::{SpanScript, assert_same, record_size};

/// Runs the script that `data` makes.
///
/// # Panics
///
/// When the stored span is not the expected one.
pub fn run(data: &[u8]) {
    let Ok(script) = Unstructured::new(data).arbitrary::<SpanScript>() else {
        return;
    };
    let mut buffer = Buffer::new(vec![0; 16 << 10]);
    let started = script.run(1, ScopeId::default(), &mut buffer);
    assert_eq!(started.pushed, Ok(()));
    let stored = buffer.front();
    assert_eq!(stored.is_some(), started.expected.is_some());
    if let (Some(record), Some(expected)) = (stored, started.expected) {
        assert!(record.body.len() <= script.scratch);
        assert_eq!(record.body.len(), record_size(&expected));
        let span = Span::decode(record.body).expect("official types read it");
        assert_same(&span, &expected, "span");
    }
}
