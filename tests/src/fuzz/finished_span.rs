//! The view of a finished span: over a span of this library it shows what the model says, and over any
//! bytes it shows something, soon.

use arbitrary::Unstructured;
use spandrel_core::buffer::{Buffer, Record, RecordFlags};
use spandrel_core::resource::{Registry, Resource, ScopeId};
use spandrel_core::span::finished::FinishedSpan;

use crate::wire_model::{SpanScript, assert_same, official};

/// Runs the script that `data` makes, and reads `data` itself as the fields behind the start of a span.
///
/// # Panics
///
/// When the view does not show the expected span.
pub fn run(data: &[u8]) {
    let mut buffer = Buffer::new(vec![0; 16 << 10]);
    if let Ok(script) = Unstructured::new(data).arbitrary::<SpanScript>() {
        let started = script.run(1, ScopeId::default(), &mut buffer);
        if let (Some(record), Some(expected)) = (buffer.front(), started.expected) {
            let span = FinishedSpan::new(&record).expect("it was recorded");
            assert_same(&official(&span), &expected, "view");
            read(&with_body(&record, &[record.body, data].concat()));
        }
    }
    let record = Record {
        scope: ScopeId::default(),
        flags: RecordFlags::NONE,
        body: data,
    };
    read(&record);
}

fn with_body<'a>(record: &Record<'_>, body: &'a [u8]) -> Record<'a> {
    Record {
        scope: record.scope,
        flags: record.flags,
        body,
    }
}

/// Reads all of a span, if `record` begins like one.
fn read(record: &Record<'_>) {
    let Some(span) = FinishedSpan::new(record) else {
        return;
    };
    let registry = Registry::new([0; 16], &Resource::default()).expect("it is empty");
    let span = span.with_registry(&registry);
    let shown = official(&span);
    // Every item and every byte of text is of some bytes of the record.
    let items = shown.attributes.len() + shown.events.len() + shown.links.len();
    assert!(2 * items + shown.name.len() <= record.body.len());
    let debug = format!("{span:?} {:?} {:?}", span.attributes(), span.scope());
    assert!(!debug.is_empty());
}
