//! Any bytes as a protobuf message: JSON that parses, on one line, or an error; and what the
//! official types take, we take.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use spandrel_core::json;

/// Translates `data` as each of the messages.
///
/// # Panics
///
/// When the output is not JSON.
pub fn run(data: &[u8]) {
    let translated = [
        text(|out| json::export_request(data, out)),
        text(|out| json::span(data, out)),
        text(|out| json::resource(data, out)),
        text(|out| json::scope(data, out)),
    ];
    for text in translated.iter().flatten() {
        assert!(!text.contains(|c| c < ' '), "one line");
        // serde_json stops at 128 levels, and a value has two for each of its own.
        if text.matches(['[', '{']).count() < 120 {
            let parsed = serde_json::from_str::<serde_json::Value>(text);
            assert!(parsed.is_ok(), "{parsed:?}: {text}");
        }
    }
    if ExportTraceServiceRequest::decode(data).is_ok() {
        assert!(translated[0].is_some());
    }
}

fn text(write: impl FnOnce(&mut String) -> Result<(), json::JsonError>) -> Option<String> {
    let mut text = String::new();
    write(&mut text).ok().map(|()| text)
}
